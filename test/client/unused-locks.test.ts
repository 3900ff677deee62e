/** What lives under locks that make room for others (guide 08 §9): it is neither lost nor written for their sake. */
import { describe, expect, it } from 'vitest';
import type { Filesystem } from '../../lib/client/filesystem.ts';
import { rpcsOf } from './rpc-count.ts';
import { type SimCluster, withCluster } from './sim-cluster.ts';

const FILES = 60;

async function fill(fs: Filesystem): Promise<void> {
  await fs.mkdir('/many');
  for (let i = 0; i < FILES; i++) await fs.writeFile(`/many/${i}`, `file ${i}`);
}

async function readAll(fs: Filesystem): Promise<void> {
  for (let i = 0; i < FILES; i++) expect(await fs.readFile(`/many/${i}`, 'utf8')).toBe(`file ${i}`);
}

describe('locks that make room', () => {
  const run = (test: (cluster: SimCluster) => Promise<void>) => () => withCluster(test, { osts: 1 });

  it(
    'of clean data and attributes go with other requests',
    run(async ({ mount }) => {
      await fill(await mount());
      const fs = await mount({ lruSize: 16 });
      expect(await rpcsOf(fs, () => readAll(fs))).not.toHaveProperty('LDLM_CANCEL');
      expect((await fs.locks()).every(({ locks }) => locks <= 16)).toBe(true);
      // And what they protected is asked for again.
      expect((await rpcsOf(fs, () => fs.readFile('/many/0'))).LDLM_ENQUEUE).toBeGreaterThan(0);
    }),
  );

  it(
    'stay while what was written under them is not at the server',
    run(async ({ mount }) => {
      const other = await mount();
      await fill(other);
      const fs = await mount({ lruSize: 16 });
      const file = await fs.open('/dirty', 'w');
      await file.write(Buffer.from('not to be lost'));
      const spent = await rpcsOf(fs, () => readAll(fs));
      expect(spent).not.toHaveProperty('OST_WRITE');
      expect(spent).not.toHaveProperty('LDLM_CANCEL');
      expect(await other.readFile('/dirty', 'utf8')).toBe('not to be lost');
      await file.close();
    }),
  );

  it(
    'stay while they keep a file open',
    run(async ({ mount }) => {
      await fill(await mount());
      const fs = await mount({ lruSize: 16 });
      // Opened again and again, a file keeps its handle.
      for (let i = 0; i < 20; i++) await (await fs.open('/many/0')).close();
      expect(await rpcsOf(fs, async () => (await fs.open('/many/0')).close())).toEqual({});
      const spent = await rpcsOf(fs, async () => {
        for (let i = 1; i < FILES; i++) await fs.stat(`/many/${i}`);
      });
      expect(spent).not.toHaveProperty('MDS_CLOSE');
      expect(spent).not.toHaveProperty('LDLM_CANCEL');
    }),
  );

  it(
    'on the objects of removed files go together, before the OSTs ask for them',
    run(async ({ mount, sim }) => {
      const fs = await mount();
      await fill(fs);
      for (let i = 0; i < FILES; i++) await fs.stat(`/many/${i}`);
      const held = async (): Promise<number> =>
        (await fs.locks())
          .filter(({ target }) => target.includes('OST'))
          .reduce((sum, { locks }) => sum + locks, 0);
      expect(await held()).toBeGreaterThanOrEqual(FILES);
      const spent = await rpcsOf(fs, async () => {
        for (let i = 0; i < FILES; i++) await fs.unlink(`/many/${i}`);
        await sim.sleep(1000);
      });
      expect(await held()).toBe(0);
      expect(spent.MDS_REINT).toBe(FILES);
      expect(spent.LDLM_CANCEL).toBeLessThan(FILES / 4);
      expect(spent).not.toHaveProperty('OST_WRITE');
    }),
  );
});
