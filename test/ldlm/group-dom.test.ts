/** Group locks on data that an MDT keeps: mode GROUP on the DOM bit (guide 08 §3.3). */
import { expect, test } from 'vitest';
import { InodeBit, LockFlag, LockMode } from '../../lib/wire/ldlm-constants.ts';
import { bits, inSimulation, lockClient, lockServer, take } from './lock-cluster.ts';

const { LCK_GROUP, LCK_PR, LCK_PW } = LockMode;
const { MDS_INODELOCK_DOM: DOM, MDS_INODELOCK_LOOKUP: LOOKUP } = InodeBit;
const group = (gid: bigint, inodeBits: number = DOM) => ({ inodeBits: BigInt(inodeBits), gid });

test(
  'one group shares the data, all others wait or are refused, and nobody is asked for such a lock',
  inSimulation(async (sim) => {
    const { namespace } = await lockServer(sim);
    const [a, b, c] = [await lockClient(sim), await lockClient(sim), await lockClient(sim)];
    const one = await take(a, LCK_GROUP, group(5n));
    const two = await take(b, LCK_GROUP, group(5n));
    expect([one.lock?.policy, two.lock?.policy]).toEqual([group(5n), group(5n)]);
    await expect(take(c, LCK_GROUP, group(6n), LockFlag.LDLM_FL_BLOCK_NOWAIT)).rejects.toMatchObject({
      code: 'EAGAIN',
    });
    // Other bits of the same object are another matter.
    c.locks.release((await take(c, LCK_PR, bits(LOOKUP))).lock!);
    const order: string[] = [];
    const other = take(c, LCK_GROUP, group(6n)).then(({ lock }) => {
      order.push('the other group');
      c.locks.release(lock!);
    });
    await sim.sleep(10);
    const reader = take(c, LCK_PR, bits(DOM)).then(({ lock }) => {
      order.push('a reader');
      c.locks.release(lock!);
    });
    await sim.sleep(1000);
    expect(order).toEqual([]);
    // Whoever joins the group does not queue behind those.
    const three = await take(a, LCK_GROUP, group(5n));
    expect([one, two, three].map(({ lock }) => lock?.state)).toEqual(['GRANTED', 'GRANTED', 'GRANTED']);
    a.locks.release(one.lock!);
    a.locks.release(three.lock!);
    await sim.sleep(1000);
    expect(order).toEqual([]);
    b.locks.release(two.lock!);
    await Promise.all([other, reader]);
    expect(order).toEqual(['the other group', 'a reader']);
    expect([...namespace.locks.all()].filter(({ mode }) => mode === LCK_GROUP)).toEqual([]);
  }),
);

test(
  'the mode is for the DOM bit alone',
  inSimulation(async (sim) => {
    await lockServer(sim);
    const a = await lockClient(sim);
    for (const wrong of [group(5n, LOOKUP), group(5n, DOM | LOOKUP)])
      await expect(take(a, LCK_GROUP, wrong)).rejects.toMatchObject({ code: 'EPROTO' });
    a.locks.release((await take(a, LCK_PW, bits(DOM))).lock!);
  }),
);
