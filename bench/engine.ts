/**
 * What the hop to the engine's thread costs (docs/architecture.md, Threads): the same calls on a mount with its engine in a
 * thread of its own and on one with it inline, in turn. Calls that no request is sent for show the hop itself; one
 * request, and bulk data per GiB, show what of it is left where there is work to do.
 */
import { type Filesystem, startCluster } from '../lib/index.ts';
import { median, type Row, row } from './measure.ts';

const MIB = 1 << 20;
const CHUNK = 16 * MIB;
const engines = ['worker', 'inline'] as const;
type EngineName = (typeof engines)[number];

interface Cost {
  /** Microseconds of wall-clock time and of CPU (all threads of this process) an operation. */
  readonly wall: number;
  readonly cpu: number;
}

interface Measured {
  readonly cachedOne: Cost;
  readonly cachedMany: Cost;
  readonly requestOne: Cost;
  readonly requestMany: Cost;
  /** The whole file; CPU in microseconds. */
  readonly write: Cost;
  readonly read: Cost;
}

/** `count` times, `inFlight` of them at a time. */
async function timed(count: number, inFlight: number, work: () => Promise<unknown>): Promise<Cost> {
  let left = count;
  const lane = async (): Promise<void> => {
    while (left-- > 0) await work();
  };
  const cpu = process.cpuUsage();
  const at = performance.now();
  await Promise.all(Array.from({ length: inFlight }, lane));
  const wall = (performance.now() - at) * 1000;
  const { user, system } = process.cpuUsage(cpu);
  return { wall: wall / count, cpu: (user + system) / count };
}

async function measure(lustre: Filesystem, count: number, mib: number): Promise<Measured> {
  await lustre.writeFile('/small', 'x');
  const cached = (): Promise<string> => lustre.fid('/small');
  const request = (): Promise<void> => lustre.chmod('/small', 0o644);
  for (const work of [cached, request]) await timed(count / 20, 8, work);
  const small = {
    cachedOne: await timed(count, 1, cached),
    cachedMany: await timed(count, 64, cached),
    requestOne: await timed(count / 10, 1, request),
    requestMany: await timed(count / 10, 64, request),
  };
  const buffers = [Buffer.alloc(CHUNK, 'a'), Buffer.alloc(CHUNK, 'b')];
  const file = await lustre.open('/large', 'w+', 0o644, { stripeCount: 2, stripeSize: MIB });
  const each = (work: (bytes: Buffer, at: number) => Promise<unknown>): Promise<Cost> => {
    let at = 0;
    const lanes = [...buffers];
    return timed(mib / 16, lanes.length, async () => {
      const bytes = lanes.pop()!;
      const from = at;
      at += CHUNK;
      await work(bytes, from);
      lanes.push(bytes);
    });
  };
  const write = await each((bytes, at) => file.write(bytes, 0, CHUNK, at));
  const read = await each((bytes, at) => file.read(bytes, 0, CHUNK, at));
  await file.close();
  await lustre.unlink('/large');
  return { ...small, write, read };
}

export async function benchEngine(rounds: number, count: number, mib: number): Promise<Row[]> {
  await using cluster = await startCluster({ fsname: 'bench', osts: 2 });
  const results: Record<EngineName, Measured[]> = { worker: [], inline: [] };
  for (let i = 0; i < rounds; i++) {
    for (const engine of engines) {
      await using lustre = await cluster.mount({ engine });
      results[engine].push(await measure(lustre, count, mib));
    }
  }
  const of = (engine: EngineName, what: keyof Measured, kind: keyof Cost): number =>
    median(results[engine].map((measured) => measured[what][kind]));
  const rows: Row[] = [];
  const add = (what: string, key: keyof Measured, kind: keyof Cost, scale: number, unit: string): void => {
    const peer = { name: 'engine inline', value: of('inline', key, kind) * scale };
    rows.push(row('engine', what, of('worker', key, kind) * scale, unit, peer, true));
  };
  const calls = [
    ['a call without a request, 1 in flight', 'cachedOne'],
    ['a call without a request, 64 in flight', 'cachedMany'],
    ['a call of one request, 1 in flight', 'requestOne'],
    ['a call of one request, 64 in flight', 'requestMany'],
  ] as const;
  for (const [what, key] of calls) {
    add(what, key, 'wall', 1, 'µs');
    add(`${what}: CPU`, key, 'cpu', 1, 'µs');
  }
  // From microseconds for 16 MiB to seconds for a GiB.
  for (const way of ['write', 'read'] as const) {
    add(`${mib} MiB ${way}, 16 MiB a call, stripe 2`, way, 'wall', 64 / 1e6, 's/GiB');
    add(`${mib} MiB ${way}, 16 MiB a call, stripe 2: CPU`, way, 'cpu', 64 / 1e6, 's/GiB');
  }
  return rows;
}
