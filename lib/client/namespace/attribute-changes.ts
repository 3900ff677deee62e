/** What a change of attributes asks of the MDT (guide 11 §3), and which locks of ours go with the request (guide 09 §6). */
import { InodeBit } from '../../wire/ldlm-constants.ts';
import type { AttributeChanges } from '../engine.ts';
import { type Credentials, supplementaryGroup } from '../mdc/credentials.ts';
import type { Setattr } from '../mdc/reint-setattr.ts';
import { isRegular } from './attributes.ts';
import { earlyCancels } from './early-cancels.ts';
import type { Inode } from './inodes.ts';

/** What a server takes back of everybody when attributes change. */
const CHANGES_TIMES = InodeBit.MDS_INODELOCK_UPDATE;
const CHANGES_PERMISSION =
  InodeBit.MDS_INODELOCK_UPDATE | InodeBit.MDS_INODELOCK_LOOKUP | InodeBit.MDS_INODELOCK_PERM;

/** Times are kept in whole seconds. */
export const toSeconds = (ms: number): bigint => BigInt(Math.floor(ms / 1000));

/** The times that the caller chose. */
export function chosenTimes({ atimeMs, mtimeMs }: AttributeChanges): { atime?: bigint; mtime?: bigint } {
  return {
    ...(atimeMs !== undefined && { atime: toSeconds(atimeMs) }),
    ...(mtimeMs !== undefined && { mtime: toSeconds(mtimeMs) }),
  };
}

export async function attributeRequest(
  inode: Inode,
  changes: AttributeChanges,
  who: Credentials,
): Promise<Setattr> {
  const { mode, uid, gid } = changes;
  const permission = mode !== undefined || uid !== undefined || gid !== undefined;
  return {
    fid: inode.fid,
    ...(mode !== undefined && { mode: (inode.body.mbo_mode & ~0o7777) | (mode & 0o7777) }),
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
    killIdBits: (uid !== undefined || gid !== undefined) && isRegular(inode.body.mbo_mode),
    ...chosenTimes(changes),
    group: supplementaryGroup(who, gid ?? inode.body.mbo_gid),
    cancels: await earlyCancels(inode.mdt, inode, permission ? CHANGES_PERMISSION : CHANGES_TIMES),
  };
}
