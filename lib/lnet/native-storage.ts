/**
 * The typed face of the native module's checksums and object file I/O (native/storage_binding.cc): scatter/gather
 * between files and bulk memory, on libuv's thread pool or, up to 64 KiB where no disk has to be waited for, at once; the
 * checksum (guide 12 §6) taken there while the data is in
 * the cache.
 */
import { errnoError, LustreError } from '../runtime/errors.ts';
import { checksumTypeBits } from './checksum.ts';
import { loadNative } from './native-loader.ts';
import type { BulkChecksumName, ChecksumName, FileSegment, Segment } from './network.ts';

/** An open file: the descriptor, and the path that errors name. The caller opens and closes it. */
export interface OpenFile {
  readonly fd: number;
  readonly path: string;
}

/** What a transfer did. */
export interface Transferred {
  /** Bytes moved: all that was asked, or for a read fewer when the file ended. */
  readonly bytes: number;
  /** Over the bytes moved, as o_cksum carries it; 0 when none was asked for. */
  readonly checksum: number;
}

/** What `allocate` does to a range: reserve it, reserve it without growing the file, or make it a hole. */
export type AllocateMode = 'allocate' | 'keep-size' | 'punch-hole';

/**
 * File I/O and checksums. Positions and lengths are bytes, as number up to 2^53 or bigint above. Segments belong to
 * the operation until its promise settles: they must be neither changed nor transferred to another thread. Every
 * promise rejects with a LustreError that has the errno's code (EIO, ENOSPC, EBADF ...) and the path.
 */
export interface NativeStorage {
  /** Fills the segments in order from the file; stops at its end. */
  readv(
    file: OpenFile,
    position: number | bigint,
    segments: readonly Uint8Array[],
    checksum?: ChecksumName,
  ): Promise<Transferred>;
  /** Writes all segments, or rejects (then an unknown part of them is in the file). */
  writev(
    file: OpenFile,
    position: number | bigint,
    segments: readonly Uint8Array[],
    checksum?: ChecksumName,
  ): Promise<Transferred>;
  /** The checksum of ranges of a file one after the other; `bytes` are fewer where the file ends. The descriptor may be closed as
   * soon as the call has returned. */
  checksumRanges(
    file: OpenFile,
    ranges: readonly { readonly offset: number; readonly length: number }[],
    checksum: ChecksumName,
  ): Promise<Transferred>;
  /** Changes what is reserved of a range. A hole reads as zeros; the file's size stays. */
  allocate(
    file: OpenFile,
    mode: AllocateMode,
    position: number | bigint,
    length: number | bigint,
  ): Promise<void>;
  /** The first data at or after `position`, or undefined when only a hole follows (or nothing). */
  seekData(file: OpenFile, position: number | bigint): Promise<number | undefined>;
  /** The first hole at or after `position` (the file's end counts as one), or undefined beyond the end. */
  seekHole(file: OpenFile, position: number | bigint): Promise<number | undefined>;
  /** Returns when the file's data is on stable storage (fdatasync). */
  sync(file: OpenFile): Promise<void>;
  /** Returns when all that was written to the file's file system is on stable storage (syncfs): for many files at once.
   * False, and nothing done, with a native module that was built before it could. */
  syncFileSystem(file: OpenFile): Promise<boolean>;
  /** Over segments as one run of bytes, the first at `pageOffset` of a page, on the thread pool. */
  checksum(type: BulkChecksumName, segments: readonly Uint8Array[], pageOffset?: number): Promise<number>;
  /** The same in the calling thread: for small data (1 MiB takes some 50 µs). */
  checksumSync(type: BulkChecksumName, segments: readonly Uint8Array[], pageOffset?: number): number;
}

interface NativeResult {
  /** 0 or a positive errno. */
  readonly error: number;
  readonly value: number;
  readonly checksum: number;
}

/** `exports.storage` of the native module. */
interface StorageBinding {
  checksum(type: number, segments: readonly Uint8Array[], pageOffset: number): number;
  checksumAsync(type: number, segments: readonly Uint8Array[], pageOffset: number): Promise<NativeResult>;
  readv: TransferFunction;
  writev: TransferFunction;
  checksumRanges(fd: number, ranges: readonly number[], type: number): Promise<NativeResult>;
  allocate(
    fd: number,
    mode: number,
    position: number | bigint,
    length: number | bigint,
  ): Promise<NativeResult>;
  seek(fd: number, kind: number, position: number | bigint): Promise<NativeResult>;
  sync(fd: number): Promise<NativeResult>;
  syncFileSystem?(fd: number): Promise<NativeResult>;
}

type TransferFunction = (
  fd: number,
  position: number | bigint,
  segments: readonly Uint8Array[],
  type: number,
) => NativeResult | Promise<NativeResult>;

const allocateModes: { readonly [mode in AllocateMode]: number } = {
  allocate: 0,
  'keep-size': 1,
  'punch-hole': 2,
};
const seekKinds = { data: 0, hole: 1 } as const;
const ENXIO = 6;

class Storage implements NativeStorage {
  readonly #native: StorageBinding;

  constructor(native: StorageBinding) {
    this.#native = native;
  }

  readv(file: OpenFile, position: number | bigint, segments: readonly Uint8Array[], checksum?: ChecksumName) {
    return transfer(this.#native.readv, 'read', file, position, segments, checksum);
  }

  writev(
    file: OpenFile,
    position: number | bigint,
    segments: readonly Uint8Array[],
    checksum?: ChecksumName,
  ) {
    return transfer(this.#native.writev, 'write', file, position, segments, checksum);
  }

  async checksumRanges(
    file: OpenFile,
    ranges: readonly { readonly offset: number; readonly length: number }[],
    checksum: ChecksumName,
  ) {
    const flat = ranges.flatMap(({ offset, length }) => [offset, length]);
    const result = await this.#native.checksumRanges(file.fd, flat, checksumTypeBits[checksum]);
    check(result.error, 'read', file);
    return { bytes: result.value, checksum: result.checksum };
  }

  async allocate(file: OpenFile, mode: AllocateMode, position: number | bigint, length: number | bigint) {
    const { error } = await this.#native.allocate(file.fd, allocateModes[mode], position, length);
    check(error, 'fallocate', file);
  }

  seekData(file: OpenFile, position: number | bigint) {
    return this.#seek(file, 'data', position);
  }

  seekHole(file: OpenFile, position: number | bigint) {
    return this.#seek(file, 'hole', position);
  }

  async sync(file: OpenFile) {
    const { error } = await this.#native.sync(file.fd);
    check(error, 'fdatasync', file);
  }

  async syncFileSystem(file: OpenFile) {
    if (this.#native.syncFileSystem === undefined) return false;
    const { error } = await this.#native.syncFileSystem(file.fd);
    check(error, 'syncfs', file);
    return true;
  }

  async checksum(type: BulkChecksumName, segments: readonly Uint8Array[], pageOffset = 0) {
    const result = await this.#native.checksumAsync(checksumTypeBits[type], segments, pageOffset);
    return result.checksum;
  }

  checksumSync(type: BulkChecksumName, segments: readonly Uint8Array[], pageOffset = 0) {
    return this.#native.checksum(checksumTypeBits[type], segments, pageOffset);
  }

  async #seek(file: OpenFile, kind: keyof typeof seekKinds, position: number | bigint) {
    const { error, value } = await this.#native.seek(file.fd, seekKinds[kind], position);
    if (error === ENXIO) return undefined;
    check(error, 'lseek', file);
    return value;
  }
}

async function transfer(
  call: TransferFunction,
  syscall: string,
  file: OpenFile,
  position: number | bigint,
  segments: readonly Uint8Array[],
  checksum: ChecksumName | undefined,
): Promise<Transferred> {
  const type = checksum === undefined ? 0 : checksumTypeBits[checksum];
  const result = await call(file.fd, position, segments, type);
  check(result.error, syscall, file);
  return { bytes: result.value, checksum: result.checksum };
}

function check(error: number, syscall: string, file: OpenFile): void {
  if (error !== 0) throw errnoError(error, { syscall, path: file.path });
}

function isStorageBinding(value: unknown): value is StorageBinding {
  const names = [
    'checksum',
    'checksumAsync',
    'readv',
    'writev',
    'checksumRanges',
    'allocate',
    'seek',
    'sync',
  ];
  return (
    typeof value === 'object' &&
    value !== null &&
    names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
  );
}

/** The native module's storage. Throws ERR_LUSTRE_NATIVE when the module is missing or of another version. */
export function openNativeStorage(): NativeStorage {
  const { storage } = loadNative();
  if (!isStorageBinding(storage)) {
    throw new LustreError('ERR_LUSTRE_NATIVE', 'The native module has no storage: it is of another version', {
      hint: 'Build it again: `npm start` in a clone, `npm rebuild node-lustre` where it is a dependency',
    });
  }
  return new Storage(storage);
}

let shared: NativeStorage | undefined;

/** The checksum of segments as one run of bytes, on the thread pool. */
export function checksumSegments(
  type: BulkChecksumName,
  segments: readonly Segment[],
  pageOffset = 0,
): Promise<number> {
  shared ??= openNativeStorage();
  return shared.checksum(
    type,
    segments.map(({ memory, offset, length }) => memory.bytes.subarray(offset, offset + length)),
    pageOffset,
  );
}

/** The checksum of bytes of a local file, and how many there were. */
export function checksumFile(type: ChecksumName, segments: readonly FileSegment[]): Promise<Transferred> {
  shared ??= openNativeStorage();
  return shared.checksumRanges(segments[0]!.file, segments, type);
}

/** Makes bytes of a local file zeroes, a hole where its file system can. */
export function zeroFile({ file, offset, length }: FileSegment): Promise<void> {
  shared ??= openNativeStorage();
  return shared.allocate(file, 'punch-hole', offset, length);
}
