/** What becomes of the locks of clients that go, stall or lie, and of locks that nobody uses (guide 08 §4.4, §5, §9). */
import { describe, expect, test } from 'vitest';
import type { Export } from '../../lib/connection/target.ts';
import type { ClientLock } from '../../lib/ldlm/client-lock.ts';
import { RQF_LDLM_CANCEL, RQF_LDLM_ENQUEUE } from '../../lib/wire/formats.ts';
import { LockFlag, LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { bits, EOF, extent, inSimulation, lockClient, lockServer, resource, take } from './lock-cluster.ts';

const { LCK_PR, LCK_PW, LCK_GROUP } = LockMode;

describe('clients that go, stall or lie', () => {
  test(
    'a holder that does not give back is evicted and the waiter goes on; the holder learns of it',
    inSimulation(async (sim) => {
      const server = await lockServer(sim, { timeoutMs: 20_000 });
      const lost: ClientLock[] = [];
      const a = await lockClient(sim, { onLost: (lock) => lost.push(lock) });
      const b = await lockClient(sim);
      const held = await take(a, LCK_PW, extent(0, EOF));
      const begun = sim.now;
      await take(b, LCK_PW, extent(0, 4095));
      expect(sim.now - begun).toBeGreaterThan(19_000);
      expect(sim.now - begun).toBeLessThan(25_000);
      expect(server.evicted).toEqual([`client-${a.nid}`]);
      await sim.sleep(60_000);
      expect(lost).toEqual([held.lock]);
      expect(held.lock?.state).toBe('DESTROYED');
      // And it can begin anew.
      await take(a, LCK_PR, { extent: { start: 1n << 40n, end: (1n << 40n) + 4095n } }, 0x20000000);
    }),
  );

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
    'handles that are unknown or somebody else’s cancel nothing',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      const { lock } = await take(a, LCK_PW, extent(0, EOF));
      const cancel = (handles: bigint[], lock_count = handles.length) =>
        b.imp.call(RQF_LDLM_CANCEL, { dlm_req: { lock_count, lock_handle: handles } });
      await expect(cancel([lock!.serverHandle])).rejects.toMatchObject({ code: 'ESTALE' });
      await expect(cancel([1n, 2n, 3n])).rejects.toMatchObject({ code: 'ESTALE' });
      await expect(cancel([1n], 0xffff_ffff)).rejects.toMatchObject({ code: 'ESTALE' });
      await expect(b.imp.call(RQF_LDLM_CANCEL, {})).rejects.toMatchObject({ code: 'EFAULT' });
      expect(namespace.counts.locks).toBe(1);
    }),
  );

  test(
    'malformed enqueues are refused by name, and nothing is left of them',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const a = await lockClient(sim);
      const enqueue = (dlm_req: object) => a.imp.call(RQF_LDLM_ENQUEUE, { dlm_req });
      const desc = (type: number, mode: number, policy: object = {}) => ({
        lock_desc: {
          l_resource: { lr_type: type, lr_name: { name: [1n, 2n, 3n, 4n] } },
          l_req_mode: mode,
          l_policy_data: policy,
        },
        lock_handle: [99n],
      });
      const refused: [object, string][] = [
        [desc(LockType.LDLM_EXTENT, 3), 'EFAULT'],
        [desc(LockType.LDLM_EXTENT, LockMode.LCK_COS), 'EFAULT'],
        [desc(9, LCK_PR), 'EFAULT'],
        [desc(0xffff_ffff, LCK_PR), 'EFAULT'],
        [desc(LockType.LDLM_IBITS, LCK_PR), 'EPROTO'],
        [desc(LockType.LDLM_IBITS, LCK_GROUP, { l_inodebits: { bits: 2n } }), 'EPROTO'],
        [desc(LockType.LDLM_EXTENT, LCK_PR, { l_extent: { start: 10n, end: 9n } }), 'EPROTO'],
        [{ ...desc(LockType.LDLM_PLAIN, LCK_PR), lock_flags: LockFlag.LDLM_FL_NO_TIMEOUT }, 'EPROTO'],
        [{ ...desc(LockType.LDLM_PLAIN, LCK_PR), lock_count: 1000 }, 'EPROTO'],
      ];
      for (const [request, code] of refused)
        await expect(
          enqueue(request),
          JSON.stringify(request, (_, v) => String(v)),
        ).rejects.toMatchObject({
          code,
        });
      await enqueue(desc(LockType.LDLM_PLAIN, LCK_PR));
      await expect(
        enqueue({ ...desc(LockType.LDLM_EXTENT, LCK_PR), lock_handle: [100n] }),
      ).rejects.toMatchObject({ code: 'EPROTO' });
      expect(namespace.counts.locks).toBe(1);
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
