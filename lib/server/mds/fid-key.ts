/** FIDs as table keys, lock resources and text (guide 07 §1 to §3). */
import type { ResourceId } from '../../ldlm/lock.ts';
import { FidSeq } from '../../wire/fid-constants.ts';
import type { LuFid } from '../../wire/fid-structs.ts';

export const ROOT_FID: LuFid = { f_seq: FidSeq.FID_SEQ_ROOT, f_oid: 1, f_ver: 0 };
export const NO_FID: LuFid = { f_seq: 0n, f_oid: 0, f_ver: 0 };

/** Sixteen big-endian bytes: the order of keys is the order of FIDs. */
export function fidKey(fid: LuFid): Buffer {
  const key = Buffer.allocUnsafe(16);
  key.writeBigUInt64BE(fid.f_seq, 0);
  key.writeUInt32BE(fid.f_oid, 8);
  key.writeUInt32BE(fid.f_ver, 12);
  return key;
}

/** The FID at `offset` of a key. */
export function fidOfKey(key: Uint8Array, offset = 0): LuFid {
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  return {
    f_seq: view.getBigUint64(offset),
    f_oid: view.getUint32(offset + 8),
    f_ver: view.getUint32(offset + 12),
  };
}

export const fidEquals = (a: LuFid, b: LuFid): boolean =>
  a.f_oid === b.f_oid && a.f_seq === b.f_seq && a.f_ver === b.f_ver;

/** A FID as the key of a Map, and as people read it. */
export const fidText = (fid: LuFid): string =>
  `[0x${fid.f_seq.toString(16)}:0x${fid.f_oid.toString(16)}:0x${fid.f_ver.toString(16)}]`;

export function compareFids(a: LuFid, b: LuFid): number {
  if (a.f_seq !== b.f_seq) return a.f_seq < b.f_seq ? -1 : 1;
  return a.f_oid - b.f_oid || a.f_ver - b.f_ver;
}

/** fid_is_sane: what may stand in a request. */
export function fidIsSane(fid: LuFid): boolean {
  if (fid.f_seq >= FidSeq.FID_SEQ_START) return fid.f_ver === 0;
  return fid.f_seq >= 1n && (fid.f_seq !== 0n || fid.f_oid !== 0);
}

/** What a client may create or change: normal sequences, the root, inodes of old (guide 07 §2, md-operative). */
export function fidIsOperative(fid: LuFid): boolean {
  const { f_seq: seq } = fid;
  return (
    (seq >= FidSeq.FID_SEQ_NORMAL && fid.f_oid !== 0) ||
    seq === FidSeq.FID_SEQ_ROOT ||
    (seq >= FidSeq.FID_SEQ_IGIF && seq <= FidSeq.FID_SEQ_IGIF_MAX)
  );
}

/** The resource of an object's inode-bits lock. */
export function fidResource(fid: LuFid): ResourceId {
  return [fid.f_seq, (BigInt(fid.f_ver) << 32n) | BigInt(fid.f_oid), 0n, 0n];
}

export function resourceFid(name: readonly bigint[]): LuFid {
  const low = name[1] ?? 0n;
  return {
    f_seq: name[0] ?? 0n,
    f_oid: Number(low & 0xffff_ffffn),
    f_ver: Number((low >> 32n) & 0xffff_ffffn),
  };
}
