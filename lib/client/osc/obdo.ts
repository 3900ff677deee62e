/** The obdo of requests to an OST (guide 12 §2): which object, whose stripe it is, and what the bits say is valid. */
import { fidToOstId } from '../../fid/ost-id.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { Obdo } from '../../wire/ost-structs.ts';
import type { StructInput } from '../../wire/struct.ts';
import { EOF, type Owner, type StripeObject } from './stripe-object.ts';

export type ObdoInput = StructInput<typeof Obdo>;

const { OBD_MD_FLID, OBD_MD_FLGROUP, OBD_MD_FLFID, OBD_MD_FLPARENT, OBD_MD_FLOSTLAYOUT } = MdValid;

/** The object alone; `valid` in addition to the bits for it. */
export function objectOnly(object: StripeObject, valid: bigint): ObdoInput {
  return { o_valid: valid | OBD_MD_FLID | OBD_MD_FLGROUP, o_oi: fidToOstId(object.fid) };
}

/** The object and the file that it belongs to. */
function ofFile(object: StripeObject, valid: bigint): ObdoInput {
  return {
    o_valid: valid | OBD_MD_FLID | OBD_MD_FLGROUP | OBD_MD_FLFID | OBD_MD_FLPARENT,
    o_oi: fidToOstId(object.fid),
    o_parent_seq: object.parent.f_seq,
    o_parent_oid: object.parent.f_oid,
  };
}

/** The object and its file, not which stripe of it. */
export const childObdo = (object: StripeObject, valid: bigint): ObdoInput => ({
  ...ofFile(object, valid),
  o_parent_ver: object.parent.f_ver,
});

/** The object as a stripe of its file; `valid` in addition to the bits for those. */
export const objectObdo = (object: StripeObject, valid: bigint): ObdoInput => ({
  ...ofFile(object, valid),
  o_stripe_idx: object.stripe,
});

/** Whom the server charges an object to that has no owner yet: the file's, not whoever happens to write it. */
export function ownerFields(
  { owner }: StripeObject,
  writer: Owner,
): { readonly o_uid: number; readonly o_gid: number; readonly o_projid?: number } {
  return owner === undefined
    ? { o_uid: writer.uid, o_gid: writer.gid }
    : { o_uid: owner.uid, o_gid: owner.gid, o_projid: owner.projid };
}

/** For what changes data of a mirrored file: by which layout. Reads do not say it. */
export function layoutVersion({ layoutVersion: version }: StripeObject): {
  readonly valid: bigint;
  readonly fields: { readonly o_layout_version?: number };
} {
  return version === undefined
    ? { valid: 0n, fields: {} }
    : { valid: MdValid.OBD_MD_LAYOUT_VERSION, fields: { o_layout_version: version } };
}

/** The same with the layout, which servers keep beside the object for repair. */
export function stripeObdo(object: StripeObject, valid: bigint): ObdoInput {
  return {
    ...objectObdo(object, valid | OBD_MD_FLOSTLAYOUT),
    o_layout: {
      ol_stripe_size: object.stripeSize,
      ol_stripe_count: object.stripeCount,
      ...(object.component !== undefined && {
        ol_comp_id: object.component.id,
        ol_comp_start: BigInt(object.component.start),
        ol_comp_end: object.component.end === Number.POSITIVE_INFINITY ? EOF : BigInt(object.component.end),
      }),
    },
  };
}
