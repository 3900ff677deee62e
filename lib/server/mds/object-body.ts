/** What an object's attributes look like in a reply: mdt_body and the slots beside it (guide 09 §3.2, §3.3). */
import type { Fid } from '../../fid/fid.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { MdtBody } from '../../wire/mds-structs.ts';
import { XattrName } from '../../wire/names.ts';
import type { StructInput } from '../../wire/struct.ts';
import { isDirectory, isRegular, Mode } from './credential.ts';
import type { NamespaceView } from './namespace.ts';
import type { Inode } from './records.ts';

const V = MdValid;
type BodyInput = {
  -readonly [field in keyof StructInput<typeof MdtBody>]: StructInput<typeof MdtBody>[field];
};

/** Every object has these; the client's kernel goes down without FLID, FLTYPE or FLMODE (guide 16 §3.2). */
const ALWAYS =
  V.OBD_MD_FLID |
  V.OBD_MD_FLATIME |
  V.OBD_MD_FLMTIME |
  V.OBD_MD_FLCTIME |
  V.OBD_MD_FLMODE |
  V.OBD_MD_FLTYPE |
  V.OBD_MD_FLUID |
  V.OBD_MD_FLGID |
  V.OBD_MD_FLFLAGS |
  V.OBD_MD_FLNLINK |
  V.OBD_MD_FLPROJID |
  V.OBD_MD_FLBTIME;

export interface ObjectReply {
  readonly mdt_body: BodyInput;
  /** The layout, a directory's default layout, or a symbolic link's target with its NUL. */
  readonly mdt_md: Uint8Array | undefined;
  readonly acl: Uint8Array | undefined;
}

/** The attributes alone, as modifying operations answer with. */
export function attributeBody(
  fid: Fid,
  inode: Inode,
  layout: Uint8Array | undefined,
): { mbo_valid: bigint } & BodyInput {
  const onOsts = isRegular(inode) && layout !== undefined;
  let valid = ALWAYS;
  if (!isRegular(inode)) valid |= V.OBD_MD_FLSIZE | V.OBD_MD_FLBLOCKS | V.OBD_MD_FLRDEV;
  else if (!onOsts) valid |= V.OBD_MD_FLSIZE | V.OBD_MD_FLBLOCKS;
  else if (inode.lazySize !== 0) valid |= V.OBD_MD_FLLAZYSIZE | V.OBD_MD_FLLAZYBLOCKS;
  return {
    mbo_fid1: fid,
    mbo_valid: valid,
    mbo_size: inode.size,
    mbo_blocks: inode.blocks,
    mbo_atime: inode.atime,
    mbo_mtime: inode.mtime,
    mbo_ctime: inode.ctime,
    mbo_btime: BigInt.asUintN(64, inode.btime),
    mbo_mode: inode.mode,
    mbo_uid: inode.uid,
    mbo_gid: inode.gid,
    mbo_flags: inode.flags,
    mbo_rdev: Number(inode.rdev & 0xffffffffn),
    mbo_nlink: inode.nlink,
    mbo_projid: inode.projid,
    // For whoever says more: an object that gets fields later is another kind of object each time.
    mbo_eadatasize: 0,
    mbo_aclsize: 0,
    mbo_max_mdsize: 0,
    mbo_open_handle: 0n,
  };
}

/**
 * What a request that asks for `wanted` (mbo_valid bits) gets. `maxLayoutSize` is what a client should keep room for.
 */
export function objectReply(
  ns: NamespaceView,
  fid: Fid,
  inode: Inode,
  wanted: bigint,
  maxLayoutSize: number,
): ObjectReply {
  const lov = ns.xattr(fid, XattrName.XATTR_NAME_LOV);
  const body = attributeBody(fid, inode, lov);
  const { md, bits } = metadataSlot(ns, fid, inode, lov, wanted);
  let valid = body.mbo_valid | bits;
  let acl: Uint8Array | undefined;
  if ((wanted & V.OBD_MD_FLACL) !== 0n) {
    acl = ns.unusualXattr(fid, inode, XattrName.XATTR_NAME_ACL_ACCESS);
    valid |= V.OBD_MD_FLACL;
  }
  if ((wanted & V.OBD_MD_FLMODEASIZE) !== 0n) valid |= V.OBD_MD_FLMODEASIZE;
  body.mbo_valid = valid;
  body.mbo_eadatasize = md?.length ?? 0;
  body.mbo_aclsize = acl?.length ?? 0;
  body.mbo_max_mdsize = (wanted & V.OBD_MD_FLMODEASIZE) !== 0n ? maxLayoutSize : 0;
  return { mdt_body: body, mdt_md: md, acl };
}

function metadataSlot(
  ns: NamespaceView,
  fid: Fid,
  inode: Inode,
  lov: Uint8Array | undefined,
  wanted: bigint,
): { md: Uint8Array | undefined; bits: bigint } {
  const nothing = { md: undefined, bits: 0n };
  if ((inode.mode & Mode.S_IFMT) === Mode.S_IFLNK) {
    if ((wanted & V.OBD_MD_LINKNAME) === 0n) return nothing;
    const target = ns.target(fid) ?? new Uint8Array(0);
    const md = new Uint8Array(target.length + 1);
    md.set(target);
    return { md, bits: V.OBD_MD_LINKNAME };
  }
  if (lov === undefined) return nothing;
  if (isRegular(inode))
    return (wanted & V.OBD_MD_FLEASIZE) === 0n ? nothing : { md: lov, bits: V.OBD_MD_FLEASIZE };
  // A default layout is for who asks for layouts, not for who asks what kind of directory it is (MEA).
  const asks =
    (wanted & (V.OBD_MD_FLEASIZE | V.OBD_MD_FLDIREA)) !== 0n &&
    (wanted & (V.OBD_MD_MEA | V.OBD_MD_DEFAULT_MEA)) === 0n;
  return isDirectory(inode) && asks ? { md: lov, bits: V.OBD_MD_FLDIREA } : nothing;
}
