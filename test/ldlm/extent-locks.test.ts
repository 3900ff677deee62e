/** Extent locks and glimpses, both sides over the simulated network (guide 08 §3.3, §7). */
import { describe, expect, test } from 'vitest';
import type { Policy } from '../../lib/ldlm/lock.ts';
import { LockFlag, LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { OstLvb } from '../../lib/wire/ldlm-structs.ts';
import { EOF, extent, inSimulation, lockClient, lockServer, resource, take } from './lock-cluster.ts';

const { LCK_PR, LCK_PW, LCK_GROUP } = LockMode;
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
    'a group lock on part of an object keeps others from all of it, however many hold locks there',
    inSimulation(async (sim) => {
      await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      const exact = LockFlag.LDLM_FL_NO_EXPANSION;
      // A component of a file ends there; what is behind belongs to no other.
      const part: Policy = { extent: { start: 0n, end: 0x3ffffn, gid: 5n } };
      const member = await take(a, LCK_GROUP, part, exact);
      for (const others of [0, 40]) {
        const more = await Promise.all(Array.from({ length: others }, () => take(a, LCK_GROUP, part, exact)));
        const behind = take(b, LCK_PR, extent(0x40000, 0x40fff), exact | LockFlag.LDLM_FL_BLOCK_NOWAIT);
        await expect(behind).rejects.toMatchObject({ code: 'EAGAIN' });
        for (const { lock } of more) a.locks.release(lock!);
      }
      a.locks.release(member.lock!);
      await take(b, LCK_PR, extent(0x40000, 0x40fff), exact);
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
    'that end when all locks they met are gone leave later ones alone',
    inSimulation(async (sim) => {
      let disk: Promise<void> = Promise.resolve();
      const { namespace } = await lockServer(sim, { lvb: () => disk.then(() => lvb(5n)) });
      const [a, b, c] = [await lockClient(sim), await lockClient(sim), await lockClient(sim)];
      const first = await take(a, LCK_PW, extent(0, EOF));
      let finish: () => void = () => undefined;
      disk = new Promise((resolve) => {
        finish = resolve;
      });
      const glimpse = take(b, LCK_PR, extent(0, EOF), GLIMPSE);
      await sim.sleep(100);
      disk = Promise.resolve();
      a.locks.release(first.lock!);
      await a.locks.cancel(first.lock!);
      const { lock } = await take(c, LCK_PR, extent(0, EOF));
      finish();
      expect((await glimpse).status).toBe(301);
      const writer = take(a, LCK_PW, extent(0, EOF));
      await sim.sleep(100);
      expect(lock?.state).toBe('CBPENDING');
      expect(namespace.counts).toEqual({ resources: 1, locks: 2 });
      c.locks.release(lock!);
      expect((await writer).lock?.state).toBe('GRANTED');
    }),
  );
});
