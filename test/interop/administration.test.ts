/** Projects, quotas, changelogs: what those who look after a file system ask for. */
import { describe, expect, it } from 'vitest';
import type { ChangelogRecord, LustreError } from '../../lib/index.ts';
import { clusterUnderTest, PATIENCE_MS } from './cluster-under-test.ts';
import { compare, orSkip } from './comparison.ts';
import { quote } from './kernel-view.ts';

const cluster = clusterUnderTest('admin');
const MIB = 1 << 20;
/** Some user and some project that nobody has. */
const NOBODY = 3_141_592;

describe('administration', { timeout: PATIENCE_MS }, () => {
  it('charges to projects what is made in their directories', async () => {
    const { fs, dir, kernel } = cluster;
    await fs.mkdir(`${dir}/project`);
    await fs.setProject(`${dir}/project`, { id: NOBODY, inherit: true });
    await fs.writeFile(`${dir}/project/f`, 'x');
    await fs.mkdir(`${dir}/project/sub`);
    expect(await fs.getProject(`${dir}/project/f`)).toMatchObject({ id: NOBODY });
    expect(await fs.getProject(`${dir}/project/sub`)).toEqual({ id: NOBODY, inherit: true });
    await fs.setProject(`${dir}/project/f`, { id: NOBODY + 1 });
    expect((await fs.getProject(`${dir}/project/f`)).id).toBe(NOBODY + 1);
    if (kernel === undefined) return;
    const theirs = await kernel.sh(
      'command -v lfs > /dev/null || exit 0; lfs project project/f; lfs project -d project',
    );
    if (theirs === '') return;
    expect(theirs.split('\n').map((line) => line.trim().split(/\s+/).slice(0, 2).join(' '))).toEqual([
      `${NOBODY + 1} -`,
      `${NOBODY} P`,
      '',
    ]);
    await kernel.sh(`lfs project -p ${NOBODY + 2} project/f`);
    expect((await fs.getProject(`${dir}/project/f`)).id).toBe(NOBODY + 2);
  });

  it('sets a quota and reads it back, and meets its end where servers enforce it', async ({ skip }) => {
    const { fs, dir, kernel } = cluster;
    const limits = { blockSoft: 4 * MIB, blockHard: 8 * MIB, inodeSoft: 50, inodeHard: 60 };
    await orSkip(fs.setQuota('user', NOBODY, limits), skip);
    try {
      const quota = await fs.getQuota('user', NOBODY);
      expect(quota.blocks).toMatchObject({ used: 0, soft: 4 * MIB, hard: 8 * MIB });
      expect(quota.inodes).toMatchObject({ used: 0, soft: 50, hard: 60 });
      if (kernel !== undefined) {
        const theirs = await kernel.sh(`command -v lfs > /dev/null || exit 0; lfs quota -q -u ${NOBODY} .`);
        if (theirs !== '')
          expect(theirs.trim().split(/\s+/).slice(1)).toEqual([
            '0',
            '4096',
            '8192',
            '-',
            '0',
            '50',
            '60',
            '-',
          ]);
      }
      await fs.mkdir(`${dir}/quota`, { mode: 0o777 });
      await fs.chown(`${dir}/quota`, NOBODY, NOBODY);
      await using user = await cluster.mount(1, { uid: NOBODY, gid: NOBODY, groups: [] });
      expect((await user.getQuota('user', NOBODY)).blocks.hard).toBe(8 * MIB);
      await expect(user.getQuota('user', 0)).rejects.toMatchObject({ code: 'EPERM' });
      let code: string | undefined;
      const file = await user.open(`${dir}/quota/f`, 'w', 0o644, { stripeCount: 1 });
      const failed = (error: LustreError): void => {
        code ??= error.code;
      };
      for (let i = 0; i < 24 && code === undefined; i++)
        await file
          .write(Buffer.alloc(MIB, 1), 0, MIB, i * MIB)
          .then(() => file.sync())
          .catch(failed);
      await file.close().catch(failed);
      const { used } = (await fs.getQuota('user', NOBODY)).blocks;
      expect(used).toBeGreaterThan(0);
      if (code === undefined) return skip('read and set, but the servers enforce no user quotas');
      expect(code).toBe('EDQUOT');
      expect(used).toBeLessThanOrEqual(9 * MIB);
      // Files too.
      const made = async (): Promise<void> => {
        for (let i = 0; i < 80; i++) await user.mkdir(`${dir}/quota/d${i}`);
      };
      await expect(made()).rejects.toMatchObject({ code: 'EDQUOT' });
      await fs.truncate(`${dir}/quota/f`);
      await fs.sync();
      await user.writeFile(`${dir}/quota/f`, 'there is space again', { flush: true });
    } finally {
      await fs.setQuota('user', NOBODY, { blockSoft: 0, blockHard: 0, inodeSoft: 0, inodeHard: 0 });
    }
  });

  compare('changelogs: read, followed, cleared', cluster, async (kernel, skip) => {
    const { fs, dir } = cluster;
    const { mdtIndex } = await fs.getDirectoryLayout(dir);
    const device = (await fs.statfsTargets()).find(({ kind, index }) => kind === 'mdt' && index === mdtIndex);
    const mdt = device?.name ?? '';
    const user = await kernel.sh(`lctl --device ${mdt} changelog_register -n`).catch(() => undefined);
    if (user === undefined) return skip('that shell is not on the MDS: nobody can register there');
    const consumer = user.trim();
    try {
      const stop = new AbortController();
      const seen: ChangelogRecord[] = [];
      const enough = (async () => {
        for await (const record of fs.changelog({
          mdt,
          follow: true,
          intervalMs: 200,
          signal: stop.signal,
        })) {
          seen.push(record);
          if (record.name === 'the-end') break;
        }
      })();
      await fs.mkdir(`${dir}/watched`);
      await fs.writeFile(`${dir}/watched/a`, 'x');
      await fs.rename(`${dir}/watched/a`, `${dir}/watched/b`);
      await fs.setxattr(`${dir}/watched/b`, 'user.x', '1');
      const fid = await fs.fid(`${dir}/watched/b`);
      await fs.unlink(`${dir}/watched/b`);
      await kernel.sh('touch watched/theirs');
      await fs.mkdir(`${dir}/watched/the-end`);
      await enough;
      const types = seen.map(({ type, name }) => `${type} ${name ?? ''}`.trim());
      for (const wanted of [
        'MKDIR watched',
        'CREAT a',
        'RENME b',
        'UNLNK b',
        'CREAT theirs',
        'MKDIR the-end',
      ])
        expect(types).toContain(wanted);
      const renamed = seen.find(({ type }) => type === 'RENME');
      expect(renamed?.source).toMatchObject({ fid, name: 'a' });
      // What lfs prints of each.
      const lines = (await kernel.sh(`lfs changelog ${mdt}`)).trim().split('\n');
      const theirs = lines.map((line) => line.split(' ').slice(0, 2).join(' '));
      const ours: ChangelogRecord[] = [];
      for await (const record of fs.changelog({ mdt })) ours.push(record);
      const number = (n: number): string => String(n).padStart(2, '0');
      expect(
        ours
          .map(({ index, typeNumber, type }) => `${index} ${number(typeNumber)}${type}`)
          .slice(0, theirs.length),
      ).toEqual(theirs);
      const middle = ours[Math.floor(ours.length / 2)]!.index;
      await fs.clearChangelog(consumer, middle, { mdt });
      const users = await kernel.sh(`lctl get_param -n mdd.${quote(mdt)}.changelog_users`);
      expect(users).toMatch(new RegExp(`^${consumer}\\S* +${middle} `, 'm'));
      await expect(fs.clearChangelog('cl4711', middle, { mdt })).rejects.toMatchObject({ code: 'ENOENT' });
      stop.abort();
    } finally {
      await kernel.sh(`lctl --device ${mdt} changelog_deregister ${consumer}`);
    }
  });
});
