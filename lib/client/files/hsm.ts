/** Files in archives (guide 17 §9): their states, what a copy tool is asked to do with them, and giving up their data. */
import type { Fid } from '../../fid/fid.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { HsmState as Bit, HsmAction } from '../../wire/hsm-constants.ts';
import { OpBias, OpenFlag } from '../../wire/mds-constants.ts';
import type { HsmFlag, HsmRequestAction, HsmState, HsmStateChange } from '../engine.ts';
import { supplementaryGroup } from '../mdc/credentials.ts';
import { hsmAction, hsmState, requestHsm, setHsmState } from '../mdc/hsm.ts';
import type { MetadataTarget } from '../mdc/target.ts';
import type { Inode } from '../namespace/inodes.ts';
import { options, type WalkContext } from '../namespace/path-walk.ts';
import type { Session } from '../session.ts';
import type { FileRanges } from './file-ranges.ts';
import type { Files } from './files.ts';
import { closeLease, openLease } from './lease.ts';

const FLAGS: Readonly<Record<HsmFlag, number>> = {
  exists: Bit.HS_EXISTS,
  dirty: Bit.HS_DIRTY,
  released: Bit.HS_RELEASED,
  archived: Bit.HS_ARCHIVED,
  norelease: Bit.HS_NORELEASE,
  noarchive: Bit.HS_NOARCHIVE,
  lost: Bit.HS_LOST,
};
const ACTIONS: Readonly<Record<HsmRequestAction, number>> = {
  archive: HsmAction.HUA_ARCHIVE,
  restore: HsmAction.HUA_RESTORE,
  remove: HsmAction.HUA_REMOVE,
  cancel: HsmAction.HUA_CANCEL,
};
const ACTION_NAMES = new Map<number, string>([
  [HsmAction.HUA_ARCHIVE, 'archive'],
  [HsmAction.HUA_RESTORE, 'restore'],
  [HsmAction.HUA_RELEASE, 'release'],
  [HsmAction.HUA_REMOVE, 'remove'],
  [HsmAction.HUA_CANCEL, 'cancel'],
]);
const PROGRESS = ['none', 'waiting', 'running', 'done'] as const;
/** Files of one request. */
const ITEMS_MAX = 256;

export async function getHsmState(session: Session, inode: Inode, context: WalkContext): Promise<HsmState> {
  const { mdt, fid } = inode;
  const { who } = session;
  const group = supplementaryGroup(who, inode.body.mbo_gid);
  const state = await hsmState(mdt, fid, who, group, options(context));
  const action = await hsmAction(mdt, fid, who, group, options(context)).catch((error: unknown) => {
    // A server without a coordinator does nothing with files.
    if (error instanceof Error && 'errno' in error && error.errno === -Errno.EOPNOTSUPP) return undefined;
    throw error;
  });
  const names = Object.entries(FLAGS) as [HsmFlag, number][];
  const name = ACTION_NAMES.get(action?.hca_action ?? 0);
  return {
    flags: names.filter(([, bit]) => (state.hus_states & bit) !== 0).map(([flag]) => flag),
    archiveId: state.hus_archive_id,
    ...(action !== undefined &&
      name !== undefined && {
        action: {
          name,
          progress: PROGRESS[action.hca_state] ?? 'none',
          bytes: Number(action.hca_location.length),
        },
      }),
  };
}

export async function changeHsmState(
  session: Session,
  inode: Inode,
  { set = [], clear = [], archiveId }: HsmStateChange,
  context: WalkContext,
): Promise<void> {
  const bits = (flags: readonly HsmFlag[]): number =>
    flags.reduce((sum, flag) => {
      const bit = FLAGS[flag];
      if (bit === undefined)
        throw errnoError(Errno.EINVAL, { ...options(context).context, hint: `'${flag}' is no HSM flag` });
      return sum | bit;
    }, 0);
  const change = { set: bits(set), clear: bits(clear), ...(archiveId !== undefined && { archiveId }) };
  const { who } = session;
  const group = supplementaryGroup(who, inode.body.mbo_gid);
  await setHsmState(inode.mdt, inode.fid, change, who, group, options(context));
  inode.expire();
}

/** Asks for work on files, each at its own MDT. Resolves when it is noted down, not when it is done. */
export async function askHsm(
  session: Session,
  action: HsmRequestAction,
  inodes: readonly Inode[],
  archiveId: number,
  context: WalkContext,
): Promise<void> {
  const byMdt = new Map<MetadataTarget, Fid[]>();
  for (const { mdt, fid } of inodes) byMdt.set(mdt, [...(byMdt.get(mdt) ?? []), fid]);
  for (const [mdt, all] of byMdt) {
    for (let at = 0; at < all.length; at += ITEMS_MAX) {
      const fids = all.slice(at, at + ITEMS_MAX);
      const work = { action: ACTIONS[action], archiveId, fids };
      await requestHsm(mdt, work, session.who, options(context));
    }
  }
}

/** Gives up the data of an archived file on the OSTs. Rejects with EPERM for one that is not archived or has changed since. */
export async function releaseFile(
  session: Session,
  { files, ranges }: { readonly files: Files; readonly ranges: FileRanges },
  inode: Inode,
  context: WalkContext,
): Promise<void> {
  const flags = OpenFlag.MDS_FMODE_WRITE | OpenFlag.MDS_OPEN_RELEASE;
  const lease = await openLease(session, inode, flags, context);
  let attributes = await files.attributes(inode, context, false);
  let version: bigint;
  let unnamed: Fid;
  try {
    version = await ranges.inodeVersion(inode, 'write', context);
    attributes = await files.attributes(inode, context);
    // The MDT makes a file without a name by this FID, which takes the objects along when it goes.
    unnamed = await inode.mdt.fids.allocate();
  } catch (error) {
    await closeLease(session, lease, attributes, undefined, context);
    throw error;
  }
  const data = { cd_data_version: version, cd_fid: unnamed };
  const intent = { bias: OpBias.MDS_HSM_RELEASE, data, exact: true };
  await closeLease(session, lease, attributes, intent, context);
  inode.expire();
}
