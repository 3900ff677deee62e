/** What chance says, by two clients in step with a model; with LUSTRE_LONG for ten minutes. LUSTRE_SEED repeats a run. */
import { randomInt } from 'node:crypto';
import { expect, it } from 'vitest';
import { exercise } from '../exerciser/exerciser.ts';
import { clusterUnderTest, PATIENCE_MS } from './cluster-under-test.ts';

const cluster = clusterUnderTest('exerciser');
const seed = Number(process.env.LUSTRE_SEED ?? randomInt(2 ** 31));
const long = process.env.LUSTRE_LONG !== undefined;
const LONG_MS = 600_000;
const OPERATIONS = 100;

it(
  `agrees with a model (seed ${seed})`,
  async () => {
    const { fs, dir } = cluster;
    await fs.mkdir(`${dir}/exercise`);
    await using other = await cluster.mount(1);
    const end = performance.now() + LONG_MS;
    const done = await exercise({
      clients: [fs, other],
      dir: `${dir}/exercise`,
      seed,
      lanes: 2,
      layouts: [{ stripeCount: 2, stripeSize: 65536 }, { stripeCount: 1 }],
      goOn: (count) => (long ? performance.now() < end : count < OPERATIONS),
    });
    expect(done).toBeGreaterThanOrEqual(2 * OPERATIONS);
  },
  PATIENCE_MS + (long ? LONG_MS : 0),
);
