/** Projects and quotas: requests against those of a kernel client, what comes of replies, projects on our own servers. */
import { describe, expect, it } from 'vitest';
import { quotaText } from '../../lib/cli/quota.ts';
import { getQuota, setQuota } from '../../lib/client/administration/quota.ts';
import { quotactlRequest } from '../../lib/client/administration/quotactl.ts';
import { getattrRequest } from '../../lib/client/mdc/getattr.ts';
import { setattrRequest } from '../../lib/client/mdc/reint-setattr.ts';
import type { Session } from '../../lib/client/session.ts';
import { parseFid } from '../../lib/fid/fid.ts';
import type { Caller } from '../../lib/rpc/rpc.ts';
import { errnoError } from '../../lib/runtime/errors.ts';
import { decodeBuffers } from '../../lib/wire/format.ts';
import * as formats from '../../lib/wire/formats.ts';
import { QuotaCommand as Q } from '../../lib/wire/quota-constants.ts';
import { buffersOf, capturedMessage, encoded } from './captured.ts';
import { pattern, withCluster } from './sim-cluster.ts';

const MDS = 48;
const OST = 19;
const ALICE = 1000;
const root = { uid: 0, gid: 0, groups: [], umask: 0o022 };

describe('requests equal those of a kernel client', () => {
  it('project of a directory, and the look before it (05 pkt 714, 718)', () => {
    const fid = parseFid('[0x240000403:0x1:0x0]');
    const what = { fid, project: { id: 1234, flags: 0x2000_0000 }, group: 0, cancels: [0x12a02812f77cf3aan] };
    expect(encoded(formats.RQF_MDS_REINT_SETATTR, setattrRequest(what, root, 0n))).toEqual(
      buffersOf(capturedMessage('05-attrs', 718, 36)),
    );
    expect(encoded(formats.RQF_MDS_GETATTR, getattrRequest(fid, 0x801n, 0, root))).toEqual(
      buffersOf(capturedMessage('05-attrs', 714, 33)),
    );
  });

  it('quota limits, usage, and their setting (05 pkt 671, 674, 665)', () => {
    const alice = { type: 0, id: ALICE };
    const get = quotactlRequest({ command: Q.LUSTRE_Q_GETQUOTA, ...alice });
    expect(encoded(formats.RQF_MDS_QUOTACTL, get)).toEqual(buffersOf(capturedMessage('05-attrs', 671, MDS)));
    const use = quotactlRequest({ command: Q.Q_GETOQUOTA, ...alice });
    expect(encoded(formats.RQF_OST_QUOTACTL, use)).toEqual(buffersOf(capturedMessage('05-attrs', 674, OST)));
    const limits = {
      dqb_bsoftlimit: 10240n,
      dqb_bhardlimit: 20480n,
      dqb_isoftlimit: 100n,
      dqb_ihardlimit: 200n,
      dqb_valid: 5,
    };
    const set = quotactlRequest({ command: Q.LUSTRE_Q_SETQUOTA, ...alice, limits });
    expect(encoded(formats.RQF_MDS_QUOTACTL, set)).toEqual(buffersOf(capturedMessage('05-attrs', 665, MDS)));
  });
});

/** Targets that answer out of capture 05; the requests that they were sent. */
function capturedTargets(
  uid = 0,
  pools = true,
): { session: Session; sent: [string, number, bigint, ...string[]][] } {
  const sent: [string, number, bigint, ...string[]][] = [];
  const target = (name: string, index: number, frames: { [command: number]: readonly [number, number] }) => ({
    name,
    index,
    caller: {
      async call(format: typeof formats.RQF_MDS_QUOTACTL, request: ReturnType<typeof quotactlRequest>) {
        const { qc_cmd = 0, qc_dqblk, qc_poolname } = request.obd_quotactl ?? {};
        sent.push([
          name,
          qc_cmd,
          BigInt(qc_dqblk?.dqb_bhardlimit ?? 0),
          ...(qc_poolname ? [qc_poolname] : []),
        ]);
        const frame = frames[qc_cmd];
        if (frame === undefined) throw errnoError(95, { target: name });
        return { values: decodeBuffers(format.reply, capturedMessage('05-attrs', ...frame)) };
      },
    } as object as Caller,
  });
  const mdts = [
    target('lab-MDT0000', 0, {
      [Q.LUSTRE_Q_GETQUOTA]: [672, MDS],
      [Q.LUSTRE_Q_SETQUOTA]: [667, MDS],
      // As these were answered; nobody asked for a pool there.
      ...(pools && { [Q.LUSTRE_Q_GETQUOTAPOOL]: [672, MDS], [Q.LUSTRE_Q_SETQUOTAPOOL]: [667, MDS] }),
      [Q.Q_GETOQUOTA]: [679, MDS],
    }),
    target('lab-MDT0001', 1, { [Q.Q_GETOQUOTA]: [681, MDS] }),
  ];
  const osts = [
    target('lab-OST0000', 0, { [Q.Q_GETOQUOTA]: [675, OST] }),
    target('lab-OST0001', 1, { [Q.Q_GETOQUOTA]: [677, OST] }),
    target('lab-OST0002', 2, {}),
  ];
  const byIndex = (list: typeof mdts) => new Map(list.map((one) => [one.index, one]));
  const who = { ...root, uid };
  const fast = ['lab-OST0001_UUID'];
  const session = {
    fsname: 'lab',
    mdts: byIndex(mdts),
    osts: byIndex(osts),
    who,
    pools: new Map([['fast', fast]]),
  };
  return { session: session as object as Session, sent };
}

describe('a quota', () => {
  it('is limits of the master and use of all targets, as lfs quota -v showed it', async () => {
    const { session } = capturedTargets();
    const quota = await getQuota(session, 'user', ALICE, {});
    expect(quota.blocks).toEqual({ used: 4096, soft: 10 << 20, hard: 20 << 20, graceMs: 0 });
    expect(quota.inodes).toEqual({ used: 1, soft: 100, hard: 200, graceMs: 0 });
    expect(quota.targets.map(({ name, used }) => [name, used?.bytes, used?.inodes])).toEqual([
      ['lab-OST0000', 0, 0],
      ['lab-OST0001', 4096, 1],
      ['lab-OST0002', undefined, undefined],
      ['lab-MDT0000', 0, 1],
      ['lab-MDT0001', 0, 0],
    ]);
    const text = quotaText('/lab', 'alice', quota, true);
    expect(text).toMatch(/^Disk quotas for usr alice \(uid 1000\):\n/);
    expect(text).toMatch(/\/lab +4 +10240 +20480 +- +1 +100 +200 +-\n/);
    expect(text).toMatch(/did not answer: lab-OST0002\n$/);
  });

  it('is shown to others than root only when it is their own', async () => {
    await expect(getQuota(capturedTargets(1001).session, 'user', ALICE, {})).rejects.toMatchObject({
      code: 'EPERM',
    });
    expect((await getQuota(capturedTargets(ALICE).session, 'user', ALICE, {})).inodes.used).toBe(1);
    await expect(setQuota(capturedTargets(ALICE).session, 'user', ALICE, {}, {})).rejects.toMatchObject({
      code: 'EPERM',
    });
  });

  it('is set whole: what is not given is asked for before', async () => {
    const { session, sent } = capturedTargets();
    await setQuota(session, 'user', ALICE, { blockSoft: 1 << 20 }, {});
    expect(sent).toEqual([
      ['lab-MDT0000', Q.LUSTRE_Q_GETQUOTA, 0n],
      ['lab-MDT0000', Q.LUSTRE_Q_SETQUOTA, 20480n],
    ]);
    await expect(setQuota(session, 'user', ALICE, {}, {})).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(setQuota(session, 'user', ALICE, { inodeHard: -1 }, {})).rejects.toMatchObject({
      code: 'EINVAL',
    });
  });
});

describe('a quota of a pool', () => {
  const pool = 'fast';

  it('is what its OSTs hold, within limits of its own', async () => {
    const { session, sent } = capturedTargets();
    const quota = await getQuota(session, 'user', ALICE, { pool });
    expect(quota.blocks).toEqual({ used: 4096, soft: 10 << 20, hard: 20 << 20, graceMs: 0 });
    expect(quota.targets.map(({ name }) => name)).toEqual(['lab-OST0001']);
    expect(sent).toEqual([
      ['lab-MDT0000', Q.LUSTRE_Q_GETQUOTAPOOL, 0n, pool],
      ['lab-OST0001', Q.Q_GETOQUOTA, 0n],
    ]);
    await setQuota(session, 'user', ALICE, { blockSoft: 1 << 20, blockHard: 2 << 20 }, { pool });
    expect(sent.at(-1)).toEqual(['lab-MDT0000', Q.LUSTRE_Q_SETQUOTAPOOL, 2048n, pool]);
  });

  it('is in the request as kernels write it: the name in 16 bytes behind the struct', () => {
    const what = { command: Q.LUSTRE_Q_GETQUOTAPOOL, type: 0, id: ALICE };
    const bytesOf = (request: ReturnType<typeof quotactlRequest>): Buffer =>
      Buffer.from(encoded(formats.RQF_MDS_QUOTACTL, request)[0]!, 'hex');
    const bytes = bytesOf(quotactlRequest({ ...what, pool }));
    expect(bytes.length).toBe(112 + 16);
    expect(bytes.subarray(112).toString('latin1')).toBe('fast'.padEnd(16, '\0'));
    expect(bytesOf(quotactlRequest(what)).length).toBe(112);
  });

  it('is refused by name where there is no such pool, has none of files, and where servers know no pools', async () => {
    const { session } = capturedTargets();
    await expect(getQuota(session, 'user', ALICE, { pool: 'slow' })).rejects.toThrow(
      /no pool 'slow'; it has fast/,
    );
    await expect(setQuota(session, 'user', ALICE, { inodeHard: 1 }, { pool })).rejects.toMatchObject({
      code: 'EINVAL',
    });
    await expect(getQuota(capturedTargets(0, false).session, 'user', ALICE, { pool })).rejects.toThrow(
      /EOPNOTSUPP.*no quotas of pools \('fast'\)/,
    );
  });
});

describe('projects on our own servers', () => {
  it('are kept, and handed on to what is made in a directory', () =>
    withCluster(async ({ mount, node }) => {
      const fs = await mount();
      const other = await mount();
      await fs.mkdir('/p');
      await fs.writeFile('/p/old', pattern(100_000), { stripeCount: 2, stripeSize: 65536 });
      expect(await fs.getProject('/p')).toEqual({ id: 0, inherit: false });
      await fs.setProject('/p', { id: 1234, inherit: true });
      expect(await other.getProject('/p')).toEqual({ id: 1234, inherit: true });
      await other.mkdir('/p/d');
      await other.writeFile('/p/d/f', pattern(100_000));
      expect(await fs.getProject('/p/d')).toEqual({ id: 1234, inherit: true });
      expect(await fs.getProject('/p/d/f')).toEqual({ id: 1234, inherit: false });
      expect(await fs.getProject('/p/old')).toEqual({ id: 0, inherit: false });
      // Nothing gets in by name alone.
      await fs.writeFile('/outside', '');
      await expect(fs.rename('/outside', '/p/inside')).rejects.toMatchObject({ code: 'EXDEV' });
      await expect(fs.link('/outside', '/p/inside')).rejects.toMatchObject({ code: 'EXDEV' });
      await fs.setProject('/outside', { id: 1234 });
      await fs.rename('/outside', '/p/inside');
      await fs.setProject('/p', { id: 0, inherit: false });
      expect(await other.getProject('/p')).toEqual({ id: 0, inherit: false });

      // The objects are charged to the project too: at their first write, or when the file's changes.
      await fs.setProject('/p/old', { id: 77 });
      const projectsOf = async (path: string): Promise<number[]> => {
        const layout = await fs.getLayout(path);
        return Promise.all(
          layout!.objects.map(async ({ ostIndex, seq, oid }) => {
            return (await node.osts[ostIndex]!.context.store.getAttributes({ seq, oid })).projid;
          }),
        );
      };
      expect(await projectsOf('/p/d/f')).toEqual([1234]);
      while ((await projectsOf('/p/old')).includes(0)) await fs.sync();
      expect(await projectsOf('/p/old')).toEqual([77, 77]);
    }));

  it('belong to root alone, and there are no quotas', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.writeFile('/f', '');
      await fs.chown('/f', ALICE, ALICE);
      const alice = await mount({ credentials: { uid: ALICE, gid: ALICE } });
      await expect(alice.setProject('/f', { id: 5 })).rejects.toMatchObject({ code: 'EPERM' });
      await expect(fs.setProject('/f', { id: -5 })).rejects.toMatchObject({ code: 'EINVAL' });
      await expect(fs.getQuota('user', ALICE)).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
    }));
});
