/**
 * What no honest peer sends in the lock protocol: refused by name, limited or answered with eviction, said
 * in the log with peer, opcode and reason, with nothing left behind and nobody else disturbed (guide 08 §3.2, §4, §5, §12).
 */
import { describe, expect, test } from 'vitest';
import type { ClientLock } from '../../lib/ldlm/client-lock.ts';
import type { Simulation } from '../../lib/sim/simulation.ts';
import {
  RQF_LDLM_BL_CALLBACK,
  RQF_LDLM_CANCEL,
  RQF_LDLM_CONVERT,
  RQF_LDLM_CP_CALLBACK,
  RQF_LDLM_ENQUEUE,
  RQF_LDLM_GL_CALLBACK,
  RQF_LDLM_INTENT_BASIC,
} from '../../lib/wire/formats.ts';
import { LockFlag, LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { type LdlmReply, OstLvb } from '../../lib/wire/ldlm-structs.ts';
import type { StructInput } from '../../lib/wire/struct.ts';
import { intentAnswering, liar, only, rawCancel, rawEnqueue, said, whole } from './hostile-peers.ts';
import {
  bits,
  EOF,
  extent,
  inSimulation,
  type LockClient,
  lockClient,
  lockServer,
  resource,
  take,
} from './lock-cluster.ts';

const { LCK_PR, LCK_PW, LCK_CW, LCK_GROUP } = LockMode;
const EXACT = LockFlag.LDLM_FL_NO_EXPANSION;

describe('unknown handles', () => {
  test(
    'cancel nothing',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      await take(a, LCK_PW, extent(0, EOF));
      await expect(rawCancel(b, [1n, 2n, 3n])).rejects.toMatchObject({ code: 'ESTALE' });
      await expect(rawCancel(b, [1n], 0xffff_ffff)).rejects.toMatchObject({ code: 'ESTALE' });
      await expect(b.imp.call(RQF_LDLM_CANCEL, {})).rejects.toMatchObject({ code: 'EFAULT' });
      expect(namespace.counts.locks).toBe(1);
      expect(said(sim, 'LDLM_CANCEL')).toEqual([
        { peer: b.nid, reason: 'no such lock of this client' },
        { peer: b.nid, reason: '4294967295 handles announced, 2 sent' },
        { peer: b.nid, reason: 'without an ldlm_request' },
      ]);
    }),
  );

  test(
    'convert nothing: the answer names no lock, and a client that asked forgets its own',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      const { lock } = await take(a, LCK_PR, bits(3));
      const convert = (handle: bigint) =>
        b.imp.call(RQF_LDLM_CONVERT, {
          dlm_req: {
            lock_count: 1,
            lock_desc: {
              l_req_mode: LCK_PR,
              l_granted_mode: LCK_PR,
              l_policy_data: { l_inodebits: { bits: 1n } },
            },
            lock_handle: [handle],
          },
        });
      for (const handle of [1n, 0n, lock!.serverHandle])
        expect((await convert(handle)).values.dlm_rep?.lock_handle).toBe(0n);
      expect(only(namespace).lock.policy).toEqual(bits(3));
      const reason = 'no such lock of this client';
      expect(said(sim, 'LDLM_CONVERT')).toEqual(Array(3).fill({ peer: b.nid, reason }));
    }),
  );

  test(
    'in the reply to an enqueue fail it, and its user alone',
    inSimulation(async (sim) => {
      let answer: StructInput<typeof LdlmReply> = {};
      await lockServer(sim, {}, { intents: new Map([[1, intentAnswering(() => answer)]]) });
      const a = await lockClient(sim);
      const kept = await take(a, LCK_PR, bits(1));
      const ask = () =>
        a.locks.enqueue({
          resource: resource(1),
          type: LockType.LDLM_IBITS,
          mode: LCK_PR,
          policy: bits(2),
          intent: { format: RQF_LDLM_INTENT_BASIC, buffers: { ldlm_intent: { opc: 1n } } },
        });
      const desc = (type: number, mode: number) => ({
        l_resource: { lr_type: type, lr_name: { name: resource(1) } },
        l_req_mode: mode,
        l_granted_mode: mode,
        l_policy_data: { l_inodebits: { bits: 2n } },
      });
      const changed = LockFlag.LDLM_FL_LOCK_CHANGED;
      for (const lie of [
        { lock_handle: 0n, lock_desc: desc(LockType.LDLM_IBITS, LCK_PR) },
        { lock_handle: 5n, lock_flags: changed, lock_desc: desc(LockType.LDLM_EXTENT, LCK_PR) },
        { lock_handle: 5n, lock_flags: changed, lock_desc: desc(99, LCK_PR) },
        { lock_handle: 5n, lock_flags: changed, lock_desc: desc(LockType.LDLM_IBITS, 3) },
      ]) {
        answer = lie;
        await expect(ask()).rejects.toMatchObject({ code: 'EPROTO', target: 'demo-OST0000' });
      }
      const lines = said(sim, 'LDLM_ENQUEUE');
      expect(lines).toHaveLength(4);
      expect(lines[0]).toEqual({ peer: '10.0.0.1@tcp', reason: expect.stringMatching(/without a lock/) });
      expect(a.locks.locks).toEqual([kept.lock]);
      expect(kept.lock?.state).toBe('GRANTED');
    }),
  );

  test(
    'in the answer to a callback: a lock that its client says it has not is taken from it, without eviction',
    inSimulation(async (sim) => {
      const { namespace, evicted } = await lockServer(sim);
      const a = await liar(sim, (request) => request.replyError(22));
      const b = await lockClient(sim);
      await take(a, LCK_PW, extent(0, EOF));
      const begun = sim.now;
      await take(b, LCK_PW, extent(0, EOF));
      expect(sim.now - begun).toBeLessThan(100);
      expect(evicted).toEqual([]);
      expect(namespace.counts.locks).toBe(1);
    }),
  );

  test(
    'any other refusal of a callback evicts who sent it',
    inSimulation(async (sim) => {
      const { evicted } = await lockServer(sim);
      const a = await liar(sim, (request) => request.replyError(71));
      const b = await lockClient(sim);
      await take(a, LCK_PW, extent(0, EOF));
      await take(b, LCK_PW, extent(0, EOF));
      expect(evicted).toEqual([`client-${a.nid}`]);
      const [line] = sim.log.filter(({ msg }) => msg === 'evicting a client');
      expect(line).toMatchObject({
        peer: a.nid,
        reason: expect.stringMatching(/^blocking AST for .*EPROTO.*LDLM_BL_CALLBACK/),
      });
    }),
  );

  test(
    'a glimpse answered with bytes that are no size is as if the disk were right',
    inSimulation(async (sim) => {
      const { evicted } = await lockServer(sim, { lvb: () => OstLvb.encode({ lvb_size: 100n }) });
      let told: Uint8Array = new Uint8Array(0);
      const a = await liar(sim, (request) => request.reply(RQF_LDLM_GL_CALLBACK, { dlm_lvb: told }));
      const b = await lockClient(sim);
      await take(a, LCK_PW, extent(0, EOF));
      const size = async () =>
        OstLvb.decode((await take(b, LCK_PR, extent(0, EOF), LockFlag.LDLM_FL_HAS_INTENT)).lvb).lvb_size;
      for (const length of [0, 1, 41, 55]) {
        told = new Uint8Array(length).fill(0xff);
        expect(await size()).toBe(100n);
      }
      told = OstLvb.encode({ lvb_size: 4711n });
      expect(await size()).toBe(4711n);
      expect(evicted).toEqual([]);
    }),
  );
});

describe('somebody else’s lock', () => {
  test(
    'is not cancelled, neither alone nor among own ones nor early',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      const { lock } = await take(a, LCK_PW, extent(0, 4095), EXACT);
      const own = await take(b, LCK_PW, extent(8192, 12_287), EXACT);
      const theirs = lock!.serverHandle;
      await expect(rawCancel(b, [theirs])).rejects.toMatchObject({ code: 'ESTALE' });
      await rawCancel(b, [theirs, own.lock!.serverHandle]);
      await b.locks.enqueue({
        resource: resource(9),
        type: LockType.LDLM_EXTENT,
        mode: LCK_PR,
        policy: extent(0, EOF),
        cancels: [theirs],
      });
      expect(namespace.locks.has(theirs)).toBe(true);
      expect(namespace.counts.locks).toBe(2);
      const reason = `lock 0x${theirs.toString(16)} is another client's`;
      expect(said(sim, 'LDLM_CANCEL').filter((line) => line.reason === reason)).toEqual(
        Array(2).fill({ peer: b.nid, reason }),
      );
      expect(said(sim, 'LDLM_ENQUEUE')).toEqual([{ peer: b.nid, reason }]);
    }),
  );

  test(
    'does not change the way of a handle that two clients chose alike',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      const enqueue = (client: LockClient, start: bigint) =>
        rawEnqueue(client, {
          type: LockType.LDLM_EXTENT,
          flags: EXACT,
          n: 1,
          handle: 77n,
          policy: { l_extent: { start, end: start + 4095n } },
        });
      const [first, second] = [await enqueue(a, 0n), await enqueue(b, 8192n)];
      expect(first.values.dlm_rep?.lock_handle).not.toBe(second.values.dlm_rep?.lock_handle);
      expect(namespace.counts.locks).toBe(2);
    }),
  );
});

describe('a callback for a lock that the client does not have', () => {
  const kinds = [
    ['LDLM_BL_CALLBACK', RQF_LDLM_BL_CALLBACK],
    ['LDLM_CP_CALLBACK', RQF_LDLM_CP_CALLBACK],
    ['LDLM_GL_CALLBACK', RQF_LDLM_GL_CALLBACK],
  ] as const;

  test.each(kinds)('%s is answered EINVAL, and the server keeps the client', (name, format) =>
    inSimulation(async (sim) => {
      const { namespace, evicted } = await lockServer(sim);
      const a = await lockClient(sim, { onGlimpse: () => undefined });
      const { lock } = await take(a, LCK_PW, extent(0, EOF));
      const { client } = only(namespace);
      const call = (lock_handle: bigint[]) => client.callback(format, { dlm_req: { lock_handle } });
      for (const handle of [0n, 1n, lock!.serverHandle, lock!.handle + 1n])
        await expect(call([handle])).rejects.toMatchObject({ errno: -22 });
      expect(said(sim, name)).toEqual(
        Array(4).fill({ peer: '10.0.0.1@tcp', reason: 'for a lock that is not here' }),
      );
      expect(lock?.state).toBe('GRANTED');
      expect(evicted).toEqual([]);
    })(),
  );

  test(
    'for a connection that is not there, or with flags that callbacks do not have, is refused',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const a = await lockClient(sim);
      const { lock } = await take(a, LCK_PW, extent(0, EOF));
      const { client } = only(namespace);
      const dlm_req = { lock_handle: [lock!.handle] };
      const call = (more: object, body = {}) =>
        client.callback(RQF_LDLM_BL_CALLBACK, { ...body, dlm_req: { ...dlm_req, ...more } });
      await expect(call({ lock_flags: LockFlag.LDLM_FL_NO_TIMEOUT })).rejects.toMatchObject({
        code: 'EPROTO',
      });
      a.callbacks.remove(a.locks);
      await expect(call({})).rejects.toMatchObject({ code: 'ENOTCONN' });
      expect(said(sim, 'LDLM_BL_CALLBACK')).toEqual([
        { peer: '10.0.0.1@tcp', reason: 'with flags 0x20000' },
        { peer: '10.0.0.1@tcp', reason: 'for a connection that is not ours' },
      ]);
      expect(lock?.state).toBe('GRANTED');
    }),
  );

  test(
    'or a grant of what was not asked is answered 0 and fails the lock',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      const held = await take(a, LCK_PW, extent(0, EOF));
      const waiting = take(b, LCK_PW, extent(0, EOF));
      waiting.catch(() => undefined);
      await sim.sleep(10);
      const [wish] = b.locks.locks;
      const { client } = [...namespace.locks.all()].find((lock) => !lock.isGranted)!;
      await client!.callback(RQF_LDLM_CP_CALLBACK, {
        dlm_req: {
          lock_desc: {
            l_resource: { lr_type: LockType.LDLM_IBITS, lr_name: { name: resource(1) } },
            l_granted_mode: LCK_CW,
          },
          lock_handle: [wish!.handle, 5n],
        },
        dlm_lvb: new Uint8Array(0),
      });
      await expect(waiting).rejects.toMatchObject({ code: 'EPROTO' });
      expect(sim.log.filter(({ msg }) => msg === 'a completion AST made no sense')).toMatchObject([
        { peer: '10.0.0.1@tcp', opcode: 'LDLM_CP_CALLBACK' },
      ]);
      expect(held.lock?.state).toBe('CBPENDING');
      a.locks.release(held.lock!);
    }),
  );
});

describe('absurd extents', () => {
  test(
    'and other malformed enqueues are refused by name, and nothing is left of them',
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
        [desc(LockType.LDLM_EXTENT, LCK_PR, { l_extent: { start: EOF, end: 0n } }), 'EPROTO'],
        [desc(LockType.LDLM_FLOCK, LCK_PW, { l_flock: { lfw_start: 10n, lfw_end: 9n } }), 'EINVAL'],
        [desc(LockType.LDLM_FLOCK, LockMode.LCK_CR, { l_flock: { lfw_start: 0n, lfw_end: 9n } }), 'EINVAL'],
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
      expect(namespace.counts).toEqual({ resources: 0, locks: 0 });
      const lines = said(sim, 'LDLM_ENQUEUE');
      expect(lines.map(({ peer }) => peer)).toEqual(refused.map(() => a.nid));
      expect(lines.map(({ reason }) => reason)).toContain('extent [10, 9] ends before it starts');
      await enqueue(desc(LockType.LDLM_PLAIN, LCK_PR));
      await expect(
        enqueue({ ...desc(LockType.LDLM_EXTENT, LCK_PR), lock_handle: [100n] }),
      ).rejects.toMatchObject({ code: 'EPROTO' });
      expect(namespace.counts.locks).toBe(1);
    }),
  );

  test(
    'of a page, of none, at the end of all, without alignment: what is granted covers them and conflicts as it should',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      for (const [start, end] of [
        [0n, 0n],
        [EOF, EOF],
        [1n, 2n],
        [4095n, 4096n],
        [EOF - 1n, EOF],
        [0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n],
      ] as const) {
        const own = await take(a, LCK_PW, { extent: { start, end } });
        const granted = own.lock!.policy.extent!;
        expect(granted.start <= start && granted.end >= end).toBe(true);
        const waiting = take(b, LCK_PW, { extent: { start: end, end } }, EXACT);
        await sim.sleep(10);
        expect(own.lock?.state).toBe('CBPENDING');
        a.locks.release(own.lock!);
        b.locks.release((await waiting).lock!);
        await b.locks.cancel((await waiting).lock!);
      }
      expect(namespace.counts).toEqual({ resources: 0, locks: 0 });
    }),
  );
});

describe('a lock resource that does not exist', () => {
  test(
    'cannot be locked or glimpsed, and is not made by asking',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim, {
        lvb: () => Promise.reject(Object.assign(new Error('no object'), { code: 'ENOENT', errno: -2 })),
      });
      const a = await lockClient(sim);
      for (const flags of [0, LockFlag.LDLM_FL_HAS_INTENT])
        await expect(take(a, LCK_PR, extent(0, EOF), flags)).rejects.toMatchObject({ code: 'ENOENT' });
      expect(said(sim, 'LDLM_ENQUEUE')).toEqual(Array(2).fill({ peer: a.nid, reason: 'no object' }));
      expect(namespace.counts).toEqual({ resources: 0, locks: 0 });
    }),
  );
});

describe('a client that does not answer callbacks', () => {
  const silent = (sim: Simulation) => liar(sim, (request) => request.drop('silent'));

  test.each([
    ['blocking', 0],
    ['glimpse', LockFlag.LDLM_FL_HAS_INTENT],
  ])('is evicted after a %s AST, and the others go on', (kind, flags) =>
    inSimulation(async (sim) => {
      const { evicted, namespace } = await lockServer(sim, {
        timeoutMs: 20_000,
        lvb: () => OstLvb.encode({ lvb_size: 1n }),
      });
      const [a, b, c] = [await silent(sim), await lockClient(sim), await lockClient(sim)];
      await take(a, LCK_PW, extent(0, EOF));
      const begun = sim.now;
      const waiting = take(b, LCK_PR, extent(0, EOF), flags);
      const { lock: other } = await whole(c, 2, LCK_PW);
      expect(sim.now - begun).toBeLessThan(100);
      await waiting;
      expect(sim.now - begun).toBeLessThan(30_000);
      expect(evicted).toEqual([`client-${a.nid}`]);
      expect(other?.state).toBe('GRANTED');
      const [line] = sim.log.filter(({ msg }) => msg === 'evicting a client');
      expect(line).toMatchObject({ peer: a.nid, client: `client-${a.nid}` });
      expect(line?.reason).toMatch(
        kind === 'glimpse' ? /LDLM_GL_CALLBACK/ : /lock callback timer expired|LDLM_BL_CALLBACK/,
      );
      expect([...namespace.locks.all()].every((lock) => lock.client?.clientUuid !== `client-${a.nid}`)).toBe(
        true,
      );
    })(),
  );

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
});

describe('a client that enqueues without end', () => {
  test(
    'and gives nothing back gets no more and then loses all',
    inSimulation(async (sim) => {
      const { namespace, evicted } = await lockServer(sim, { locksPerClient: 50, timeoutMs: 20_000 });
      const [greedy, honest] = [await lockClient(sim), await lockClient(sim)];
      // It uses them all: none can be given back.
      const wishes = Array.from({ length: 300 }, (_, n) => whole(greedy, n).catch((e: Error) => e));
      await sim.sleep(3000);
      expect(namespace.locks.countOf([...namespace.locks.all()][0]!.client!)).toBe(100);
      const begun = sim.now;
      await whole(honest, 1_000_000, LCK_PW);
      expect(sim.now - begun).toBeLessThan(100);
      await sim.sleep(60_000);
      expect(evicted).toContain(`client-${greedy.nid}`);
      expect(honest.locks.size).toBe(1);
      await greedy.imp.disconnect();
      await Promise.all(wishes);
    }),
  );

  test(
    'on one resource, or of file locks, meets the same limits',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim, { locksPerClient: 50 });
      const [greedy, honest] = [await lockClient(sim), await lockClient(sim)];
      const held = await take(honest, LCK_PW, extent(0, 4095), EXACT);
      const enqueue = (type: number, n: number) =>
        rawEnqueue(greedy, {
          type,
          flags: EXACT,
          n: type === LockType.LDLM_EXTENT ? 1 : 2,
          handle: BigInt(n + 1),
          policy:
            type === LockType.LDLM_EXTENT
              ? { l_extent: { start: 0n, end: 4095n } }
              : { l_flock: { lfw_start: 0n, lfw_end: 9n, lfw_owner: BigInt(n) } },
        });
      const all = Array.from({ length: 150 }, (_, n) => enqueue(LockType.LDLM_EXTENT, n));
      const results = await Promise.allSettled(all);
      const refused = results.filter((result) => result.status === 'rejected');
      expect(refused).toHaveLength(50);
      for (const { reason } of refused) expect(reason).toMatchObject({ code: 'EINPROGRESS' });
      expect(said(sim, 'LDLM_ENQUEUE')).toEqual(
        Array(50).fill({ peer: greedy.nid, reason: '100 locks, and no room for more' }),
      );
      await expect(enqueue(LockType.LDLM_FLOCK, 200)).rejects.toMatchObject({ code: 'EINPROGRESS' });
      honest.locks.release(held.lock!);
      await take(honest, LCK_PR, { extent: { start: 1n << 30n, end: (1n << 30n) + 4095n } }, EXACT);
      expect(namespace.counts.locks).toBeLessThanOrEqual(102);
    }),
  );
});
