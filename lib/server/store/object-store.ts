/**
 * What an object storage target keeps: one plain file per object (design: Stores), attributes beside it. Data moves between
 * files and bulk memory in native code.
 */
import type { ChecksumName, Segment } from '../../lnet/network.ts';

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
  /** filter_fid: the MDT object it belongs to, as kept in trusted.fid; zero bytes when unknown. */
  readonly parent: Uint8Array;
}

export interface ObjectStore {
  /** LAST_ID of a sequence; 0 when nothing was created. */
  lastId(seq: bigint): number;
  /** Creates (from, to] of a sequence and makes LAST_ID `to`, durable before it resolves. */
  precreate(seq: bigint, from: number, to: number): Promise<void>;
  /** Removes an object; ENOENT when it is not there. */
  destroy(id: ObjectId): Promise<void>;
  exists(id: ObjectId): boolean;
  getAttributes(id: ObjectId): Promise<ObjectAttributes>;
  setAttributes(id: ObjectId, attributes: Partial<ObjectAttributes>): Promise<void>;
  /** Reads into segments; fewer bytes at the end of the object. The checksum is over the bytes read. */
  read(
    id: ObjectId,
    position: bigint,
    segments: readonly Segment[],
    checksum?: ChecksumName,
  ): Promise<{ bytes: number; checksum: number }>;
  write(
    id: ObjectId,
    position: bigint,
    segments: readonly Segment[],
    checksum?: ChecksumName,
  ): Promise<{ bytes: number; checksum: number }>;
  /** Cuts or extends to `size`. */
  truncate(id: ObjectId, size: bigint): Promise<void>;
  /** Frees [start, end). */
  punch(id: ObjectId, start: bigint, end: bigint): Promise<void>;
  sync(id: ObjectId): Promise<void>;
  syncAll(): Promise<void>;
  statfs(): Promise<{
    blockSize: number;
    blocks: bigint;
    free: bigint;
    available: bigint;
    files: bigint;
    filesFree: bigint;
  }>;
  close(): Promise<void>;
}
