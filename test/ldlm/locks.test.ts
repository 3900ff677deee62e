/** Both sides of the lock manager over the simulated network (guide 08). */
import { describe, expect, test } from 'vitest';
import type { ClientLock } from '../../lib/ldlm/client-lock.ts';
import type { Policy } from '../../lib/ldlm/lock.ts';
import type { Intent } from '../../lib/ldlm/server-operations.ts';
import { createSimulation, type Simulation } from '../../lib/sim/simulation.ts';
import {
  RQF_LDLM_CANCEL,
  RQF_LDLM_CONVERT,
  RQF_LDLM_ENQUEUE,
  RQF_LDLM_INTENT_GETATTR,
} from '../../lib/wire/formats.ts';
import { InodeBit, LockFlag, LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { OstLvb } from '../../lib/wire/ldlm-structs.ts';
import { EOF, type LockClient, lockClient, lockServer, resource } from './lock-cluster.ts';

const { LCK_PR, LCK_PW, LCK_EX, LCK_CR, LCK_GROUP } = LockMode;
const extent = (start: number, end: number | bigint): Policy => ({
  extent: { start: BigInt(start), end: BigInt(end) },
});
const bits = (inodeBits: number, tryBits = 0): Policy => ({
  inodeBits: BigInt(inodeBits),
  ...(tryBits !== 0 && { tryBits: BigInt(tryBits) }),
});
const take = (client: LockClient, mode: number, policy: Policy, flags = 0) =>
  client.locks.enqueue({
    resource: resource(1),
    type: policy.extent === undefined ? LockType.LDLM_IBITS : LockType.LDLM_EXTENT,
    mode,
    policy,
    flags,
  });

const inSimulation =
  (body: (sim: Simulation) => Promise<void>, seed = 1) =>
  async () => {
    const sim = createSimulation({ seed });
    await sim.run(body(sim));
  };

const lvb = (size: bigint, blocks = 0n) => OstLvb.encode({ lvb_size: size, lvb_blocks: blocks });

describe('extent locks', () => {
  test(
    'a lone client is granted the whole object and finds it again without asking',
    inSimulation(async (sim) => {
      await lockServer(sim);
      const a = await lockClient(sim);
      const { lock } = await take(a, LCK_PW, extent(0, 4095));
      expect(lock?.policy).toEqual(extent(0, EOF));
      a.locks.release(lock!);
      const again = a.locks.match(resource(1), LockType.LDLM_EXTENT, LCK_PR, extent(1 << 20, 1 << 21));
      expect(again).toBe(lock);
      expect(a.locks.match(resource(2), LockType.LDLM_EXTENT, LCK_PR, extent(0, 1))).toBeUndefined();
    }),
  );

  test(
    'a conflicting client gets it after the holder has flushed and cancelled',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const events: string[] = [];
      const a = await lockClient(sim, {
        onBlocking: async () => {
          events.push('flush');
          await sim.sleep(50);
          events.push('flushed');
        },
      });
      const b = await lockClient(sim);
      const mine = await take(a, LCK_PW, extent(0, 4095));
      const waiting = take(b, LCK_PR, extent(0, 4095)).then((result) => {
        events.push('granted');
        return result;
      });
      await sim.sleep(1000);
      expect(events).toEqual([]);
      // In use: nobody else may join, and it goes as soon as it is let go.
      expect(mine.lock?.state).toBe('CBPENDING');
      expect(a.locks.match(resource(1), LockType.LDLM_EXTENT, LCK_PW, extent(0, 1))).toBeUndefined();
      a.locks.release(mine.lock!);
      const theirs = await waiting;
      expect(events).toEqual(['flush', 'flushed', 'granted']);
      expect(theirs.lock?.policy).toEqual(extent(0, EOF));
      expect(namespace.counts).toEqual({ resources: 1, locks: 1 });
    }),
  );

  test(
    'readers share, a writer beside them waits, and further readers wait behind it',
    inSimulation(async (sim) => {
      await lockServer(sim);
      const [a, b, c] = [await lockClient(sim), await lockClient(sim), await lockClient(sim)];
      const first = await take(a, LCK_PR, extent(0, EOF));
      const second = await take(b, LCK_PR, extent(0, EOF));
      const order: string[] = [];
      const writer = take(c, LCK_PW, extent(0, 4095)).finally(() => order.push('writer'));
      await sim.sleep(100);
      a.locks.release(first.lock!);
      const reader = take(a, LCK_PR, extent(0, 4095)).finally(() => order.push('reader'));
      await sim.sleep(100);
      expect(order).toEqual([]);
      b.locks.release(second.lock!);
      c.locks.release((await writer).lock!);
      await reader;
      expect(order).toEqual(['writer', 'reader']);
    }),
  );

  test(
    'growth stops at what others hold and wait for, on the boundaries of the request',
    inSimulation(async (sim) => {
      await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      const low = await take(a, LCK_PW, extent(0, 0xfff), LockFlag.LDLM_FL_NO_EXPANSION);
      expect(low.lock?.policy).toEqual(extent(0, 0xfff));
      const high = await take(b, LCK_PW, extent(0x10000, 0x10fff));
      expect(high.lock?.policy).toEqual({ extent: { start: 0x10000n, end: EOF } });
      const middle = await take(a, LCK_PW, extent(0x4000, 0x4fff));
      expect(middle.lock?.policy).toEqual(extent(0x4000, 0xffff));
    }),
  );

  test(
    'group locks of one group share, of another wait, and get no blocking AST',
    inSimulation(async (sim) => {
      await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      const group = (gid: bigint): Policy => ({ extent: { start: 0n, end: EOF, gid } });
      const one = await take(a, LCK_GROUP, group(5n));
      const two = await take(b, LCK_GROUP, group(5n));
      await expect(take(b, LCK_PR, extent(0, 4095), LockFlag.LDLM_FL_BLOCK_NOWAIT)).rejects.toMatchObject({
        code: 'EAGAIN',
      });
      let granted = false;
      const other = take(b, LCK_GROUP, group(6n)).then(() => {
        granted = true;
      });
      await sim.sleep(1000);
      expect(granted).toBe(false);
      expect(one.lock?.state).toBe('GRANTED');
      await Promise.all([
        a.locks.release(one.lock!),
        b.locks.release(two.lock!),
        a.locks.cancel(one.lock!),
        b.locks.cancel(two.lock!),
      ]);
      await other;
    }),
  );

  test(
    'a lock that may not wait is refused, and nobody is asked for theirs',
    inSimulation(async (sim) => {
      await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      const held = await take(a, LCK_PW, extent(0, EOF));
      const flag = LockFlag.LDLM_FL_SPECULATIVE;
      await expect(take(b, LCK_PW, extent(0, 4095), flag)).rejects.toMatchObject({ code: 'EAGAIN' });
      expect(held.lock?.state).toBe('GRANTED');
      // BLOCK_NOWAIT on extents is about group locks only.
      const waiting = take(b, LCK_PW, extent(0, 4095), LockFlag.LDLM_FL_BLOCK_NOWAIT);
      await sim.sleep(10);
      a.locks.release(held.lock!);
      await waiting;
    }),
  );

  test(
    'a writer that destroys the object tells holders to drop their data',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const discarded: boolean[] = [];
      const a = await lockClient(sim, { onBlocking: (lock) => void discarded.push(lock.discardData) });
      const held = await take(a, LCK_PW, extent(0, EOF));
      a.locks.release(held.lock!);
      const mine = await namespace.lock(resource(1), LCK_PW, extent(0, EOF), { discardData: true });
      expect(discarded).toEqual([true]);
      mine.release();
      expect(namespace.counts).toEqual({ resources: 0, locks: 0 });
    }),
  );
});

describe('glimpses', () => {
  const GLIMPSE = LockFlag.LDLM_FL_HAS_INTENT;

  test(
    'without a conflict bring a lock, with the size from disk',
    inSimulation(async (sim) => {
      await lockServer(sim, { lvb: () => lvb(100n, 8n) });
      const a = await lockClient(sim);
      const answer = await take(a, LCK_PR, extent(0, EOF), GLIMPSE);
      expect(answer.status).toBe(0);
      expect(OstLvb.decode(answer.lvb)).toMatchObject({ lvb_size: 100n, lvb_blocks: 8n });
      expect(answer.reply.values.dlm_rep?.lock_flags).toBe(0x1001);
      a.locks.release(answer.lock!);
    }),
  );

  test(
    'of an object that is written ask the writer, and leave it its lock',
    inSimulation(async (sim) => {
      let disk = 0n;
      await lockServer(sim, { lvb: () => lvb(disk, disk === 0n ? 0n : 8n) });
      const a = await lockClient(sim, {
        onGlimpse: () => lvb(4711n, 1n),
        onBlocking: () => {
          disk = 4711n;
        },
      });
      const b = await lockClient(sim);
      const held = await take(a, LCK_PW, extent(0, 4095));
      const answer = await take(b, LCK_PR, extent(0, EOF), GLIMPSE);
      expect(answer).toMatchObject({ status: 301, lock: undefined });
      expect(OstLvb.decode(answer.lvb)).toMatchObject({ lvb_size: 4711n, lvb_blocks: 1n });
      expect(held.lock?.state).toBe('GRANTED');
      // What the writer told stays known until it has written back.
      a.locks.release(held.lock!);
      const reader = await take(b, LCK_PR, extent(0, 4095));
      expect(OstLvb.decode(reader.lvb)).toMatchObject({ lvb_size: 4711n, lvb_blocks: 8n });
    }),
  );

  test(
    'that may not wait are answered from disk',
    inSimulation(async (sim) => {
      let asked = 0;
      await lockServer(sim, { lvb: () => lvb(5n) });
      const a = await lockClient(sim, {
        onGlimpse: () => {
          asked++;
          return undefined;
        },
      });
      const b = await lockClient(sim);
      await take(a, LCK_PW, extent(0, EOF));
      const answer = await take(b, LCK_PR, extent(0, EOF), 0x41010);
      expect(answer.status).toBe(301);
      expect(OstLvb.decode(answer.lvb).lvb_size).toBe(5n);
      expect(asked).toBe(0);
      // A holder that does not know the object is no reason to fail or to evict.
      expect(OstLvb.decode((await take(b, LCK_PR, extent(0, EOF), GLIMPSE)).lvb).lvb_size).toBe(5n);
      expect(asked).toBe(1);
    }),
  );

  test(
    'of an object that does not exist fail',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim, {
        lvb: () => Promise.reject(Object.assign(new Error('no object'), { code: 'ENOENT', errno: -2 })),
      });
      const a = await lockClient(sim);
      for (const flags of [0, GLIMPSE])
        await expect(take(a, LCK_PR, extent(0, EOF), flags)).rejects.toMatchObject({ code: 'ENOENT' });
      expect(namespace.counts).toEqual({ resources: 0, locks: 0 });
    }),
  );
});

describe('inode bits', () => {
  const {
    MDS_INODELOCK_LOOKUP: LOOKUP,
    MDS_INODELOCK_UPDATE: UPDATE,
    MDS_INODELOCK_LAYOUT: LAYOUT,
  } = InodeBit;

  test(
    'conflict only where they meet',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const a = await lockClient(sim);
      const lookup = await take(a, LCK_PR, bits(LOOKUP));
      const update = await take(a, LCK_PR, bits(UPDATE));
      a.locks.release(lookup.lock!);
      a.locks.release(update.lock!);
      const own = await namespace.lock(resource(1), LCK_PW, bits(UPDATE));
      expect(a.locks.locks.map((lock) => lock.policy)).toEqual([bits(LOOKUP)]);
      own.release();
    }),
  );

  test(
    'that are optional come when free and are left out when not',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const a = await lockClient(sim);
      const free = await take(a, LCK_PR, bits(LOOKUP, LAYOUT));
      expect(free.lock?.policy).toEqual(bits(LOOKUP | LAYOUT));
      a.locks.release(free.lock!);
      await a.locks.cancelAll();
      const own = await namespace.lock(resource(1), LCK_EX, bits(LAYOUT));
      const without = await take(a, LCK_PR, bits(LOOKUP, LAYOUT));
      expect(without.lock?.policy).toEqual(bits(LOOKUP));
      const none = await take(a, LCK_PR, bits(0, LAYOUT));
      expect(none).toMatchObject({ status: 301, lock: undefined });
      own.release();
    }),
  );

  test(
    'an intent’s answer carries a lock on another resource; an equal one is not kept twice',
    inSimulation(async (sim) => {
      const child = resource(77);
      const getattr: Intent<typeof RQF_LDLM_INTENT_GETATTR> = {
        format: RQF_LDLM_INTENT_GETATTR,
        async handle(call, context) {
          expect(call.values.name).toBe('file');
          const granted = await context.grant(child, LCK_PR, bits(LOOKUP, LAYOUT));
          call.reply({ dlm_rep: { ...granted!.reply(), lock_policy_res1: 0xbn }, mdt_body: {} });
        },
      };
      const { namespace } = await lockServer(sim, {}, { intents: new Map([[8, getattr]]) });
      const a = await lockClient(sim, {}, 'mdt');
      const ask = () =>
        a.locks.enqueue({
          resource: resource(1),
          type: LockType.LDLM_IBITS,
          mode: LCK_CR,
          policy: bits(UPDATE),
          flags: LockFlag.LDLM_FL_HAS_INTENT,
          intent: {
            format: RQF_LDLM_INTENT_GETATTR,
            buffers: { ldlm_intent: { opc: 8n }, mdt_body: {}, name: 'file' },
          },
        });
      const first = await ask();
      expect(first.reply.values.dlm_rep).toMatchObject({ lock_flags: 0x1001, lock_policy_res1: 0xbn });
      expect(first.lock).toMatchObject({ resource: child, mode: LCK_PR, policy: bits(LOOKUP | LAYOUT) });
      const second = await ask();
      expect(second.lock).toBe(first.lock);
      a.locks.release(first.lock!);
      a.locks.release(second.lock!);
      await sim.sleep(100);
      expect(namespace.counts.locks).toBe(1);
      expect(a.locks.match(child, LockType.LDLM_IBITS, LCK_CR, bits(LAYOUT))).toBe(first.lock);
    }),
  );

  test(
    'early cancels go with the request that they make way for',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const a = await lockClient(sim);
      const held = await take(a, LCK_PR, bits(UPDATE));
      a.locks.release(held.lock!);
      const cancels = await a.locks.takeConflicting(resource(1), BigInt(UPDATE));
      expect(cancels).toEqual([held.lock?.serverHandle]);
      expect(a.locks.locks).toEqual([]);
      const exclusive = await a.locks.enqueue({
        resource: resource(1),
        type: LockType.LDLM_IBITS,
        mode: LCK_EX,
        policy: bits(UPDATE),
        cancels,
      });
      expect(exclusive.lock?.mode).toBe(LCK_EX);
      expect(namespace.counts.locks).toBe(1);
      expect(a.ptlrpc.counters.of('client', 103).requests).toBe(0);
    }),
  );
});

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

describe('converts', () => {
  test(
    'keep some bits and give the others to who waits',
    inSimulation(async (sim) => {
      await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      const { lock } = await take(a, LCK_PR, bits(0x5b));
      const waiting = take(b, LCK_EX, bits(0x02));
      await sim.sleep(10);
      const convert = (handle: bigint, mode: number, keep: bigint) =>
        a.imp.call(RQF_LDLM_CONVERT, {
          dlm_req: {
            lock_count: 1,
            lock_desc: {
              l_req_mode: mode,
              l_granted_mode: mode,
              l_policy_data: { l_inodebits: { bits: keep } },
            },
            lock_handle: [handle],
          },
        });
      const answer = await convert(lock!.serverHandle, LCK_PR, 0x59n);
      expect(answer.values.dlm_rep).toMatchObject({
        lock_handle: lock!.handle,
        lock_desc: { l_policy_data: { l_inodebits: { bits: 0x59n } } },
      });
      expect((await waiting).lock?.policy).toEqual(bits(0x02));
      // What is kept is still kept from others.
      let granted = false;
      take(b, LCK_EX, bits(0x08)).then(
        () => {
          granted = true;
        },
        () => {},
      );
      await sim.sleep(100);
      expect(granted).toBe(false);
      // An unknown lock, another mode or no bits change nothing, and show as no handle (guide 08 §6).
      for (const bad of [
        convert(1n, LCK_PR, 1n),
        convert(lock!.serverHandle, LCK_EX, 1n),
        convert(lock!.serverHandle, LCK_PR, 0n),
      ])
        expect((await bad).values.dlm_rep?.lock_handle).toBe(0n);
    }),
  );
});

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
