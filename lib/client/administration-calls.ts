/** Calls of the engine that serve those who look after a file system: projects and quotas. */
import { Errno, errnoError } from '../runtime/errors.ts';
import { InodeBit } from '../wire/ldlm-constants.ts';
import { InodeFlag } from '../wire/mds-constants.ts';
import { earlyCancels } from './early-cancels.ts';
import type { Project, Quota, QuotaKind, QuotaLimits } from './engine.ts';
import { supplementaryGroup } from './mdc/credentials.ts';
import { setattr } from './mdc/reint-setattr.ts';
import { options } from './path-walk.ts';
import { getQuota, setQuota } from './quota.ts';
import { RangeCalls } from './range-calls.ts';

/** Flags that a change of an object's flags says again; the others are the server's own. */
const FLAGS_KEPT =
  InodeFlag.LUSTRE_IMMUTABLE_FL |
  InodeFlag.LUSTRE_APPEND_FL |
  InodeFlag.LUSTRE_NODUMP_FL |
  InodeFlag.LUSTRE_NOATIME_FL |
  InodeFlag.LUSTRE_SYNC_FL;

export class AdministrationCalls extends RangeCalls {
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

  getQuota(kind: QuotaKind, id: number, operation?: number): Promise<Quota> {
    return this.run('quotactl', '/', operation, (context) =>
      getQuota(this.session, kind, id, options(context)),
    );
  }

  setQuota(kind: QuotaKind, id: number, limits: QuotaLimits, operation?: number): Promise<void> {
    return this.run('setquota', '/', operation, (context) =>
      setQuota(this.session, kind, id, limits, options(context)),
    );
  }
}
