/** Calls of the engine that serve those who look after a file system: archives, changelogs, projects and quotas. */
import { Errno, errnoError } from '../../runtime/errors.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import { InodeFlag } from '../../wire/mds-constants.ts';
import { ChangelogReader, clearChangelog } from '../administration/changelog-reader.ts';
import { getQuota, setQuota } from '../administration/quota.ts';
import type {
  ChangelogRecord,
  HsmRequestAction,
  HsmState,
  HsmStateChange,
  MdtName,
  Project,
  Quota,
  QuotaKind,
  QuotaLimits,
} from '../engine.ts';
import { askHsm, changeHsmState, getHsmState, releaseFile } from '../files/hsm.ts';
import { supplementaryGroup } from '../mdc/credentials.ts';
import { setattr } from '../mdc/reint-setattr.ts';
import type { MetadataTarget } from '../mdc/target.ts';
import { isRegular } from '../namespace/attributes.ts';
import { earlyCancels } from '../namespace/early-cancels.ts';
import { options } from '../namespace/path-walk.ts';
import { untilAborted } from '../request-options.ts';
import { RangeCalls } from './range-calls.ts';

/** Flags that a change of an object's flags says again; the others are the server's own. */
const FLAGS_KEPT =
  InodeFlag.LUSTRE_IMMUTABLE_FL |
  InodeFlag.LUSTRE_APPEND_FL |
  InodeFlag.LUSTRE_NODUMP_FL |
  InodeFlag.LUSTRE_NOATIME_FL |
  InodeFlag.LUSTRE_SYNC_FL;

export class AdministrationCalls extends RangeCalls {
  readonly #changelogs = new Map<number, { readonly reader: ChangelogReader; readonly name: string }>();

  openChangelog(name: MdtName, from: bigint, operation?: number): Promise<number> {
    return this.run('changelog', String(name), operation, async () => {
      const mdt = this.#mdt(name);
      const handle = this.nextHandle++;
      const reader = new ChangelogReader(mdt, this.session.who, from);
      this.#changelogs.set(handle, { reader, name: mdt.name });
      return handle;
    });
  }

  async readChangelog(handle: number, operation?: number): Promise<readonly ChangelogRecord[]> {
    const open = this.#changelogs.get(handle);
    if (open === undefined) throw errnoError(Errno.EBADF, { syscall: 'changelog' });
    return this.run('changelog', open.name, operation, ({ signal }) =>
      untilAborted(open.reader.read(), signal),
    );
  }

  clearChangelog(name: MdtName, user: string, upTo: bigint, operation?: number): Promise<void> {
    return this.run('changelog_clear', String(name), operation, (context) =>
      clearChangelog(this.#mdt(name), user, upTo, this.session.who, options(context)),
    );
  }

  getHsmState(path: string, operation?: number): Promise<HsmState> {
    return this.run('hsm_state', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, true, 'lookup', context);
      return getHsmState(this.session, inode, context);
    });
  }

  setHsmState(path: string, change: HsmStateChange, operation?: number): Promise<void> {
    return this.run('hsm_set', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, true, 'lookup', context);
      await changeHsmState(this.session, inode, change, context);
    });
  }

  requestHsm(
    action: HsmRequestAction,
    paths: readonly string[],
    archiveId: number,
    operation?: number,
  ): Promise<void> {
    return this.run('hsm_request', paths[0] ?? '', operation, async (context) => {
      const inodes = [];
      for (const path of paths)
        inodes.push(await this.walker.resolve(path, true, 'lookup', { ...context, path }));
      await askHsm(this.session, action, inodes, archiveId, context);
    });
  }

  releaseHsm(path: string, operation?: number): Promise<void> {
    return this.run('hsm_release', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, true, 'getattr', context);
      if (!isRegular(inode.body.mbo_mode)) throw errnoError(Errno.EINVAL, options(context).context);
      await releaseFile(this.session, { files: this.files, ranges: this.ranges }, inode, context);
    });
  }

  protected override async closeOpen(handle: number): Promise<void> {
    if (!this.#changelogs.delete(handle)) await super.closeOpen(handle);
  }

  #mdt(name: MdtName): MetadataTarget {
    for (const mdt of this.session.mdts.values()) if (mdt.index === name || mdt.name === name) return mdt;
    const known = [...this.session.mdts.values()].map((mdt) => mdt.name).join(', ');
    throw errnoError(Errno.ENODEV, { syscall: 'changelog', path: String(name), hint: `There are ${known}` });
  }

  getProject(path: string, operation?: number): Promise<Project> {
    return this.run('getProject', path, operation, async (context) => {
      const { body } = await this.walker.resolve(path, false, 'getattr', context);
      return { id: body.mbo_projid, inherit: (body.mbo_flags & InodeFlag.LUSTRE_PROJINHERIT_FL) !== 0 };
    });
  }

  setProject(path: string, change: Partial<Project>, operation?: number): Promise<void> {
    return this.run('setProject', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, false, 'getattr', context);
      const { mbo_flags, mbo_projid, mbo_gid } = inode.body;
      const { id = mbo_projid } = change;
      if (!Number.isInteger(id) || id < 0 || id > 0xffff_fffe)
        throw errnoError(Errno.EINVAL, options(context).context);
      const inherit = change.inherit ?? (mbo_flags & InodeFlag.LUSTRE_PROJINHERIT_FL) !== 0;
      const flags = (mbo_flags & FLAGS_KEPT) | (inherit ? InodeFlag.LUSTRE_PROJINHERIT_FL : 0);
      const { who } = this.session;
      const what = {
        fid: inode.fid,
        project: { id, flags },
        group: supplementaryGroup(who, mbo_gid),
        cancels: await earlyCancels(inode.mdt, inode, InodeBit.MDS_INODELOCK_UPDATE),
      };
      inode.body = await setattr(inode.mdt, what, who, options(context));
      inode.expire();
    });
  }

  getQuota(kind: QuotaKind, id: number, pool: string | undefined, operation?: number): Promise<Quota> {
    return this.run('quotactl', '/', operation, (context) =>
      getQuota(this.session, kind, id, { ...options(context), pool }),
    );
  }

  setQuota(
    kind: QuotaKind,
    id: number,
    limits: QuotaLimits,
    pool: string | undefined,
    operation?: number,
  ): Promise<void> {
    return this.run('setquota', '/', operation, (context) =>
      setQuota(this.session, kind, id, limits, { ...options(context), pool }),
    );
  }
}
