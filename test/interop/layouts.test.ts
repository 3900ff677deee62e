/** Layouts that servers hand out, each written and read by both sides: components, data on the MDT, growing ones, pools. */
import { createHash } from 'node:crypto';
import { describe, expect, it, type TestContext } from 'vitest';
import type { StripingOptions } from '../../lib/index.ts';
import { pattern } from '../client/sim-cluster.ts';
import { clusterUnderTest, PATIENCE_MS } from './cluster-under-test.ts';
import { compare, orSkip } from './comparison.ts';
import type { KernelView } from './kernel-view.ts';

const cluster = clusterUnderTest('layouts');
const MIB = 1 << 20;
const KIB64 = 1 << 16;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const LAYOUTS: readonly (readonly [string, StripingOptions])[] = [
  [
    'three components',
    {
      components: [
        { end: MIB, stripeCount: 1 },
        { end: 2 * MIB, stripeCount: 2, stripeSize: KIB64 },
        { end: Number.POSITIVE_INFINITY, stripeCount: -1, stripeSize: 4 * KIB64 },
      ],
    },
  ],
  [
    'data on the MDT and on OSTs',
    {
      components: [
        { end: MIB, pattern: 'mdt' },
        { end: Number.POSITIVE_INFINITY, stripeCount: 2 },
      ],
    },
  ],
  ['several stripes on an OST', { stripeCount: 6, stripeSize: KIB64, overstripe: true }],
  [
    'components that grow',
    {
      components: [
        { end: 1024 * MIB, stripeCount: 1, extensionSize: 64 * MIB },
        { end: Number.POSITIVE_INFINITY, stripeCount: 1, extensionSize: 256 * MIB },
      ],
    },
  ],
];

/** Makes a file; skips the test where servers do not have such layouts. */
async function create(path: string, layout: StripingOptions, skip: TestContext['skip']): Promise<void> {
  await (await orSkip(cluster.fs.open(path, 'wx', 0o644, layout), skip)).close();
}

describe('layouts', { timeout: PATIENCE_MS }, () => {
  for (const [i, [name, layout]] of LAYOUTS.entries()) {
    it(`writes, reads and cuts a file with ${name}`, async ({ skip }) => {
      const { fs, dir, kernel } = cluster;
      const path = `${dir}/layout${i}`;
      await create(path, layout, skip);
      const bytes = pattern(3 * MIB + 4567, i);
      await fs.writeFile(path, bytes, { flag: 'r+' });
      const parts = (await fs.getLayout(path))?.composite?.components;
      if (layout.components !== undefined) {
        expect(parts?.length).toBeGreaterThanOrEqual(layout.components.length);
        expect(parts?.[0]?.flags).toContain('init');
      }
      await using other = await cluster.mount();
      expect((await other.stat(path)).size).toBe(bytes.length);
      expect((await other.readFile(path)).equals(bytes)).toBe(true);
      await using file = await other.open(path, 'r+');
      const change = pattern(5000, 9);
      await file.write(change, 0, change.length, MIB - 2000);
      change.copy(bytes, MIB - 2000);
      await file.truncate(2 * MIB + 1);
      const now = bytes.subarray(0, 2 * MIB + 1);
      expect((await fs.readFile(path)).equals(now)).toBe(true);
      if (kernel !== undefined) await bothWays(kernel, `layout${i}`, now);
    });
  }

  it('makes components only when they are written to', async ({ skip }) => {
    const { fs, dir } = cluster;
    const path = `${dir}/lazy`;
    await create(path, LAYOUTS[0]![1], skip);
    const made = async (): Promise<boolean[]> =>
      (await fs.getLayout(path))?.composite?.components.map(({ flags }) => flags.includes('init')) ?? [];
    await using file = await fs.open(path, 'r+');
    expect(await made()).toEqual([true, false, false]);
    await file.write('x', MIB + 5);
    expect(await made()).toEqual([true, true, false]);
    await file.truncate(10 * MIB);
    await file.write('x', 9 * MIB);
    expect(await made()).toEqual([true, true, true]);
    expect(await file.seekData(2 * MIB)).toBeLessThanOrEqual(9 * MIB);
  });

  compare(
    'layouts that lfs sets, and files that lfs migrates while we have them open',
    cluster,
    async (kernel, skip) => {
      const { fs, dir } = cluster;
      const path = `${dir}/theirs`;
      await orSkip(kernel.sh('lfs setstripe -E 64K -L mdt -E 2M -c 1 -E -1 -c 2 -S 256K theirs'), skip);
      const bytes = pattern(3 * MIB);
      await fs.writeFile(path, bytes, { flag: 'r+' });
      expect(await kernel.sha256('theirs')).toBe(sha256(bytes));
      await using file = await fs.open(path, 'r');
      const part = Buffer.alloc(1000);
      await file.read(part, 0, 1000, MIB);
      await kernel.sh('lfs migrate -c 2 -S 128K theirs');
      await file.read(part, 0, 1000, 2 * MIB);
      expect(part.equals(bytes.subarray(2 * MIB, 2 * MIB + 1000))).toBe(true);
      const layout = await fs.getLayout(path);
      expect([layout?.composite, layout?.stripeCount, layout?.stripeSize]).toEqual([undefined, 2, 131072]);
      expect((await fs.readFile(path)).equals(bytes)).toBe(true);
    },
  );

  compare('a default that one side sets and the other makes files by', cluster, async (kernel, skip) => {
    const { fs, dir } = cluster;
    await fs.mkdir(`${dir}/default`);
    await fs.setLayout(`${dir}/default`, {
      components: [
        { end: MIB, stripeCount: 1 },
        { end: Number.POSITIVE_INFINITY, stripeCount: 2, stripeSize: KIB64 },
      ],
    });
    await kernel.sh('head -c 2000000 /dev/urandom > default/theirs');
    expect(
      (await fs.getLayout(`${dir}/default/theirs`))?.composite?.components.map(({ end }) => end),
    ).toEqual([MIB, Number.POSITIVE_INFINITY]);
    expect(sha256(await fs.readFile(`${dir}/default/theirs`))).toBe(await kernel.sha256('default/theirs'));
    await orSkip(kernel.sh('mkdir default2 && lfs setstripe -E 128K -L mdt -E -1 -c 1 default2'), skip);
    await fs.writeFile(`${dir}/default2/ours`, pattern(300_000));
    expect((await fs.getLayout(`${dir}/default2/ours`))?.composite?.components[0]?.pattern).toContain('mdt');
    expect(await kernel.sha256('default2/ours')).toBe(sha256(pattern(300_000)));
  });

  compare('that a foreign layout has no data of ours', cluster, async (kernel, skip) => {
    const { fs, dir } = cluster;
    await orSkip(
      kernel.sh('lfs setstripe --foreign=symlink --flags 0xda05 --xattr /elsewhere/1234 foreign'),
      skip,
    );
    const layout = await fs.getLayout(`${dir}/foreign`);
    expect(Buffer.from(layout?.foreign?.value ?? []).toString()).toBe('/elsewhere/1234');
    expect((await fs.lstat(`${dir}/foreign`)).size).toBe((await kernel.stat('foreign')).size);
    await expect(fs.readFile(`${dir}/foreign`)).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
    await fs.unlink(`${dir}/foreign`);
  });
});

async function bothWays(kernel: KernelView, name: string, bytes: Buffer): Promise<void> {
  const { fs, dir } = cluster;
  const path = `${dir}/${name}`;
  expect(await kernel.sha256(name)).toBe(sha256(bytes));
  expect((await kernel.stat(name)).size).toBe(bytes.length);
  await kernel.sh(`dd if=/dev/zero of=${name} bs=1000 count=70 seek=1000 conv=notrunc 2>/dev/null`);
  bytes.fill(0, 1_000_000, 1_070_000);
  expect((await fs.readFile(path)).equals(bytes)).toBe(true);
  await kernel.sh(`truncate -s 1500000 ${name} && printf end >> ${name}`);
  const now = Buffer.concat([bytes.subarray(0, 1_500_000), Buffer.from('end')]);
  expect((await fs.stat(path)).size).toBe(now.length);
  expect((await fs.readFile(path)).equals(now)).toBe(true);
}
