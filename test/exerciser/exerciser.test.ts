/**
 * Two clients of an embedded cluster do what chance says, in step with a model. A few thousand operations; with
 * LUSTRE_LONG ten minutes. LUSTRE_SEED repeats a run.
 */
import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { startCluster } from '../../lib/index.ts';
import { exercise } from './exerciser.ts';

const long = process.env.LUSTRE_LONG !== undefined;
const seed = Number(process.env.LUSTRE_SEED ?? randomInt(2 ** 31));
const LONG_MS = 600_000;
const OPERATIONS = 500;

test(
  `two clients agree with a model (seed ${seed})`,
  async () => {
    await using cluster = await startCluster({ inProcess: true, osts: 2 });
    const mount = (nid: string) => cluster.mount({ nid, engine: 'inline' });
    const clients = [await mount('127.0.3.1@tcp'), await mount('127.0.3.2@tcp')];
    await clients[0]!.mkdir('/exercise');
    const end = performance.now() + LONG_MS;
    const done = await exercise({
      clients,
      dir: '/exercise',
      seed,
      lanes: 4,
      layouts: [
        { stripeCount: 2, stripeSize: 65536 },
        { stripeCount: 1, stripeOffset: 1 },
        { stripeCount: 2, stripeSize: 1 << 20 },
        {
          components: [
            { end: 65536, stripeCount: 1 },
            { end: 1 << 20, stripeCount: 2, stripeSize: 65536 },
            { end: Number.POSITIVE_INFINITY, stripeCount: -1, stripeSize: 131072 },
          ],
        },
      ],
      goOn: (count) => (long ? performance.now() < end : count < OPERATIONS),
    });
    expect(done).toBeGreaterThanOrEqual(4 * OPERATIONS);
    for (const client of clients) await client.unmount();
  },
  long ? LONG_MS + 120_000 : 90_000,
);
