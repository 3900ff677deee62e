/** How many locks clients may keep, and what becomes of one that wants no end of them (guide 08 §9, §3.3 Contention, §13). */
import { describe, expect, test } from 'vitest';
import { LockPool } from '../../lib/ldlm/lock-volume.ts';
import type { Simulation } from '../../lib/sim/simulation.ts';
import { LockFlag, LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import {
  EOF,
  extent,
  inSimulation,
  type LockClient,
  lockClient,
  lockServer,
  resource,
} from './lock-cluster.ts';

const { LCK_PR, LCK_PW } = LockMode;

const lockOn = (
  client: LockClient,
  number: number,
  mode: number = LCK_PR,
  range = extent(0, EOF),
  flags = 0,
) =>
  client.locks.enqueue({
    resource: resource(number),
    type: LockType.LDLM_EXTENT,
    mode,
    policy: range,
    flags,
  });

describe('the lock volume', () => {
  test(
    'begins as a kernel’s does, falls while locks are taken faster than there is room, and grows back',
    inSimulation(async (sim: Simulation) => {
      let locks = 0;
      const pool = new LockPool(sim.runtime, 37_137, () => locks);
      // captures/06: limit 37137, volume 1336932000.
      expect(pool.volume).toEqual({ slv: 1_336_932_000n, limit: 37_137 });
      await sim.sleep(60_000);
      expect(pool.volume.slv).toBe(1_336_932_000n);
      for (let second = 0; second < 30; second++) {
        locks += 1200;
        await sim.sleep(1000);
        expect(pool.volume.limit).toBe(37_137);
      }
      const low = pool.volume.slv;
      expect(low).toBeLessThan(1_000_000_000n);
      locks = 0;
      await sim.sleep(600_000);
      expect(pool.volume.slv).toBeGreaterThan(2n * low);
      locks = 100_000;
      await sim.sleep(3_600_000);
      expect(pool.volume.slv).toBeGreaterThan(0n);
      expect(pool.volume.slv).toBeLessThan(1000n);
    }),
  );

  test(
    'reaches clients with their replies, and those keep no more than it allows',
    inSimulation(async (sim) => {
      let volume = { slv: 7_200_000n, limit: 200 };
      const { namespace } = await lockServer(sim, {}, {}, { lockVolume: () => volume });
      const a = await lockClient(sim);
      for (let n = 0; n < 40; n++) a.locks.release((await lockOn(a, n)).lock!);
      expect(a.imp.lockVolume).toEqual(volume);
      await sim.sleep(100_000);
      expect(a.locks.size).toBe(40);
      // 40 locks, 100 seconds old, are 4000 now; 10 of 150 seconds would be 1500.
      volume = { slv: 1500n, limit: 200 };
      a.locks.release((await lockOn(a, 500)).lock!);
      await sim.sleep(20_000);
      expect(a.locks.size).toBeLessThan(16);
      expect(a.locks.size).toBeGreaterThan(8);
      expect(namespace.locks.size).toBe(a.locks.size);
      // A lock that is in use is nobody's to give back.
      volume = { slv: 1n, limit: 200 };
      const used = await lockOn(a, 501);
      await sim.sleep(60_000);
      expect(a.locks.locks).toEqual([used.lock]);
      // And the limit bounds the number, whatever the age.
      volume = { slv: 7_200_000n, limit: 20 };
      for (let n = 0; n < 60; n++) a.locks.release((await lockOn(a, n)).lock!);
      await sim.sleep(100);
      expect(a.locks.size).toBeLessThanOrEqual(21);
    }),
  );
});

describe('a client that wants more than its share', () => {
  test(
    'is asked for its oldest locks',
    inSimulation(async (sim) => {
      const { namespace, evicted } = await lockServer(sim, { locksPerClient: 50 });
      const a = await lockClient(sim);
      for (let n = 0; n < 300; n++) a.locks.release((await lockOn(a, n)).lock!);
      await sim.sleep(1000);
      expect(namespace.locks.size).toBeLessThanOrEqual(60);
      expect(a.locks.byHandle(0n)).toBeUndefined();
      const kept = a.locks.locks.map((lock) => Number(lock.resource[1]));
      expect(Math.min(...kept)).toBeGreaterThan(230);
      expect(evicted).toEqual([]);
    }),
  );
});

describe('contention', () => {
  const DENY = LockFlag.LDLM_FL_DENY_ON_CONTENTION;

  test(
    'sends small requests away that can do without a lock, for a time',
    inSimulation(async (sim) => {
      await lockServer(sim, { contention: { locks: 3, timeMs: 2000, bytesMax: 8192 } });
      const holders = await Promise.all(Array.from({ length: 6 }, () => lockClient(sim)));
      const late = await lockClient(sim);
      const page = (n: number) => extent(n * 4096, n * 4096 + 4095);
      const exact = LockFlag.LDLM_FL_NO_EXPANSION;
      const held = await Promise.all(holders.map((client, n) => lockOn(client, 1, LCK_PW, page(n), exact)));
      // One holder in the way is none too many.
      const first = lockOn(late, 1, LCK_PW, page(0), exact | DENY);
      await sim.sleep(10);
      holders[0]!.locks.release(held[0]!.lock!);
      late.locks.release((await first).lock!);
      // Five are.
      const whole = lockOn(late, 1, LCK_PW, extent(0, EOF));
      await sim.sleep(10);
      await expect(lockOn(holders[0]!, 1, LCK_PW, page(3), exact | DENY)).rejects.toMatchObject({
        errno: -87,
      });
      // Who does not offer to do without waits, and so does who wants more than a little.
      let waiting = 2;
      const patient = [page(3), extent(0, 65_535)].map((range, i) =>
        lockOn(holders[0]!, 1, LCK_PW, range, i === 0 ? exact : exact | DENY).then(({ lock }) => {
          waiting--;
          holders[0]!.locks.release(lock!);
        }),
      );
      await sim.sleep(100);
      expect(waiting).toBe(2);
      for (const [i, client] of holders.slice(1).entries()) client.locks.release(held[i + 1]!.lock!);
      late.locks.release((await whole).lock!);
      await Promise.all(patient);
      await sim.sleep(5000);
      await lockOn(late, 1, LCK_PW, page(3), exact | DENY);
    }),
  );
});
