/** Attributes (guides 09 §6 SETATTR and §7, 11 §3 and §4): who may change what, and which times follow. */

import type { Fid } from '../../fid/fid.ts';
import { errnoError } from '../../runtime/errors.ts';
import { InodeFlag, SetattrValid } from '../../wire/mds-constants.ts';
import { XattrName } from '../../wire/names.ts';
import {
  Capability,
  type Credential,
  capable,
  demand,
  inGroup,
  isDirectory,
  isOwner,
  isRegular,
  MAY_WRITE,
  Mode,
  permits,
} from './credential.ts';
import type { NamespaceEdit } from './namespace.ts';
import { aclWithMode, decodeAcl, encodeAcl } from './posix-acl.ts';
import type { Inode } from './records.ts';

const V = SetattrValid;
const USER_VISIBLE_FLAGS =
  InodeFlag.LUSTRE_IMMUTABLE_FL |
  InodeFlag.LUSTRE_APPEND_FL |
  InodeFlag.LUSTRE_NODUMP_FL |
  InodeFlag.LUSTRE_NOATIME_FL |
  InodeFlag.LUSTRE_SYNC_FL |
  InodeFlag.LUSTRE_DIRSYNC_FL |
  InodeFlag.LUSTRE_TOPDIR_FL |
  InodeFlag.LUSTRE_PROJINHERIT_FL;
/** A close moves atime only when it is that much behind, seconds. */
const ATIME_DIFF = 60n;

export interface Attributes {
  /** SetattrValid bits. */
  readonly valid: bigint;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: bigint;
  readonly blocks: bigint;
  readonly atime: bigint;
  readonly mtime: bigint;
  readonly ctime: bigint;
  readonly flags: number;
  readonly projid: number;
}

const has = (valid: bigint, bits: bigint): boolean => (valid & bits) !== 0n;

/** Applies what is allowed or throws: EPERM, EACCES, EISDIR, EINVAL, EOPNOTSUPP. Gives the inode as it is after. */
export function setAttributes(
  ns: NamespaceEdit,
  who: Credential,
  fid: Fid,
  a: Attributes,
  options: { readonly ownerOverride: boolean },
): Inode {
  const inode = ns.inode(fid);
  const acl = ns.acl(fid, inode);
  if (has(a.valid, V.MDS_ATTR_ATTR_FLAG)) setFlags(who, inode, a.flags);
  else if ((inode.flags & (InodeFlag.LUSTRE_IMMUTABLE_FL | InodeFlag.LUSTRE_APPEND_FL)) !== 0)
    throw errnoError(1, { syscall: 'setattr' });
  if (has(a.valid, V.MDS_ATTR_SIZE)) {
    if (isDirectory(inode)) throw errnoError(21, { syscall: 'truncate' });
    if (!isRegular(inode)) throw errnoError(22, { syscall: 'truncate' });
    if (!(options.ownerOverride && who.uid === inode.uid)) demand(who, inode, MAY_WRITE, acl);
  }
  setOwner(ns, who, fid, inode, a);
  setMode(ns, who, fid, inode, a);
  if (has(a.valid, V.MDS_ATTR_PROJID) && a.projid !== inode.projid) {
    if (!capable(who, Capability.SYS_RESOURCE)) throw errnoError(1, { syscall: 'setattr' });
    inode.projid = a.projid;
  }
  const explicit = has(a.valid, V.MDS_ATTR_ATIME_SET | V.MDS_ATTR_MTIME_SET);
  const onlyTimes = !has(a.valid, V.MDS_ATTR_SIZE | V.MDS_ATTR_MODE | V.MDS_ATTR_UID | V.MDS_ATTR_GID);
  if (explicit && onlyTimes && !has(a.valid, V.MDS_ATTR_FORCE) && !isOwner(who, inode))
    if (!permits(who, inode, MAY_WRITE, acl)) throw errnoError(1, { syscall: 'utimes' });
  if (has(a.valid, V.MDS_ATTR_SIZE)) inode.size = a.size;
  setTimes(inode, a);
  ns.putInode(fid, inode);
  return inode;
}

function setFlags(who: Credential, inode: Inode, flags: number): void {
  if ((flags & ~(USER_VISIBLE_FLAGS | InodeFlag.LUSTRE_EXTENTS_FL)) !== 0)
    throw errnoError(95, { syscall: 'setattr' });
  if (!isOwner(who, inode)) throw errnoError(1, { syscall: 'setattr' });
  const locks = InodeFlag.LUSTRE_IMMUTABLE_FL | InodeFlag.LUSTRE_APPEND_FL;
  if (((flags ^ inode.flags) & locks) !== 0 && !capable(who, Capability.LINUX_IMMUTABLE))
    throw errnoError(1, { syscall: 'setattr' });
  inode.flags = (inode.flags & ~USER_VISIBLE_FLAGS) | (flags & USER_VISIBLE_FLAGS);
}

function setOwner(ns: NamespaceEdit, who: Credential, fid: Fid, inode: Inode, a: Attributes): void {
  const uid = has(a.valid, V.MDS_ATTR_UID) ? a.uid : inode.uid;
  const gid = has(a.valid, V.MDS_ATTR_GID) ? a.gid : inode.gid;
  if (!has(a.valid, V.MDS_ATTR_UID | V.MDS_ATTR_GID)) return;
  const mine = who.uid === inode.uid;
  const uidAllowed = capable(who, Capability.CHOWN) || (mine && uid === inode.uid);
  const gidAllowed = capable(who, Capability.CHOWN) || (mine && (gid === inode.gid || inGroup(who, gid)));
  if (!uidAllowed || !gidAllowed) throw errnoError(1, { syscall: 'chown' });
  inode.uid = uid;
  inode.gid = gid;
  if (isDirectory(inode)) return;
  // What ran as its owner must not run as another one.
  const before = inode.mode;
  inode.mode &= ~Mode.S_ISUID;
  if ((inode.mode & Mode.S_IXGRP) !== 0) inode.mode &= ~Mode.S_ISGID;
  if (before !== inode.mode) followMode(ns, fid, inode.mode);
}

function setMode(ns: NamespaceEdit, who: Credential, fid: Fid, inode: Inode, a: Attributes): void {
  let kept = inode.mode;
  if (has(a.valid, V.MDS_ATTR_KILL_SUID)) kept &= ~Mode.S_ISUID;
  if (has(a.valid, V.MDS_ATTR_KILL_SGID) && (kept & Mode.S_IXGRP) !== 0) kept &= ~Mode.S_ISGID;
  inode.mode = kept;
  if (!has(a.valid, V.MDS_ATTR_MODE)) return;
  const type = a.mode & Mode.S_IFMT;
  if (type !== 0 && type !== (inode.mode & Mode.S_IFMT)) throw errnoError(1, { syscall: 'chmod' });
  const killsOnly =
    has(a.valid, V.MDS_ATTR_KILL_SUID | V.MDS_ATTR_KILL_SGID) || has(a.valid, V.MDS_ATTR_FORCE);
  if (!killsOnly && !isOwner(who, inode)) throw errnoError(1, { syscall: 'chmod' });
  let bits = a.mode & 0o7777;
  if (!inGroup(who, inode.gid) && !capable(who, Capability.FSETID)) bits &= ~Mode.S_ISGID;
  // Without the right to chmod only bits that a write takes away may go.
  if (killsOnly && !isOwner(who, inode)) bits &= inode.mode & 0o7777;
  inode.mode = (inode.mode & Mode.S_IFMT) | bits;
  followMode(ns, fid, inode.mode);
}

/** An access list says the same as the mode. */
function followMode(ns: NamespaceEdit, fid: Fid, mode: number): void {
  const bytes = ns.xattr(fid, XattrName.XATTR_NAME_ACL_ACCESS);
  if (bytes !== undefined)
    ns.setXattr(fid, XattrName.XATTR_NAME_ACL_ACCESS, encodeAcl(aclWithMode(decodeAcl(bytes), mode)));
}

/** Only explicit times count, and none of a request whose ctime is older than what is there. */
function setTimes(inode: Inode, a: Attributes): void {
  const ctime = has(a.valid, V.MDS_ATTR_CTIME_SET) ? a.ctime : undefined;
  if (ctime !== undefined && ctime < inode.ctime) return;
  if (has(a.valid, V.MDS_ATTR_ATIME_SET)) inode.atime = a.atime;
  if (has(a.valid, V.MDS_ATTR_MTIME_SET)) inode.mtime = a.mtime;
  if (ctime !== undefined) inode.ctime = ctime;
}

/**
 * What a close brings (guide 09 §7): times that are newer, and the lazy size of a regular file, which only grows unless
 * the client says that it truncated. Reads before `atimeChosen` count no more.
 */
export function closeAttributes(
  ns: NamespaceEdit,
  fid: Fid,
  inode: Inode,
  a: Attributes,
  atimeChosen: bigint,
): void {
  const { atime, mtime, ctime, size, blocks, lazySize } = inode;
  if (has(a.valid, V.MDS_ATTR_CTIME_SET) && a.ctime > inode.ctime) {
    inode.ctime = a.ctime;
    if (has(a.valid, V.MDS_ATTR_MTIME_SET)) inode.mtime = a.mtime;
  }
  const read = has(a.valid, V.MDS_ATTR_ATIME_SET) && a.atime > atimeChosen;
  if (read && a.atime > inode.atime + ATIME_DIFF) inode.atime = a.atime;
  if (isRegular(inode) && has(a.valid, V.MDS_ATTR_LSIZE | V.MDS_ATTR_LBLOCKS)) {
    if (has(a.valid, V.MDS_ATTR_LSIZE) && a.size > inode.size) inode.size = a.size;
    if (has(a.valid, V.MDS_ATTR_LBLOCKS) && a.blocks > inode.blocks) inode.blocks = a.blocks;
    inode.lazySize = 1;
  }
  const sameTimes = inode.atime === atime && inode.mtime === mtime && inode.ctime === ctime;
  if (sameTimes && inode.size === size && inode.blocks === blocks && inode.lazySize === lazySize) return;
  ns.putInode(fid, inode);
}
