/** New names: files, directories, symbolic links, special files, hard links (guides 09 §6, 11 §8 and §12). */

import { type Fid, ROOT_FID, sameFid } from '../../fid/fid.ts';
import { errnoError } from '../../runtime/errors.ts';
import { InodeFlag } from '../../wire/mds-constants.ts';
import { XattrName } from '../../wire/names.ts';
import {
  Capability,
  type Credential,
  capable,
  demand,
  inGroup,
  isDirectory,
  MAY_EXEC,
  MAY_WRITE,
  Mode,
} from './credential.ts';
import { isOperative } from './fid-key.ts';
import { decodeLinks, encodeLinks, type NamedBy } from './link-ea.ts';
import { checkName, isDot, isDotDot } from './name-hash.ts';
import { type NamespaceEdit, newInode } from './namespace.ts';
import { aclIsMode, decodeAcl, encodeAcl, inheritAcl } from './posix-acl.ts';
import type { Inode } from './records.ts';

/** Most names an object may have. */
export const LINK_MAX = 65_000;
/** Longest target of a symbolic link, bytes without the NUL. */
export const SYMLINK_MAX = 4095;
export const DIRECTORY_SIZE = 4096n;
const DIRECTORY_BLOCKS = 8n;

export interface NewObject {
  readonly parent: Fid;
  readonly name: Uint8Array;
  readonly fid: Fid;
  /** Type and permission bits, before the umask. */
  readonly mode: number;
  readonly umask: number;
  readonly rdev?: bigint;
  /** Of a symbolic link. */
  readonly target?: Uint8Array;
  /** Seconds; all three times. */
  readonly time: bigint;
  /** The layout EA of a regular file that has its objects already. */
  readonly layout?: Uint8Array | undefined;
}

/** Makes an object and its name. Throws EEXIST, ENOENT, ENOTDIR, EACCES, EPERM, ENAMETOOLONG, EINVAL. */
export function create(ns: NamespaceEdit, who: Credential, o: NewObject): Inode {
  if (!isOperative(o.parent)) throw errnoError(1, { syscall: 'create' });
  const parent = mayAdd(ns, who, o.parent, o.name);
  if (!isOperative(o.fid)) throw errnoError(22, { syscall: 'create' });
  if (ns.find(o.fid) !== undefined) throw errnoError(17, { syscall: 'create' });
  const type = o.mode & Mode.S_IFMT;
  const inode = newInode({
    mode: o.mode,
    uid: who.uid,
    gid: who.gid,
    rdev: o.rdev ?? 0n,
    atime: o.time,
    mtime: o.time,
    ctime: o.time,
    btime: o.time,
  });
  checkType(who, type, o);
  inheritGroup(who, parent, inode);
  inheritProject(parent, inode);
  inheritPermissions(ns, o, parent, inode);
  if (type === Mode.S_IFDIR) {
    inode.nlink = 2;
    inode.size = DIRECTORY_SIZE;
    inode.blocks = DIRECTORY_BLOCKS;
    inode.parent = o.parent;
    parent.nlink++;
    inheritDefaultLayout(ns, o);
  } else if (type === Mode.S_IFLNK) {
    inode.size = BigInt(o.target!.length);
    ns.setTarget(o.fid, o.target!);
  } else if (o.layout !== undefined) {
    ns.setXattr(o.fid, XattrName.XATTR_NAME_LOV, o.layout);
  }
  ns.putInode(o.fid, inode);
  addName(ns, parent, o.parent, o.name, o.fid, type, o.time, []);
  return inode;
}

/** Another name for an object. Throws EEXIST, ENOENT, ENOTDIR, EACCES, EPERM, EMLINK, ENAMETOOLONG, EINVAL. */
export function link(
  ns: NamespaceEdit,
  who: Credential,
  o: { readonly fid: Fid; readonly parent: Fid; readonly name: Uint8Array; readonly time: bigint },
): Inode {
  if (!isOperative(o.parent) || !isOperative(o.fid) || sameFid(o.fid, o.parent))
    throw errnoError(1, { syscall: 'link' });
  const inode = ns.inode(o.fid);
  const parent = mayAdd(ns, who, o.parent, o.name);
  const locked = InodeFlag.LUSTRE_IMMUTABLE_FL | InodeFlag.LUSTRE_APPEND_FL;
  if (isDirectory(inode) || (inode.flags & locked) !== 0) throw errnoError(1, { syscall: 'link' });
  if (inode.nlink === 0) throw errnoError(2, { syscall: 'link' });
  if (inode.nlink >= LINK_MAX) throw errnoError(31, { syscall: 'link' });
  demandProject(parent, inode);
  inode.nlink++;
  inode.ctime = o.time;
  ns.putInode(o.fid, inode);
  addName(ns, parent, o.parent, o.name, o.fid, inode.mode & Mode.S_IFMT, o.time);
  return inode;
}

/** Checks what every new name must pass, and gives the directory. */
function mayAdd(ns: NamespaceEdit, who: Credential, fid: Fid, name: Uint8Array): Inode {
  checkName(name);
  const parent = ns.directory(fid);
  const acl = ns.acl(fid, parent);
  demand(who, parent, MAY_EXEC, acl);
  if (isDot(name) || isDotDot(name) || ns.lookup(fid, name) !== undefined)
    throw errnoError(17, { syscall: 'create' });
  demand(who, parent, MAY_WRITE | MAY_EXEC, acl);
  return parent;
}

function checkType(who: Credential, type: number, o: NewObject): void {
  switch (type) {
    case Mode.S_IFREG:
    case Mode.S_IFDIR:
    case Mode.S_IFIFO:
    case Mode.S_IFSOCK:
      return;
    case Mode.S_IFCHR:
    case Mode.S_IFBLK:
      // A whiteout (character device 0) is anybody's, as in Linux.
      if ((type === Mode.S_IFBLK || o.rdev !== 0n) && !capable(who, Capability.MKNOD))
        throw errnoError(1, { syscall: 'mknod' });
      return;
    case Mode.S_IFLNK:
      if (o.target === undefined || o.target.length === 0) throw errnoError(14, { syscall: 'symlink' });
      if (o.target.length > SYMLINK_MAX) throw errnoError(36, { syscall: 'symlink' });
      return;
    default:
      throw errnoError(95, { syscall: 'create' });
  }
}

function inheritGroup(who: Credential, parent: Inode, inode: Inode): void {
  if ((parent.mode & Mode.S_ISGID) !== 0) {
    inode.gid = parent.gid;
    if (isDirectory(inode)) inode.mode |= Mode.S_ISGID;
  }
  const both = Mode.S_ISGID | Mode.S_IXGRP;
  if (!isDirectory(inode) && (inode.mode & both) === both)
    if (!inGroup(who, inode.gid) && !capable(who, Capability.FSETID)) inode.mode &= ~Mode.S_ISGID;
}

/** What is made in a project's directory belongs to the project. */
function inheritProject(parent: Inode, inode: Inode): void {
  if ((parent.flags & InodeFlag.LUSTRE_PROJINHERIT_FL) === 0) return;
  inode.projid = parent.projid;
  if (isDirectory(inode)) inode.flags |= InodeFlag.LUSTRE_PROJINHERIT_FL;
}

/** Throws EXDEV where a name would bring something into a project that does not belong to it. */
export function demandProject(directory: Inode, inode: Inode): void {
  if ((directory.flags & InodeFlag.LUSTRE_PROJINHERIT_FL) !== 0 && directory.projid !== inode.projid)
    throw errnoError(18, { syscall: 'link' });
}

/** A default list of the directory replaces the umask (guide 11 §8). */
function inheritPermissions(ns: NamespaceEdit, o: NewObject, parent: Inode, inode: Inode): void {
  if ((inode.mode & Mode.S_IFMT) === Mode.S_IFLNK) return;
  const bytes = ns.unusualXattr(o.parent, parent, XattrName.XATTR_NAME_ACL_DEFAULT);
  if (bytes === undefined) {
    inode.mode &= ~(o.umask & 0o777);
    return;
  }
  const inherited = inheritAcl(decodeAcl(bytes), inode.mode);
  inode.mode = inherited.mode;
  if (!aclIsMode(inherited.acl))
    ns.setXattr(o.fid, XattrName.XATTR_NAME_ACL_ACCESS, encodeAcl(inherited.acl), inode);
  if (isDirectory(inode)) ns.setXattr(o.fid, XattrName.XATTR_NAME_ACL_DEFAULT, bytes, inode);
}

/** A directory takes its parent's default layout; the root's is the file system's and stays there (guide 13 §10). */
function inheritDefaultLayout(ns: NamespaceEdit, o: NewObject): void {
  if (sameFid(o.parent, ROOT_FID)) return;
  const layout = ns.xattr(o.parent, XattrName.XATTR_NAME_LOV);
  if (layout !== undefined) ns.setXattr(o.fid, XattrName.XATTR_NAME_LOV, layout);
}

/** Enters a name, with its times and link EA, in which `others` are those that the object has. `directory` is written. */
export function addName(
  ns: NamespaceEdit,
  directory: Inode,
  parent: Fid,
  name: Uint8Array,
  fid: Fid,
  type: number,
  time: bigint,
  others: readonly NamedBy[] = decodeLinks(ns.xattr(fid, XattrName.XATTR_NAME_LINK)),
): void {
  ns.putEntry(parent, name, fid, type);
  directory.mtime = time;
  directory.ctime = time;
  ns.putInode(parent, directory);
  ns.setXattr(fid, XattrName.XATTR_NAME_LINK, encodeLinks([...others, { parent, name }], time));
}
