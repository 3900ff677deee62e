/**
 * File identifiers (guide 07 §1, §2): text form, order, and which kind of object a FID names. A Fid is the wire's own
 * value, so that nothing is converted on the way between messages and tables.
 */
import { LustreError } from '../runtime/errors.ts';
import { lastText } from '../runtime/shared-bigints.ts';
import { FidOid, FidSeq } from '../wire/fid-constants.ts';
import type { LuFid } from '../wire/fid-structs.ts';

/** `[f_seq:f_oid:f_ver]`: the sequence is what servers hold, `f_oid` counts objects in it, `f_ver` is 0 in the namespace. */
export type Fid = Readonly<LuFid>;

/** "No FID" in messages; never names an object. */
export const ZERO_FID: Fid = Object.freeze({ f_seq: 0n, f_oid: 0, f_ver: 0 });
/** The root of file systems formatted since 2.3. A client asks GET_ROOT instead: upgraded ones have another. */
export const ROOT_FID: Fid = Object.freeze({
  f_seq: FidSeq.FID_SEQ_ROOT,
  f_oid: FidOid.FID_OID_ROOT,
  f_ver: 0,
});

export function makeFid(seq: bigint, oid: number, ver = 0): Fid {
  return { f_seq: seq, f_oid: oid, f_ver: ver };
}

/** `[0x200000401:0x2:0x0]`. */
export function formatFid(fid: Fid): string {
  return `[0x${fid.f_seq.toString(16)}:0x${fid.f_oid.toString(16)}:0x${fid.f_ver.toString(16)}]`;
}

const FORM = /^\[*(0x[0-9a-f]{1,16}|\d{1,20}):(0x[0-9a-f]{1,8}|\d{1,10}):(0x[0-9a-f]{1,8}|\d{1,10})\]?$/i;

/** Reads `[0x200000401:0x2:0x0]`; brackets may be missing. Throws EINVAL for anything else. */
export function parseFid(text: string): Fid {
  const match = FORM.exec(text.trim());
  const seq = match === null ? 0n : BigInt(match[1]!);
  const [oid, ver] = match === null ? [0, 0] : [Number(match[2]), Number(match[3])];
  if (match === null || seq > 0xffff_ffff_ffff_ffffn || oid > 0xffff_ffff || ver > 0xffff_ffff) {
    throw new LustreError(
      'EINVAL',
      `'${text}' is not a FID`,
      { hint: "Write [SEQ:OID:VER], for example '[0x200000401:0x2:0x0]'" },
      -22,
    );
  }
  return makeFid(seq, oid, ver);
}

/** FIDs come in runs of one sequence. */
const sequenceText = lastText((seq) => `${seq.toString(36)}:`);

/** A short exact text of a FID, for map keys. */
export function fidKey({ f_seq, f_oid, f_ver }: Fid): string {
  const key = `${sequenceText(f_seq)}${f_oid}`;
  return f_ver === 0 ? key : `${key}:${f_ver}`;
}

export function sameFid(a: Fid, b: Fid): boolean {
  return a.f_oid === b.f_oid && a.f_seq === b.f_seq && a.f_ver === b.f_ver;
}

/** Order by sequence, object, version: negative when `a` comes first. */
export function compareFids(a: Fid, b: Fid): number {
  if (a.f_seq !== b.f_seq) return a.f_seq < b.f_seq ? -1 : 1;
  return a.f_oid - b.f_oid || a.f_ver - b.f_ver;
}

export function isZeroFid(fid: Fid): boolean {
  return fid.f_seq === 0n && fid.f_oid === 0;
}

// Sequences by range (guide 07 §2).
export const isIgifSeq = (seq: bigint): boolean =>
  seq >= FidSeq.FID_SEQ_IGIF && seq <= FidSeq.FID_SEQ_IGIF_MAX;
export const isIdifSeq = (seq: bigint): boolean =>
  seq >= FidSeq.FID_SEQ_IDIF && seq <= FidSeq.FID_SEQ_IDIF_MAX;
export const isNormalSeq = (seq: bigint): boolean =>
  seq >= FidSeq.FID_SEQ_NORMAL && seq < FidSeq.FID_SEQ_LOV_DEFAULT;
/** Legacy objects of MDT0: a number without a sequence, or its IDIF. */
export const isMdt0Seq = (seq: bigint): boolean => seq === FidSeq.FID_SEQ_OST_MDT0 || isIdifSeq(seq);
/** Sequences that a client may look up in the FLD. */
export const isSeqInFldb = (seq: bigint): boolean =>
  isIgifSeq(seq) || isNormalSeq(seq) || seq === FidSeq.FID_SEQ_ROOT || seq === FidSeq.FID_SEQ_DOT_LUSTRE;

/** Object 0 of a sequence, which an OST keeps its last id in. */
export const isLastId = (fid: Fid): boolean => fid.f_oid === FidOid.LUSTRE_FID_LASTID_OID;

/** What servers accept as a FID at all (guide 07 §1). */
export function isSaneFid(fid: Fid): boolean {
  if (isZeroFid(fid)) return false;
  const seq = fid.f_seq;
  if (seq >= FidSeq.FID_SEQ_START) return fid.f_ver === 0;
  return (seq >= 1n && seq <= FidSeq.FID_SEQ_RSVD) || isIgifSeq(seq) || isIdifSeq(seq);
}

/** Objects that a path may lead to. */
export function isNamespaceVisible(fid: Fid): boolean {
  const seq = fid.f_seq;
  if (seq === FidSeq.FID_SEQ_ROOT || seq === FidSeq.FID_SEQ_DOT_LUSTRE) return true;
  return !isLastId(fid) && (isNormalSeq(seq) || isIgifSeq(seq));
}

/** Objects that may be the parent or the subject of a change of the namespace; `.lustre` is not (guide 07 §2). */
export function isMdOperative(fid: Fid): boolean {
  const seq = fid.f_seq;
  return seq === 0n || isIgifSeq(seq) || isNormalSeq(seq) || seq === FidSeq.FID_SEQ_ROOT;
}
