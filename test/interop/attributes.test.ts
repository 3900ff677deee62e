/** Attributes, extended attributes, space: as a kernel client gives them. */
import { describe, expect, it } from 'vitest';
import { clusterUnderTest, PATIENCE_MS } from './cluster-under-test.ts';
import { compare } from './comparison.ts';

const cluster = clusterUnderTest('attrs');

describe('attributes', { timeout: PATIENCE_MS }, () => {
  it('sets modes, owners and times', async () => {
    const { fs, dir } = cluster;
    const path = `${dir}/attrs`;
    await fs.writeFile(path, 'x'.repeat(5000), { mode: 0o640 });
    await fs.chmod(path, 0o4751);
    await fs.utimes(path, 1_000_000_000, 1_100_000_000);
    let stats = await fs.stat(path);
    expect([stats.mode & 0o7777, stats.size]).toEqual([0o4751, 5000]);
    expect([stats.atimeMs, stats.mtimeMs]).toEqual([1_000_000_000_000, 1_100_000_000_000]);
    await fs.chown(path, 1000, 1001);
    stats = await fs.stat(path);
    expect([stats.uid, stats.gid]).toEqual([1000, 1001]);
    await using other = await cluster.mount();
    const seen = await other.stat(path);
    expect([seen.mode, seen.uid, seen.gid, seen.size, seen.mtimeMs]).toEqual([
      stats.mode,
      1000,
      1001,
      5000,
      1_100_000_000_000,
    ]);
    // What is written later has a later time, on the OSTs alone.
    await other.appendFile(path, 'more');
    expect((await fs.stat(path)).mtimeMs).toBeGreaterThan(1_100_000_000_000);
    expect((await fs.stat(path)).size).toBe(5004);
  });

  it('counts links of directories, and makes their times move', async () => {
    const { fs, dir } = cluster;
    await fs.mkdir(`${dir}/d`, { mode: 0o1777 });
    await fs.mkdir(`${dir}/d/sub`);
    const stats = await fs.stat(`${dir}/d`);
    expect([stats.nlink, stats.mode & 0o1000]).toEqual([3, 0o1000]);
  });

  it('keeps extended attributes', async () => {
    const { fs, dir } = cluster;
    const path = `${dir}/xattrs`;
    await fs.writeFile(path, '');
    const value = Buffer.from([0, 1, 2, 255, 0]);
    await fs.setxattr(path, 'user.small', value);
    await fs.setxattr(path, 'user.empty', '');
    await fs.setxattr(path, 'trusted.mark', 'root only');
    await fs.setxattr(path, 'user.large', 'v'.repeat(2000));
    expect((await fs.getxattr(path, 'user.small')).equals(value)).toBe(true);
    expect((await fs.getxattr(path, 'user.empty')).length).toBe(0);
    expect((await fs.getxattr(path, 'user.large')).toString()).toBe('v'.repeat(2000));
    expect(await fs.listxattr(path)).toEqual(
      expect.arrayContaining(['user.small', 'user.empty', 'user.large', 'trusted.mark']),
    );
    await expect(fs.setxattr(path, 'user.small', 'x', { flag: 'create' })).rejects.toMatchObject({
      code: 'EEXIST',
    });
    await expect(fs.setxattr(path, 'user.none', 'x', { flag: 'replace' })).rejects.toMatchObject({
      code: 'ENODATA',
    });
    await fs.removexattr(path, 'user.small');
    await expect(fs.getxattr(path, 'user.small')).rejects.toMatchObject({ code: 'ENODATA' });
    await using other = await cluster.mount();
    expect((await other.getxattr(path, 'user.large')).length).toBe(2000);
    expect((await other.getxattr(path, 'trusted.mark')).toString()).toBe('root only');
  });

  it('sums the space of all targets', async () => {
    const { fs } = cluster;
    const targets = await fs.statfsTargets();
    expect(targets.some((target) => target.kind === 'mdt')).toBe(true);
    const total = targets
      .filter((target) => target.kind === 'ost')
      .reduce((sum, { statfs }) => sum + statfs.blocks * statfs.bsize, 0);
    const whole = await fs.statfs('/');
    expect(Math.abs(whole.blocks * whole.bsize - total)).toBeLessThan(total / 100);
    expect(whole.bavail).toBeLessThanOrEqual(whole.bfree);
    expect(whole.files).toBeGreaterThan(0);
  });

  compare('attributes both ways round', cluster, async (kernel) => {
    const { fs, dir } = cluster;
    const path = `${dir}/both`;
    await fs.writeFile(path, 'y'.repeat(70_000));
    await fs.chmod(path, 0o4710);
    await fs.chown(path, 7, 8);
    await fs.utimes(path, 1_200_000_000, 1_300_000_000);
    const same = async (): Promise<void> => {
      const ours = await fs.stat(path, { bigint: true });
      expect(await kernel.stat('both')).toEqual({
        ino: ours.ino,
        size: Number(ours.size),
        mode: Number(ours.mode),
        nlink: Number(ours.nlink),
        uid: Number(ours.uid),
        gid: Number(ours.gid),
        mtime: Number(ours.mtimeMs / 1000n),
        atime: Number(ours.atimeMs / 1000n),
        ctime: Number(ours.ctimeMs / 1000n),
      });
    };
    await same();
    await kernel.sh('chmod 0604 both && chown 9:10 both && touch -d @1400000000 both && ln both both2');
    await same();
    expect((await fs.stat(path)).mtimeMs).toBe(1_400_000_000_000);
    await kernel.sh('printf more >> both');
    await same();
    await fs.appendFile(path, 'and more');
    await same();
  });

  compare('extended attributes both ways round', cluster, async (kernel) => {
    const { fs, dir } = cluster;
    await fs.writeFile(`${dir}/xboth`, '');
    await fs.setxattr(`${dir}/xboth`, 'user.ours', Buffer.from([1, 0, 2]));
    expect((await kernel.xattr('xboth', 'user.ours')).toString('hex')).toBe('010002');
    await kernel.sh('setfattr -n user.theirs -v 0x0a0b xboth && setfattr -n trusted.t -v tt xboth');
    expect((await fs.getxattr(`${dir}/xboth`, 'user.theirs')).toString('hex')).toBe('0a0b');
    expect((await fs.listxattr(`${dir}/xboth`)).sort()).toEqual(
      expect.arrayContaining(['trusted.t', 'user.ours', 'user.theirs']),
    );
    await kernel.sh('setfattr -x user.ours xboth');
    await expect(fs.getxattr(`${dir}/xboth`, 'user.ours')).rejects.toMatchObject({ code: 'ENODATA' });
    await fs.removexattr(`${dir}/xboth`, 'user.theirs');
    await expect(kernel.xattr('xboth', 'user.theirs')).rejects.toThrow(/No such attribute/);
  });
});
