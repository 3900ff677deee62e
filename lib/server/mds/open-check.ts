/** Whether an object may be opened, and whether there is anything to open (guide 09 §5.1 steps 6 and 7). */
import type { Export } from '../../connection/target.ts';
import { errnoError } from '../../runtime/errors.ts';
import { ConnectFlag } from '../../wire/connection-constants.ts';
import { InodeFlag, OpenFlag } from '../../wire/mds-constants.ts';
import {
  type Credential,
  demand,
  isDirectory,
  isRegular,
  MAY_EXEC,
  MAY_READ,
  MAY_WRITE,
  Mode,
} from './credential.ts';
import type { PosixAcl } from './posix-acl.ts';
import type { Inode } from './records.ts';

const F = OpenFlag;

/**
 * True when a handle is to be made; false for what is not opened here: symbolic links, and special files of clients that
 * open them themselves. Throws EISDIR, ENOTDIR, EACCES, EPERM, ENOENT.
 */
export function mayOpen(
  client: Export,
  acl: PosixAcl | undefined,
  who: Credential,
  inode: Inode,
  flags: bigint,
): boolean {
  const has = (bits: bigint): boolean => (flags & bits) !== 0n;
  const directory = isDirectory(inode);
  if (directory && has(F.MDS_FMODE_WRITE | F.MDS_OPEN_CREAT | F.MDS_OPEN_TRUNC))
    throw errnoError(21, { syscall: 'open' });
  if (!directory && has(F.MDS_OPEN_DIRECTORY)) throw errnoError(20, { syscall: 'open' });
  if ((inode.mode & Mode.S_IFMT) === Mode.S_IFLNK) return false;
  const special = !directory && !isRegular(inode);
  if (special && (client.connectData.ocd_connect_flags & ConnectFlag.OBD_CONNECT_NODEVOH) !== 0n)
    return false;
  if (directory && inode.nlink === 0) throw errnoError(2, { syscall: 'open' });
  let want = 0;
  if (has(F.MDS_FMODE_READ)) want |= MAY_READ;
  if (has(F.MDS_FMODE_WRITE | F.MDS_OPEN_TRUNC)) want |= MAY_WRITE;
  if (has(F.MDS_FMODE_EXEC | F.MDS_FMODE_EXECUTE)) want |= MAY_EXEC;
  const override = has(F.MDS_OPEN_OWNEROVERRIDE) && who.uid === inode.uid;
  if (!override) demand(who, inode, want, acl);
  const appendOnly = (inode.flags & InodeFlag.LUSTRE_APPEND_FL) !== 0;
  if (appendOnly && ((has(F.MDS_FMODE_WRITE) && !has(F.MDS_OPEN_APPEND)) || has(F.MDS_OPEN_TRUNC)))
    throw errnoError(1, { syscall: 'open' });
  return true;
}
