/**
 * Copies into, out of and within Lustre: pieces of a file, as many at a time as the path to the servers takes. Those of a
 * local file go straight between it and the servers, others through buffers that are used again and again: memory does
 * not grow with the file.
 */
import { constants } from 'node:fs';
import { open as openLocal } from 'node:fs/promises';
import { allocateLarge } from '../lnet/large-buffer.ts';
import type { StripingOptions } from './engine.ts';
import type { FileHandle } from './file-handle.ts';
import type { SignalOption } from './operations.ts';
import { FlightWindow } from './transfers/flight-window.ts';
import { keepInFlight } from './transfers/keep-in-flight.ts';
import { mostInFlight, pieceBytes } from './transfers/transfers.ts';

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

/** Bytes of a piece, at least: what a copy costs beside the bytes is its RPCs. */
const PIECE = 8 << 20;
/** Where the path takes more than requests of such pieces can be. */
const PIECE_MAX = 32 << 20;
/** A smaller file is one piece, with a buffer of its own size. */
const SMALL = 1 << 20;
/** Room for what has come behind the size that a file had. */
const GROWN = 64 << 10;

type ReadAt = (buffer: Buffer, position: number) => Promise<number>;
type WriteAt = (buffer: Buffer, position: number) => Promise<void>;

/** Two ends of a copy. */
interface Ends {
  /** The end on Lustre that bytes come from or go to. */
  readonly file: FileHandle;
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
    await pump(hole - data, { file: to, read, write }, options);
    at = hole;
  }
}

/** Moves `size` bytes and whatever follows them, piece by piece. Resolves with the bytes moved. */
async function pump(size: number, ends: Ends, options: CopyOptions): Promise<number> {
  if (size < SMALL) return moveSmall(size, ends, options);
  const { transfers } = ends.file;
  const bounds = await ends.file.flightBounds(options);
  const window = new FlightWindow(transfers.clock, mostInFlight(bounds));
  const { straight } = ends;
  const pieceFor = (inFlight: number): number => Math.min(pieceBytes(bounds, inFlight, PIECE), PIECE_MAX);
  if (straight === undefined) {
    // New memory costs more than requests: no more than the path needs.
    const piece = (): number => pieceFor(window.holds(PIECE));
    return moveBuffered(size, piece, window, ends, options);
  }
  const piece = (): number => pieceFor(window.size(PIECE));
  const moved = await moveStraight(size, piece, window, { ...ends, straight }, options);
  return moved < size ? moved : moved + (await moveSmall(GROWN, ends, options, size));
}

/** Moves what there is from `start` on, about `size` bytes, one piece after the other. */
async function moveSmall(size: number, ends: Ends, options: CopyOptions, start = 0): Promise<number> {
  // One byte more than there should be tells whether the file has grown.
  const buffer = allocateLarge(size + 1);
  for (let moved = 0; ; ) {
    options.signal?.throwIfAborted();
    const count = await moveThrough(buffer, start + moved, ends, options);
    moved += count;
    if (count < buffer.length) return moved;
  }
}

/** Resolves with how many bytes the source had for the buffer. */
async function moveThrough(
  buffer: Buffer,
  at: number,
  { read, write }: Ends,
  options: CopyOptions,
): Promise<number> {
  const count = await read(buffer, at);
  if (count === 0) return 0;
  await write(buffer.subarray(0, count), at);
  options.onProgress?.(count);
  return count;
}

/** Moves all there is through buffers, `size` bytes as far as is known. */
async function moveBuffered(
  size: number,
  piece: () => number,
  window: FlightWindow,
  ends: Ends,
  options: CopyOptions,
): Promise<number> {
  const { transfers } = ends.file;
  let next = 0;
  let moved = 0;
  let ended = false;
  await keepInFlight(window, transfers.buffered, (alone) => {
    options.signal?.throwIfAborted();
    // Behind the known end one after the other, until one is not full.
    if (ended || (next > size && !alone)) return undefined;
    const at = next;
    // One byte more than there should be tells whether the file has grown.
    const length = at > size ? PIECE : Math.min(piece(), size + 1 - at);
    next += length;
    return {
      bytes: length,
      run: () =>
        transfers.withBuffer(length, async (buffer) => {
          const count = await moveThrough(buffer, at, ends, options);
          moved += count;
          ended ||= count < length;
        }),
    };
  });
  return moved;
}

/** Moves the first `size` bytes without buffers, but for pieces that cannot go so. */
async function moveStraight(
  size: number,
  piece: () => number,
  window: FlightWindow,
  ends: Ends & { readonly straight: NonNullable<Ends['straight']> },
  options: CopyOptions,
): Promise<number> {
  const { transfers } = ends.file;
  let next = 0;
  let moved = 0;
  let possible = true;
  let ended = false;
  const move = async (at: number, length: number): Promise<number> => {
    const went = possible ? await ends.straight(at, length) : undefined;
    if (went !== undefined) {
      options.onProgress?.(went);
      return went;
    }
    possible = false;
    let count = 0;
    await transfers.buffered.run(length, () =>
      transfers.withBuffer(length, async (buffer) => {
        count = await moveThrough(buffer, at, ends, options);
      }),
    );
    return count;
  };
  await keepInFlight(window, transfers.straight, () => {
    options.signal?.throwIfAborted();
    if (ended || next >= size) return undefined;
    const at = next;
    const length = Math.min(possible ? piece() : PIECE, size - at);
    next += length;
    return {
      bytes: length,
      run: async () => {
        const count = await move(at, length);
        moved += count;
        // It was cut meanwhile.
        ended ||= count < length;
      },
    };
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
      const ends = {
        file: to,
        read,
        write: writeLustre(to),
        straight: source.isFile() ? straight : undefined,
      };
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
        // Of a file that was cut meanwhile nothing may have come, and then it does not reach that far.
        if (count !== undefined && count > 0) end = Math.max(end, at + count);
        return count;
      };
      const write: WriteAt = async (buffer, at) => {
        await writeLocal(to, buffer, at);
        end = Math.max(end, at + buffer.length);
      };
      const ends = { file: from, read: readLustre(from), write, straight: regular ? straight : undefined };
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
      return pump(size, { file: target, read: readLustre(from), write: writeLustre(target) }, {});
    },
  );
}
