/** The whole file system over links that break and freeze: what was answered holds, and an eviction is got over. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { pattern, SERVER_NID, withCluster } from '../client/sim-cluster.ts';

const seeds = process.env.SIM_SEED === undefined ? [1, 2] : [Number(process.env.SIM_SEED)];
const FILES = 15;

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const content = (i: number): Buffer => pattern(((i * 37) % 7) * 400_000 + 77 + i, i + 1);

test.each(seeds)('files written over breaking links are whole (seed %d)', { timeout: 120_000 }, (seed) =>
  withCluster(
    async ({ sim, mount }) => {
      const one = await mount();
      const two = await mount();
      sim.faults.drop(SERVER_NID, '127.0.1.1@tcp', 0.02);
      sim.faults.drop(SERVER_NID, '127.0.1.2@tcp', 0.02);
      await one.mkdir('/d');
      const name = (who: string, i: number): string => `${who}${i}${i % 3 === 0 ? 'r' : ''}`;
      const work = async (fs: typeof one, who: string): Promise<void> => {
        for (let i = 0; i < FILES; i++) {
          await fs.writeFile(`/d/${who}${i}`, content(i));
          if (i % 3 === 0) await fs.rename(`/d/${who}${i}`, `/d/${who}${i}r`);
          if (i % 5 === 4) await fs.unlink(`/d/${name(who, i - 1)}`);
        }
      };
      await Promise.all([work(one, 'a'), work(two, 'b')]);
      const kept = Array.from({ length: FILES }, (_, i) => i).filter((i) => i % 5 !== 3);
      const want = ['a', 'b'].flatMap((who) => kept.map((i) => name(who, i)));
      expect((await one.readdir('/d')).sort()).toEqual(want.sort());
      for (const [who, reader] of [
        ['a', two],
        ['b', one],
      ] as const)
        for (const i of kept) {
          const bytes = await reader.readFile(`/d/${name(who, i)}`);
          expect(digest(bytes), name(who, i)).toBe(digest(content(i)));
        }
    },
    { seed },
  ),
);

test.each(seeds)(
  'a client cut off for long is evicted and works again (seed %d)',
  { timeout: 120_000 },
  (seed) =>
    withCluster(
      async ({ sim, mount }) => {
        const one = await mount();
        const two = await mount();
        await one.writeFile('/f', content(1));
        const writing = one.writeFile('/g', content(3)).catch((error: unknown) => error);
        await sim.sleep(2);
        sim.faults.partition(SERVER_NID, '127.0.1.1@tcp');
        // The other client gets at what the first had locked, once that is evicted.
        expect(digest(await two.readFile('/f'))).toBe(digest(content(1)));
        await two.writeFile('/f', content(5));
        await sim.sleep(150_000);
        sim.faults.heal(SERVER_NID, '127.0.1.1@tcp');
        const outcome = await writing;
        if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'EIO' });
        await sim.sleep(20_000);
        expect(digest(await one.readFile('/f'))).toBe(digest(content(5)));
        await one.writeFile('/h', content(4));
        expect(digest(await two.readFile('/h'))).toBe(digest(content(4)));
      },
      { seed },
    ),
);
