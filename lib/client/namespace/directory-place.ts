/** Where a directory is, as `lfs getdirstripe` tells it. */
import { formatFid } from '../../fid/fid.ts';
import { type DirectoryHash, directoryHashes } from '../../layout/directory-layout.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { LmvConstant } from '../../wire/layout-constants.ts';
import type { DirectoryPlace } from '../engine.ts';
import { mdtOf, type Session } from '../session.ts';
import { isDirectory } from './attributes.ts';
import type { Inode } from './inodes.ts';
import { options, type WalkContext } from './path-walk.ts';

/** Flags that a user may want to know of. */
const FLAGS = [
  ['fixed', LmvConstant.LMV_HASH_FLAG_FIXED],
  ['merge', LmvConstant.LMV_HASH_FLAG_MERGE],
  ['split', LmvConstant.LMV_HASH_FLAG_SPLIT],
  ['lost_lmv', LmvConstant.LMV_HASH_FLAG_LOST_LMV],
  ['bad_type', LmvConstant.LMV_HASH_FLAG_BAD_TYPE],
  ['migrating', LmvConstant.LMV_HASH_FLAG_MIGRATION],
] as const;

/** Rejects with ENOTDIR for anything else. */
export async function placeOfDirectory(
  session: Session,
  inode: Inode,
  context: WalkContext,
): Promise<DirectoryPlace> {
  if (!isDirectory(inode.body.mbo_mode)) throw errnoError(Errno.ENOTDIR, options(context).context);
  const { directory, directoryDefault } = inode;
  const shards = await Promise.all(
    (directory?.shards ?? []).map(async (fid) => ({
      mdtIndex: (await mdtOf(session, fid)).index,
      fid: formatFid(fid),
    })),
  );
  const type = (directory?.hashType ?? 0) & LmvConstant.LMV_HASH_TYPE_MASK;
  const hash = (Object.keys(directoryHashes) as DirectoryHash[]).find(
    (name) => directoryHashes[name] === type,
  );
  return {
    mdtIndex: inode.mdt.index,
    fid: formatFid(inode.fid),
    shards,
    hash: directory === undefined ? undefined : (hash ?? `unknown ${type}`),
    flags: FLAGS.filter(([, flag]) => ((directory?.hashType ?? 0) & flag) !== 0).map(([name]) => name),
    default: directoryDefault,
  };
}
