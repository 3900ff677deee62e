/** Locks that nobody uses and that have to make room: how they go back (guide 08 §5.3, §9). */
import { describe, expect, test } from 'vitest';
import { decodeCapture } from '../../lib/cli/decode/decode-capture.ts';
import type { Simulation } from '../../lib/sim/simulation.ts';
import { decodeBuffers, decodePtlrpcBody } from '../../lib/wire/format.ts';
import { RQF_LDLM_ENQUEUE } from '../../lib/wire/formats.ts';
import { LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { decodeMessage, type Message } from '../../lib/wire/message.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { capture, captureFrames } from '../cli/captures.ts';
import {
  type ClientHooks,
  EOF,
  extent,
  inSimulation,
  type LockClient,
  lockClient,
  lockServer,
  resource,
} from './lock-cluster.ts';
import { overhear } from './overhear.ts';

const lockOn = (client: LockClient, number: number, signal?: AbortSignal) =>
  client.locks.enqueue({
    resource: resource(number),
    type: LockType.LDLM_EXTENT,
    mode: LockMode.LCK_PR,
    policy: extent(0, EOF),
    ...(signal !== undefined && { signal }),
  });

/** Takes locks on resources `from` to `to` and lets them go. */
async function use(client: LockClient, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) client.locks.release((await lockOn(client, n)).lock!);
}

const sent = ({ ptlrpc }: LockClient, opcode: string): number =>
  ptlrpc.counters.client[opcode]?.requests ?? 0;

/** What an enqueue says of handles: their count, those behind the lock's own, and the size of the buffer they are in. */
interface Handles {
  readonly count: number;
  readonly more: number;
  readonly size: number;
}

function handlesOf(message: Message): Handles | undefined {
  const body = decodePtlrpcBody(message.buffers[0]!, message.littleEndian);
  if (body.pb_opc !== Opcode.LDLM_ENQUEUE || message.buffers.length < 2) return undefined;
  const { dlm_req } = decodeBuffers(RQF_LDLM_ENQUEUE.request, message);
  if (dlm_req === undefined || dlm_req.lock_desc.l_resource.lr_type === LockType.LDLM_PLAIN) return undefined;
  const more = dlm_req.lock_handle.slice(1).filter((handle) => handle !== 0n).length;
  return { count: dlm_req.lock_count, more, size: message.buffers[1]!.length };
}

/** A client that keeps few locks, and what it says of handles. */
async function keeper(
  sim: Simulation,
  hooks: ClientHooks,
): Promise<{ client: LockClient; requests: Handles[] }> {
  const requests: Handles[] = [];
  const world = overhear(sim, (bytes) => {
    const handles = handlesOf(decodeMessage(bytes));
    // Replies have no handles.
    if (handles !== undefined && handles.size >= 104) requests.push(handles);
  });
  return { client: await lockClient(world, hooks), requests };
}

describe('unused locks that make room', () => {
  test(
    'go with the enqueues that need it, and cost no request of their own',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const { client, requests } = await keeper(sim, { lru: { maxCount: 64 } });
      await use(client, 0, 500);
      expect(sent(client, 'LDLM_ENQUEUE')).toBe(500);
      expect(sent(client, 'LDLM_CANCEL')).toBe(0);
      expect(client.locks.size).toBeGreaterThan(48);
      expect(client.locks.size).toBeLessThanOrEqual(64);
      expect(namespace.locks.size).toBe(client.locks.size);
      // The oldest.
      const kept = client.locks.locks.map((lock) => Number(lock.resource[1]));
      expect(Math.min(...kept)).toBe(500 - kept.length);
      const given = requests.reduce((sum, { more }) => sum + more, 0);
      expect(given).toBe(500 - client.locks.size);
    }),
  );

  test(
    'go as many as fit, when the server wants many back at once',
    inSimulation(async (sim) => {
      let volume = { slv: 1_000_000_000n, limit: 5000 };
      const { namespace } = await lockServer(sim, {}, {}, { lockVolume: () => volume });
      const { client, requests } = await keeper(sim, {});
      await use(client, 0, 1000);
      await sim.sleep(5000);
      volume = { slv: 1n, limit: 5000 };
      requests.length = 0;
      // The first learns of it, the next give back.
      await use(client, 2000, 2004);
      expect(sent(client, 'LDLM_CANCEL')).toBe(0);
      expect(namespace.locks.size).toBe(client.locks.size);
      expect(client.locks.size).toBe(4);
      // As many as a kernel packs: (4096 - 512 - 328) / 8 + 1.
      expect(requests.map(({ more }) => more)).toEqual([0, 408, 408, 184]);
      for (const { count, size } of requests) expect(size).toBe(88 + 8 * Math.max(2, count));
    }),
  );

  test.skipIf(capture('04') === '')(
    'are counted and laid out as kernel clients do it',
    inSimulation(async (sim) => {
      const theirs = new Map<number, number>();
      for (const name of ['02', '03-', '04', '06']) {
        await decodeCapture(captureFrames(capture(name)), ({ kind, rpc }) => {
          if (kind !== 'request' || rpc === undefined) return;
          const handles = handlesOf(rpc.message);
          if (handles === undefined) return;
          expect(handles.count).toBe(1 + handles.more);
          theirs.set(handles.count, handles.size);
        });
      }
      expect([...theirs].sort()).toEqual([
        [1, 104],
        [2, 104],
        [3, 112],
      ]);
      await lockServer(sim);
      const { client, requests } = await keeper(sim, { lru: { maxCount: 32 } });
      await use(client, 0, 32);
      // Out of the list while they are used, and back at once: one more than before.
      const used = await Promise.all([100, 101].map((n) => lockOn(client, n)));
      for (const { lock } of used) client.locks.release(lock!);
      await use(client, 200, 210);
      const counts = new Set(requests.map(({ count }) => count));
      for (const count of [1, 2, 3]) expect(counts).toContain(count);
      for (const { count, more, size } of requests) {
        expect(count).toBe(1 + more);
        expect(size).toBe(theirs.get(count));
      }
    }),
  );

  test(
    'stay while they have work to do first, and then go in a batch of their own',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      let flushes = 0;
      const written = new Set<bigint>();
      const { client } = await keeper(sim, {
        lru: { maxCount: 64 },
        goesAtOnce: ({ resource: [, n] }) => n >= 20n,
        onBlocking: async ({ resource: [, n] }) => {
          if (n >= 20n) return;
          flushes++;
          await sim.sleep(50);
          written.add(n);
        },
      });
      await use(client, 0, 62);
      // Passed over: younger ones go instead, and nothing waits.
      const begun = sim.now;
      await use(client, 100, 110);
      expect(flushes).toBe(0);
      expect(sim.now - begun).toBeLessThan(20);
      expect(sent(client, 'LDLM_CANCEL')).toBe(0);
      // Where there are only such, the oldest go by themselves, after their work.
      const { client: other } = await keeper(sim, {
        lru: { maxCount: 64 },
        goesAtOnce: () => false,
        onBlocking: () => sim.sleep(50),
      });
      await use(other, 1000, 1200);
      await sim.sleep(1000);
      expect(sent(other, 'LDLM_CANCEL')).toBeGreaterThan(0);
      expect(sent(other, 'LDLM_CANCEL')).toBeLessThan(40);
      expect(other.locks.size).toBeLessThanOrEqual(64);
      expect(namespace.locks.size).toBe(client.locks.size + other.locks.size);
    }),
  );

  test(
    'are at the server no more, whatever becomes of the request that they went with',
    inSimulation(async (sim) => {
      const { namespace } = await lockServer(sim);
      const { client } = await keeper(sim, { lru: { maxCount: 4 } });
      await use(client, 0, 4);
      const before = client.locks.size;
      await expect(lockOn(client, 5, AbortSignal.abort())).rejects.toThrow();
      await sim.sleep(1000);
      expect(client.locks.size).toBeLessThan(before);
      expect(namespace.locks.size).toBe(client.locks.size);
    }),
  );
});
