/** Capture 05: extended attributes, ACLs, modes, owners and times, the changelog, quotas. */
import { constants } from 'node:fs';
import { expect } from 'vitest';
import type { ChangelogRecord } from '../../../lib/llog/changelog-record.ts';
import type { Replay } from '../replay.ts';
import { refused } from './shell.ts';

const X = '[0x200000406:0x1:0x0]';
/** `u::rw-,u:alice:rw-,g::r--,g:bob:r--,m::rw-,o::r--` */
const ACCESS_ACL =
  '0200000001000600ffffffff02000600e803000004000400ffffffff08000400e903000010000600ffffffff20000400ffffffff';
/** POSIX ACL of the root's `d:u:alice:rwx`, as `getfattr -e hex` shows it. */
const DEFAULT_ACL =
  '0200000001000700ffffffff02000700e803000004000500ffffffff10000700ffffffff20000500ffffffff';

export async function attributes({ filesystem: fs, step, dropLocks }: Replay): Promise<void> {
  const changelog = async (): Promise<ChangelogRecord[]> => {
    const records: ChangelogRecord[] = [];
    for await (const record of fs.changelog({ mdt: 'lab-MDT0000' })) records.push(record);
    return records;
  };
  await step('echo attr > /mnt/lustre/x', async () => {
    await fs.writeFile('/x', 'attr\n');
    expect(await fs.fid('/x')).toBe(X);
    await fs.setxattr('/x', 'user.color', 'blue');
    await fs.setxattr('/x', 'trusted.t', 'secret');
    await fs.setxattr('/x', 'user.bin', Buffer.from('00010203ff', 'hex'));
  });
  await step('lru_size', dropLocks);
  await step('getfattr -d -m -', async () => {
    // Names are asked of the MDT each time by ours, of its cache by the kernel: no answer to that is recorded.
    expect((await fs.getxattr('/x', 'user.bin')).toString('hex')).toBe('00010203ff');
    expect((await fs.getxattr('/x', 'user.color')).toString()).toBe('blue');
    expect(await refused(fs.getxattr('/x', 'user.nosuch'))).toBe('ENODATA');
  });
  await step('setfattr -x user.color', async () => {
    await fs.removexattr('/x', 'user.color');
    expect(await refused(fs.removexattr('/x', 'user.color'))).toBe('ENODATA');
  });
  await step('setfacl', async () => {
    await fs.setxattr('/x', 'system.posix_acl_access', Buffer.from(ACCESS_ACL, 'hex'));
    await fs.mkdir('/ad');
    await fs.setxattr('/ad', 'system.posix_acl_default', Buffer.from(DEFAULT_ACL, 'hex'));
    await using file = await fs.open('/ad/inh', constants.O_WRONLY | constants.O_CREAT);
    const now = Date.parse('2026-11-22T09:31:30Z') / 1000;
    await file.utimes(now, now);
  });
  await step('lru_size', dropLocks);
  await step('getfacl -p', async () => {
    await fs.chmod('/x', 0o640);
    await fs.chown('/x', 1000, 1001);
    const time = Date.parse('2020-01-02T03:04:05.678Z') / 1000;
    {
      // As `touch` does.
      await using file = await fs.open('/x', constants.O_WRONLY | constants.O_CREAT);
      await file.utimes(time, time);
    }
    const stat = await fs.stat('/x', { bigint: true });
    expect(stat).toMatchObject({
      size: 5n,
      blocks: 8n,
      blksize: 4194304n,
      ino: 144115205356388353n,
      nlink: 1n,
      mode: 0o100640n,
      uid: 1000n,
      gid: 1001n,
    });
    expect([stat.atime, stat.mtime, stat.birthtime].map((t) => t.toISOString())).toEqual([
      '2020-01-02T03:04:05.000Z',
      '2020-01-02T03:04:05.000Z',
      '2026-11-22T09:31:26.000Z',
    ]);
    expect(await refused(fs.chown('/nosuch', 0, 0))).toBe('ENOENT');
  });
  await step('lfs fid2path', async () => {
    expect(await fs.pathOf(X)).toBe('/x');
    await fs.link('/x', '/ad/x2');
    expect(await fs.pathOf(X)).toBe('/x');
  });
  await step('lfs changelog lab-MDT0000', async () => {
    const records = await changelog();
    expect(records.map(({ index, type }) => `${index} ${type}`)).toEqual(
      (
        '1 CREAT,2 CLOSE,3 XATTR,4 XATTR,5 XATTR,6 XATTR,7 MKDIR,8 XATTR,9 CREAT,10 CLOSE,11 SATTR,12 SATTR,13 CLOSE,' +
        '14 CREAT,15 CLOSE,16 SATTR,17 SATTR,18 CREAT,19 CLOSE,20 CREAT,21 CLOSE,22 HLINK,23 UNLNK,24 UNLNK'
      ).split(','),
    );
    const root = '[0x200000007:0x1:0x0]';
    expect(records[0]).toMatchObject({ target: X, parent: root, name: 'x', uid: 0, nid: '10.0.2.16@tcp' });
    expect(new Date(records[0]!.timeMs).toISOString()).toBe('2026-11-22T09:31:26.646Z');
    expect(records[17]).toMatchObject({ name: 'alice', uid: 1000, gid: 1000 });
    expect(records[23]).toMatchObject({ target: X, parent: '[0x200000406:0x2:0x0]', name: 'x2', flags: 1 });
  });
  await step('lfs changelog_clear', async () => {
    await fs.clearChangelog('cl1', 3, { mdt: 'lab-MDT0000' });
    const records = await changelog();
    expect(records[0]).toMatchObject({ index: 4n, type: 'XATTR', target: X });
  });
  await step('lfs setquota -u alice', async () => {
    const MIB = 1 << 20;
    await fs.setQuota('user', 1000, {
      blockSoft: 10 * MIB,
      blockHard: 20 * MIB,
      inodeSoft: 100,
      inodeHard: 200,
    });
    const quota = await fs.getQuota('user', 1000);
    expect(quota.blocks).toMatchObject({ used: 4096, soft: 10 * MIB, hard: 20 * MIB });
    expect(quota.inodes).toMatchObject({ used: 1, soft: 100, hard: 200 });
    const shares = quota.targets.map(({ name, used }) => [name, used?.bytes, used?.inodes]);
    expect(shares.sort()).toEqual([
      ['lab-MDT0000', 0, 1],
      ['lab-MDT0001', 0, 0],
      ['lab-OST0000', 0, 0],
      ['lab-OST0001', 4096, 1],
    ]);
  });
}
