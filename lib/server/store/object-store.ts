/**
 * What an object storage target keeps: one plain file per object (design: Stores), attributes beside it. Data moves between
 * files and bulk memory in native code.
 */
import type { BulkChecksumName, ChecksumName, FileExtent, FileRange, Segment } from '../../lnet/network.ts';

export interface ObjectId {
  readonly seq: bigint;
  readonly oid: number;
}

export interface ObjectAttributes {
  readonly size: bigint;
  /** 512-byte units. */
  readonly blocks: bigint;
  /** Seconds since the epoch. */
  readonly atime: bigint;
  readonly mtime: bigint;
  readonly ctime: bigint;
  readonly uid: number;
  readonly gid: number;
  readonly projid: number;
  /** False until a write or a setattr has given it an owner (guide 12 §8). */
  readonly owned: boolean;
  /** The transaction that last changed it: its data version. */
  readonly version: bigint;
  /** filter_fid: the MDT object it belongs to, as kept in trusted.fid; zero bytes when unknown. */
  readonly parent: Uint8Array;
}

/** What `setAttributes` can change: size and blocks follow from the data. */
export type StoredAttributes = Omit<ObjectAttributes, 'size' | 'blocks'>;

/** What a transfer did: bytes moved, and the checksum over them (0 when none was asked for). */
export interface ObjectTransfer {
  readonly bytes: number;
  readonly checksum: number;
}

export interface ObjectStatfs {
  readonly blockSize: number;
  readonly blocks: bigint;
  readonly free: bigint;
  readonly available: bigint;
  readonly files: bigint;
  readonly filesFree: bigint;
}

/**
 * Objects of one OST. An operation on an object that is not there rejects with ENOENT; the disk's own errors come through
 * as LustreErrors (ENOSPC, EIO ...). What has been written is visible at once; `sync` makes it durable.
 */
export interface ObjectStore {
  /** LAST_ID of a sequence; 0 when nothing was created. */
  lastId(seq: bigint): number;
  /** Creates (from, to] of a sequence and makes LAST_ID `to`, durable before it resolves. With `to` <= `from` it only sets
   * LAST_ID back. */
  precreate(seq: bigint, from: number, to: number): Promise<void>;
  /** Removes an object; ENOENT when it is not there. */
  destroy(id: ObjectId): Promise<void>;
  exists(id: ObjectId): boolean;
  getAttributes(id: ObjectId): Promise<ObjectAttributes>;
  /** Changes attributes at once in memory; they are on disk after `sync`, or after a second or so. */
  setAttributes(id: ObjectId, attributes: Partial<StoredAttributes>): Promise<void>;
  /** Reads into segments; fewer bytes at the end of the object. The checksum is over the bytes read. */
  read(
    id: ObjectId,
    position: bigint,
    segments: readonly Segment[],
    checksum?: ChecksumName,
  ): Promise<ObjectTransfer>;
  /** Where objects are files that a network can move: runs `work` with the file and what of `extents`, at least one and ascending,
   * there is before the end of the object. The descriptor is open until `work` has settled. */
  withFile?<T>(
    id: ObjectId,
    extents: readonly FileExtent[],
    work: (file: FileRange) => Promise<T>,
  ): Promise<T>;
  /** The same with all of `extents`, for `work` to write them. */
  intoFile?<T>(
    id: ObjectId,
    extents: readonly FileExtent[],
    work: (file: FileRange) => Promise<T>,
  ): Promise<T>;
  write(
    id: ObjectId,
    position: bigint,
    segments: readonly Segment[],
    checksum?: ChecksumName,
  ): Promise<ObjectTransfer>;
  /** Over segments as one run of bytes, the first at `pageOffset` of a page. */
  checksum(type: BulkChecksumName, segments: readonly Segment[], pageOffset?: number): Promise<number>;
  /** Cuts or extends to `size`. */
  truncate(id: ObjectId, size: bigint): Promise<void>;
  /** Frees [start, end): it reads as zeros; the size stays. */
  punch(id: ObjectId, start: bigint, end: bigint): Promise<void>;
  /** Reserves [start, end), growing the object unless `keepSize`. */
  allocate(id: ObjectId, start: bigint, end: bigint, keepSize: boolean): Promise<void>;
  /** First data or first hole (the end counts as one) at or after `position`; undefined when there is none. */
  seek(id: ObjectId, position: bigint, what: 'data' | 'hole'): Promise<bigint | undefined>;
  sync(id: ObjectId): Promise<void>;
  syncAll(): Promise<void>;
  statfs(): Promise<ObjectStatfs>;
  close(): Promise<void>;
}
