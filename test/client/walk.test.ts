import { describe, expect, it } from 'vitest';
import type { WalkEntry, WalkOptions } from '../../lib/client/walk.ts';
import { rpcsOf } from './rpc-count.ts';
import { withCluster } from './sim-cluster.ts';

async function walked(
  fs: { walk(path: string, options?: WalkOptions): AsyncIterable<WalkEntry> },
  path: string,
  options?: WalkOptions,
): Promise<WalkEntry[]> {
  const found: WalkEntry[] = [];
  for await (const entry of fs.walk(path, options)) found.push(entry);
  return found;
}

describe('a walk', () => {
  it('gives everything below once, parents first, with what was asked for', () =>
    withCluster(async ({ mount }) => {
      const [fs, other] = [await mount(), await mount()];
      const want = new Map<string, number>();
      for (let i = 0; i < 5; i++) {
        await fs.mkdir(`/tree/d${i}/e`, { recursive: true });
        for (let j = 0; j < 4; j++) {
          await fs.writeFile(`/tree/d${i}/e/f${j}`, 'x'.repeat(i * 10 + j));
          want.set(`/tree/d${i}/e/f${j}`, i * 10 + j);
        }
        await fs.symlink('/tree', `/tree/d${i}/up`);
      }
      const all = await walked(other, '/tree', { stats: 'all' });
      expect(all.length).toBe(5 * (1 + 1 + 4 + 1));
      expect(new Set(all.map(({ path }) => path)).size).toBe(all.length);
      const files = all.filter(({ dirent }) => dirent.isFile());
      expect(new Map(files.map(({ path, stats }) => [path, stats?.size]))).toEqual(want);
      const at = new Map(all.map(({ path }, i) => [path, i]));
      for (const { path, depth } of all) {
        const parent = path.slice(0, path.lastIndexOf('/'));
        if (depth > 1) expect(at.get(parent)).toBeLessThan(at.get(path)!);
        expect(depth).toBe(path.split('/').length - 2);
      }
      expect((await walked(fs, '/tree', { maxDepth: 1 })).map(({ name }) => name).sort()).toEqual([
        'd0',
        'd1',
        'd2',
        'd3',
        'd4',
      ]);
      const bare = await walked(other, '/tree');
      expect(bare.every(({ stats }) => stats === undefined)).toBe(true);
      // Without sizes no data object is asked.
      const third = await mount();
      const spent = await rpcsOf(third, () => walked(third, '/tree', { stats: 'mdt' }));
      expect(spent.LDLM_ENQUEUE).toBeLessThanOrEqual(2 * 5 * 7 + 25);
    }));

  it('ends early when its consumer does, and leaves nothing open', () =>
    withCluster(async ({ mount, node }) => {
      const fs = await mount();
      for (let i = 0; i < 30; i++) await fs.mkdir(`/d/${i}/x`, { recursive: true });
      for await (const entry of fs.walk('/d', { concurrency: 4 })) if (entry.depth === 2) break;
      await fs.unmount();
      expect(node.mdt!.core.files.count).toBe(0);
    }));

  it('says what it cannot read, or fails', () =>
    withCluster(async ({ mount }) => {
      const root = await mount();
      await root.mkdir('/d/open/in', { recursive: true });
      await root.mkdir('/d/closed/in', { recursive: true });
      await root.chmod('/d/closed', 0o700);
      const user = await mount({ credentials: { uid: 1000, gid: 1000 } });
      await expect(walked(user, '/d')).rejects.toMatchObject({ code: 'EACCES' });
      const refused: string[] = [];
      const found = await walked(user, '/d', {
        onError: (error, path) => refused.push(`${error.code} ${path}`),
      });
      expect(refused).toEqual(['EACCES /d/closed']);
      expect(found.map(({ path }) => path).sort()).toEqual(['/d/closed', '/d/open', '/d/open/in']);
      await expect(walked(user, '/nothing')).rejects.toMatchObject({ code: 'ENOENT' });
    }));
});

describe('stat-ahead', () => {
  it('gets nothing ahead for who asks for what is known', () =>
    withCluster(async ({ mount }) => {
      const writer = await mount();
      await writer.mkdir('/d');
      for (let i = 0; i < 30; i++) await writer.writeFile(`/d/f${i}`, 'x');
      await writer.unmount();
      const fs = await mount();
      for (let i = 0; i < 5; i++) await fs.stat(`/d/f${i}`);
      await fs.readdir('/d');
      const ask = async (): Promise<void> => {
        for (let round = 0; round < 3; round++) for (let i = 0; i < 5; i++) await fs.stat(`/d/f${i}`);
      };
      expect(await rpcsOf(fs, ask)).toEqual({});
    }));

  it('has the attributes of a directory that is read and then asked for one by one', () =>
    withCluster(async ({ mount, sim }) => {
      const [fs, one, two] = [await mount(), await mount(), await mount()];
      const count = 200;
      await fs.mkdir('/d');
      for (let i = 0; i < count; i++) await (await fs.open(`/d/f${i}`, 'wx')).close();
      const each = async (client: typeof fs, names: readonly string[]): Promise<number> => {
        const started = sim.now;
        for (const name of names) expect((await client.stat(`/d/${name}`)).isFile()).toBe(true);
        return sim.now - started;
      };
      const names = await one.readdir('/d');
      expect(names.length).toBe(count);
      const ahead = await each(one, names);
      // The other never read the directory: nothing says what it will want.
      const alone = await each(two, names);
      expect(ahead).toBeLessThan(alone / 3);
      expect(await rpcsOf(one, () => each(one, names))).toEqual({});
    }));
});
