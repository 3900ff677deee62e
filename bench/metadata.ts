/**
 * create, stat, readdir and unlink of many files, 16 in flight, RPCs and CPU per operation; against nfs-ganesha + libnfs with
 * the same window, both stores on tmpfs where there is one. BENCH_FILES says how many, 100,000 when it does not.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Filesystem, startCluster } from '../lib/index.ts';
import { cpuSeconds, median, output, type Row, type Running, row, scratch } from './measure.ts';
import { freePort, ganesha, has, sourceFile } from './peers.ts';

const WINDOW = 16;
const TMPFS = '/dev/shm';
const phases = ['create', 'stat', 'readdir', 'unlink'] as const;
type Phase = (typeof phases)[number];
/** What the sum is of. */
const CALLS: readonly Phase[] = ['create', 'stat', 'unlink'];

interface Timed {
  readonly seconds: Record<Phase, number>;
  readonly rpcs: Record<Phase, number>;
  /** Seconds. */
  readonly cpu: Record<Phase, { readonly servers: number; readonly client: number }>;
}

const store = (): Promise<string> => scratch(existsSync(TMPFS) ? TMPFS : tmpdir());

async function ours(count: number): Promise<Timed> {
  const dir = await store();
  try {
    await using cluster = await startCluster({ fsname: 'bench', osts: 2, dir });
    await using filesystem = await cluster.mount();
    return await timedPhases(filesystem, cluster.pid ?? process.pid, count);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function timedPhases(filesystem: Filesystem, servers: number, count: number): Promise<Timed> {
  await filesystem.mkdir('/files');
  const timed: Timed = { seconds: {}, rpcs: {}, cpu: {} } as Timed;
  const phase = async (name: Phase, work: () => Promise<void>): Promise<void> => {
    const before = await sent(filesystem);
    const cpu = { servers: cpuSeconds(servers), client: cpuSeconds(process.pid) };
    const at = performance.now();
    await work();
    timed.seconds[name] = (performance.now() - at) / 1000;
    timed.rpcs[name] = ((await sent(filesystem)) - before) / count;
    timed.cpu[name] = {
      servers: cpuSeconds(servers) - cpu.servers,
      client: cpuSeconds(process.pid) - cpu.client,
    };
  };
  const each = async (work: (path: string) => Promise<unknown>): Promise<void> => {
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < count) await work(`/files/f${String(next++).padStart(6, '0')}`);
    };
    await Promise.all(Array.from({ length: WINDOW }, lane));
  };
  await phase('create', () => each(async (path) => (await filesystem.open(path, 'wx')).close()));
  await phase('stat', () => each((path) => filesystem.lstat(path)));
  await phase('readdir', async () => {
    const names = await filesystem.readdir('/files');
    if (names.length !== count) throw new Error(`readdir gave ${names.length} of ${count} names`);
  });
  await phase('unlink', () => each((path) => filesystem.unlink(path)));
  return timed;
}

async function sent(filesystem: Filesystem): Promise<number> {
  return Object.values((await filesystem.counters()).rpcs).reduce((sum, n) => sum + n, 0);
}

/** The same with libnfs against nfs-ganesha, seconds of each phase; undefined where they are not installed. `keep`: without
 * unlink, which takes its time. */
export async function nfsMetadata(count: number, keep = false): Promise<Record<Phase, number> | undefined> {
  if (!(await has('ganesha.nfsd'))) return undefined;
  const binary = join(tmpdir(), `lustre-nfs-meta-${process.pid}`);
  await output('cc', ['-O2', '-o', binary, await sourceFile('peers/nfs_meta.c'), '-lnfs']);
  const dir = await store();
  const port = await freePort();
  const server = await ganesha(dir, port);
  const url = `nfs://127.0.0.1/bench?version=4&nfsport=${port}`;
  try {
    await untilMounted(server, binary, url);
    return JSON.parse(
      await output(binary, [url, String(WINDOW), String(count), ...(keep ? ['keep'] : [])]),
    ) as Record<Phase, number>;
  } finally {
    await server.stop('SIGKILL');
    await rm(dir, { recursive: true });
    await rm(binary);
  }
}

/** A server that has just started refuses or hangs up for a while. */
async function untilMounted({ child }: Running, binary: string, url: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const error = await output(binary, [url, '1', '0']).then(
      () => undefined,
      (e: Error) => e,
    );
    if (error === undefined) return;
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('ganesha.nfsd has ended');
    if (tries === 40) throw error;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

export async function benchMetadata(rounds: number, count: number): Promise<Row[]> {
  const mine: Timed[] = [];
  const theirs: Record<Phase, number>[] = [];
  for (let i = 0; i < rounds; i++) {
    mine.push(await ours(count));
    const peer = await nfsMetadata(count);
    if (peer !== undefined) theirs.push(peer);
  }
  const name = 'nfs-ganesha + libnfs';
  const compared = (what: string, unit: string, of: readonly Phase[]): Row => {
    const rate = (seconds: Record<Phase, number>): number =>
      count / of.reduce((sum, phase) => sum + seconds[phase], 0);
    const peer = theirs.length === 0 ? undefined : { name, value: median(theirs.map(rate)) };
    return row('metadata', what, median(mine.map(({ seconds }) => rate(seconds))), unit, peer);
  };
  const where = existsSync(TMPFS) ? 'tmpfs' : 'disk';
  const how = `${count} files, ${WINDOW} in flight, ${where}`;
  const rows = phases.flatMap((phase) => [
    compared(`${phase}, ${how}`, phase === 'readdir' ? 'entries/s' : '/s', [phase]),
    row('metadata', `${phase}: RPCs per file`, median(mine.map(({ rpcs }) => rpcs[phase])), ''),
    ...(['servers', 'client'] as const).map((side) =>
      row(
        'metadata',
        `${phase}: CPU of ${side}`,
        (1e6 * median(mine.map(({ cpu }) => cpu[phase][side]))) / count,
        'us',
      ),
    ),
  ]);
  return [...rows, compared(`${CALLS.join(' + ')}, ${how}`, 'files/s', CALLS)];
}
