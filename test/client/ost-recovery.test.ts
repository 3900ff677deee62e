/** What was written, and was not on disk when an OST lost its power (guide 06 §2.2, guide 12 §13). */
import { describe, expect, it } from 'vitest';
import type { Filesystem } from '../../lib/client/filesystem.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { RecoveringOsts } from './recovering-osts.ts';
import { rpcsOf } from './rpc-count.ts';
import { pattern, type SimCluster, withCluster } from './sim-cluster.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Bytes have been written, and nothing of them is on disk: OSTs commit every 5 s. */
const WRITTEN_MS = 2000;

function withOsts(test: (cluster: SimCluster, osts: RecoveringOsts) => Promise<void>): Promise<void> {
  const osts = new RecoveringOsts();
  return withCluster((cluster) => test(cluster, osts), { wrap: osts.wrap });
}

/** A file of which the servers have on disk that it is there. */
async function emptyFile(fs: Filesystem, { sim }: SimCluster): Promise<void> {
  await fs.writeFile('/f', 'old', { stripeCount: 1 });
  await fs.sync();
  await sim.sleep(20_000);
}

const writes = ({ replays }: RecoveringOsts): number =>
  replays.filter(({ opcode }) => opcode === Opcode.OST_WRITE).length;

/** Until all OSTs are through with it: this asks each. */
const recovered = (fs: Filesystem): Promise<unknown> => fs.statfs('/');

describe('an OST that takes its clients back', () => {
  it('gets what was written from the cache and is not on disk', () =>
    withOsts(async (cluster, osts) => {
      const fs = await cluster.mount();
      await emptyFile(fs, cluster);
      const bytes = pattern(300 * KIB);
      const file = await fs.open('/f', 'r+');
      await file.write(bytes);
      await cluster.sim.sleep(WRITTEN_MS);
      await cluster.crash();
      await recovered(fs);
      expect(writes(osts)).toBe(1);
      expect((await (await cluster.mount()).readFile('/f')).equals(bytes)).toBe(true);
      // Nothing is lost that somebody would have to be told.
      await file.close();
    }));

  it('gets what was written round the cache, too, where that is not much', () =>
    withOsts(async (cluster, osts) => {
      const fs = await cluster.mount();
      await emptyFile(fs, cluster);
      const bytes = pattern(300 * KIB);
      const file = await fs.open('/f', 'r+', 0o666, { direct: true });
      await file.write(bytes);
      // The caller's memory is the caller's.
      const written = Buffer.from(bytes);
      bytes.fill(0);
      await cluster.crash();
      await recovered(fs);
      expect(writes(osts)).toBe(1);
      expect((await (await cluster.mount()).readFile('/f')).equals(written)).toBe(true);
      await file.close();
    }));

  it('gets each version of the same bytes, whatever became of them in the cache', () =>
    withOsts(async (cluster, osts) => {
      const fs = await cluster.mount();
      await emptyFile(fs, cluster);
      const versions = [1, 2, 3].map((seed) => pattern(200 * KIB, seed));
      for (const bytes of versions) await fs.writeFile('/f', bytes, { flag: 'r+' });
      const last = pattern(100, 4);
      await fs.writeFile('/f', last, { flag: 'r+' });
      await cluster.crash();
      await recovered(fs);
      expect(writes(osts)).toBe(4);
      const expected = Buffer.concat([last, versions[2]!.subarray(100)]);
      expect((await (await cluster.mount()).readFile('/f')).equals(expected)).toBe(true);
    }));

  it('gets nothing that it had on disk, and then nothing is kept', () =>
    withOsts(async (cluster, osts) => {
      const fs = await cluster.mount();
      await emptyFile(fs, cluster);
      await fs.writeFile('/f', pattern(300 * KIB));
      expect((await fs.counters()).cachedBytes).toBeGreaterThan(300 * KIB);
      await fs.unlink('/f');
      await cluster.sim.sleep(20_000);
      expect((await fs.counters()).cachedBytes).toBe(0);
      await cluster.crash();
      await recovered(fs);
      expect(writes(osts)).toBe(0);
    }));

  it('is kept half of our memory for, and has the rest on disk at the close', () =>
    withOsts(async (cluster, osts) => {
      const fs = await cluster.mount({ cacheBytes: 512 * KIB, maxPagesPerRpc: 16 });
      await emptyFile(fs, cluster);
      const bytes = pattern(2 * MIB);
      const started = cluster.sim.now;
      const file = await fs.open('/f', 'r+');
      const spent = await rpcsOf(fs, async () => {
        for (let at = 0; at < bytes.length; at += 64 * KIB)
          await file.write(bytes.subarray(at, at + 64 * KIB));
        await file.close();
      });
      // A server that one client asks to commit all the time does it for all others too.
      expect(spent.OST_SYNC).toBe(1);
      // By itself it commits every 5 s: nothing waited for that.
      expect(cluster.sim.now - started).toBeLessThan(5000);
      await cluster.crash();
      await recovered(fs);
      expect(writes(osts)).toBe(0);
      expect((await (await cluster.mount()).readFile('/f')).equals(bytes)).toBe(true);
    }));

  it("that lost what came out of the caller's memory: it is told at the next sync, and what came otherwise is there", () =>
    withOsts(async (cluster) => {
      const fs = await cluster.mount();
      await emptyFile(fs, cluster);
      await fs.writeFile('/g', 'old', { stripeCount: 1 });
      await fs.sync();
      const bytes = pattern(300 * KIB);
      const [direct, cached] = [await fs.open('/f', 'r+'), await fs.open('/g', 'r+')];
      await direct.write(pattern(2 * MIB));
      await cached.write(bytes);
      await cluster.sim.sleep(WRITTEN_MS);
      await cluster.crash();
      await recovered(fs);
      await expect(direct.close()).rejects.toMatchObject({
        code: 'EIO',
        target: expect.stringMatching('OST'),
      });
      await cached.close();
      expect((await (await cluster.mount()).readFile('/g')).equals(bytes)).toBe(true);
    }));

  it("has on disk what came out of the caller's memory when the file is closed", () =>
    withOsts(async (cluster) => {
      const fs = await cluster.mount();
      await emptyFile(fs, cluster);
      const bytes = pattern(2 * MIB);
      await fs.writeFile('/f', bytes, { flag: 'r+' });
      await cluster.crash();
      await recovered(fs);
      expect((await (await cluster.mount()).readFile('/f')).equals(bytes)).toBe(true);
    }));

  it('that refuses it: whoever has the file open is told', () =>
    withOsts(async (cluster, osts) => {
      const fs = await cluster.mount();
      await emptyFile(fs, cluster);
      const file = await fs.open('/f', 'r+');
      await file.write(pattern(300 * KIB));
      await cluster.sim.sleep(WRITTEN_MS);
      osts.refuses = { opcode: Opcode.OST_WRITE, status: -28 };
      await cluster.crash();
      await recovered(fs);
      await expect(file.close()).rejects.toMatchObject({ code: 'EIO' });
    }));
});

describe('an OST that does not', () => {
  it('has lost it: whoever has the file open is told', () =>
    withCluster(async (cluster) => {
      const fs = await cluster.mount();
      await emptyFile(fs, cluster);
      const [small, large] = [await fs.open('/f', 'r+'), await fs.open('/g', 'w')];
      await small.write(pattern(100 * KIB));
      await large.write(pattern(2 * MIB));
      await cluster.sim.sleep(WRITTEN_MS);
      await cluster.crash();
      await recovered(fs).catch(() => undefined);
      for (const file of [small, large])
        await expect(file.close()).rejects.toMatchObject({
          code: 'EIO',
          target: expect.stringMatching('OST'),
        });
    }));
});
