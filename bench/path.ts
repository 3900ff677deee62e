/**
 * What one write and one read of 1 MiB cost end to end, a call at a time: time, CPU, system calls, context switches and page
 * faults of the client's and the servers' process, of the first thousand calls; time and CPU of later ones, and what that is
 * spent on (copies, checksums, waits, ...). Beside it the floor: the same bytes moved by bare C processes
 * (peers/file_peer.c), with a file at one end, at both, and at none. Stores are on tmpfs.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Filesystem, type MountOptions, mount, startCluster } from '../lib/index.ts';
import { answerMeters, HeapMeter, type HeapUse } from './heap-meter.ts';
import {
  contextSwitches,
  haveFreePages,
  median,
  type Row,
  type Running,
  row,
  scratch,
  startBench,
} from './measure.ts';
import { type Floor, filePeer, floor, has } from './peers.ts';
import { cpuProfile, systemCalls } from './perf.ts';

const MIB = 1 << 20;
const WARM_UP = 64;
/** So many calls before V8 has compiled what they run through. */
const HOT = 4096;

interface Counts {
  readonly cpu: number;
  readonly switches: number;
  readonly faults: number;
}

/** Of all threads of a process until now: CPU in microseconds. */
function counts(pid: number): Counts {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  let cpu = 0;
  for (const task of readdirSync(`/proc/${pid}/task`))
    cpu += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]) / 1000;
  return { cpu, switches: contextSwitches(pid), faults: Number(fields[7]) };
}

interface Cost {
  readonly wall: number;
  readonly client: Counts;
  readonly server: Counts;
  /** Bytes of JavaScript's heap, beside buffers. */
  readonly heap: { readonly client: number; readonly server: number };
}

/** What `serve` says when it can be mounted. */
interface Serving {
  readonly spec: string;
  readonly port: number;
}

/** The servers' process: a cluster, and a meter of its heap. */
async function serve(dir: string): Promise<void> {
  const cluster = await startCluster({ fsname: 'bench', osts: 2, dir, inProcess: true });
  const { spec, port } = cluster;
  process.stdout.write(`${JSON.stringify({ spec, port } satisfies Serving)}\n`);
  await answerMeters(() => new HeapMeter());
  await cluster.stop();
}

const less = (a: Counts, b: Counts, calls: number): Counts => ({
  cpu: (a.cpu - b.cpu) / calls,
  switches: (a.switches - b.switches) / calls,
  faults: (a.faults - b.faults) / calls,
});

async function costOf(
  calls: number,
  servers: Running,
  warmUp: number,
  work: (call: number) => Promise<unknown>,
): Promise<Cost> {
  const pid = servers.child.pid!;
  for (let i = 0; i < warmUp; i++) await work(i % calls);
  await servers.ask();
  const [ours, theirs, at] = [counts(process.pid), counts(pid), performance.now()];
  const meter = new HeapMeter();
  for (let i = 0; i < calls; i++) await work(i);
  const used = meter.stop().bytes;
  const wall = ((performance.now() - at) * 1000) / calls;
  const client = less(counts(process.pid), ours, calls);
  const server = less(counts(pid), theirs, calls);
  const { bytes } = await servers.ask<HeapUse>();
  return { wall, client, server, heap: { client: used / calls, server: bytes / calls } };
}

async function benchFloor(rounds: number, mib: number): Promise<Row[]> {
  const peer = await filePeer();
  if (peer === undefined) return [];
  const dir = await scratch('/dev/shm');
  const from = join(dir, 'from');
  const to = join(dir, 'to');
  const file = await open(from, 'w');
  for (let i = 0; i < mib; i++) await file.write(Buffer.alloc(MIB, i));
  await file.close();
  const rows: Row[] = [];
  const kinds = [
    ['memory to memory', '-', '-'],
    ['tmpfs file to memory', '-', from],
    ['tmpfs file to a new one', to, from],
    ['tmpfs file over one that is there', to, from],
  ] as const;
  for (const [what, take, give] of kinds) {
    const runs: Floor[] = [];
    for (let i = 0; i < rounds; i++) {
      if (what.endsWith('new one')) {
        await rm(to, { force: true });
        await haveFreePages(dir, mib * MIB);
      }
      runs.push(await floor(peer, 21300 + rows.length + i, mib, take, give));
    }
    const label = `floor, bare C with CRC32C, ${what}`;
    rows.push(row('path', label, median(runs.map((run) => (mib * 1.048576) / run.seconds)), 'MB/s'));
    rows.push(
      row(
        'path',
        `${label}: CPU of both sides`,
        median(runs.map((run) => (run.senderCpu + run.receiverCpu) / (mib / 1024))),
        's/GiB',
      ),
    );
  }
  await rm(dir, { recursive: true });
  await rm(peer);
  return rows;
}

/** The same calls as a program makes them that copies a file by 1 MiB: through the cache, in the RPCs of a kernel client. */
async function inSequence(
  dir: string,
  mounted: (options: MountOptions) => Promise<Filesystem>,
  pid: number,
  calls: number,
): Promise<Row[]> {
  const rows: Row[] = [];
  const bytes = Buffer.alloc(MIB, 'b');
  for (const what of ['write', 'read'] as const) {
    // Another mount: nothing is cached.
    await using lustre = await mounted({ maxPagesPerRpc: 1024 });
    const flags = what === 'write' ? 'w' : 'r';
    const layout = what === 'write' ? { stripeCount: 1 } : {};
    const file = await lustre.open('/sequence', flags, 0o644, layout);
    if (what === 'write') await haveFreePages(dir, calls * MIB);
    const [ours, theirs, at] = [counts(process.pid), counts(pid), performance.now()];
    for (let call = 0; call < calls; call++) {
      if (what === 'write') await file.write(bytes, 0, MIB, call * MIB);
      else await file.read(bytes, 0, MIB, call * MIB);
    }
    if (what === 'write') await file.sync();
    const label = `1 MiB ${what}s in sequence`;
    rows.push(row('path', label, ((performance.now() - at) * 1000) / calls, 'us'));
    rows.push(row('path', `${label}, client: CPU`, less(counts(process.pid), ours, calls).cpu, 'us'));
    rows.push(row('path', `${label}, server: CPU`, less(counts(pid), theirs, calls).cpu, 'us'));
    const { rpcs } = await lustre.counters();
    rows.push(row('path', `${label}: RPCs`, rpcs[what === 'write' ? 'OST_WRITE' : 'OST_READ'] ?? 0, ''));
    await file.close();
  }
  return rows;
}

export async function benchPath(rounds: number, calls: number): Promise<Row[]> {
  const dir = await scratch('/dev/shm');
  const rows: Row[] = [];
  // As `startCluster` starts a process of its own.
  const servers = startBench(
    'path',
    ['serve', join(dir, 'store')],
    ['--min-semi-space-size=16', '--max-semi-space-size=32'],
  );
  const { spec, port } = JSON.parse(await servers.line()) as Serving;
  const mounted = (options: MountOptions = {}): Promise<Filesystem> =>
    mount(spec, { port, engine: 'inline', checksums: 'crc32c', ...options });
  {
    await using lustre = await mounted();
    const pid = servers.child.pid!;
    const layout = { stripeCount: 2, stripeSize: MIB };
    // Without the cache, which would send several together.
    const file = await lustre.open('/path', 'w+', 0o644, { ...layout, direct: true });
    const bytes = Buffer.alloc(MIB, 'a');
    const works = {
      write: (call: number) => file.write(bytes, 0, MIB, call * MIB),
      read: (call: number) => file.read(bytes, 0, MIB, call * MIB),
    };
    const withPerf = await has('perf');
    for (const [what, work] of Object.entries(works)) {
      if (what === 'write') await haveFreePages(dir, calls * MIB);
      const cost = await costOf(calls, servers, WARM_UP, work);
      rows.push(row('path', `one 1 MiB ${what}`, cost.wall, 'us'));
      const all = async (): Promise<void> => {
        for (let i = 0; i < calls; i++) await work(i);
      };
      for (const side of ['client', 'server'] as const) {
        const label = `one 1 MiB ${what}, ${side}`;
        rows.push(row('path', `${label}: CPU`, cost[side].cpu, 'us'));
        rows.push(row('path', `${label}: heap`, cost.heap[side] / 1024, 'KiB'));
        rows.push(row('path', `${label}: context switches`, cost[side].switches, ''));
        rows.push(row('path', `${label}: page faults`, cost[side].faults, ''));
        const made = withPerf ? await systemCalls(side === 'client' ? process.pid : pid, all) : undefined;
        if (made !== undefined) rows.push(row('path', `${label}: system calls`, made / calls, ''));
      }
      const hot = await costOf(calls, servers, Math.min(HOT, 4 * calls), work);
      rows.push(row('path', `one 1 MiB ${what} when all is compiled`, hot.wall, 'us'));
      for (const side of ['client', 'server'] as const) {
        const { cpu } = hot[side];
        const label = `one 1 MiB ${what} when all is compiled, ${side}`;
        rows.push(row('path', `${label}: CPU`, cpu, 'us'));
        const shares = withPerf ? await cpuProfile(side === 'client' ? process.pid : pid, all) : undefined;
        for (const [kind, share] of shares ?? [])
          rows.push(row('path', `${label}: ${kind}`, share * cpu, 'us'));
      }
    }
    await file.close();
    rows.push(...(await inSequence(dir, mounted, pid, calls)));
  }
  await servers.stop();
  await rm(dir, { recursive: true });
  return [...rows, ...(await benchFloor(rounds, Math.max(64, calls)))];
}

if (process.argv[2] === 'serve') await serve(process.argv[3]!);
