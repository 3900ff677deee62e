/**
 * What the client's caches save: stat and open of cached files, small sequential reads and writes, each against node:fs on
 * a local file; `ls -l` and a walk of a large directory against asking one by one, and against nfs-ganesha + libnfs. With
 * the engine in its own thread and in the caller's.
 */
import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cluster, type Filesystem, startCluster } from '../lib/index.ts';
import { median, type Row, row, scratch } from './measure.ts';
import { nfsMetadata } from './metadata.ts';

const PAGE = 4096;
/** Files asked one by one, without anything that is got ahead. */
const ALONE = 2000;

export interface CacheSizes {
  readonly calls: number;
  readonly entries: number;
  /** Bytes of the file that is read and written in pages. */
  readonly bytes: number;
}

const engines = ['worker', 'inline'] as const;

async function sent(filesystem: Filesystem, opcode?: string): Promise<number> {
  const { rpcs } = await filesystem.counters();
  if (opcode !== undefined) return rpcs[opcode] ?? 0;
  return Object.entries(rpcs).reduce((sum, [name, n]) => (name === 'OBD_PING' ? sum : sum + n), 0);
}

/** Calls a second, one after the other. */
async function rate(count: number, work: () => Promise<unknown>): Promise<number> {
  for (let i = 0; i < 100; i++) await work();
  const at = performance.now();
  for (let i = 0; i < count; i++) await work();
  return (count / (performance.now() - at)) * 1000;
}

interface Files {
  stat(path: string): Promise<unknown>;
  open(path: string): Promise<{ close(): Promise<void> }>;
}

async function calls(files: Files, path: string, count: number): Promise<{ stat: number; open: number }> {
  return {
    stat: await rate(count, () => files.stat(path)),
    open: await rate(count, async () => (await files.open(path)).close()),
  };
}

interface PageFile {
  write(bytes: Uint8Array, offset: number, length: number, position: number): Promise<unknown>;
  read(bytes: Uint8Array, offset: number, length: number, position: number): Promise<unknown>;
}

/** MB/s of whole pages in sequence. */
async function pages(file: PageFile, bytes: number, what: 'read' | 'write'): Promise<number> {
  const page = Buffer.alloc(PAGE, 7);
  const at = performance.now();
  for (let position = 0; position < bytes; position += PAGE) await file[what](page, 0, PAGE, position);
  return bytes / 1000 / (performance.now() - at);
}

async function cachedCalls(rounds: number, count: number): Promise<Row[]> {
  const dir = await scratch();
  const path = join(dir, 'f');
  await (await open(path, 'w')).close();
  const local: Files = { stat: (name) => stat(name), open: (name) => open(name) };
  const rows: Row[] = [];
  for (const engine of engines) {
    await using cluster = await startCluster({ fsname: 'bench' });
    await using filesystem = await cluster.mount({ engine });
    await filesystem.writeFile('/f', 'x');
    for (let i = 0; i < 3; i++) await calls(filesystem, '/f', 1);
    const before = await sent(filesystem);
    const mine = [];
    const theirs = [];
    for (let i = 0; i < rounds; i++) {
      mine.push(await calls(filesystem, '/f', count));
      theirs.push(await calls(local, path, count));
    }
    const rpcs = (await sent(filesystem)) - before;
    for (const what of ['stat', 'open'] as const) {
      const name = what === 'open' ? 'open + close' : 'stat';
      const value = median(mine.map((m) => m[what]));
      const peer = { name: 'node:fs', value: median(theirs.map((t) => t[what])) };
      rows.push(row('cache', `${name} of a cached file, ${engine} engine`, value, '/s', peer));
    }
    rows.push(row('cache', `RPCs in ${rounds * 2 * (count + 100)} of them`, rpcs, ''));
  }
  await rm(dir, { recursive: true });
  return rows;
}

async function smallPages(rounds: number, bytes: number): Promise<Row[]> {
  const dir = await scratch();
  const path = join(dir, 'pages');
  const rows: Row[] = [];
  for (const engine of engines) {
    await using cluster = await startCluster({ fsname: 'bench', osts: 2 });
    const speeds = { read: [] as number[], write: [] as number[] };
    const local = { read: [] as number[], write: [] as number[] };
    const sizes = { read: [] as number[], write: [] as number[] };
    for (let i = 0; i < rounds; i++) {
      for (const what of ['write', 'read'] as const) {
        // Another mount: nothing is cached.
        await using filesystem = await cluster.mount({ engine });
        const opcode = what === 'write' ? 'OST_WRITE' : 'OST_READ';
        // A layout is for a file that has none yet.
        const layout = what === 'write' && i === 0 ? { stripeCount: 1 } : {};
        const file = await filesystem.open('/pages', what === 'write' ? 'w' : 'r', 0o666, layout);
        speeds[what].push(await pages(file, bytes, what));
        await file.close();
        sizes[what].push(bytes / (await sent(filesystem, opcode)) / 1048576);
        const own = await open(path, what === 'write' ? 'w' : 'r');
        local[what].push(await pages(own, bytes, what));
        await own.close();
      }
    }
    for (const what of ['write', 'read'] as const) {
      const peer = { name: 'node:fs', value: median(local[what]) };
      rows.push(
        row('cache', `4 KiB ${what}s in sequence, ${engine} engine`, median(speeds[what]), 'MB/s', peer),
      );
      rows.push(row('cache', `their RPCs`, median(sizes[what]), 'MiB'));
    }
  }
  await rm(dir, { recursive: true });
  return rows;
}

interface Listed {
  readonly files: number;
  readonly seconds: number;
  /** Requests a file. */
  readonly requests: number;
}

/** Of a mount that knows nothing yet. */
async function listed(cluster: Cluster, work: (filesystem: Filesystem) => Promise<number>): Promise<Listed> {
  await using filesystem = await cluster.mount();
  const before = await sent(filesystem);
  const at = performance.now();
  const files = await work(filesystem);
  const seconds = (performance.now() - at) / 1000;
  return { files, seconds, requests: ((await sent(filesystem)) - before) / files };
}

async function count(walk: AsyncIterable<unknown>): Promise<number> {
  let entries = 0;
  for await (const _ of walk) entries++;
  return entries;
}

async function largeDirectory(entries: number): Promise<Row[]> {
  await using cluster = await startCluster({ fsname: 'bench', osts: 2 });
  {
    await using maker = await cluster.mount();
    await maker.mkdir('/files');
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < entries) await (await maker.open(`/files/f${next++}`, 'wx')).close();
    };
    await Promise.all(Array.from({ length: 64 }, lane));
  }
  const alone = Math.min(entries, ALONE);
  const oneByOne = await listed(cluster, async (filesystem) => {
    for (let i = 0; i < alone; i++) await filesystem.stat(`/files/f${i}`);
    return alone;
  });
  const list = await listed(cluster, async (filesystem) => {
    for (const name of await filesystem.readdir('/files')) await filesystem.stat(`/files/${name}`);
    return entries;
  });
  const walked = await listed(cluster, (filesystem) => count(filesystem.walk('/files', { stats: 'all' })));
  const names = await listed(cluster, (filesystem) => count(filesystem.walk('/files')));
  const nfs = await nfsMetadata(entries, true);
  const rate = ({ files, seconds }: Pick<Listed, 'files' | 'seconds'>): number => files / seconds;
  const single = { name: 'stat one by one', value: rate(oneByOne) };
  const theirs = (seconds: number) => ({
    name: 'nfs-ganesha + libnfs',
    value: rate({ files: entries, seconds }),
  });
  const rows: Row[] = [];
  for (const [what, result] of [
    [`ls -l (readdir, stat of each) of ${entries} files`, list],
    [`walk with stats of ${entries} files`, walked],
  ] as const) {
    rows.push(row('cache', what, rate(result), 'files/s', single));
    if (nfs !== undefined)
      rows.push(row('cache', what, rate(result), 'files/s', theirs(nfs.readdir + nfs.stat)));
    rows.push(row('cache', 'its RPCs a file', result.requests, ''));
  }
  const find = `find (walk by name) of ${entries} files`;
  rows.push(
    nfs === undefined
      ? row('cache', find, rate(names), 'files/s')
      : row('cache', find, rate(names), 'files/s', theirs(nfs.readdir)),
  );
  return rows;
}

export async function benchCache(rounds: number, sizes: CacheSizes): Promise<Row[]> {
  return [
    ...(await cachedCalls(rounds, sizes.calls)),
    ...(await smallPages(rounds, sizes.bytes)),
    ...(await largeDirectory(sizes.entries)),
  ];
}
