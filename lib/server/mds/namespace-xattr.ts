/** Extended attributes (guides 09 §6 SETXATTR, 11 §8 and §9). */

import type { Fid } from '../../fid/fid.ts';
import { errnoError } from '../../runtime/errors.ts';
import { InodeFlag } from '../../wire/mds-constants.ts';
import { XattrName } from '../../wire/names.ts';
import {
  Capability,
  type Credential,
  capable,
  demand,
  isDirectory,
  isOwner,
  isRegular,
  MAY_READ,
  MAY_WRITE,
  Mode,
} from './credential.ts';
import type { NamespaceEdit, NamespaceView } from './namespace.ts';
import { aclIsMode, aclMode, decodeAcl } from './posix-acl.ts';
import type { Inode } from './records.ts';

export const XATTR_NAME_MAX = 255;
/** Largest value, bytes; what ocd_max_easize announces. */
export const XATTR_SIZE_MAX = 65_536 - 512;
export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

/** Kept by the target itself: setting them succeeds without effect (guide 09 §6). */
const OWN: ReadonlySet<string> = new Set([
  XattrName.XATTR_NAME_LOV,
  XattrName.XATTR_NAME_LMA,
  XattrName.XATTR_NAME_LMV,
  XattrName.XATTR_NAME_DEFAULT_LMV,
  XattrName.XATTR_NAME_LINK,
  XattrName.XATTR_NAME_FID,
  XattrName.XATTR_NAME_VERSION,
  XattrName.XATTR_NAME_SOM,
  XattrName.XATTR_NAME_HSM,
  'trusted.lfsck_namespace',
  XattrName.XATTR_NAME_LFSCK_NAMESPACE,
]);

/**
 * Sets or, without a value, removes. Gives the inode as it is after. Throws EPERM, EACCES, EOPNOTSUPP, EEXIST, ENODATA,
 * ERANGE, E2BIG, EINVAL.
 */
export function setXattr(
  ns: NamespaceEdit,
  who: Credential,
  fid: Fid,
  o: {
    readonly name: string;
    readonly value: Uint8Array | undefined;
    readonly flags: number;
    readonly time: bigint;
  },
): Inode {
  const inode = ns.inode(fid);
  const nameSize = Buffer.byteLength(o.name);
  if (nameSize === 0 || nameSize > XATTR_NAME_MAX) throw errnoError(34, { syscall: 'setxattr' });
  if ((o.value?.length ?? 0) > XATTR_SIZE_MAX) throw errnoError(7, { syscall: 'setxattr' });
  if ((inode.flags & (InodeFlag.LUSTRE_IMMUTABLE_FL | InodeFlag.LUSTRE_APPEND_FL)) !== 0)
    throw errnoError(1, { syscall: 'setxattr' });
  mayWrite(ns, who, fid, inode, o.name);
  if (OWN.has(o.name)) return inode;
  const present = ns.xattr(fid, o.name) !== undefined;
  if (present && (o.flags & XATTR_CREATE) !== 0) throw errnoError(17, { syscall: 'setxattr' });
  if (!present && ((o.flags & XATTR_REPLACE) !== 0 || o.value === undefined))
    throw errnoError(61, { syscall: 'setxattr' });
  if (isAcl(o.name)) setAcl(ns, fid, inode, o.name, o.value);
  else ns.setXattr(fid, o.name, o.value, inode);
  if (o.time > inode.ctime) inode.ctime = o.time;
  ns.putInode(fid, inode);
  return inode;
}

const isAcl = (name: string): boolean =>
  name === XattrName.XATTR_NAME_ACL_ACCESS || name === XattrName.XATTR_NAME_ACL_DEFAULT;

function mayWrite(ns: NamespaceEdit, who: Credential, fid: Fid, inode: Inode, name: string): void {
  if (name.startsWith(XattrName.XATTR_USER_PREFIX)) {
    if (!isRegular(inode) && !isDirectory(inode)) throw errnoError(1, { syscall: 'setxattr' });
    if ((inode.mode & Mode.S_ISVTX) !== 0 && isDirectory(inode) && !isOwner(who, inode))
      throw errnoError(1, { syscall: 'setxattr' });
    demand(who, inode, MAY_WRITE, ns.acl(fid, inode));
  } else if (name.startsWith(XattrName.XATTR_TRUSTED_PREFIX)) {
    if (!capable(who, Capability.SYS_ADMIN)) throw errnoError(1, { syscall: 'setxattr' });
  } else if (name.startsWith(XattrName.XATTR_SECURITY_PREFIX)) {
    if (!capable(who, Capability.SYS_ADMIN) && !isOwner(who, inode))
      throw errnoError(1, { syscall: 'setxattr' });
  } else if (isAcl(name)) {
    if (!isOwner(who, inode)) throw errnoError(1, { syscall: 'setxattr' });
    if ((inode.mode & Mode.S_IFMT) === Mode.S_IFLNK) throw errnoError(95, { syscall: 'setxattr' });
  } else throw errnoError(95, { syscall: 'setxattr' });
}

/** An access list that a mode can say becomes the mode; the mode follows any other. */
function setAcl(
  ns: NamespaceEdit,
  fid: Fid,
  inode: Inode,
  name: string,
  value: Uint8Array | undefined,
): void {
  const acl = value === undefined || value.length === 0 ? [] : decodeAcl(value);
  if (name === XattrName.XATTR_NAME_ACL_DEFAULT) {
    if (!isDirectory(inode)) throw errnoError(acl.length === 0 ? 61 : 13, { syscall: 'setxattr' });
    ns.setXattr(fid, name, acl.length === 0 ? undefined : value, inode);
    return;
  }
  if (acl.length > 0) inode.mode = aclMode(acl, inode.mode);
  ns.setXattr(fid, name, aclIsMode(acl) ? undefined : value, inode);
}

/** Throws EACCES, EPERM for what the caller may not read. */
export function mayReadXattr(ns: NamespaceView, who: Credential, fid: Fid, inode: Inode, name: string): void {
  if (name.startsWith(XattrName.XATTR_USER_PREFIX)) {
    if (!isRegular(inode) && !isDirectory(inode)) throw errnoError(61, { syscall: 'getxattr' });
    demand(who, inode, MAY_READ, ns.acl(fid, inode));
  }
}
