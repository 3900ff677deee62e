/** Advisory file locks, both sides over the simulated network (guide 08 §8). */
import { describe, expect, test } from 'vitest';
import { LockFlag, LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { inSimulation, type LockClient, lockClient, lockServer } from './lock-cluster.ts';

const { LCK_PR, LCK_PW } = LockMode;

describe('file locks', () => {
  const flock = (client: LockClient, mode: number, start: number, end: number, owner: bigint, flags = 0) =>
    client.locks.enqueue({
      resource: [0x200000400n, 1n, 0n, 12n],
      type: LockType.LDLM_FLOCK,
      mode,
      policy: { flock: { start: BigInt(start), end: BigInt(end), owner, pid: Number(owner) } },
      flags,
    });
  const NOWAIT = LockFlag.LDLM_FL_BLOCK_NOWAIT;

  test(
    'are refused, waited for, asked about and unlocked in pieces',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      a.locks.release((await flock(a, LCK_PW, 0, 99, 1n)).lock!);
      await expect(flock(b, LCK_PR, 50, 59, 1n, NOWAIT)).rejects.toMatchObject({ code: 'EAGAIN' });
      const asked = await flock(b, LCK_PR, 50, 59, 1n, LockFlag.LDLM_FL_TEST_LOCK);
      expect(asked.lock).toMatchObject({ mode: LCK_PW, policy: { flock: { start: 0n, end: 99n, pid: 1 } } });
      const free = await flock(b, LCK_PR, 100, 109, 1n, LockFlag.LDLM_FL_TEST_LOCK);
      expect(free.lock?.mode).toBe(LockMode.LCK_NL);
      let granted = false;
      const waiting = flock(b, LCK_PR, 50, 59, 1n).then(() => {
        granted = true;
      });
      await flock(a, LockMode.LCK_NL, 0, 54, 1n);
      await sim.sleep(100);
      expect(granted).toBe(false);
      await flock(a, LockMode.LCK_NL, 55, 59, 1n);
      await waiting;
      await expect(flock(b, LCK_PW, 60, 60, 1n, NOWAIT)).rejects.toMatchObject({ code: 'EAGAIN' });
      await a.imp.disconnect();
      await flock(b, LCK_PW, 60, 60, 1n, NOWAIT);
      expect(namespace.counts).toEqual({ resources: 0, locks: 0 });
    }),
  );

  test(
    'that wait in a circle are refused',
    inSimulation(async (sim) => {
      await lockServer(sim);
      const a = await lockClient(sim);
      await flock(a, LCK_PW, 0, 9, 1n);
      await flock(a, LCK_PW, 10, 19, 2n);
      const waiting = flock(a, LCK_PW, 10, 19, 1n);
      await sim.sleep(10);
      await expect(flock(a, LCK_PW, 0, 9, 2n)).rejects.toMatchObject({ code: 'EDEADLK' });
      // Giving up a wait: an unlock of exactly the range that is waited for.
      await Promise.all([
        expect(waiting).rejects.toMatchObject({ code: 'ECANCELED' }),
        flock(a, LockMode.LCK_NL, 10, 19, 1n),
      ]);
    }),
  );
});
