/** Capture 01: mount, df, stat of the root, umount. */
import { expect } from 'vitest';
import type { Replay } from '../replay.ts';

export async function mountAndSpace({ filesystem: fs, step }: Replay): Promise<void> {
  await step('df -k', async () => {
    expect(await fs.readdir('/')).toEqual([]);
    const targets = await fs.statfsTargets();
    const kib = targets.map(({ name, statfs: s }) => [
      name,
      (Number(s.blocks) * Number(s.bsize)) / 1024,
      ((Number(s.blocks) - Number(s.bfree)) * Number(s.bsize)) / 1024,
      (Number(s.bavail) * Number(s.bsize)) / 1024,
    ]);
    expect(kib).toEqual([
      ['lab-MDT0000', 1160264, 1676, 1039008],
      ['lab-MDT0001', 1160264, 1532, 1039152],
      ['lab-OST0000', 1908940, 1528, 1786172],
      ['lab-OST0001', 1908940, 1528, 1786172],
    ]);
    const all = await fs.statfs('/');
    expect((Number(all.blocks) * Number(all.bsize)) / 1024).toBe(3817880);
    expect((Number(all.bavail) * Number(all.bsize)) / 1024).toBe(3572344);
    expect([all.files, all.ffree]).toEqual([261964, 261430]);
  });
  await step('lfs path2fid', async () => {
    expect(await fs.fid('/')).toBe('[0x200000007:0x1:0x0]');
    const root = await fs.stat('/', { bigint: true });
    expect(root).toMatchObject({
      size: 4096n,
      blocks: 8n,
      ino: 144115188193296385n,
      nlink: 3n,
      mode: 0o40755n,
      uid: 0n,
      gid: 0n,
    });
    expect([root.atime, root.mtime, root.birthtime].map((time) => time.toISOString())).toEqual([
      '1970-01-01T00:00:00.000Z',
      '2026-11-22T09:24:28.000Z',
      '2026-11-22T09:23:48.000Z',
    ]);
  });
}
