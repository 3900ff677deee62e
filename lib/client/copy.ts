/**
 * Copies into, out of and within Lustre: pieces of a file go one after the other through a few buffers that are used again
 * and again, several at a time, so that RPCs to all OSTs are in flight and memory does not grow with the file.
 */
import { constants } from 'node:fs';
import { open as openLocal } from 'node:fs/promises';
import type { StripingOptions } from './engine.ts';
import type { FileHandle } from './file-handle.ts';
import type { SignalOption } from './operations.ts';
import { Slots } from './osc/slots.ts';

/** Where copies open files by name. */
export interface FileOpener {
  open(
    path: string,
    flags: string | number,
    mode?: number,
    options?: SignalOption & StripingOptions,
  ): Promise<FileHandle>;
}

export interface CopyOptions extends SignalOption, StripingOptions {
  /** Permission bits of the copy; default those of the source. */
  readonly mode?: number;
  /** Called with the bytes of each piece that is done. */
  readonly onProgress?: (bytes: number) => void;
}

/** At the usual two stripes 4 MiB to each OST, the largest RPC: what a copy costs beside the bytes is its RPCs. */
const PIECE = 8 << 20;
/** Pieces under way in one copy. */
const PARALLEL = 4;
/** Pieces under way in all copies of this process: 64 MiB. */
const PIECES_MAX = 8;

const pieces = new Slots(PIECES_MAX);
const spare: Buffer[] = [];

/** A smaller file has a buffer of its own size. */
const SMALL = 1 << 20;

/** Runs `work` with a buffer of at most a piece; pieces are counted, and used again. */
async function withBuffer(size: number, work: (buffer: Buffer) => Promise<void>): Promise<void> {
  if (size < SMALL) return work(Buffer.allocUnsafeSlow(size));
  await pieces.run(async () => {
    const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(PIECE);
    try {
      await work(buffer);
    } finally {
      spare.push(buffer);
    }
  });
}

type ReadAt = (buffer: Buffer, position: number) => Promise<number>;
type WriteAt = (buffer: Buffer, position: number) => Promise<void>;

/** Copies `[start, end)` between open files. Holes are `left` where there is nothing yet, or `made` where something may be. */
export async function copyRange(
  from: FileHandle,
  to: FileHandle,
  { start, end }: { readonly start: number; readonly end: number },
  options: CopyOptions & { readonly holes: 'left' | 'made' },
): Promise<void> {
  const { holes } = options;
  for (let at = start; at < end; ) {
    const data = Math.min((await from.seekData(at)) ?? end, end);
    if (holes === 'made' && data > at) await to.punchHole(at, data - at);
    if (data === end) return;
    const hole = Math.min((await from.seekHole(data)) ?? end, end);
    const read: ReadAt = async (buffer, position) => {
      const room = Math.max(0, Math.min(buffer.length, hole - data - position));
      return room === 0 ? 0 : readLustre(from)(buffer.subarray(0, room), data + position);
    };
    await pump(hole - data, read, (buffer, position) => writeLustre(to)(buffer, data + position), options);
    at = hole;
  }
}

/** Moves `size` bytes and whatever follows them, piece by piece. Resolves with the bytes moved. */
async function pump(size: number, read: ReadAt, write: WriteAt, options: CopyOptions): Promise<number> {
  let next = 0;
  let moved = 0;
  let failed = false;
  const move = async (buffer: Buffer): Promise<void> => {
    while (!failed) {
      options.signal?.throwIfAborted();
      const at = next;
      next += buffer.length;
      const count = await read(buffer, at);
      if (count === 0) return;
      await write(buffer.subarray(0, count), at);
      moved += count;
      options.onProgress?.(count);
      if (count < buffer.length) return;
    }
  };
  // One byte more than there should be tells whether the file has grown.
  const lane = (): Promise<void> =>
    withBuffer(Math.min(PIECE, size + 1), move).catch((error: unknown) => {
      failed = true;
      throw error;
    });
  const lanes = Math.max(1, Math.min(PARALLEL, Math.ceil((size + 1) / PIECE)));
  const results = await Promise.allSettled(Array.from({ length: lanes }, lane));
  const failure = results.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  return moved;
}

const readLustre =
  (file: FileHandle): ReadAt =>
  async (buffer, position) =>
    (await file.read(buffer, { position })).bytesRead;
const writeLustre =
  (file: FileHandle): WriteAt =>
  async (buffer, position) => {
    await file.write(buffer, { position });
  };

/** Local files may give less than asked before their end. */
async function readLocal(file: LocalFile, buffer: Buffer, position: number): Promise<number> {
  let count = 0;
  while (count < buffer.length) {
    const { bytesRead } = await file.read(buffer, count, buffer.length - count, position + count);
    if (bytesRead === 0) break;
    count += bytesRead;
  }
  return count;
}

async function writeLocal(file: LocalFile, buffer: Buffer, position: number): Promise<void> {
  for (let at = 0; at < buffer.length; ) {
    const { bytesWritten } = await file.write(buffer, at, buffer.length - at, position + at);
    at += bytesWritten;
  }
}

type LocalFile = Awaited<ReturnType<typeof openLocal>>;

/** Runs `work` with both files and closes them; the first failure counts. */
async function withBoth<A extends { close(): Promise<void> }, B extends { close(): Promise<void> }>(
  first: A,
  openSecond: () => Promise<B>,
  work: (first: A, second: B) => Promise<number>,
): Promise<number> {
  try {
    const second = await openSecond();
    let count: number;
    try {
      count = await work(first, second);
    } catch (error) {
      await second.close().catch(() => undefined);
      throw error;
    }
    await second.close();
    return count;
  } finally {
    await first.close().catch(() => undefined);
  }
}

/** A local file to Lustre. */
export async function copyIn(
  filesystem: FileOpener,
  localPath: string,
  path: string,
  options: CopyOptions,
): Promise<number> {
  const source = await openLocal(localPath, 'r');
  return withBoth(
    source,
    async () => {
      const { mode } = options.mode === undefined ? await source.stat() : { mode: options.mode };
      return filesystem.open(path, 'w', mode & 0o7777, options);
    },
    async (from, to) => {
      const { size } = await from.stat();
      return pump(size, (buffer, at) => readLocal(from, buffer, at), writeLustre(to), options);
    },
  );
}

/** A file on Lustre to a local one. */
export async function copyOut(
  filesystem: FileOpener,
  path: string,
  localPath: string,
  options: CopyOptions,
): Promise<number> {
  const source = await filesystem.open(
    path,
    'r',
    0,
    options.signal == null ? {} : { signal: options.signal },
  );
  return withBoth(
    source,
    async () => {
      const { mode } = options.mode === undefined ? await source.stat() : { mode: options.mode };
      return openLocal(localPath, 'w', mode & 0o7777);
    },
    async (from, to) => {
      const { size } = await from.stat();
      return pump(size, readLustre(from), (buffer, at) => writeLocal(to, buffer, at), options);
    },
  );
}

/** Within one file system, through this client. */
export async function copyWithin(
  filesystem: FileOpener,
  path: string,
  to: string,
  exclusive: boolean,
): Promise<number> {
  const source = await filesystem.open(path, 'r');
  return withBoth(
    source,
    async () => {
      const { mode } = await source.stat();
      const flags =
        constants.O_WRONLY | constants.O_CREAT | (exclusive ? constants.O_EXCL : constants.O_TRUNC);
      return filesystem.open(to, flags, mode & 0o7777);
    },
    async (from, target) => {
      const { size } = await from.stat();
      return pump(size, readLustre(from), writeLustre(target), {});
    },
  );
}
