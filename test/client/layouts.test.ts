/** Files of several components and of several stripes on an OST, through the file API, on servers in the simulator. */
import { describe, expect, it } from 'vitest';
import type { Filesystem } from '../../lib/client/filesystem.ts';
import type { Layout } from '../../lib/layout/description.ts';
import { withCluster } from './sim-cluster.ts';

const KIB64 = 65536;
/** Where the second component ends. */
const EDGE = 4 * KIB64;
const toEnd = Number.POSITIVE_INFINITY;
/** Three components, over one, two and all OSTs. */
const PFL = {
  components: [
    { end: 2 * KIB64, stripeCount: 1, stripeSize: KIB64 },
    { end: EDGE, stripeCount: 2, stripeSize: KIB64 },
    { end: toEnd, stripeCount: -1, stripeSize: 2 * KIB64 },
  ],
};

/** Bytes that tell where they belong. */
const pattern = (offset: number, length: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, i) => ((offset + i) * 2654435761) >>> 24));

const componentsOf = (layout: Layout | undefined) =>
  layout?.composite?.components.map((c) => [c.id, c.flags.join(','), c.objects.length]);

async function write(fs: Filesystem, path: string, at: number, bytes: Uint8Array): Promise<void> {
  const file = await fs.open(path, 'r+');
  await file.write(bytes, 0, bytes.length, at);
  await file.close();
}

describe('a file of several components', () => {
  it('gets the objects of a component when it is written there, and keeps its bytes in order', () =>
    withCluster(
      async ({ mount }) => {
        const fs = await mount();
        await (await fs.open('/f', 'wx', 0o644, PFL)).close();
        const made = await fs.getLayout('/f');
        expect(made).toMatchObject({ generation: 3, composite: { state: '0', mirrorCount: 1 } });
        expect(componentsOf(made)).toEqual([
          [1, 'init', 1],
          [2, '', 0],
          [3, '', 0],
        ]);
        await write(fs, '/f', 100, pattern(100, KIB64));
        expect(componentsOf(await fs.getLayout('/f'))?.map((c) => c[2])).toEqual([1, 0, 0]);
        await write(fs, '/f', KIB64, pattern(KIB64, 2 * KIB64));
        const grown = await fs.getLayout('/f');
        expect(grown?.generation).toBe(4);
        expect(componentsOf(grown)?.map((c) => c[2])).toEqual([1, 2, 0]);
        await write(fs, '/f', EDGE - 10, pattern(EDGE - 10, EDGE));
        expect(componentsOf(await fs.getLayout('/f'))?.map((c) => c[2])).toEqual([1, 2, 3]);
        const bytes = await fs.readFile('/f');
        expect(bytes).toHaveLength(2 * EDGE - 10);
        expect(bytes.subarray(0, 100).every((b) => b === 0)).toBe(true);
        expect(bytes.subarray(100, 3 * KIB64).equals(pattern(100, 3 * KIB64 - 100))).toBe(true);
        expect(bytes.subarray(3 * KIB64, EDGE - 10).every((b) => b === 0)).toBe(true);
        expect(bytes.subarray(EDGE - 10).equals(pattern(EDGE - 10, EDGE))).toBe(true);
      },
      { osts: 3 },
    ));

  it('reads as zeroes where it has no objects yet, and ends where it was truncated to', () =>
    withCluster(
      async ({ mount }) => {
        const fs = await mount();
        await (await fs.open('/f', 'wx', 0o644, PFL)).close();
        await write(fs, '/f', 0, pattern(0, 10));
        await fs.truncate('/f', 3 * EDGE);
        expect((await fs.stat('/f')).size).toBe(3 * EDGE);
        const bytes = await fs.readFile('/f');
        expect(bytes.subarray(0, 10).equals(pattern(0, 10))).toBe(true);
        expect(bytes.subarray(10).every((b) => b === 0)).toBe(true);
        for (const size of [EDGE + 1, EDGE, 2 * KIB64, 5, 0]) {
          await fs.truncate('/f', size);
          expect((await fs.stat('/f')).size).toBe(size);
        }
      },
      { osts: 3 },
    ));

  it('takes appends from component to component', () =>
    withCluster(
      async ({ mount }) => {
        const fs = await mount();
        await (await fs.open('/f', 'wx', 0o644, PFL)).close();
        const file = await fs.open('/f', 'a');
        const step = 50_000;
        for (let at = 0; at < EDGE + 2 * step; at += step) await file.write(pattern(at, step));
        await file.close();
        const bytes = await fs.readFile('/f');
        expect(bytes.equals(pattern(0, bytes.length))).toBe(true);
        expect(bytes.length).toBeGreaterThan(EDGE);
      },
      { osts: 3 },
    ));

  it('changes its layout while another client has it open', () =>
    withCluster(
      async ({ mount }) => {
        const [a, b] = [await mount(), await mount()];
        await (await a.open('/f', 'wx', 0o644, PFL)).close();
        const one = await a.open('/f', 'r+');
        const two = await b.open('/f', 'r+');
        await one.write(pattern(0, 100), 0, 100, 0);
        const buffer = Buffer.alloc(100);
        expect((await two.read(buffer, 0, 100, 0)).bytesRead).toBe(100);
        // The second client knows the layout without these objects, and must not go by it any more.
        await one.write(pattern(EDGE, 1000), 0, 1000, EDGE);
        expect((await two.stat()).size).toBe(EDGE + 1000);
        const tail = Buffer.alloc(2000);
        expect((await two.read(tail, 0, 2000, EDGE)).bytesRead).toBe(1000);
        expect(tail.subarray(0, 1000).equals(pattern(EDGE, 1000))).toBe(true);
        await two.write(pattern(EDGE + 1000, 1000), 0, 1000, EDGE + 1000);
        expect((await one.read(tail, 0, 2000, EDGE)).bytesRead).toBe(2000);
        expect(tail.equals(pattern(EDGE, 2000))).toBe(true);
        await Promise.all([one.close(), two.close()]);
      },
      { osts: 3 },
    ));

  it.each([1, 2])('keeps every byte of two clients that write where they like (seed %i)', (seed) =>
    withCluster(
      async ({ mount }) => {
        const clients = [await mount(), await mount()];
        await (await clients[0]!.open('/f', 'wx', 0o644, PFL)).close();
        const files = await Promise.all(clients.map((fs) => fs.open('/f', 'r+')));
        const model = Buffer.alloc(1 << 20);
        let end = 0;
        let state = seed * 7919;
        const random = (n: number): number => {
          state = (Math.imul(state, 1103515245) + 12345) >>> 0;
          return Math.floor((state / 2 ** 32) * n);
        };
        for (let round = 0; round < 8; round++) {
          // Two writes at once, each in its own half of a random window.
          const start = random(2 * EDGE);
          const length = 1 + random(200_000);
          await Promise.all(
            files.map(async (file, i) => {
              const at = start + i * length;
              const bytes = Buffer.alloc(length, 1 + ((round * 2 + i) % 255));
              bytes.copy(model, at);
              await file.write(bytes, 0, length, at);
            }),
          );
          end = Math.max(end, start + 2 * length);
          const from = random(end);
          const want = Math.min(end - from, 1 + random(300_000));
          const read = Buffer.alloc(want, 0xff);
          const { bytesRead } = await files[round % 2]!.read(read, 0, want, from);
          expect([bytesRead, read.equals(model.subarray(from, from + want))]).toEqual([want, true]);
        }
        for (const file of files) expect((await file.stat()).size).toBe(end);
        await Promise.all(files.map((file) => file.close()));
      },
      { osts: 3, seed },
    ),
  );

  it('has nothing behind its last component', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await (await fs.open('/f', 'wx', 0o644, { components: [{ end: KIB64, stripeCount: 1 }] })).close();
      await write(fs, '/f', 0, pattern(0, KIB64));
      await expect(write(fs, '/f', KIB64 - 1, pattern(0, 2))).rejects.toMatchObject({ code: 'ENODATA' });
      expect((await fs.stat('/f')).size).toBe(KIB64);
    }));

  it('comes from the default of its directory', () =>
    withCluster(
      async ({ mount }) => {
        const fs = await mount();
        await fs.mkdir('/d', PFL);
        expect(componentsOf(await fs.getLayout('/d'))?.map((c) => c[2])).toEqual([0, 0, 0]);
        await fs.writeFile('/d/f', pattern(0, 10));
        expect(componentsOf(await fs.getLayout('/d/f'))?.map((c) => c[2])).toEqual([1, 0, 0]);
        await fs.mkdir('/d/e');
        await fs.writeFile('/d/e/f', pattern(0, EDGE + 1));
        expect(componentsOf(await fs.getLayout('/d/e/f'))?.map((c) => c[2])).toEqual([1, 2, 3]);
      },
      { osts: 3 },
    ));
});

describe('an overstriped file', () => {
  it('has several stripes on one OST', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const wish = { stripeCount: 5, stripeSize: KIB64, overstripe: true };
      await fs.writeFile('/f', pattern(0, EDGE), wish);
      const layout = await fs.getLayout('/f');
      expect(layout).toMatchObject({ stripeCount: 5, pattern: ['raid0', 'overstriped'] });
      const osts = layout!.objects.map((o) => o.ostIndex);
      expect(new Set(osts)).toEqual(new Set([0, 1]));
      expect(new Set(layout!.objects.map((o) => `${o.seq} ${o.oid}`)).size).toBe(5);
      expect((await fs.readFile('/f')).equals(pattern(0, EDGE))).toBe(true);
    }));

  it('is not made without being asked for', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.writeFile('/f', pattern(0, 10), { stripeCount: 5 });
      expect((await fs.getLayout('/f'))?.objects).toHaveLength(2);
    }));
});

describe('what this MDT does not make', () => {
  it.each([
    ['mirrors', { components: [{ end: toEnd }, { end: toEnd, newMirror: true }] }],
    ['data on the MDT', { components: [{ end: KIB64, pattern: 'mdt' as const }, { end: toEnd }] }],
    ['growing components', { components: [{ end: 1 << 30, extensionSize: 64 << 20 }] }],
  ])('refuses %s', (_, wish) =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await expect(fs.open('/f', 'wx', 0o644, wish)).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
      await expect(fs.stat('/f')).rejects.toMatchObject({ code: 'ENOENT' });
    }),
  );
});
