/** What becomes of the locks of clients that go, stall or lie, and of locks that nobody uses (guide 08 §4.4, §5, §9). */
import { describe, expect, test } from 'vitest';
import type { Export } from '../../lib/connection/target.ts';
import type { ClientLock } from '../../lib/ldlm/client-lock.ts';
import { RQF_LDLM_ENQUEUE } from '../../lib/wire/formats.ts';
import { LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { bits, EOF, extent, inSimulation, lockClient, lockServer, resource, take } from './lock-cluster.ts';

const { LCK_PR, LCK_PW } = LockMode;

describe('clients that go, stall or lie', () => {
  test(
    'a holder gets half as long again as it took at worst, and no less than the minimum',
    inSimulation(async (sim) => {
      const { evicted } = await lockServer(sim, { timeoutMs: 20_000 });
      let flushMs = 15_000;
      const a = await lockClient(sim, { onBlocking: () => sim.sleep(flushMs) });
      const b = await lockClient(sim);
      const pingPong = async (): Promise<number> => {
        const begun = sim.now;
        a.locks.release((await take(a, LCK_PW, extent(0, EOF))).lock!);
        b.locks.release((await take(b, LCK_PW, extent(0, EOF))).lock!);
        return sim.now - begun;
      };
      await pingPong();
      // 22.5 seconds are allowed now: more than the minimum.
      flushMs = 22_000;
      await pingPong();
      flushMs = 32_000;
      await pingPong();
      expect(evicted).toEqual([]);
      flushMs = 60_000;
      expect(await pingPong()).toBeLessThan(52_000);
      expect(evicted).toEqual([`client-${a.nid}`]);
    }),
  );

  test(
    'a holder whose writes are at work is not evicted, and one that is done has its whole time again',
    inSimulation(async (sim) => {
      const { evicted, namespace } = await lockServer(sim, { timeoutMs: 20_000 });
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      await take(a, LCK_PW, extent(0, EOF));
      const client: Export = [...namespace.locks.all()][0]!.client!;
      const begun = sim.now;
      const waiting = take(b, LCK_PW, extent(0, 4095));
      await sim.sleep(1000);
      await namespace.busy(client, resource(1), { start: 0n, end: 4095n }, () => sim.sleep(100_000));
      expect(evicted).toEqual([]);
      await waiting;
      expect(evicted).toEqual([`client-${a.nid}`]);
      expect(sim.now - begun).toBeGreaterThan(120_000);
      expect(sim.now - begun).toBeLessThan(125_000);
    }),
  );

  test(
    'a client that disconnects leaves no lock behind',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      await take(a, LCK_PW, extent(0, EOF));
      const waiting = take(b, LCK_PW, extent(0, EOF));
      await sim.sleep(10);
      await a.imp.disconnect();
      await waiting;
      await b.imp.disconnect();
      await sim.sleep(10);
      expect(namespace.counts).toEqual({ resources: 0, locks: 0 });
    }),
  );

  test(
    'a vanished client’s lock is taken from it in bounded time',
    inSimulation(async (sim) => {
      await lockServer(sim, { timeoutMs: 30_000 });
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      await take(a, LCK_PW, extent(0, EOF));
      sim.faults.kill(a.nid);
      const begun = sim.now;
      await take(b, LCK_PW, extent(0, 4095));
      expect(sim.now - begun).toBeLessThan(40_000);
    }),
  );

  test(
    'a resent enqueue finds its lock',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const a = await lockClient(sim);
      const request = {
        dlm_req: {
          lock_desc: {
            l_resource: { lr_type: LockType.LDLM_EXTENT, lr_name: { name: [1n, 2n, 3n, 4n] } },
            l_req_mode: LCK_PW,
            l_policy_data: { l_extent: { start: 0n, end: 4095n } },
          },
          lock_handle: [1234n],
        },
      };
      const first = await a.imp.call(RQF_LDLM_ENQUEUE, request);
      const again = await a.imp.call(RQF_LDLM_ENQUEUE, request);
      expect(again.values.dlm_rep).toEqual(first.values.dlm_rep);
      expect(namespace.counts.locks).toBe(1);
    }),
  );

  test(
    'a full server asks to try again',
    inSimulation(async (sim) => {
      await lockServer(sim, { locksMax: 1 });
      const a = await lockClient(sim);
      await take(a, LCK_PR, bits(1));
      let outcome = 'trying';
      take(a, LCK_PR, bits(2)).then(
        () => {
          outcome = 'granted';
        },
        (error: { code: string }) => {
          outcome = error.code;
        },
      );
      await sim.sleep(5000);
      expect(['trying', 'EINPROGRESS']).toContain(outcome);
    }),
  );
});

describe('keeping unused locks', () => {
  test(
    'no more than so many, the oldest go first',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const a = await lockClient(sim, { lru: { maxCount: 3 } });
      for (let n = 1; n <= 5; n++) {
        const { lock } = await a.locks.enqueue({
          resource: resource(n),
          type: LockType.LDLM_EXTENT,
          mode: LCK_PR,
          policy: extent(0, EOF),
        });
        a.locks.release(lock!);
      }
      await sim.sleep(100);
      expect(a.locks.locks.map((lock) => Number(lock.resource[1]))).toEqual([3, 4, 5]);
      expect(namespace.counts.locks).toBe(3);
    }),
  );

  test(
    'no longer than so long',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const a = await lockClient(sim, { lru: { maxAgeMs: 100_000 } });
      a.locks.release((await take(a, LCK_PR, extent(0, EOF))).lock!);
      await sim.sleep(90_000);
      expect(namespace.counts.locks).toBe(1);
      await sim.sleep(100_000);
      expect(namespace.counts.locks).toBe(0);
    }),
  );

  test(
    'cancelAll sends many handles in one request',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const a = await lockClient(sim);
      for (let n = 0; n < 20; n++) {
        const { lock } = await a.locks.enqueue({
          resource: resource(n),
          type: LockType.LDLM_EXTENT,
          mode: LCK_PR,
          policy: extent(0, EOF),
        });
        a.locks.release(lock!);
      }
      await a.locks.cancelAll();
      expect(namespace.counts.locks).toBe(0);
      expect(a.ptlrpc.counters.of('client', 103).requests).toBeLessThanOrEqual(2);
    }),
  );
});

describe('unmount', () => {
  test(
    'gives back what is still in use too',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const flushed: ClientLock[] = [];
      const a = await lockClient(sim, { onBlocking: (lock) => void flushed.push(lock) });
      const { lock } = await take(a, LCK_PW, extent(0, EOF));
      await a.locks.cancelAll();
      expect(flushed).toEqual([lock]);
      a.locks.release(lock!);
      expect(namespace.counts).toEqual({ resources: 0, locks: 0 });
    }),
  );
});
