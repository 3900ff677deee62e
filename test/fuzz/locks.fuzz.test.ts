/** Lock requests and callbacks drawn at random: each is answered, nothing is left behind and nobody else is disturbed. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Export } from '../../lib/connection/target.ts';
import { createSimulation, type Simulation } from '../../lib/sim/simulation.ts';
import type { LdlmRequestInput } from '../../lib/wire/format.ts';
import {
  RQF_LDLM_BL_CALLBACK,
  RQF_LDLM_CANCEL,
  RQF_LDLM_CONVERT,
  RQF_LDLM_CP_CALLBACK,
  RQF_LDLM_ENQUEUE,
  RQF_LDLM_GL_CALLBACK,
} from '../../lib/wire/formats.ts';
import { LockType } from '../../lib/wire/ldlm-constants.ts';
import { lockClient, lockServer, resource } from '../ldlm/lock-cluster.ts';

const word = fc.oneof(
  fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }),
  fc.constantFrom(0n, 1n, 2n, 0xfffn),
);
const u32 = fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.constantFrom(0, 1, 2, 4, 8, 16));
const mode = fc.oneof(fc.constantFrom(1, 2, 4, 8, 16, 32, 64), u32);
const flags = fc.oneof(fc.constantFrom(0, 0x1000, 0x40000, 0x100, 0x102, 0x80000, 0x800000, 0x10, 0x20), u32);

/** `known` are handles that exist, so that some arrows hit. */
function requests(known: readonly bigint[]): fc.Arbitrary<LdlmRequestInput> {
  const handle = fc.oneof(fc.constantFrom(1n, ...known), word);
  return fc.record({
    lock_flags: flags,
    lock_count: fc.oneof(fc.constantFrom(0, 1, 2, 3), u32),
    lock_desc: fc.record({
      l_resource: fc.record({
        lr_type: fc.oneof(fc.constantFrom(10, 11, 12, 13), u32),
        lr_name: fc.record({
          name: fc.tuple(fc.constantFrom(1n, 2n), fc.constant(0n), fc.constant(0n), word),
        }),
      }),
      l_req_mode: mode,
      l_granted_mode: mode,
      l_policy_data: fc.record({ l_extent: fc.record({ start: word, end: word, gid: word }) }),
    }),
    lock_handle: fc.array(handle, { maxLength: 6 }),
  });
}

function sample<T>(arbitrary: fc.Arbitrary<T>, sim: Simulation, count: number): T[] {
  return fc.sample(arbitrary, { numRuns: count, seed: sim.seed });
}

const errors = (sim: Simulation) => sim.log.filter((line) => line.level >= 50);

test.each([1, 2, 3, 4, 5])('a server answers whatever is asked (seed %i)', async (seed) => {
  const sim = createSimulation({ seed });
  await sim.run(
    (async () => {
      const { namespace, evicted } = await lockServer(sim, { timeoutMs: 10_000 });
      const [liar, honest] = [await lockClient(sim), await lockClient(sim)];
      const keep = await honest.locks.enqueue({
        resource: resource(7),
        type: LockType.LDLM_EXTENT,
        mode: 2,
        policy: { extent: { start: 0n, end: 4095n } },
      });
      let answered = 0;
      const calls = sample(requests([keep.lock!.serverHandle]), sim, 300).map((dlm_req, i) => {
        const format = [RQF_LDLM_ENQUEUE, RQF_LDLM_CANCEL, RQF_LDLM_CONVERT][i % 3]!;
        return liar.imp.call(format, { dlm_req }, { noResend: true }).then(
          () => answered++,
          (error: unknown) => {
            expect(error).toHaveProperty('code');
            answered++;
          },
        );
      });
      await Promise.all(calls);
      expect(answered).toBe(300);
      expect(keep.lock?.state).toBe('GRANTED');
      expect(evicted.filter((uuid) => uuid !== `client-${liar.nid}`)).toEqual([]);
      expect(errors(sim)).toEqual([]);
      await liar.imp.disconnect();
      await sim.sleep(30_000);
      expect(namespace.counts.locks).toBe(1);
    })(),
  );
});

test.each([1, 2, 3, 4, 5])('a client answers whatever it is called back for (seed %i)', async (seed) => {
  const sim = createSimulation({ seed });
  await sim.run(
    (async () => {
      const { namespace } = await lockServer(sim);
      const a = await lockClient(sim, { onGlimpse: () => undefined });
      const { lock } = await a.locks.enqueue({
        resource: resource(7),
        type: LockType.LDLM_EXTENT,
        mode: 2,
        policy: { extent: { start: 0n, end: 4095n } },
      });
      const client: Export = [...namespace.locks.all()][0]!.client!;
      let answered = 0;
      for (const [i, dlm_req] of sample(requests([lock!.handle]), sim, 150).entries()) {
        const format = [RQF_LDLM_BL_CALLBACK, RQF_LDLM_CP_CALLBACK, RQF_LDLM_GL_CALLBACK][i % 3]!;
        await client.callback(format, { dlm_req }, { timeoutMs: 5000 }).then(
          () => answered++,
          (error: { errno: number }) => {
            expect([-22, -71, -303]).toContain(error.errno);
            answered++;
          },
        );
      }
      expect(answered).toBe(150);
      expect(errors(sim)).toEqual([]);
      // The lock is still good for its user, and goes back when let go if one of those was a blocking AST.
      expect(['GRANTED', 'CBPENDING']).toContain(lock?.state);
      expect(lock?.policy.extent).toEqual({ start: 0n, end: 0xffff_ffff_ffff_ffffn });
      a.locks.release(lock!);
      await a.locks.cancelAll();
      expect(namespace.counts.locks).toBe(0);
    })(),
  );
});
