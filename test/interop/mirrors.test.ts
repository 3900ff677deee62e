/** Mirrors and other layouts: made, extended, brought up to date, compared, split off, moved; beside a kernel client. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { pattern } from '../client/sim-cluster.ts';
import { clusterUnderTest, PATIENCE_MS } from './cluster-under-test.ts';
import { orSkip } from './comparison.ts';

const cluster = clusterUnderTest('mirrors');
const MIB = 1 << 20;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('mirrors', { timeout: PATIENCE_MS }, () => {
  it('are added, go stale with a write, are brought up to date, compared and split off', async ({ skip }) => {
    const { fs, dir, kernel } = cluster;
    const path = `${dir}/mirrored`;
    const bytes = pattern(3 * MIB + 77);
    await fs.writeFile(path, bytes, { stripeCount: 1 });
    const { mtimeMs } = await fs.stat(path);
    await orSkip(fs.extendMirror(path, { stripeCount: 2, stripeSize: 65536 }), skip);
    expect((await fs.getLayout(path))?.composite?.mirrorCount).toBe(2);
    expect(await fs.stat(path)).toMatchObject({ mtimeMs, size: bytes.length });
    expect(await fs.verifyMirrors(path)).toEqual({ mirrors: [1, 2], stale: [], differences: [] });

    const file = await fs.open(path, 'r+');
    const change = pattern(MIB, 9);
    await file.write(change, 0, change.length, MIB);
    await file.truncate(3 * MIB);
    await file.close();
    change.copy(bytes, MIB);
    const now = bytes.subarray(0, 3 * MIB);
    expect((await fs.verifyMirrors(path)).stale).toHaveLength(1);
    expect(await fs.resyncMirrors(path)).toHaveLength(1);
    expect(await fs.verifyMirrors(path)).toEqual({ mirrors: [1, 2], stale: [], differences: [] });
    if (kernel !== undefined) {
      expect(await kernel.sha256('mirrored')).toBe(sha256(now));
      await kernel.sh('command -v lfs > /dev/null || exit 0; lfs mirror verify mirrored');
    }

    await fs.splitMirror(path, 1, { into: `${path}.1` });
    for (const half of ['mirrored', 'mirrored.1']) {
      expect((await fs.readFile(`${dir}/${half}`)).equals(now), half).toBe(true);
      if (kernel !== undefined) expect(await kernel.sha256(half)).toBe(sha256(now));
    }
    await expect(fs.splitMirror(path, 2)).rejects.toMatchObject({ code: 'EINVAL' });
  });

  it('are not touched while somebody has the file open for writing', async ({ skip }) => {
    const { fs, dir } = cluster;
    const path = `${dir}/busy`;
    await fs.writeFile(path, 'busy');
    await using other = await cluster.mount();
    const open = await other.open(path, 'r+');
    await expect(orSkip(fs.extendMirror(path), skip)).rejects.toMatchObject({ code: 'EBUSY' });
    await expect(fs.migrate(path)).rejects.toMatchObject({ code: 'EBUSY' });
    await open.close();
  });

  it('move to another layout: the same file, with its holes', async ({ skip }) => {
    const { fs, dir, kernel } = cluster;
    const path = `${dir}/moved`;
    const bytes = Buffer.alloc(4 * MIB);
    bytes.set(pattern(100_000), 0);
    bytes.set(pattern(5000, 2), 2 * MIB + 17);
    const file = await fs.open(path, 'w', 0o640, { stripeCount: 1 });
    await file.write(bytes, 0, 100_000, 0);
    await file.write(bytes, 2 * MIB + 17, 5000, 2 * MIB + 17);
    await file.truncate(bytes.length);
    await file.close();
    const before = await fs.stat(path);
    await orSkip(fs.migrate(path, { stripeCount: 2, stripeSize: 131072 }), skip);
    const layout = await fs.getLayout(path);
    expect([layout?.stripeCount, layout?.stripeSize]).toEqual([2, 131072]);
    const { fid, mtimeMs, mode, size } = before;
    const after = await fs.stat(path);
    expect(after).toMatchObject({ fid, mtimeMs, mode, size });
    expect(after.blocks).toBeLessThan(before.blocks + 512);
    expect((await fs.readFile(path)).equals(bytes)).toBe(true);
    if (kernel !== undefined) expect(await kernel.sha256('moved')).toBe(sha256(bytes));
  });
});
