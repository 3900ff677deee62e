/** What every request about an object goes through (guide 12 §1.1, §2): the obdo's id checked, attributes packed into it. */

import type { Export } from '../../connection/target.ts';
import { type Fid, isIdifSeq, isNormalSeq } from '../../fid/fid.ts';
import { idifFid } from '../../fid/ost-id.ts';
import { ostResource } from '../../fid/resource.ts';
import type { ResourceId } from '../../ldlm/lock.ts';
import { checksumFlag, checksumOfFlags } from '../../lnet/checksum-types.ts';
import type { BulkChecksumName } from '../../lnet/network.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { ConnectFlag } from '../../wire/connection-constants.ts';
import { FidSeq } from '../../wire/fid-constants.ts';
import { FilterFid, type OstId } from '../../wire/fid-structs.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { ObdoFlag } from '../../wire/ost-constants.ts';
import type { Obdo, OstBody } from '../../wire/ost-structs.ts';
import type { StructInput } from '../../wire/struct.ts';
import type { ObjectAttributes, ObjectId, StoredAttributes } from '../store/object-store.ts';
import type { OstContext } from './ost-context.ts';

export type OstBodyInput = StructInput<typeof OstBody>;
type ObdoInput = NonNullable<OstBodyInput['oa']>;

/** An object as a request names it. */
export interface ObjectName {
  readonly id: ObjectId;
  readonly fid: Fid;
  readonly resource: ResourceId;
}

/** The sequence and number of an ost_id, in FID form. EPROTO for an id in no sequence of objects. */
export function fidOfOstId(oi: OstId, ost: OstContext): Fid {
  const { oi_id, oi_seq } = oi.oi;
  // A FID with oid 0, "none used yet" of an MDT's new sequence, looks like a legacy number; ours are never that high.
  if (oi_seq === 0n && ost.sequences.owns(oi_id)) return { f_seq: oi_id, f_oid: 0, f_ver: 0 };
  if (oi_seq === 0n) {
    if (oi_id > 0xffff_ffff_ffffn) throw protocolError(`object number ${oi_id} has more than 48 bits`);
    return idifFid(oi_id, ost.index);
  }
  const fid = oi.oi_fid;
  const known = isIdifSeq(fid.f_seq) || isNormalSeq(fid.f_seq) || fid.f_seq === FidSeq.FID_SEQ_ECHO;
  if (!known || fid.f_ver !== 0) throw protocolError(`sequence 0x${fid.f_seq.toString(16)} holds no objects`);
  return { f_seq: fid.f_seq, f_oid: fid.f_oid, f_ver: 0 };
}

/** The object that an obdo names. EPROTO without an id, or with id 0. */
export function objectOf(oa: Obdo, ost: OstContext): ObjectName {
  if ((oa.o_valid & MdValid.OBD_MD_FLID) === 0n) throw protocolError('an obdo names no object');
  const fid = fidOfOstId(oa.o_oi, ost);
  if (fid.f_oid === 0) throw protocolError('an obdo names object 0');
  return { id: { seq: fid.f_seq, oid: fid.f_oid }, fid, resource: ostResource(fid) as ResourceId };
}

/** The object behind a lock resource, or undefined where no object can have that name. */
export function objectOfResource(
  resource: ResourceId,
  ost: { readonly index: number },
): ObjectId | undefined {
  const [first, second] = resource;
  if (second === 0n) {
    if (first === 0n || first > 0xffff_ffff_ffffn) return undefined;
    const fid = idifFid(first, ost.index);
    return { seq: fid.f_seq, oid: fid.f_oid };
  }
  return second > 0xffff_ffffn ? undefined : { seq: first, oid: Number(second) };
}

export function protocolError(message: string): Error {
  return errnoError(Errno.EPROTO, { syscall: message });
}

/** A client that connected read-only changes nothing. */
export function refuseReadOnly(client: Export): void {
  if ((client.connectData.ocd_connect_flags & ConnectFlag.OBD_CONNECT_RDONLY) !== 0n)
    throw errnoError(Errno.EROFS, { syscall: 'change an object' });
}

export function hasValid(oa: Obdo, bits: bigint): boolean {
  return (oa.o_valid & bits) === bits;
}

export function hasFlag(oa: Obdo, flag: number): boolean {
  return (oa.o_valid & MdValid.OBD_MD_FLFLAGS) !== 0n && (oa.o_flags & flag) !== 0;
}

const S_IFREG = 0o100000;
/** S_ISUID, S_ISGID, S_ISVTX: nobody has given the object an owner yet (guide 12 §8). */
const UNOWNED = 0o7000;

const {
  OBD_MD_FLID,
  OBD_MD_FLGROUP,
  OBD_MD_FLATIME,
  OBD_MD_FLMTIME,
  OBD_MD_FLCTIME,
  OBD_MD_FLSIZE,
  OBD_MD_FLBLOCKS,
  OBD_MD_FLMODE,
  OBD_MD_FLTYPE,
  OBD_MD_FLUID,
  OBD_MD_FLGID,
  OBD_MD_FLPROJID,
} = MdValid;

/** o_valid for all that `attributeFields` fills. */
export const ATTRIBUTES_VALID: bigint =
  OBD_MD_FLID |
  OBD_MD_FLGROUP |
  OBD_MD_FLATIME |
  OBD_MD_FLMTIME |
  OBD_MD_FLCTIME |
  OBD_MD_FLSIZE |
  OBD_MD_FLBLOCKS |
  OBD_MD_FLMODE |
  OBD_MD_FLTYPE |
  OBD_MD_FLUID |
  OBD_MD_FLGID |
  OBD_MD_FLPROJID;

/** Attributes as fields of an obdo. */
export function attributeFields(attributes: ObjectAttributes): ObdoInput {
  return {
    o_size: attributes.size,
    o_blocks: attributes.blocks,
    o_atime: attributes.atime,
    o_mtime: attributes.mtime,
    o_ctime: attributes.ctime,
    o_mode: S_IFREG | 0o666 | (attributes.owned ? 0 : UNOWNED),
    o_uid: attributes.uid,
    o_gid: attributes.gid,
    o_projid: attributes.projid,
  };
}

/** The times an obdo sets. `now` stands in for what a write leaves out; 0n sets nothing in its place. */
export function timesOf(oa: Obdo, now: bigint): Partial<StoredAttributes> {
  return {
    ...(hasValid(oa, OBD_MD_FLATIME) ? { atime: oa.o_atime } : {}),
    ...(hasValid(oa, OBD_MD_FLMTIME) ? { mtime: oa.o_mtime } : now === 0n ? {} : { mtime: now }),
    ...(hasValid(oa, OBD_MD_FLCTIME) ? { ctime: oa.o_ctime } : now === 0n ? {} : { ctime: now }),
  };
}

/** Owner and parent FID of an object that has none yet, from a write, punch or setattr (guide 12 §2, §5.8). */
export function ownershipOf(oa: Obdo, known: ObjectAttributes): Partial<StoredAttributes> {
  const owner = known.owned
    ? {}
    : {
        ...(hasValid(oa, OBD_MD_FLUID) ? { uid: oa.o_uid, owned: true } : {}),
        ...(hasValid(oa, OBD_MD_FLGID) ? { gid: oa.o_gid, owned: true } : {}),
        ...(hasValid(oa, OBD_MD_FLPROJID) ? { projid: oa.o_projid } : {}),
      };
  return { ...owner, ...parentOf(oa, known.parent) };
}

function parentOf(oa: Obdo, parent: Uint8Array): { parent?: Uint8Array } {
  if (!hasValid(oa, MdValid.OBD_MD_FLFID)) return {};
  const known = FilterFid.decode(parent, 0, true);
  const layout = hasValid(oa, MdValid.OBD_MD_FLOSTLAYOUT) ? oa.o_layout : known.ff_layout;
  const same =
    known.ff_parent.f_seq === oa.o_parent_seq &&
    known.ff_parent.f_oid === oa.o_parent_oid &&
    known.ff_parent.f_ver === oa.o_stripe_idx &&
    known.ff_layout.ol_stripe_size === layout.ol_stripe_size &&
    known.ff_layout.ol_comp_id === layout.ol_comp_id;
  if (same) return {};
  const ff_parent = { f_seq: oa.o_parent_seq, f_oid: oa.o_parent_oid, f_ver: oa.o_stripe_idx };
  return { parent: FilterFid.encode({ ...known, ff_parent, ff_layout: layout }) };
}

/** The checksum a request carries or asks for; types that nobody knows count as Adler-32. */
export function checksumOf(oa: Obdo): BulkChecksumName | undefined {
  if (!hasValid(oa, MdValid.OBD_MD_FLCKSUM)) return undefined;
  return checksumOfFlags(hasValid(oa, MdValid.OBD_MD_FLFLAGS) ? oa.o_flags : 0) ?? 'adler32';
}

/** o_flags with the type that was used. */
export function flagsWithChecksum(flags: number, type: BulkChecksumName | undefined): number {
  if (type === undefined) return flags;
  return (flags & ~ObdoFlag.OBD_FL_CKSUM_ALL) | checksumFlag(type);
}
