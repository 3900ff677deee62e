/** FIDs as keys of tables (design: Stores). */
import { type Fid, isMdOperative, isNamespaceVisible } from '../../fid/fid.ts';

/** Sixteen big-endian bytes: the order of keys is the order of FIDs. Link EAs hold FIDs in the same form. */
export function fidKey(fid: Fid): Buffer {
  const key = Buffer.allocUnsafe(16);
  key.writeBigUInt64BE(fid.f_seq, 0);
  key.writeUInt32BE(fid.f_oid, 8);
  key.writeUInt32BE(fid.f_ver, 12);
  return key;
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
