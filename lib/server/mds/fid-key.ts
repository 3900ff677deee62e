/** FIDs as keys of tables (design: Stores). */
import { type Fid, isMdOperative, isNamespaceVisible } from '../../fid/fid.ts';

/** Sixteen big-endian bytes: the order of keys is the order of FIDs. Link EAs hold FIDs in the same form. */
export function fidKey(fid: Fid): Buffer {
  const key = Buffer.allocUnsafe(FID_KEY_SIZE);
  writeFidKey(key, fid);
  return key;
}

export const FID_KEY_SIZE = 16;

/** The same as part of something longer. */
export function writeFidKey(key: Buffer, { f_seq, f_oid, f_ver }: Fid, at = 0): void {
  // Halves, for a bigint would be taken apart byte by byte.
  key.writeUInt32BE(Number(f_seq >> 32n), at);
  key.writeUInt32BE(Number(f_seq & 0xffff_ffffn), at + 4);
  key.writeUInt32BE(f_oid, at + 8);
  key.writeUInt32BE(f_ver, at + 12);
}

/** The FID at `offset` of a key. */
export function fidOfKey(key: Uint8Array, offset = 0): Fid {
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  return {
    f_seq: view.getBigUint64(offset),
    f_oid: view.getUint32(offset + 8),
    f_ver: view.getUint32(offset + 12),
  };
}

/** What a client may create or change; `.lustre` and what lies in it is not (guide 07 §2). */
export const isOperative = (fid: Fid): boolean =>
  fid.f_seq !== 0n && isMdOperative(fid) && isNamespaceVisible(fid);
