/**
 * Object ids on OSTs: the two forms of `ost_id`, IDIF, and the id in a layout's header (guide 07 §6).
 */
import { LustreError } from '../runtime/errors.ts';
import { FidOid, FidSeq } from '../wire/fid-constants.ts';
import type { OstId } from '../wire/fid-structs.ts';
import { type Fid, isIdifSeq, isNormalSeq } from './fid.ts';

/** An ost_id as it is encoded: one of the two overlapping forms. */
export type OstIdInput =
  | { readonly oi_fid: Fid }
  | { readonly oi: { readonly oi_id: bigint; readonly oi_seq: bigint } };

/** The FID that folds a 48-bit object number of OST `ostIndex` (IDIF). Throws EBADF outside its ranges. */
export function idifFid(objectId: bigint, ostIndex: number): Fid {
  if (ostIndex > 0xffff || objectId < 0n || objectId > BigInt(FidOid.IDIF_MAX_OID)) {
    throw new LustreError('EBADF', `object ${objectId} of OST ${ostIndex} has no IDIF`, {}, -9);
  }
  const seq = FidSeq.FID_SEQ_IDIF | (BigInt(ostIndex) << 16n) | (objectId >> 32n);
  return { f_seq: seq, f_oid: Number(objectId & 0xffff_ffffn), f_ver: 0 };
}

export function idifObjectId(fid: Fid): bigint {
  return (BigInt(fid.f_ver) << 48n) | ((fid.f_seq & 0xffffn) << 32n) | BigInt(fid.f_oid);
}

export function idifOstIndex(fid: Fid): number {
  return Number((fid.f_seq >> 16n) & 0xffffn);
}

/** The object's FID from an ost_id of a layout or an obdo. Throws EBADF for an id in no valid sequence. */
export function ostIdToFid(id: OstId, ostIndex: number): Fid {
  // The second word decides the form: 0 is a legacy number, else it is a FID's oid and version (guide 07 §6).
  if (id.oi.oi_seq === 0n) return idifFid(id.oi.oi_id, ostIndex);
  const fid = id.oi_fid;
  if (!isIdifSeq(fid.f_seq) && !isNormalSeq(fid.f_seq) && fid.f_seq !== FidSeq.FID_SEQ_ECHO) {
    throw new LustreError('EBADF', `sequence 0x${fid.f_seq.toString(16)} holds no OST objects`, {}, -9);
  }
  return { f_seq: fid.f_seq, f_oid: fid.f_oid, f_ver: fid.f_ver };
}

/** The ost_id of an object: legacy form for an IDIF, FID form for the others. */
export function fidToOstId(fid: Fid): OstIdInput {
  return isIdifSeq(fid.f_seq) ? { oi: { oi_id: idifObjectId(fid), oi_seq: 0n } } : { oi_fid: fid };
}

/** lmm_oi of a layout EA: `{ oid, seq }` of the MDT object, in either version of it not a FID (guide 07 §6). */
export function lmmOi(fid: Fid): OstIdInput {
  return { oi: { oi_id: BigInt(fid.f_oid), oi_seq: fid.f_seq } };
}

export function lmmOiToFid(id: OstId): Fid {
  return { f_seq: id.oi.oi_seq, f_oid: Number(id.oi.oi_id & 0xffff_ffffn), f_ver: 0 };
}
