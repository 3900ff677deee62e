/** An object's attributes as the store keeps them beside its file: what the file system itself cannot hold. */
import { FilterFid } from '../../wire/fid-structs.ts';
import { array, bytes, le32, le64, s64, struct } from '../../wire/struct.ts';
import type { ObjectId, StoredAttributes } from './object-store.ts';

/** Attributes, and when (ms since the epoch) they were last known to be as recent as the file. */
export interface ObjectRecord extends StoredAttributes {
  readonly savedAt: number;
}

const OWNED = 1;
const PARENT_SIZE = FilterFid.size;

const StoredRecord = struct('object_record', 128, {
  format: [0, le32],
  flags: [4, le32],
  times: [8, array(s64, 3)],
  ids: [32, array(le32, 3)],
  version: [48, le64],
  saved_at: [56, le64],
  parent: [64, bytes(PARENT_SIZE)],
});
const FORMAT = 1;

/** Of an object that nobody has written to yet. */
export function newObjectRecord(now: number): ObjectRecord {
  const seconds = BigInt(Math.floor(now / 1000));
  return {
    atime: seconds,
    mtime: seconds,
    ctime: seconds,
    uid: 0,
    gid: 0,
    projid: 0,
    owned: false,
    version: 0n,
    parent: new Uint8Array(PARENT_SIZE),
    savedAt: now,
  };
}

export function encodeObjectRecord(record: ObjectRecord): Uint8Array {
  return StoredRecord.encode({
    format: FORMAT,
    flags: record.owned ? OWNED : 0,
    times: [record.atime, record.mtime, record.ctime],
    ids: [record.uid, record.gid, record.projid],
    version: record.version,
    saved_at: BigInt(record.savedAt),
    parent: record.parent,
  });
}

export function decodeObjectRecord(stored: Uint8Array): ObjectRecord {
  const { flags, times, ids, version, saved_at, parent } = StoredRecord.decode(stored);
  return {
    atime: times[0]!,
    mtime: times[1]!,
    ctime: times[2]!,
    uid: ids[0]!,
    gid: ids[1]!,
    projid: ids[2]!,
    owned: (flags & OWNED) !== 0,
    version,
    parent: parent.slice(),
    savedAt: Number(saved_at),
  };
}

/** The key of an object in an ordered table: sequence, then number. */
export function objectKey(id: ObjectId): Uint8Array {
  const key = new Uint8Array(12);
  const view = new DataView(key.buffer);
  view.setBigUint64(0, id.seq);
  view.setUint32(8, id.oid);
  return key;
}

export function objectName(id: ObjectId): string {
  return `${id.seq.toString(16)}:${id.oid}`;
}

/** The key of a sequence's LAST_ID. */
export function sequenceKey(seq: bigint): Uint8Array {
  return objectKey({ seq, oid: 0 }).subarray(0, 8);
}
