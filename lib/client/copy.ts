/**
 * Copies into, out of and within Lustre: pieces of a file, several at a time, so that RPCs to all OSTs are in flight. Those of a
 * local file go straight between it and the servers, others through a few buffers that are used again and again: memory does
 * not grow with the file.
 */
import { constants } from 'node:fs';
import { open as openLocal } from 'node:fs/promises';
import type { StripingOptions } from './engine.ts';
import type { FileHandle } from './file-handle.ts';
import { settle } from './objects/direct-io.ts';
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

/** Pieces under way straight between local files and servers, in all copies of this process: each has as many descriptors of its
 * file as it has MiB. */
const STRAIGHT_MAX = 16;

const pieces = new Slots(PIECES_MAX);
const straightPieces = new Slots(STRAIGHT_MAX);
const spare: Buffer[] = [];

/** A smaller file has a buffer of its own size. */
const SMALL = 1 << 20;
/** Room for what has come behind the size that a file had. */
const GROWN = 64 << 10;

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

/** Two ends of a copy. */
interface Ends {
  readonly read: ReadAt;
  readonly write: WriteAt;
  /** Moves bytes without memory of ours in between, fewer only at the end of the source; undefined where that cannot be. */
  readonly straight?: ((position: number, length: number) => Promise<number | undefined>) | undefined;
}

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
    const write: WriteAt = (buffer, position) => writeLustre(to)(buffer, data + position);
    await pump(hole - data, { read, write }, options);
    at = hole;
  }
}

/** Moves `size` bytes and whatever follows them, piece by piece. Resolves with the bytes moved. */
async function pump(size: number, ends: Ends, options: CopyOptions): Promise<number> {
  const { straight } = ends;
  if (straight === undefined || size < SMALL) return moveBuffered(0, size, ends, options);
  const moved = await moveStraight(size, { ...ends, straight }, options);
  return moved < size ? moved : moved + (await moveBuffered(size, GROWN, ends, options));
}

/** Runs some lanes side by side until each has ended; the first failure counts, and ends the others where they ask. */
async function inLanes(count: number, lane: (failed: () => boolean) => Promise<void>): Promise<void> {
  let failed = false;
  const run = (): Promise<void> =>
    lane(() => failed).catch((error: unknown) => {
      failed = true;
      throw error;
    });
  await settle(Array.from({ length: count }, run));
}

/** Moves what follows from `start` on through buffers, `size` bytes as far as is known. */
async function moveBuffered(start: number, size: number, ends: Ends, options: CopyOptions): Promise<number> {
  let next = start;
  let moved = 0;
  const lanes = Math.max(1, Math.min(PARALLEL, Math.ceil((size + 1) / PIECE)));
  await inLanes(lanes, (failed) =>
    // One byte more than there should be tells whether the file has grown.
    withBuffer(Math.min(PIECE, size + 1), async (buffer) => {
      while (!failed()) {
        options.signal?.throwIfAborted();
        const at = next;
        next += buffer.length;
        const count = await ends.read(buffer, at);
        if (count === 0) return;
        await ends.write(buffer.subarray(0, count), at);
        moved += count;
        options.onProgress?.(count);
        if (count < buffer.length) return;
      }
    }),
  );
  return moved;
}

/** Moves the first `size` bytes without buffers, but for pieces that cannot go so. */
async function moveStraight(
  size: number,
  { straight, read, write }: Ends & { readonly straight: NonNullable<Ends['straight']> },
  options: CopyOptions,
): Promise<number> {
  let next = 0;
  let moved = 0;
  let possible = true;
  const buffered = async (at: number, length: number): Promise<number> => {
    let count = 0;
    await withBuffer(length, async (buffer) => {
      count = await read(buffer.subarray(0, length), at);
      await write(buffer.subarray(0, count), at);
    });
    return count;
  };
  await inLanes(Math.min(PARALLEL, Math.ceil(size / PIECE)), async (failed) => {
    while (!failed() && next < size) {
      options.signal?.throwIfAborted();
      const at = next;
      const length = Math.min(PIECE, size - at);
      next += length;
      const went = possible ? await straightPieces.run(() => straight(at, length)) : undefined;
      possible &&= went !== undefined;
      const count = went ?? (await buffered(at, length));
      moved += count;
      options.onProgress?.(count);
      // It was cut meanwhile.
      if (count < length) return;
    }
  });
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
      const source = await from.stat();
      const file = { fd: from.fd, path: localPath };
      const straight = async (at: number, length: number): Promise<number | undefined> =>
        to.copyIn({ file, offset: at, length }, at, options);
      const read: ReadAt = (buffer, at) => readLocal(from, buffer, at);
      const ends = { read, write: writeLustre(to), straight: source.isFile() ? straight : undefined };
      return pump(source.size, ends, options);
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
      const regular = (await to.stat()).isFile();
      const file = { fd: to.fd, path: localPath };
      let end = 0;
      const straight = async (at: number, length: number): Promise<number | undefined> => {
        const count = await from.copyOut({ file, offset: at, length }, at, options);
        end = Math.max(end, at + (count ?? 0));
        return count;
      };
      const write: WriteAt = async (buffer, at) => {
        await writeLocal(to, buffer, at);
        end = Math.max(end, at + buffer.length);
      };
      const ends = { read: readLustre(from), write, straight: regular ? straight : undefined };
      const moved = await pump(size, ends, options);
      // A hole at the end has not been written.
      if (regular) await to.truncate(end);
      return moved;
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
      return pump(size, { read: readLustre(from), write: writeLustre(target) }, {});
    },
  );
}
