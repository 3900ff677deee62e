/** `FileHandle` in the shape of node:fs/promises. */
import { ReadableStream } from 'node:stream/web';
import { allocateLarge } from '../lnet/large-buffer.ts';
import { Errno, errnoError } from '../runtime/errors.ts';
import { joinChunks, slice, toBytes, viewBytes } from './byte-views.ts';
import type {
  Advice,
  Engine,
  Extent,
  FileLock,
  FileLockHolder,
  FileSegment,
  VersionFlush,
} from './engine.ts';
import { appends, canWrite } from './flags.ts';
import type { Operations, SignalOption } from './operations.ts';
import { LustreReadStream } from './read-stream.ts';
import { BigIntStats, Stats } from './stats.ts';
import type { StreamOptions } from './streams.ts';
import { type Time, toMilliseconds } from './times.ts';
import type { FlightBounds, Transfers } from './transfers/transfers.ts';
import { LustreWriteStream } from './write-stream.ts';

/** What can be written: text, bytes, or something that yields them. */
export type Data =
  | string
  | ArrayBufferView
  | AsyncIterable<string | ArrayBufferView>
  | Iterable<string | ArrayBufferView>;

export interface ReadOptions<B> extends SignalOption {
  readonly buffer?: B;
  readonly offset?: number | null;
  readonly length?: number | null;
  readonly position?: number | bigint | null;
}

export interface EncodingOptions extends SignalOption {
  readonly encoding?: BufferEncoding | null;
}

export interface FlockOptions extends SignalOption {
  /** False: reject with EAGAIN at once when somebody else holds it. Default true: wait. */
  readonly wait?: boolean;
}

export interface LockRangeOptions extends FlockOptions {
  /** First byte; default 0. */
  readonly start?: number;
  /** Bytes; 0, the default: all from `start` on, however the file grows. */
  readonly length?: number;
  /**
   * `mount`, the default: as fcntl(F_SETLK), where the mount is the process. Two handles of one mount never keep each
   * other out, and closing any handle of the file unlocks all. `handle`: as fcntl(F_OFD_SETLK), each open file for itself.
   */
  readonly owner?: 'mount' | 'handle';
}

/** A range of a file. */
export interface RangeOptions extends SignalOption {
  /** First byte; default 0. */
  readonly start?: number;
  /** Bytes; default: all from `start` on. */
  readonly length?: number;
}

/** Bytes of one call of the engine: what fills the RPCs that may be in flight. */
const CHUNK = 16 << 20;

/** An open file. Close it, or bind it with `await using`. */
export class FileHandle {
  /** The engine's number of it. */
  readonly fd: number;
  /** @internal What it shares with other copies and streams of the mount. */
  readonly transfers: Transfers;
  readonly #engine: Engine;
  readonly #operations: Operations;
  readonly #flags: number;
  /** Where calls without a position read and write. */
  #position = 0;
  #closing: Promise<void> | undefined;

  constructor(engine: Engine, operations: Operations, fd: number, flags: number) {
    this.#engine = engine;
    this.#operations = operations;
    this.#flags = flags;
    this.fd = fd;
    this.transfers = operations.transfers;
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Waits for what is under way on it, and until the servers have what was written (the client's cache ends with the
   * process). Rejects with what could not be written since the last sync; the handle is closed all the same.
   */
  close(): Promise<void> {
    this.#closing ??= this.#engine.close(this.fd);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Reads into `buffer`. Fewer bytes than asked only at the end of the file. A null position reads on from the last read. */
  read<B extends ArrayBufferView>(
    buffer: B,
    offset?: number | null,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<{ bytesRead: number; buffer: B }>;
  read<B extends ArrayBufferView>(
    buffer: B,
    options?: Omit<ReadOptions<B>, 'buffer'>,
  ): Promise<{ bytesRead: number; buffer: B }>;
  read(options?: ReadOptions<Buffer>): Promise<{ bytesRead: number; buffer: Buffer }>;
  async read<B extends ArrayBufferView>(
    first?: B | ReadOptions<B>,
    second?: number | null | Omit<ReadOptions<B>, 'buffer'>,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<{ bytesRead: number; buffer: B | Buffer }> {
    const isBuffer = ArrayBuffer.isView(first);
    const options: ReadOptions<B> =
      second !== null && typeof second === 'object'
        ? second
        : isBuffer
          ? { offset: second ?? null, length: length ?? null, position: position ?? null }
          : (first ?? {});
    const buffer = isBuffer ? first : (options.buffer ?? Buffer.alloc(16384));
    const bytes = slice(buffer, options.offset ?? 0, options.length ?? undefined);
    const at = toPosition(options.position);
    const from = at ?? this.#position;
    const bytesRead = await this.#operations.run(options, (op) =>
      this.#engine.read(this.fd, [bytes], from, op),
    );
    if (at === undefined) this.#position = from + bytesRead;
    return { bytesRead, buffer };
  }

  async readv<B extends readonly ArrayBufferView[]>(
    buffers: B,
    position?: number | null,
  ): Promise<{ bytesRead: number; buffers: B }> {
    const from = position ?? this.#position;
    const bytesRead = await this.#engine.read(this.fd, buffers.map(viewBytes), from);
    if (position == null) this.#position = from + bytesRead;
    return { bytesRead, buffers };
  }

  /**
   * Writes all of it. Resolves when every client sees the bytes: small writes wait a moment in this client's cache, under
   * a lock, to be sent together. `close` resolves when the servers have them, `sync` and `datasync` when they are durable.
   * What becomes of an earlier write that nobody waited for (ENOSPC, EIO ...) is told by the next write, sync or close.
   */
  write<B extends ArrayBufferView>(
    buffer: B,
    offset?: number | null | (Omit<ReadOptions<B>, 'buffer'> & SignalOption),
    length?: number | null,
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffer: B }>;
  write(
    text: string,
    position?: number | null,
    encoding?: BufferEncoding | null,
  ): Promise<{ bytesWritten: number; buffer: string }>;
  async write(
    data: string | ArrayBufferView,
    second?: number | null | (Omit<ReadOptions<ArrayBufferView>, 'buffer'> & SignalOption),
    third?: number | string | null,
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffer: string | ArrayBufferView }> {
    if (typeof data === 'string') {
      const bytes = Buffer.from(data, (third as BufferEncoding | null | undefined) ?? 'utf8');
      const at = typeof second === 'number' ? second : undefined;
      return { bytesWritten: await this.#write([bytes], at), buffer: data };
    }
    const options =
      second !== null && typeof second === 'object'
        ? second
        : {
            offset: second ?? null,
            length: (third as number | null | undefined) ?? null,
            position: position ?? null,
          };
    const bytes = slice(data, options.offset ?? 0, options.length ?? undefined);
    const bytesWritten = await this.#write([bytes], toPosition(options.position), options);
    return { bytesWritten, buffer: data };
  }

  async writev<B extends readonly ArrayBufferView[]>(
    buffers: B,
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffers: B }> {
    return { bytesWritten: await this.#write(buffers.map(viewBytes), position ?? undefined), buffers };
  }

  async #write(
    buffers: Uint8Array[],
    position: number | undefined,
    options: SignalOption = {},
  ): Promise<number> {
    const from = position ?? this.#position;
    // Writes that are not waited for still go one behind the other.
    if (position === undefined) this.#position += buffers.reduce((sum, bytes) => sum + bytes.length, 0);
    return this.#operations.run(options, (op) => this.#engine.write(this.fd, buffers, from, op));
  }

  readFile(options: ({ encoding: BufferEncoding } & SignalOption) | BufferEncoding): Promise<string>;
  readFile(options?: ({ encoding?: null } & SignalOption) | null): Promise<Buffer>;
  /** All bytes from the position on. */
  async readFile(wish?: EncodingOptions | BufferEncoding | null): Promise<Buffer | string> {
    const options = encodingOptions(wish);
    const chunks: Uint8Array[] = [];
    // The file may grow meanwhile: on until a read comes back short.
    for (let room = Math.max((await this.stat()).size - this.#position, 0) + 1; ; room = CHUNK) {
      const bytes = allocateLarge(Math.min(room, CHUNK));
      const { bytesRead } = await this.read(bytes, options);
      chunks.push(bytes.subarray(0, bytesRead));
      if (bytesRead < bytes.length) break;
    }
    const all = joinChunks(chunks);
    return options.encoding == null ? all : all.toString(options.encoding);
  }

  /** Writes text, bytes, or all that an iterable yields, from the position on. */
  async writeFile(data: Data, wish?: EncodingOptions | BufferEncoding | null): Promise<void> {
    const options = encodingOptions(wish);
    const encoding = options.encoding ?? 'utf8';
    if (typeof data === 'string' || ArrayBuffer.isView(data)) {
      await this.#writeAll(toBytes(data, encoding), options);
      return;
    }
    for await (const chunk of data) await this.#writeAll(toBytes(chunk, encoding), options);
  }

  async #writeAll(bytes: Uint8Array, options: SignalOption): Promise<void> {
    for (let at = 0; at < bytes.length; at += CHUNK)
      await this.#write([bytes.subarray(at, at + CHUNK)], undefined, options);
  }

  /** Appends; the file must be open for that. */
  appendFile(data: Data, options?: EncodingOptions | BufferEncoding | null): Promise<void> {
    return this.writeFile(data, options);
  }

  stat(options: { bigint: true } & SignalOption): Promise<BigIntStats>;
  stat(options?: { bigint?: false } & SignalOption): Promise<Stats>;
  async stat(options: { bigint?: boolean } & SignalOption = {}): Promise<Stats | BigIntStats> {
    const attributes = await this.#operations.run(options, (op) => this.#engine.handleStat(this.fd, op));
    return options.bigint === true ? new BigIntStats(attributes) : new Stats(attributes);
  }

  truncate(length = 0): Promise<void> {
    return this.#engine.handleTruncate(this.fd, length);
  }

  /** Data and metadata durable. */
  sync(): Promise<void> {
    return this.#engine.handleSync(this.fd, false);
  }

  /** Data durable. */
  datasync(): Promise<void> {
    return this.#engine.handleSync(this.fd, true);
  }

  chmod(mode: number): Promise<void> {
    return this.#engine.handleSetattr(this.fd, { mode });
  }

  chown(uid: number, gid: number): Promise<void> {
    return this.#engine.handleSetattr(this.fd, { ...(uid !== -1 && { uid }), ...(gid !== -1 && { gid }) });
  }

  utimes(atime: Time, mtime: Time): Promise<void> {
    const changes = { atimeMs: toMilliseconds(atime), mtimeMs: toMilliseconds(mtime) };
    return this.#engine.handleSetattr(this.fd, changes);
  }

  /**
   * flock(2), between all clients of the file system: the whole file, for this handle, until it is unlocked or closed.
   * Rejects with EAGAIN (`wait: false`), EDEADLK when all would wait for each other, or an AbortError; a lock that the
   * handle had before is then still there. It also keeps out ranges that others lock with `lockRange`.
   */
  flock(mode: FileLock['mode'], options: FlockOptions = {}): Promise<void> {
    const request = { kind: 'flock', mode, start: 0, end: undefined, wait: options.wait ?? true } as const;
    return this.#operations.run(options, (op) => this.#engine.handleLock(this.fd, request, op));
  }

  /**
   * Locks or unlocks a range of bytes, between all clients of the file system, as fcntl(2) does: a new lock takes the
   * place of what the owner had in the range. Rejects as `flock` does, with EBADF for a shared lock on a file that is not
   * open for reading or an exclusive one on a file not open for writing, and with EINVAL for a range that is none.
   */
  lockRange(mode: FileLock['mode'], options: LockRangeOptions = {}): Promise<void> {
    const request = { ...rangeOf(mode, options), wait: options.wait ?? true };
    return this.#operations.run(options, (op) => this.#engine.handleLock(this.fd, request, op));
  }

  /** Who keeps such a range from being locked (fcntl F_GETLK); undefined when it is free. */
  testRange(
    mode: 'shared' | 'exclusive',
    options: Omit<LockRangeOptions, 'wait'> = {},
  ): Promise<FileLockHolder | undefined> {
    const lock = rangeOf(mode, options);
    return this.#operations.run(options, (op) => this.#engine.handleTestLock(this.fd, lock, op));
  }

  /**
   * A group lock (llapi_group_lock): all handles that have one of the same `gid`, on any client, read and write the file
   * side by side, each for itself; everybody else waits until all have unlocked or closed. What the group's members write
   * goes to the servers at once and what they read comes from there: nothing is cached, and nobody is asked. Objects that a
   * composite layout has not yet are made first. `gid`: 1 to 2^53 - 1, a number that the members agree on. Rejects with
   * EAGAIN (`wait: false`) while another group has the file, EINVAL when the handle has a group lock already, or an
   * AbortError. Where the server evicts the client or forgets its locks, reads and writes fail with EIO until it is unlocked.
   */
  groupLock(gid: number, options: FlockOptions = {}): Promise<void> {
    const wait = options.wait ?? true;
    return this.#operations.run(options, (op) => this.#engine.handleGroupLock(this.fd, gid, wait, op));
  }

  /** Gives the group lock back; resolves when the servers have it. Rejects with EINVAL when the handle has none of `gid`. */
  groupUnlock(gid: number, options: SignalOption = {}): Promise<void> {
    return this.#operations.run(options, (op) => this.#engine.handleGroupUnlock(this.fd, gid, op));
  }

  /** The first byte at or after `offset` that may be other than zero, lseek(2) SEEK_DATA; undefined where none follows. */
  seekData(offset: number, options: SignalOption = {}): Promise<number | undefined> {
    return this.#operations.run(options, (op) => this.#engine.handleSeek(this.fd, offset, 'data', op));
  }

  /** The first byte at or after `offset` that lies in a hole, SEEK_HOLE: the end of the file at last. Undefined for an
   * offset that is not in the file. */
  seekHole(offset: number, options: SignalOption = {}): Promise<number | undefined> {
    return this.#operations.run(options, (op) => this.#engine.handleSeek(this.fd, offset, 'hole', op));
  }

  /**
   * Reserves space for `length` bytes from `offset` on, so that writing them cannot fail with ENOSPC; the file grows
   * unless `keepSize`. Rejects with EOPNOTSUPP where a server's disk cannot (ZFS), EINVAL for a range that is none, EBADF on
   * a handle that is not open for writing.
   */
  fallocate(
    offset: number,
    length: number,
    options: SignalOption & { readonly keepSize?: boolean } = {},
  ): Promise<void> {
    const mode = options.keepSize === true ? 'reserve-keep-size' : 'reserve';
    return this.#operations.run(options, (op) =>
      this.#engine.handleFallocate(this.fd, mode, offset, offset + length, op),
    );
  }

  /** Frees the space of `length` bytes from `offset` on, which read as zeroes from then on; the size stays. Rejects as
   * `fallocate` does. */
  punchHole(offset: number, length: number, options: SignalOption = {}): Promise<void> {
    return this.#operations.run(options, (op) =>
      this.#engine.handleFallocate(this.fd, 'hole', offset, offset + length, op),
    );
  }

  /** Where the servers have the file on their disks (FIEMAP), object after object. Rejects with EOPNOTSUPP where a server
   * does not say. */
  extents(options: RangeOptions = {}): Promise<Extent[]> {
    const { start = 0, length = Number.POSITIVE_INFINITY } = options;
    return this.#operations.run(options, (op) =>
      this.#engine.handleExtents(this.fd, start, start + length, op),
    );
  }

  /**
   * Tells the servers what will become of a range: `willread`, read it ahead; `dontneed`, forget it. With `background` they
   * answer before that is done. `lockread` and `lockwrite` lock just these bytes ahead of reads or writes, where no other
   * client is in the way: writers of one file that know who writes what then never wait for each other. Rejects with
   * EOPNOTSUPP where a server gives no such locks.
   */
  advise(advice: Advice, options: RangeOptions & { readonly background?: boolean } = {}): Promise<void> {
    const { start = 0, length = Number.POSITIVE_INFINITY, background = false } = options;
    return this.#operations.run(options, (op) =>
      this.#engine.handleAdvise(this.fd, advice, start, start + length, background, op),
    );
  }

  /**
   * A number that changes with every change of the file's data: the same before and after a copy, nobody wrote meanwhile.
   * `flush`: clients that have unwritten bytes write them first (`read`, the default), all clients give up what they cache
   * (`write`), or neither (`none`). Rejects with EOPNOTSUPP where a server keeps no versions.
   */
  dataVersion(options: SignalOption & { readonly flush?: VersionFlush } = {}): Promise<bigint> {
    return this.#operations.run(options, (op) =>
      this.#engine.handleDataVersion(this.fd, options.flush ?? 'read', op),
    );
  }

  /** A Node stream that reads from `start` on, as far ahead of its consumer as the path to the servers takes. */
  createReadStream(options: StreamOptions = {}): LustreReadStream {
    return new LustreReadStream(this, { ...options, start: options.start ?? this.#position });
  }

  /**
   * A Node stream that writes from `start` on, or where the file ends when the handle appends, with as much on its way as the path to
   * the servers takes. A chunk is the stream's until its callback: written bytes are not copied, so its producer must not change
   * it before, and 'drain' only says that there is room for more. Callbacks come in order, with what their chunk failed with. Small chunks
   * go together: at once where one of them has a callback, else within 10 ms. The first failure destroys the stream; it is
   * closed when nothing is under way any more. All streams of a mount have at most 128 MiB on their way, and one piece (at most
   * 16 MiB) and `highWaterMark` bytes more for each.
   */
  createWriteStream(options: StreamOptions = {}): LustreWriteStream {
    return new LustreWriteStream(this, { ...options, start: options.start ?? this.#position });
  }

  /** A web stream of bytes. */
  readableWebStream(options: { autoClose?: boolean } = {}): ReadableStream<Uint8Array> {
    let at = this.#position;
    const finish = async (): Promise<void> => {
      if (options.autoClose === true) await this.close();
    };
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const bytes = Buffer.allocUnsafeSlow(1 << 20);
          const { bytesRead } = await this.read(bytes, { position: at });
          at += bytesRead;
          if (bytesRead > 0) controller.enqueue(bytes.subarray(0, bytesRead));
          else {
            controller.close();
            await finish();
          }
        },
        cancel: finish,
      },
      { highWaterMark: 2 },
    );
  }

  /** @internal Copies bytes from `position` on straight into a local file; undefined where they have to go through memory. */
  copyOut(local: FileSegment, position: number, options: SignalOption = {}): Promise<number | undefined> {
    return this.#operations.run(options, (op) => this.#engine.handleCopyOut(this.fd, local, position, op));
  }

  /** @internal Copies what is in a local file straight to `position`. */
  copyIn(local: FileSegment, position: number, options: SignalOption = {}): Promise<number | undefined> {
    return this.#operations.run(options, (op) => this.#engine.handleCopyIn(this.fd, local, position, op));
  }

  /** @internal What may be in flight of it. */
  flightBounds(options: SignalOption = {}): Promise<FlightBounds> {
    return this.#operations.run(options, (op) => this.#engine.handleFlightBounds(this.fd, op));
  }

  /** @internal What streams and copies need to know. */
  get isAppending(): boolean {
    return appends(this.#flags) && canWrite(this.#flags);
  }
}

/** An encoding alone stands for its option, as in node:fs. */
function encodingOptions(wish: EncodingOptions | BufferEncoding | null | undefined): EncodingOptions {
  return typeof wish === 'string' ? { encoding: wish } : (wish ?? {});
}

/** Undefined for "from where the last one ended", which node:fs writes as null or -1. */
function toPosition(position: number | bigint | null | undefined): number | undefined {
  if (position === null || position === undefined) return undefined;
  const number = Number(position);
  if (number === -1) return undefined;
  if (!Number.isSafeInteger(number) || number < 0) throw errnoError(Errno.EINVAL, { syscall: 'position' });
  return number;
}

function rangeOf(mode: FileLock['mode'], { start = 0, length = 0, owner }: LockRangeOptions): FileLock {
  const end = length === 0 ? undefined : start + length - 1;
  return { kind: owner === 'handle' ? 'ofd' : 'posix', mode, start, end };
}
