/** Inode bits, intents, early cancels and converts, both sides over the simulated network (guide 08 §3.3, §5.3, §6). */
import { describe, expect, test } from 'vitest';
import type { Operation } from '../../lib/connection/target.ts';
import type { Policy } from '../../lib/ldlm/lock.ts';
import type { Intent } from '../../lib/ldlm/server-operations.ts';
import { RQF_LDLM_CONVERT, RQF_LDLM_ENQUEUE, RQF_LDLM_INTENT_GETATTR } from '../../lib/wire/formats.ts';
import { InodeBit, LockFlag, LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { fullOffer } from '../connection/cluster.ts';
import {
  bits,
  inSimulation,
  type LockClient,
  lockClient,
  lockServer,
  resource,
  take,
} from './lock-cluster.ts';

const { LCK_PR, LCK_PW, LCK_EX, LCK_CR } = LockMode;

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
    'what comes with the second of two equal locks is told (the size of data on an MDT)',
    inSimulation(async (sim) => {
      let asked = 0;
      // As kernel servers answer: no LVB with a lock of an intent, and an LVB with one that asks for the size.
      const enqueue: Operation<typeof RQF_LDLM_ENQUEUE> = {
        format: RQF_LDLM_ENQUEUE,
        handle(call) {
          const { lock_desc } = call.values.dlm_req!;
          const dlm_rep = {
            lock_handle: BigInt(++asked),
            lock_desc: { ...lock_desc, l_granted_mode: LCK_PR },
          };
          call.reply({ dlm_rep, dlm_lvb: new Uint8Array(asked === 1 ? 0 : 56).fill(asked) });
        },
      };
      await lockServer(sim, {}, {}, { operations: new Map([[Opcode.LDLM_ENQUEUE, enqueue as Operation]]) });
      const a = await lockClient(sim);
      const first = await take(a, LCK_PR, bits(InodeBit.MDS_INODELOCK_DOM));
      const second = await take(a, LCK_PR, bits(InodeBit.MDS_INODELOCK_DOM));
      expect(second.lock).toBe(first.lock);
      expect(first.lvb).toEqual(new Uint8Array(0));
      expect(second.lvb).toEqual(new Uint8Array(56).fill(2));
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

  test(
    'that are wanted before their request is sent go without it',
    inSimulation(async (sim) => {
      const { evicted } = await lockServer(sim);
      const a = await lockClient(sim, { onBlocking: () => sim.sleep(50) });
      const b = await lockClient(sim);
      const held = await take(a, LCK_PR, bits(UPDATE));
      a.locks.release(held.lock!);
      const begun = a.locks.takeConflicting(resource(1), BigInt(UPDATE));
      // The request with the handle may be behind one that waits for b: it is not sent before b is done.
      const { lock } = await take(b, LCK_EX, bits(UPDATE));
      expect(lock?.state).toBe('GRANTED');
      expect(await begun).toEqual([]);
      expect(evicted).toEqual([]);
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

  const wanted = async (client: LockClient, mode: number, policy: Policy): Promise<void> => {
    const { lock } = await take(client, mode, policy);
    client.locks.release(lock!);
  };
  const requests = ({ ptlrpc }: LockClient): readonly number[] =>
    [102, 103].map((opcode) => ptlrpc.counters.of('client', opcode).requests);

  test(
    'are what a blocking AST for part of a lock is answered with',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const dropped: bigint[] = [];
      const a = await lockClient(sim, { onBlocking: (_lock, gone) => void dropped.push(gone) });
      const b = await lockClient(sim);
      const { lock } = await take(a, LCK_PR, bits(0x1b));
      a.locks.release(lock!);
      await wanted(b, LCK_EX, bits(0x02));
      expect(lock).toMatchObject({ state: 'GRANTED', policy: bits(0x19) });
      expect(a.locks.match(resource(1), LockType.LDLM_IBITS, LCK_PR, bits(0x11))).toBe(lock);
      // In use: it goes back when it is let go, and then for all who asked.
      const second = wanted(b, LCK_EX, bits(0x08));
      await sim.sleep(100);
      expect(lock).toMatchObject({ state: 'CBPENDING', policy: bits(0x19) });
      a.locks.release(lock!);
      await second;
      expect(lock?.policy).toEqual(bits(0x11));
      expect(dropped).toEqual([0x02n, 0x08n]);
      expect(requests(a)).toEqual([2, 0]);
      // Whoever wants the name may remove the object.
      await wanted(b, LCK_EX, bits(0x03));
      // The other may hear of its grant before the cancel is answered.
      await lock?.gone;
      expect(lock?.state).toBe('DESTROYED');
      expect(dropped).toEqual([0x02n, 0x08n, 0x11n]);
      expect(requests(a)).toEqual([2, 1]);
      await b.locks.cancelAll();
      expect(namespace.counts).toEqual({ resources: 0, locks: 0 });
    }),
  );

  test(
    'are not sent to a server that does not know them',
    inSimulation(async (sim) => {
      await lockServer(sim, {}, {}, { connect: () => fullOffer });
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      await wanted(a, LCK_PR, bits(0x13));
      await wanted(b, LCK_EX, bits(0x02));
      expect(a.locks.size).toBe(0);
      expect(requests(a)).toEqual([0, 1]);
    }),
  );

  test(
    'are not sent for what another lock protects already',
    inSimulation(async (sim) => {
      await lockServer(sim);
      const [a, b] = [await lockClient(sim), await lockClient(sim)];
      await wanted(a, LCK_PR, bits(0x11));
      await wanted(a, LCK_PR, bits(0x13));
      await wanted(b, LCK_EX, bits(0x02));
      expect(a.locks.locks.map(({ policy }) => policy)).toEqual([bits(0x11)]);
      expect(requests(a)).toEqual([0, 1]);
    }),
  );

  test(
    'of a lock that the server has lost end it',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const a = await lockClient(sim, {
        onBlocking: () => {
          for (const held of [...namespace.locks.all()]) if (held.isGranted) namespace.cancel(held);
        },
      });
      const b = await lockClient(sim);
      await wanted(a, LCK_PR, bits(0x13));
      await wanted(b, LCK_EX, bits(0x02));
      await sim.sleep(100);
      expect(a.locks.size).toBe(0);
    }),
  );
});
