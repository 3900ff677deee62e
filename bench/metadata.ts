/**
 * create, stat, readdir and unlink of many files, 16 in flight, and RPCs per operation; against nfs-ganesha + libnfs with the same window on
 * the same disk.
 */
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Filesystem, startCluster } from '../lib/index.ts';
import { median, output, type Row, row, scratch } from './measure.ts';
import { ganesha, has, sourceFile } from './peers.ts';

const WINDOW = 16;
const phases = ['create', 'stat', 'readdir', 'unlink'] as const;
type Phase = (typeof phases)[number];

interface Timed {
  readonly seconds: Record<Phase, number>;
  readonly rpcs: Record<Phase, number>;
}

async function ours(count: number): Promise<Timed> {
  await using cluster = await startCluster({ fsname: 'bench', osts: 2 });
  await using filesystem = await cluster.mount();
  await filesystem.mkdir('/files');
  const seconds = {} as Record<Phase, number>;
  const rpcs = {} as Record<Phase, number>;
  const timed = async (phase: Phase, work: () => Promise<void>): Promise<void> => {
    const before = await sent(filesystem);
    const at = performance.now();
    await work();
    seconds[phase] = (performance.now() - at) / 1000;
    rpcs[phase] = ((await sent(filesystem)) - before) / count;
  };
  const each = async (work: (path: string) => Promise<unknown>): Promise<void> => {
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < count) await work(`/files/f${String(next++).padStart(6, '0')}`);
    };
    await Promise.all(Array.from({ length: WINDOW }, lane));
  };
  await timed('create', () => each(async (path) => (await filesystem.open(path, 'wx')).close()));
  await timed('stat', () => each((path) => filesystem.lstat(path)));
  await timed('readdir', async () => {
    const names = await filesystem.readdir('/files');
    if (names.length !== count) throw new Error(`readdir gave ${names.length} of ${count} names`);
  });
  await timed('unlink', () => each((path) => filesystem.unlink(path)));
  return { seconds, rpcs };
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
  const dir = await scratch();
  const server = await ganesha(dir, 21300);
  const url = 'nfs://127.0.0.1/bench?version=4&nfsport=21300';
  try {
    await untilMounted(binary, url);
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
async function untilMounted(binary: string, url: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    const error = await output(binary, [url, '1', '1']).then(
      () => undefined,
      (e: Error) => e,
    );
    if (error === undefined) return;
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
  return phases.flatMap((phase) => {
    const unit = phase === 'readdir' ? 'entries/s' : '/s';
    const value = median(mine.map((m) => count / m.seconds[phase]));
    const peer =
      theirs.length === 0
        ? undefined
        : { name: 'nfs-ganesha + libnfs', value: median(theirs.map((t) => count / t[phase])) };
    return [
      row('metadata', `${phase}, ${count} files, ${WINDOW} in flight`, value, unit, peer),
      row('metadata', `${phase}: RPCs per file`, median(mine.map((m) => m.rpcs[phase])), ''),
    ];
  });
}
