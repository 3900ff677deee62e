/**
 * How throughput and RPC rate go with the size of calls, stripes, files, clients, connections and requests in flight: points of
 * curves, which main.ts draws as SVG in docs/. Every point is one short run of what is compiled, servers in one process, each client with an engine's
 * thread, CRC32C, store on tmpfs.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type FileHandle, type Filesystem, startCluster } from '../lib/index.ts';
import { move } from './calls.ts';
import { haveFreePages, type Row, row, scratch } from './measure.ts';
import { rpcRates } from './rpc.ts';

const MIB = 1 << 20;
const OSTS = 4;
const DEPTH = 8;

export interface ScalingSize {
  /** Bytes moved for a point. */
  readonly bytes: number;
  readonly rpcs: number;
}

function point(chart: string, line: string, x: number, value: number, unit: string): Row {
  return { ...row('scaling', `${chart}: ${line}, ${x}`, value, unit), curve: { chart, line, x } };
}

/** The calls of a point, at least one a buffer, within a window of the file; what was written is on disk at the end. */
async function moveWithin(
  file: FileHandle,
  way: 'read' | 'write',
  buffers: readonly Buffer[],
  bytes: number,
): Promise<void> {
  const size = buffers[0]!.length;
  const whole = Math.max(buffers.length, Math.floor(bytes / size)) * size;
  const window = Math.max(1, Math.floor((64 * MIB) / size)) * size;
  await move(file, way, buffers, whole, window);
  if (way === 'write') await file.datasync();
}

async function opened(
  filesystem: Filesystem,
  path: string,
  stripeCount: number,
  way: 'read' | 'write',
): Promise<FileHandle> {
  if (way === 'write')
    return filesystem.open(path, 'w+', 0o644, { stripeCount, stripeSize: MIB, direct: true });
  return filesystem.open(path, 'r', 0o644, { direct: true });
}

/** MB/s of both ways over `files` files at once, spread over the clients. */
async function moveAll(
  clients: readonly Filesystem[],
  files: number,
  stripes: number,
  size: number,
  bytes: number,
): Promise<{ write: number; read: number }> {
  const result = { write: 0, read: 0 };
  // Made before the time is taken: the first touch of their pages is not what is measured.
  const buffers = Array.from({ length: files }, () =>
    Array.from({ length: DEPTH }, () => Buffer.alloc(size, 1)),
  );
  for (const way of ['write', 'read'] as const) {
    const handles = await Promise.all(
      Array.from({ length: files }, (_, i) =>
        opened(clients[i % clients.length]!, `/f${i}-${stripes}`, stripes, way),
      ),
    );
    const at = performance.now();
    await Promise.all(handles.map((file, i) => moveWithin(file, way, buffers[i]!, bytes / files)));
    result[way] = bytes / 1e3 / (performance.now() - at);
    await Promise.all(handles.map((file) => file.close()));
  }
  return result;
}

/** An engine's first thousands of calls cost three times what later ones do: it is a thread with a JavaScript of its own. */
async function compiled(clients: readonly Filesystem[], bytes: number): Promise<void> {
  await moveAll(clients, clients.length, 2, MIB, 4 * bytes * clients.length);
}

export async function benchScaling({ bytes, rpcs }: ScalingSize): Promise<Row[]> {
  const rows: Row[] = [];
  const both = (chart: string, x: number, speed: { write: number; read: number }): void => {
    rows.push(point(chart, 'write', x, speed.write, 'MB/s'), point(chart, 'read', x, speed.read, 'MB/s'));
  };
  const dir = await scratch('/dev/shm');
  const moved = async (...what: Parameters<typeof moveAll>): ReturnType<typeof moveAll> => {
    await haveFreePages(dir, bytes);
    return moveAll(...what);
  };
  {
    await using cluster = await startCluster({ fsname: 'bench', osts: OSTS, dir: join(dir, 'store') });
    const clients = await Promise.all(Array.from({ length: 4 }, () => cluster.mount()));
    const one = clients.slice(0, 1);
    await compiled(clients, bytes);
    // What is small goes another way.
    await moveAll(one, 1, 2, 4096, bytes / 16);
    for (let size = 4096; size <= 16 * MIB; size *= 4)
      both('size', size, await moved(one, 1, 2, size, Math.min(bytes, size * 8192)));
    for (const stripes of [1, 2, 4]) both('stripes', stripes, await moved(one, 1, stripes, MIB, bytes));
    for (const files of [1, 2, 4, 8]) both('files', files, await moved(one, files, 1, MIB, bytes));
    for (const n of [1, 2, 4]) both('clients', n, await moved(clients.slice(0, n), n, 2, MIB, bytes));
    await Promise.all(clients.map((filesystem) => filesystem.unmount()));
    for (const connsPerPeer of [1, 2, 4]) {
      const filesystem = await cluster.mount({ connsPerPeer });
      await compiled([filesystem], bytes);
      both('connections', connsPerPeer, await moved([filesystem], 1, 2, MIB, bytes));
      await filesystem.unmount();
    }
  }
  await rm(dir, { recursive: true });
  for (const { window, perSecond, bare } of await rpcRates([1, 2, 4, 8, 16, 32, 64], rpcs)) {
    rows.push(point('in-flight', 'ours', window, perSecond, '/s'));
    rows.push(point('in-flight', 'bare C ping-pong', window, bare, '/s'));
  }
  return rows;
}
