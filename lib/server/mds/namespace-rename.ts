/** rename(2) (guide 09 §6, RENAME): atomically, over a target or not, with Linux's order of checks. */

import { type Fid, sameFid } from '../../fid/fid.ts';
import { errnoError } from '../../runtime/errors.ts';
import { type Credential, demand, isDirectory, MAY_EXEC, MAY_WRITE, Mode } from './credential.ts';
import { fidKey, isOperative } from './fid-key.ts';
import { checkName, isDot, isDotDot } from './name-hash.ts';
import type { NamespaceEdit } from './namespace.ts';
import { addName, demandProject } from './namespace-create.ts';
import { dropLink, dropName, mayRemove, type RemovalContext, type Removed } from './namespace-remove.ts';

export interface Rename {
  readonly sourceParent: Fid;
  readonly sourceName: Uint8Array;
  readonly targetParent: Fid;
  readonly targetName: Uint8Array;
  readonly time: bigint;
}

/**
 * Gives what was moved and what was replaced, if anything was. Throws ENOENT, EINVAL (into its own subtree), ENOTEMPTY,
 * ENOTDIR, EISDIR, EACCES, EPERM, ENAMETOOLONG.
 */
export function rename(
  ns: NamespaceEdit,
  who: Credential,
  o: Rename,
  context: RemovalContext,
): { moved: Fid; replaced: Removed | undefined } {
  for (const name of [o.sourceName, o.targetName]) {
    checkName(name);
    if (isDot(name) || isDotDot(name)) throw errnoError(22, { syscall: 'rename' });
  }
  if (!isOperative(o.sourceParent) || !isOperative(o.targetParent))
    throw errnoError(1, { syscall: 'rename' });
  const sameParent = sameFid(o.sourceParent, o.targetParent);
  const sourceDirectory = ns.directory(o.sourceParent);
  const targetDirectory = sameParent ? sourceDirectory : ns.directory(o.targetParent);
  demand(who, sourceDirectory, MAY_EXEC, ns.acl(o.sourceParent, sourceDirectory));
  demand(who, targetDirectory, MAY_EXEC, ns.acl(o.targetParent, targetDirectory));

  const source = ns.lookup(o.sourceParent, o.sourceName);
  if (source === undefined) throw errnoError(2, { syscall: 'rename' });
  const target = ns.lookup(o.targetParent, o.targetName);
  const inode = ns.inode(source.fid);
  const moving = isDirectory(inode);
  if (moving && ns.isWithin(o.targetParent, fidKey(source.fid))) throw errnoError(22, { syscall: 'rename' });
  if (target !== undefined && ns.isWithin(o.sourceParent, fidKey(target.fid)))
    throw errnoError(39, { syscall: 'rename' });
  if (target !== undefined && sameFid(source.fid, target.fid))
    return { moved: source.fid, replaced: undefined };

  mayRemove(ns, who, o.sourceParent, sourceDirectory, inode, moving);
  if (target === undefined)
    demand(who, targetDirectory, MAY_WRITE | MAY_EXEC, ns.acl(o.targetParent, targetDirectory));
  else mayRemove(ns, who, o.targetParent, targetDirectory, ns.inode(target.fid), moving);
  if (!sameParent) demandProject(targetDirectory, inode);
  // Its '..' changes.
  if (moving && !sameParent) demand(who, inode, MAY_WRITE, ns.acl(source.fid, inode));
  if (target !== undefined && moving && !ns.isEmpty(target.fid)) throw errnoError(39, { syscall: 'rename' });

  let replaced: Removed | undefined;
  if (target !== undefined) {
    if (moving) targetDirectory.nlink--;
    dropName(ns, o.targetParent, targetDirectory, o.targetName, target.fid, o.time);
    replaced = { fid: target.fid, inode: dropLink(ns, target.fid, ns.inode(target.fid), o.time, context) };
  }
  inode.ctime = o.time;
  if (moving && !sameParent) {
    sourceDirectory.nlink--;
    targetDirectory.nlink++;
    inode.parent = o.targetParent;
  }
  ns.putInode(source.fid, inode);
  dropName(ns, o.sourceParent, sourceDirectory, o.sourceName, source.fid, o.time);
  addName(ns, targetDirectory, o.targetParent, o.targetName, source.fid, inode.mode & Mode.S_IFMT, o.time);
  return { moved: source.fid, replaced };
}
