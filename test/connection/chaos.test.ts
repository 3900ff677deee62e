/**
 * Clients that increment counters at a server over connections that break, freeze and heal. However that goes, each increment
 * that was answered happened once, and none happened twice (guide 06 §3, §7).
 */
import { expect, test } from 'vitest';
import type { Operation } from '../../lib/connection/target.ts';
import { RQF_MDS_REINT } from '../../lib/wire/formats.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { Cluster, serverNid, testTarget } from './cluster.ts';

const seeds = process.env.SIM_SEED === undefined ? [1, 2, 3, 4, 5, 6, 7, 8] : [Number(process.env.SIM_SEED)];
const CLIENTS = 4;
const INCREMENTS = 60;

test.each(seeds)('every answered request was done once (seed %d)', { timeout: 60_000 }, async (seed) => {
  const cluster = new Cluster(seed);
  const { sim } = cluster;
  const counts = new Map<string, number>();
  let transno = 0n;
  const increment: Operation<typeof RQF_MDS_REINT> = {
    format: RQF_MDS_REINT,
    async handle(call) {
      const { clientUuid } = call.export;
      await sim.sleep(sim.random.between(0, 3));
      const count = (counts.get(clientUuid) ?? 0) + 1;
      counts.set(clientUuid, count);
      await sim.sleep(sim.random.between(0, 3));
      call.reply({ mdt_body: { mbo_uid: count } }, { transno: ++transno });
    },
  };
  const target = testTarget(new Map<number, Operation>([[Opcode.MDS_REINT, increment]]));
  const { node } = await cluster.server([target]);

  const run = async (index: number): Promise<void> => {
    const nid = `10.0.1.${index}@tcp`;
    const { imp } = await cluster.client({}, nid);
    const uuid = `client-${nid}`;
    await imp.connect({ timeoutMs: 600_000 }).catch(() => imp.connect({ timeoutMs: 600_000 }));
    const answers: number[] = [];
    let unanswered = 0;
    const one = async (): Promise<void> => {
      try {
        const reply = await imp.call(RQF_MDS_REINT, {}, { modifies: true });
        answers.push(reply.values.mdt_body?.mbo_uid ?? 0);
      } catch (error) {
        // Only an eviction may fail it.
        expect(error).toMatchObject({ code: 'EIO' });
        unanswered++;
      }
    };
    const weather = async (): Promise<void> => {
      for (let i = 0; i < 12; i++) {
        await sim.sleep(sim.random.between(5, 100));
        const dice = sim.random.between(0, 10);
        if (dice < 5) sim.faults.reset(nid, serverNid);
        else if (dice < 7) sim.faults.drop(nid, serverNid, sim.random.between(0, 0.3));
        else if (dice < 8) sim.faults.drop(nid, serverNid, 0);
        else {
          sim.faults.partition(nid, serverNid);
          await sim.sleep(sim.random.between(100, dice < 9.5 ? 20_000 : 200_000));
          sim.faults.heal(nid, serverNid);
        }
      }
      sim.faults.drop(nid, serverNid, 0);
    };
    const work = async (): Promise<void> => {
      for (let i = 0; i < INCREMENTS / 3; i++) await Promise.all([one(), one(), one()]);
    };
    await Promise.all([work(), weather()]);
    const done = counts.get(uuid) ?? 0;
    expect(new Set(answers).size).toBe(answers.length);
    expect(answers.length + unanswered).toBe(INCREMENTS);
    expect(done).toBeGreaterThanOrEqual(answers.length);
    expect(done).toBeLessThanOrEqual(INCREMENTS);
    if (unanswered === 0) expect(done).toBe(INCREMENTS);
    await imp.disconnect();
  };
  await sim.run(Promise.all(Array.from({ length: CLIENTS }, (_, i) => run(i + 1))));
  // Who could not say goodbye is evicted for its silence.
  await sim.advance(200_000);
  expect(node.exports()).toEqual([]);
  expect(target.records.size).toBe(0);
});
