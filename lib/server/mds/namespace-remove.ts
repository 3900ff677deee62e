/** Names that go: unlink, rmdir, and what becomes of an object without a name (guide 09 §5.4, §6). */

import type { Fid } from '../../fid/fid.ts';
import { errnoError } from '../../runtime/errors.ts';
import { InodeFlag } from '../../wire/mds-constants.ts';
import { XattrName } from '../../wire/names.ts';
import { type Credential, demand, isDirectory, MAY_EXEC, MAY_WRITE, stickyForbids } from './credential.ts';
import { isOperative } from './fid-key.ts';
import { decodeLinks, encodeLinks, withoutLink } from './link-ea.ts';
import { checkName, isDot, isDotDot } from './name-hash.ts';
import type { NamespaceEdit } from './namespace.ts';
import type { Inode } from './records.ts';

/** What an object still does when its last name goes. */
export interface RemovalContext {
  /** Somebody has it open. */
  isOpen(fid: Fid): boolean;
  /** Its layout EA: the objects are to be destroyed, in the same transaction. */
  destroyObjects(ns: NamespaceEdit, layout: Uint8Array): void;
}

export interface Removed {
  readonly fid: Fid;
  /** As it is after: nlink 0 when that was the last name. */
  readonly inode: Inode;
}

/** Throws ENOENT, ENOTDIR, EISDIR, ENOTEMPTY, EACCES, EPERM, EINVAL, ENAMETOOLONG. */
export function unlink(
  ns: NamespaceEdit,
  who: Credential,
  o: {
    readonly parent: Fid;
    readonly name: Uint8Array;
    readonly directory: boolean;
    readonly time: bigint;
  },
  context: RemovalContext,
): Removed {
  checkName(o.name);
  if (!isOperative(o.parent)) throw errnoError(1, { syscall: 'unlink' });
  const parent = ns.directory(o.parent);
  demand(who, parent, MAY_EXEC, ns.acl(o.parent, parent));
  if (isDot(o.name)) throw errnoError(22, { syscall: 'rmdir' });
  if (isDotDot(o.name)) throw errnoError(39, { syscall: 'rmdir' });
  const entry = ns.lookup(o.parent, o.name);
  if (entry === undefined) throw errnoError(2, { syscall: 'unlink' });
  const { fid } = entry;
  if (!isOperative(fid)) throw errnoError(1, { syscall: 'unlink' });
  const inode = ns.inode(fid);
  mayRemove(ns, who, o.parent, parent, inode, o.directory);
  if (o.directory && !ns.isEmpty(fid)) throw errnoError(39, { syscall: 'rmdir' });
  if (o.directory) parent.nlink--;
  const goes = (o.directory || inode.nlink === 1) && !context.isOpen(fid);
  takeOut(ns, o.parent, parent, o.name, o.time);
  // What goes as a whole need not be told before that it has lost a name.
  if (!goes) dropFromLinks(ns, o.parent, o.name, fid, o.time);
  return { fid, inode: dropLink(ns, fid, inode, o.time, context) };
}

/** The rights to take `victim`'s name out of a directory, and that it is of the wanted kind. */
export function mayRemove(
  ns: NamespaceEdit,
  who: Credential,
  parentFid: Fid,
  parent: Inode,
  victim: Inode,
  wantDirectory: boolean,
): void {
  demand(who, parent, MAY_WRITE | MAY_EXEC, ns.acl(parentFid, parent));
  if ((parent.flags & InodeFlag.LUSTRE_APPEND_FL) !== 0) throw errnoError(1, { syscall: 'unlink' });
  const locked = InodeFlag.LUSTRE_IMMUTABLE_FL | InodeFlag.LUSTRE_APPEND_FL;
  if (stickyForbids(who, parent, victim) || (victim.flags & locked) !== 0)
    throw errnoError(1, { syscall: 'unlink' });
  if (wantDirectory && !isDirectory(victim)) throw errnoError(20, { syscall: 'rmdir' });
  if (!wantDirectory && isDirectory(victim)) throw errnoError(21, { syscall: 'unlink' });
}

/** Takes a name out of a directory, with its times and link EA. `directory` is written. */
export function dropName(
  ns: NamespaceEdit,
  parent: Fid,
  directory: Inode,
  name: Uint8Array,
  fid: Fid,
  time: bigint,
): void {
  takeOut(ns, parent, directory, name, time);
  dropFromLinks(ns, parent, name, fid, time);
}

function takeOut(ns: NamespaceEdit, parent: Fid, directory: Inode, name: Uint8Array, time: bigint): void {
  ns.removeEntry(parent, name);
  directory.mtime = time;
  directory.ctime = time;
  ns.putInode(parent, directory);
}

function dropFromLinks(ns: NamespaceEdit, parent: Fid, name: Uint8Array, fid: Fid, time: bigint): void {
  const links = withoutLink(decodeLinks(ns.xattr(fid, XattrName.XATTR_NAME_LINK)), parent, name);
  ns.setXattr(fid, XattrName.XATTR_NAME_LINK, encodeLinks(links, time));
}

/** One link less; without any the object goes, or waits among the orphans for its last close. */
export function dropLink(
  ns: NamespaceEdit,
  fid: Fid,
  inode: Inode,
  time: bigint,
  context: RemovalContext,
): Inode {
  inode.nlink = isDirectory(inode) ? 0 : inode.nlink - 1;
  inode.ctime = time;
  if (inode.nlink === 0 && !context.isOpen(fid)) {
    inode.version = ns.version;
    remove(ns, fid, inode, context);
    return inode;
  }
  ns.putInode(fid, inode);
  if (inode.nlink === 0) ns.addOrphan(fid);
  return inode;
}

/** Removes one of the orphans, and has its objects destroyed. */
export function destroy(ns: NamespaceEdit, fid: Fid, context: RemovalContext): void {
  ns.removeOrphan(fid);
  remove(ns, fid, ns.find(fid), context);
}

function remove(ns: NamespaceEdit, fid: Fid, inode: Inode | undefined, context: RemovalContext): void {
  const layout = ns.xattr(fid, XattrName.XATTR_NAME_LOV);
  if (inode !== undefined && !isDirectory(inode) && layout !== undefined) context.destroyObjects(ns, layout);
  ns.removeInode(fid, inode, layout);
}
