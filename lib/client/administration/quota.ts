/**
 * Quotas (guide 17 §5): limits from the first MDT, which is their master, and what is used and allotted from every MDT and
 * OST.
 */
import { Errno, errnoError, errnoOf, LustreError } from '../../runtime/errors.ts';
import { QuotaCommand, QuotaType } from '../../wire/quota-constants.ts';
import type { Quota, QuotaKind, QuotaLimits, QuotaShare } from '../engine.ts';
import type { RequestOptions } from '../request-options.ts';
import type { Session } from '../session.ts';
import { type DiskQuota, type QuotaRequest, type QuotaTarget, quotactl } from './quotactl.ts';

const TYPES = {
  user: QuotaType.USRQUOTA,
  group: QuotaType.GRPQUOTA,
  project: QuotaType.PRJQUOTA,
} as const;
const QIF_BLIMITS = 1;
const QIF_ILIMITS = 4;
const KIB = 1024;

export interface QuotaOptions extends RequestOptions {
  /** Of what the user, group or project has on the OSTs of this pool. */
  readonly pool?: string | undefined;
}

/** Rejects with EPERM for somebody else's unless root asks, EOPNOTSUPP where servers keep no quotas, or none of pools, ENOENT
 * for a pool that there is not. */
export async function getQuota(
  session: Session,
  kind: QuotaKind,
  id: number,
  options: QuotaOptions,
): Promise<Quota> {
  const { who } = session;
  const own = kind === 'user' ? id === who.uid : kind === 'group' && [who.gid, ...who.groups].includes(id);
  if (who.uid !== 0 && !own)
    throw errnoError(Errno.EPERM, {
      ...options.context,
      hint: 'Others than root may ask for their own only',
    });
  const what = { type: TYPES[kind], id };
  const members = membersOf(session, options);
  const limits = await getLimits(session, what, options);
  const shares = await Promise.all([
    ...members.osts.map((target) => share(target, 'ost', what, options)),
    ...members.mdts.map((target) => share(target, 'mdt', what, options)),
  ]);
  const answered = shares.filter(({ used }) => used !== undefined);
  const sum = (of: (share: QuotaShare) => number): number => answered.reduce((n, one) => n + of(one), 0);
  return {
    kind,
    id,
    blocks: {
      used: sum((one) => one.used?.bytes ?? 0),
      soft: Number(limits.dqb_bsoftlimit) * KIB,
      hard: Number(limits.dqb_bhardlimit) * KIB,
      graceMs: Number(limits.dqb_btime) * 1000,
    },
    // Objects on OSTs are no files: those are the MDTs' to count.
    inodes: {
      used: sum((one) => (one.kind === 'mdt' ? (one.used?.inodes ?? 0) : 0)),
      soft: Number(limits.dqb_isoftlimit),
      hard: Number(limits.dqb_ihardlimit),
      graceMs: Number(limits.dqb_itime) * 1000,
    },
    targets: shares,
  };
}

/** Of a pool only its OSTs count. */
function membersOf(
  session: Session,
  { pool, context }: QuotaOptions,
): { readonly osts: readonly QuotaTarget[]; readonly mdts: readonly QuotaTarget[] } {
  const osts = [...session.osts.values()];
  if (pool === undefined) return { osts, mdts: [...session.mdts.values()] };
  const names = session.pools.get(pool);
  if (names === undefined)
    throw errnoError(Errno.ENOENT, {
      ...context,
      hint: `${session.fsname} has no pool '${pool}'; it has ${[...session.pools.keys()].join(', ') || 'none'}`,
    });
  return { osts: osts.filter(({ name }) => names.includes(`${name}_UUID`)), mdts: [] };
}

interface Whose {
  readonly type: number;
  readonly id: number;
}

function getLimits(session: Session, what: Whose, options: QuotaOptions): Promise<DiskQuota> {
  const { LUSTRE_Q_GETQUOTA, LUSTRE_Q_GETQUOTAPOOL } = QuotaCommand;
  const command = options.pool === undefined ? LUSTRE_Q_GETQUOTA : LUSTRE_Q_GETQUOTAPOOL;
  return askMaster(session, { command, ...what }, options);
}

/** Servers before 2.14 know quotas, but no pools of them. */
async function askMaster(session: Session, request: QuotaRequest, options: QuotaOptions): Promise<DiskQuota> {
  const { pool, context } = options;
  try {
    return await quotactl(master(session, options), { ...request, pool }, options);
  } catch (error) {
    const errno = errnoOf(error);
    const unknown = errno === Errno.EFAULT || errno === Errno.EOPNOTSUPP;
    if (pool === undefined || !unknown) throw error;
    const hint = `The servers keep no quotas of pools ('${pool}')`;
    throw errnoError(Errno.EOPNOTSUPP, { ...context, hint, cause: error as Error });
  }
}

async function share(
  target: QuotaTarget,
  kind: 'mdt' | 'ost',
  what: Whose,
  options: QuotaOptions,
): Promise<QuotaShare> {
  const { name, index } = target;
  try {
    const dq = await quotactl(target, { command: QuotaCommand.Q_GETOQUOTA, ...what }, options);
    const used = { bytes: Number(dq.dqb_curspace), inodes: Number(dq.dqb_curinodes) };
    return {
      name,
      kind,
      index,
      used,
      bytes: Number(dq.dqb_bhardlimit) * KIB,
      inodes: Number(dq.dqb_ihardlimit),
    };
  } catch (error) {
    if ((error as LustreError).code === 'ABORT_ERR') throw error;
    return { name, kind, index, used: undefined, bytes: 0, inodes: 0 };
  }
}

/** Sets what is given; a soft limit alone leaves the hard one as it is, and the other way round. */
export async function setQuota(
  session: Session,
  kind: QuotaKind,
  id: number,
  limits: QuotaLimits,
  options: QuotaOptions,
): Promise<void> {
  if (session.who.uid !== 0)
    throw errnoError(Errno.EPERM, { ...options.context, hint: 'Only root sets quotas' });
  const { blockSoft, blockHard, inodeSoft, inodeHard } = limits;
  const blocks = blockSoft !== undefined || blockHard !== undefined;
  const inodes = inodeSoft !== undefined || inodeHard !== undefined;
  if (!blocks && !inodes) throw errnoError(Errno.EINVAL, { ...options.context, hint: 'No limit is given' });
  const what = { type: TYPES[kind], id };
  const partial =
    (blocks && (blockSoft === undefined || blockHard === undefined)) ||
    (inodes && (inodeSoft === undefined || inodeHard === undefined));
  const { pool } = options;
  if (pool !== undefined && inodes)
    throw errnoError(Errno.EINVAL, { ...options.context, hint: 'A pool of OSTs has no limit of files' });
  const before = partial ? await getLimits(session, what, options) : undefined;
  const { LUSTRE_Q_SETQUOTA, LUSTRE_Q_SETQUOTAPOOL } = QuotaCommand;
  await askMaster(
    session,
    {
      command: pool === undefined ? LUSTRE_Q_SETQUOTA : LUSTRE_Q_SETQUOTAPOOL,
      ...what,
      limits: {
        dqb_bsoftlimit: blockSoft === undefined ? (before?.dqb_bsoftlimit ?? 0n) : kib(blockSoft, options),
        dqb_bhardlimit: blockHard === undefined ? (before?.dqb_bhardlimit ?? 0n) : kib(blockHard, options),
        dqb_isoftlimit: inodeSoft === undefined ? (before?.dqb_isoftlimit ?? 0n) : count(inodeSoft, options),
        dqb_ihardlimit: inodeHard === undefined ? (before?.dqb_ihardlimit ?? 0n) : count(inodeHard, options),
        dqb_valid: (blocks ? QIF_BLIMITS : 0) | (inodes ? QIF_ILIMITS : 0),
      },
    },
    options,
  );
}

function count(n: number, options: RequestOptions): bigint {
  if (!Number.isSafeInteger(n) || n < 0) throw errnoError(Errno.EINVAL, options.context);
  return BigInt(n);
}

/** Limits travel in KiB. */
const kib = (bytes: number, options: RequestOptions): bigint => count(Math.ceil(bytes / KIB), options);

function master(session: Session, options: RequestOptions): QuotaTarget {
  const mdt = session.mdts.get(0);
  if (mdt !== undefined) return mdt;
  throw new LustreError(
    'EIO',
    'there is no MDT0000, which keeps the quotas',
    options.context ?? {},
    -Errno.EIO,
  );
}

export type { DiskQuota };
