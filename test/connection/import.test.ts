/** Imports against a TargetNode over the simulated network: connecting, losing the connection, being forgotten (guide 05). */

import { describe, expect, test } from 'vitest';
import type { Operation } from '../../lib/connection/target.ts';
import type { Bits64 } from '../../lib/wire/bits64.ts';
import { ConnectFlag, ConnectFlag2 } from '../../lib/wire/connection-constants.ts';
import {
  RQF_LDLM_ENQUEUE,
  RQF_MDS_CLOSE,
  RQF_MDS_REINT,
  RQF_MDS_STATFS,
  RQF_OBD_PING,
} from '../../lib/wire/formats.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { Cluster, clientNid, fullAsk, fullOffer, serverNid, testTarget } from './cluster.ts';

const statfs: Operation<typeof RQF_MDS_STATFS> = {
  format: RQF_MDS_STATFS,
  handle: (call) => call.reply({ obd_statfs: { os_blocks: 42n } }),
};
const withStatfs = (): Map<number, Operation> => new Map([[Opcode.MDS_STATFS, statfs]]);

/** Runs a test's body in virtual time. */
function simulate(body: (cluster: Cluster) => Promise<void>, seed = 1): Promise<void> {
  const cluster = new Cluster(seed);
  return cluster.sim.run(body(cluster));
}

test('connects, pings, calls and disconnects', () =>
  simulate(async (cluster) => {
    const target = testTarget(withStatfs());
    await cluster.server([target]);
    const { imp } = await cluster.client();
    const granted = await imp.connect();
    expect(granted.ocd_maxmodrpcs).toBe(8);
    expect(imp.state).toBe('FULL');
    expect([...target.records.keys()]).toEqual([`client-${clientNid}`]);
    await imp.call(RQF_OBD_PING, {});
    const reply = await imp.call(RQF_MDS_STATFS, {});
    expect(reply.values.obd_statfs?.os_blocks).toBe(42n);
    await imp.disconnect();
    expect(target.disconnected).toHaveLength(1);
    expect(target.records.size).toBe(0);
    expect(imp.state).toBe('CLOSED');
    await expect(imp.call(RQF_OBD_PING, {})).rejects.toMatchObject({ code: 'ESHUTDOWN' });
  }));

test('a call that is begun while another is encoded leaves that as it is', () =>
  simulate(async (cluster) => {
    const target = testTarget(withStatfs());
    const { ptlrpc } = await cluster.server([target]);
    const { imp } = await cluster.client();
    await imp.connect();
    const { server } = ptlrpc.counters;
    const pings = server.OBD_PING?.requests ?? 0;
    let inner: Promise<unknown> | undefined;
    const current = (): object => {
      inner ??= imp.call(RQF_MDS_STATFS, {});
      return {};
    };
    await imp.call(RQF_OBD_PING, {}, { current });
    await inner;
    expect(server.OBD_PING?.requests).toBe(pings + 1);
    expect(server.MDS_STATFS?.requests).toBe(1);
  }));

describe('connecting', () => {
  test('tries the NIDs in turn', () =>
    simulate(async (cluster) => {
      await cluster.server([testTarget(withStatfs())], '10.0.0.9@tcp');
      const { imp } = await cluster.client({ nids: [serverNid, '10.0.0.9@tcp'] });
      await imp.connect();
      expect(imp.nid).toBe('10.0.0.9@tcp');
    }));

  test('says which target at which NID cannot be reached, and goes on trying', () =>
    simulate(async (cluster) => {
      const { imp } = await cluster.client();
      await expect(imp.connect()).rejects.toMatchObject({
        code: 'ECONNREFUSED',
        target: 'demo-MDT0000',
        nid: serverNid,
        message: expect.stringContaining('Check that the server runs'),
      });
      await cluster.server([testTarget(withStatfs())]);
      const reply = await imp.call(RQF_MDS_STATFS, {});
      expect(reply.status).toBe(0);
    }));

  test('waits for a target that is not there yet', () =>
    simulate(async (cluster) => {
      const { node } = await cluster.server([]);
      const { imp } = await cluster.client();
      const connected = imp.connect();
      await cluster.sim.sleep(3000);
      expect(imp.state).not.toBe('FULL');
      node.add(testTarget(withStatfs()));
      await connected;
    }));

  test('gives up on such a target after the time given', () =>
    simulate(async (cluster) => {
      await cluster.server([]);
      const { imp } = await cluster.client();
      await expect(imp.connect({ timeoutMs: 4000 })).rejects.toMatchObject({ code: 'ENODEV' });
      await imp.disconnect();
    }));

  test('refuses what was not asked for, and closes', () =>
    simulate(async (cluster) => {
      // A server that does not mask: granting is the layer's work, so it is made to fail by a raw reply.
      const { ptlrpc } = await cluster.server([]);
      await ptlrpc.close();
      const { RQF_CONNECT } = await import('../../lib/wire/formats.ts');
      const { PtlRpc } = await import('../../lib/rpc/ptlrpc.ts');
      const endpoint = await cluster.sim.network.open({ nid: '10.0.0.7@tcp' });
      const rude = new PtlRpc(endpoint, cluster.sim.runtime);
      rude.serve({
        portals: [12],
        handler: (request) =>
          request.reply(
            RQF_CONNECT,
            {
              connect_data: { ...fullOffer, ocd_connect_flags: fullAsk.ocd_connect_flags | 0x8n },
            },
            { handle: 77n },
          ),
      });
      const { imp } = await cluster.client({ nids: ['10.0.0.7@tcp'] });
      await expect(imp.connect()).rejects.toMatchObject({
        code: 'ERR_LUSTRE_CONNECT',
        message: expect.stringContaining('0x8'),
      });
      expect(imp.state).toBe('CLOSED');
    }));

  test.each([
    ['FID', { ocd_connect_flags: fullOffer.ocd_connect_flags & ~ConnectFlag.OBD_CONNECT_FID }],
    ['bulk size', { ...fullOffer, ocd_brw_size: 0 }],
    ['modify slot', { ...fullOffer, ocd_maxmodrpcs: 0 }],
  ])('refuses a grant without %s', (what, offer) =>
    simulate(async (cluster) => {
      await cluster.server([testTarget(withStatfs(), { connect: () => offer })]);
      const { imp } = await cluster.client();
      await expect(imp.connect()).rejects.toThrow(what);
      expect(imp.state).toBe('CLOSED');
    }),
  );

  test('without MULTIMODRPCS one modifying request is under way at a time', () =>
    simulate(async (cluster) => {
      let now = 0;
      let most = 0;
      const reint: Operation<typeof RQF_MDS_REINT> = {
        format: RQF_MDS_REINT,
        async handle(call) {
          most = Math.max(most, ++now);
          await cluster.sim.sleep(10);
          now--;
          call.reply({});
        },
      };
      const flags = fullOffer.ocd_connect_flags & ~ConnectFlag.OBD_CONNECT_MULTIMODRPCS;
      const target = testTarget(new Map<number, Operation>([[Opcode.MDS_REINT, reint]]), {
        connect: () => ({ ...fullOffer, ocd_connect_flags: flags }),
      });
      await cluster.server([target]);
      const { imp } = await cluster.client();
      await imp.connect();
      await Promise.all(Array.from({ length: 5 }, () => imp.call(RQF_MDS_REINT, {}, { modifies: true })));
      expect(most).toBe(1);
    }));
});

describe('losing the connection', () => {
  test('a reset in the middle of a call costs a resend, not an error', () =>
    simulate(async (cluster) => {
      const slow: Operation<typeof RQF_MDS_STATFS> = {
        format: RQF_MDS_STATFS,
        async handle(call) {
          await cluster.sim.sleep(100);
          call.reply({ obd_statfs: { os_blocks: 7n } });
        },
      };
      const target = testTarget(new Map<number, Operation>([[Opcode.MDS_STATFS, slow]]));
      await cluster.server([target]);
      const { imp, ptlrpc } = await cluster.client();
      await imp.connect();
      const { generation } = imp;
      const call = imp.call(RQF_MDS_STATFS, {});
      await cluster.sim.sleep(20);
      cluster.sim.faults.reset(clientNid, serverNid);
      expect((await call).values.obd_statfs?.os_blocks).toBe(7n);
      expect(ptlrpc.counters.client.MDS_STATFS?.resends).toBe(1);
      expect(imp.generation).toBe(generation);
      expect(target.evicted).toEqual([]);
    }));

  test('a modifying request is done once however often its connection breaks', () =>
    simulate(async (cluster) => {
      let done = 0;
      const reint: Operation<typeof RQF_MDS_REINT> = {
        format: RQF_MDS_REINT,
        handle(call) {
          done++;
          call.reply({ mdt_body: { mbo_uid: done } }, { transno: BigInt(done) });
        },
      };
      await cluster.server([testTarget(new Map<number, Operation>([[Opcode.MDS_REINT, reint]]))]);
      const { imp } = await cluster.client();
      await imp.connect();
      cluster.sim.faults.drop(clientNid, serverNid, 0.2);
      for (let i = 1; i <= 60; i++) {
        const reply = await imp.call(RQF_MDS_REINT, {}, { modifies: true });
        expect(reply.values.mdt_body?.mbo_uid).toBe(i);
        expect(reply.transno).toBe(BigInt(i));
      }
      expect(done).toBe(60);
    }, 5));

  test('a server that restarts has forgotten the client: calls bound to what it knew fail, listeners run, others work', () =>
    simulate(async (cluster) => {
      const enqueue: Operation<typeof RQF_LDLM_ENQUEUE> = {
        format: RQF_LDLM_ENQUEUE,
        handle: (call) => call.reply({}),
      };
      const never: Operation<typeof RQF_MDS_CLOSE> = { format: RQF_MDS_CLOSE, handle: () => {} };
      const operations = new Map<number, Operation>([
        [Opcode.LDLM_ENQUEUE, enqueue],
        [Opcode.MDS_CLOSE, never],
        [Opcode.MDS_STATFS, statfs],
      ]);
      const { process } = await cluster.server([testTarget(operations)]);
      const { imp } = await cluster.client();
      await imp.connect();
      let evictions = 0;
      imp.onEvicted(() => void evictions++);
      // A lock makes it state that the server must not have forgotten.
      await imp.call(RQF_LDLM_ENQUEUE, {});
      const pending = imp.call(RQF_MDS_CLOSE, {});
      const failed = expect(pending).rejects.toMatchObject({ code: 'EIO', opcode: 'MDS_CLOSE' });
      await cluster.sim.sleep(100);
      process.kill();
      await cluster.sim.sleep(500);
      await cluster.server([testTarget(operations)]);
      await failed;
      const reply = await imp.call(RQF_MDS_STATFS, {});
      expect(reply.status).toBe(0);
      expect(evictions).toBe(1);
      expect(imp.generation).toBe(2);
    }));

  test('a client without state at the server resends instead', () =>
    simulate(async (cluster) => {
      const { process } = await cluster.server([testTarget(withStatfs())]);
      const { imp } = await cluster.client();
      await imp.connect();
      process.kill();
      const call = imp.call(RQF_MDS_STATFS, {});
      await cluster.sim.sleep(3000);
      await cluster.server([testTarget(withStatfs())]);
      expect((await call).status).toBe(0);
      expect(imp.generation).toBe(1);
    }));

  test('a silent client is evicted, and learns of it', () =>
    simulate(async (cluster) => {
      const target = testTarget(withStatfs());
      await cluster.server([target]);
      const { imp } = await cluster.client();
      await imp.connect();
      let evictions = 0;
      imp.onEvicted(() => void evictions++);
      await cluster.sim.sleep(120_000);
      expect(target.evicted).toEqual([]); // pings keep it alive
      const enqueued = imp.call(RQF_LDLM_ENQUEUE, {}).catch(() => {});
      await enqueued;
      cluster.sim.faults.partition(clientNid, serverNid);
      await cluster.sim.sleep(150_000);
      expect(target.evicted).toEqual([`client-${clientNid}`]);
      expect(target.records.size).toBe(0);
      cluster.sim.faults.heal(clientNid, serverNid);
      // What it had open is gone with the old generation; other requests are of the new one.
      await expect(imp.call(RQF_MDS_CLOSE, {})).rejects.toMatchObject({ code: 'EIO' });
      await imp.call(RQF_MDS_STATFS, {});
      expect(evictions).toBe(1);
    }));

  test('disconnect fails what is waiting', () =>
    simulate(async (cluster) => {
      const { process } = await cluster.server([testTarget(withStatfs())]);
      const { imp } = await cluster.client();
      await imp.connect();
      process.kill();
      const call = imp.call(RQF_MDS_STATFS, {});
      const failed = expect(call).rejects.toMatchObject({ code: 'ESHUTDOWN' });
      await cluster.sim.sleep(2000);
      await imp.disconnect();
      await failed;
    }));

  test('noDelay and noResend fail at once', () =>
    simulate(async (cluster) => {
      const { process } = await cluster.server([testTarget(withStatfs())]);
      const { imp } = await cluster.client();
      await imp.connect();
      process.kill();
      await expect(imp.call(RQF_MDS_STATFS, {}, { noResend: true })).rejects.toMatchObject({
        opcode: 'MDS_STATFS',
        target: 'demo-MDT0000',
        nid: serverNid,
      });
      await expect(imp.call(RQF_MDS_STATFS, {}, { noDelay: true })).rejects.toMatchObject({ code: 'EAGAIN' });
      await imp.disconnect();
    }));
});

describe('calls', () => {
  test('-EINPROGRESS is tried again with a new XID, later each time', () =>
    simulate(async (cluster) => {
      const xids: Bits64[] = [];
      const busy: Operation<typeof RQF_MDS_STATFS> = {
        format: RQF_MDS_STATFS,
        handle(call) {
          xids.push(call.request.xid);
          if (xids.length < 4) call.fail(115);
          else call.reply({});
        },
      };
      await cluster.server([testTarget(new Map<number, Operation>([[Opcode.MDS_STATFS, busy]]))]);
      const { imp } = await cluster.client();
      await imp.connect();
      const start = cluster.sim.now;
      await imp.call(RQF_MDS_STATFS, {});
      expect(new Set(xids).size).toBe(4);
      expect(cluster.sim.now - start).toBeGreaterThanOrEqual(6000);
    }));

  test('an error names what was asked of whom', () =>
    simulate(async (cluster) => {
      const fails: Operation<typeof RQF_MDS_STATFS> = {
        format: RQF_MDS_STATFS,
        handle: (call) => call.fail(28),
      };
      await cluster.server([testTarget(new Map<number, Operation>([[Opcode.MDS_STATFS, fails]]))]);
      const { imp } = await cluster.client();
      await imp.connect();
      const call = imp.call(RQF_MDS_STATFS, {}, { context: { syscall: 'statfs', path: '/a' } });
      await expect(call).rejects.toMatchObject({
        code: 'ENOSPC',
        errno: -28,
        syscall: 'statfs',
        path: '/a',
        opcode: 'MDS_STATFS',
        target: 'demo-MDT0000',
        nid: serverNid,
      });
      const accepted = await imp.call(RQF_MDS_STATFS, {}, { accept: [28] });
      expect(accepted.status).toBe(-28);
    }));

  test('an abort ends a call in any phase', () =>
    simulate(async (cluster) => {
      const never: Operation<typeof RQF_MDS_STATFS> = { format: RQF_MDS_STATFS, handle: () => {} };
      await cluster.server([testTarget(new Map<number, Operation>([[Opcode.MDS_STATFS, never]]))]);
      const { imp } = await cluster.client({ rpcsInFlightMax: 1 });
      await imp.connect();
      const signals = [new AbortController(), new AbortController()];
      const calls = signals.map(({ signal }) => imp.call(RQF_MDS_STATFS, {}, { signal }));
      const failed = calls.map((call) => expect(call).rejects.toMatchObject({ name: 'AbortError' }));
      await cluster.sim.sleep(50);
      for (const controller of [...signals].reverse()) controller.abort();
      await Promise.all(failed);
      expect(imp.calls).toBe(0);
    }));

  test('at most so many are in flight', () =>
    simulate(async (cluster) => {
      let now = 0;
      let most = 0;
      const slow: Operation<typeof RQF_MDS_STATFS> = {
        format: RQF_MDS_STATFS,
        async handle(call) {
          most = Math.max(most, ++now);
          await cluster.sim.sleep(5);
          now--;
          call.reply({});
        },
      };
      await cluster.server([testTarget(new Map<number, Operation>([[Opcode.MDS_STATFS, slow]]))]);
      const { imp } = await cluster.client();
      await imp.connect();
      await Promise.all(Array.from({ length: 50 }, () => imp.call(RQF_MDS_STATFS, {})));
      expect(most).toBe(8);
    }));

  test('slots carry different tags, a close its own', () =>
    simulate(async (cluster) => {
      const tags: number[] = [];
      const reint: Operation<typeof RQF_MDS_REINT> = {
        format: RQF_MDS_REINT,
        async handle(call) {
          tags.push(call.request.body.pb_tag);
          await cluster.sim.sleep(50);
          call.reply({});
        },
      };
      const close: Operation<typeof RQF_MDS_CLOSE> = {
        format: RQF_MDS_CLOSE,
        handle(call) {
          tags.push(call.request.body.pb_tag);
          call.reply({});
        },
      };
      const operations = new Map<number, Operation>([
        [Opcode.MDS_REINT, reint],
        [Opcode.MDS_CLOSE, close],
      ]);
      await cluster.server([testTarget(operations)]);
      const { imp } = await cluster.client({ modifySlotsMax: 3 });
      await imp.connect();
      const calls = Array.from({ length: 4 }, () => imp.call(RQF_MDS_REINT, {}, { modifies: true }));
      await cluster.sim.sleep(20);
      await imp.call(RQF_MDS_CLOSE, {}, { modifies: true });
      expect([...tags].sort()).toEqual([1, 2, 3, 4]);
      await Promise.all(calls);
      expect(tags).toHaveLength(5);
    }));

  test('pings every 25 s, every 7 s while something is not committed', () =>
    simulate(async (cluster) => {
      let committed = 0n;
      const reint: Operation<typeof RQF_MDS_REINT> = {
        format: RQF_MDS_REINT,
        handle: (call) => call.reply({}, { transno: 5n }),
      };
      const target = testTarget(new Map<number, Operation>([[Opcode.MDS_REINT, reint]]), {
        lastCommitted: () => committed,
      });
      const { ptlrpc } = await cluster.server([target]);
      const { imp } = await cluster.client();
      await imp.connect();
      const pings = (): number => ptlrpc.counters.server.OBD_PING?.requests ?? 0;
      await cluster.sim.sleep(101_000);
      expect(pings()).toBe(4);
      await imp.call(RQF_MDS_REINT, {}, { modifies: true });
      await cluster.sim.sleep(15_000);
      expect(pings()).toBe(6);
      committed = 5n;
      await cluster.sim.sleep(8000);
      expect(imp.committed.lastCommitted).toBe(5n);
      await cluster.sim.sleep(20_000);
      expect(pings()).toBe(7);
    }));

  test('an idle import disconnects and comes back for the next call', () =>
    simulate(async (cluster) => {
      const target = testTarget(withStatfs());
      await cluster.server([target]);
      let mayIdle = false;
      const { imp } = await cluster.client({ idleTimeoutMs: 20_000, mayIdle: () => mayIdle });
      await imp.connect();
      await cluster.sim.sleep(45_000);
      expect(imp.state).toBe('FULL');
      mayIdle = true;
      await cluster.sim.sleep(25_000);
      expect(imp.state).toBe('IDLE');
      expect(target.disconnected).toHaveLength(1);
      await imp.call(RQF_MDS_STATFS, {});
      expect(imp.state).toBe('FULL');
      expect(imp.generation).toBe(1);
    }));

  test('works without AT, FLAGS2 and BULK_MBITS', () =>
    simulate(async (cluster) => {
      const plain =
        ConnectFlag.OBD_CONNECT_FID | ConnectFlag.OBD_CONNECT_ATTRFID | ConnectFlag.OBD_CONNECT_FULL20;
      await cluster.server([testTarget(withStatfs(), { connect: () => ({ ocd_connect_flags: plain }) })]);
      const { imp } = await cluster.client();
      expect((await imp.connect()).ocd_connect_flags2 & ConnectFlag2.OBD_CONNECT2_REP_MBITS).toBe(0n);
      expect((await imp.call(RQF_MDS_STATFS, {})).values.obd_statfs?.os_blocks).toBe(42n);
    }));
});
