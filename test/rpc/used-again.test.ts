/** Requests, calls and their memory are used again when they are over: nothing that comes late may reach who has them then. */
import { expect, test } from 'vitest';
import type { Call, Operation } from '../../lib/connection/target.ts';
import type { Endpoint, PutOptions } from '../../lib/lnet/network.ts';
import { PtlRpc } from '../../lib/rpc/ptlrpc.ts';
import { RQF_MDS_STATFS, RQF_OBD_PING } from '../../lib/wire/formats.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { Cluster, clientNid, serverNid, testTarget } from '../connection/cluster.ts';
import { bodyOnly, RawPeer } from './raw-peer.ts';

type Statfs = Operation<typeof RQF_MDS_STATFS>;
const operations = (statfs: Statfs): Map<number, Operation> =>
  new Map([[Opcode.MDS_STATFS, statfs as Operation]]);

/** What is sent comes several times, the copies whenever they like, now and then where early replies belong. */
function repeat(cluster: Cluster, endpoint: Endpoint): { copies: number } {
  const counted = { copies: 0 };
  const { runtime } = cluster.sim;
  const send = endpoint.send.bind(endpoint);
  endpoint.send = (options, handler, again) => {
    const bytes = Buffer.concat(
      options.segments.map(({ memory, offset, length }) => memory.bytes.subarray(offset, offset + length)),
    );
    const segments = [{ memory: endpoint.pin(bytes), offset: 0, length: bytes.length }];
    for (const after of [0, 1, 3, 20]) {
      const copy: PutOptions = {
        peer: { nid: options.peer.nid },
        portal: options.portal,
        matchBits: options.matchBits,
        offset: after % 2 === 1 ? 0 : (options.offset ?? 0),
        segments,
      };
      runtime.after(after, () => {
        counted.copies++;
        endpoint.put(copy, () => {});
      });
    }
    return send(options, handler, again);
  };
  return counted;
}

test.each([1, 2, 3])('replies that come again and late are nobody else’s (seed %d)', (seed) => {
  const cluster = new Cluster(seed);
  return cluster.sim.run(
    (async () => {
      let turn = 0;
      const statfs: Statfs = {
        format: RQF_MDS_STATFS,
        handle(call) {
          const answer = (): void =>
            call.reply({ obd_statfs: { os_blocks: BigInt(call.request.xid), os_bavail: 5n } });
          // Some at once, some later, so that objects of both kinds change places.
          if (turn++ % 3 > 0) return answer();
          return cluster.sim.sleep(turn % 7).then(answer);
        },
      };
      const { endpoint } = await cluster.server([testTarget(operations(statfs))]);
      const { imp } = await cluster.client();
      await imp.connect();
      const counted = repeat(cluster, endpoint);
      const callers = Array.from({ length: 16 }, async () => {
        for (let i = 0; i < 25; i++) {
          const { values, xid } = await imp.call(RQF_MDS_STATFS, {});
          expect(values.obd_statfs?.os_blocks).toBe(BigInt(xid));
        }
      });
      await Promise.all(callers);
      expect(counted.copies).toBeGreaterThan(1000);
    })(),
  );
});

test('an operation that answers once more does not answer the request that came after', () => {
  const cluster = new Cluster();
  return cluster.sim.run(
    (async () => {
      const calls: Call<typeof RQF_MDS_STATFS>[] = [];
      const statfs: Statfs = {
        format: RQF_MDS_STATFS,
        async handle(call) {
          calls.push(call);
          if (calls.length === 2) await cluster.sim.sleep(50);
          call.reply({ obd_statfs: { os_blocks: BigInt(calls.length) } });
        },
      };
      await cluster.server([testTarget(operations(statfs))]);
      const { imp } = await cluster.client();
      await imp.connect();
      await imp.call(RQF_MDS_STATFS, {});
      const second = imp.call(RQF_MDS_STATFS, {});
      await cluster.sim.sleep(20);
      expect(calls).toHaveLength(2);
      const over = expect.objectContaining({ code: 'ERR_LUSTRE_ANSWERED_TWICE' });
      expect(() => calls[0]!.reply({ obd_statfs: { os_blocks: 99n } })).toThrow(over);
      expect(() => calls[0]!.fail(5)).toThrow(over);
      expect(() => calls[0]!.request.drop('late')).toThrow(over);
      expect((await second).values.obd_statfs?.os_blocks).toBe(2n);
    })(),
  );
});

test('a request that is given up while it is queued is not taken for the one after it', () => {
  const cluster = new Cluster();
  return cluster.sim.run(
    (async () => {
      const endpoint = await cluster.sim.network.open({ nid: serverNid });
      const ptlrpc = new PtlRpc(endpoint, cluster.sim.runtime);
      const begun: number[] = [];
      ptlrpc.serve({
        portals: [28],
        inProgressMax: 2,
        async handler(request) {
          begun.push(Number(request.xid));
          // Longer than a server keeps anybody waiting: what is queued behind them is dropped.
          await cluster.sim.sleep(begun.length <= 2 ? 700_000 : 10);
          if (!request.answered) request.reply(RQF_OBD_PING, {});
        },
      });
      const peer = new RawPeer(await cluster.sim.network.open({ nid: clientNid }));
      peer.listen(4);
      const ask = (xid: number): void =>
        peer.send(serverNid, 28, xid, bodyOnly(Opcode.OBD_PING, { pb_timeout: 600 }, { flags: 1 }));
      for (const xid of [128, 256, 384]) ask(xid);
      await cluster.sim.sleep(660_000);
      expect(Object.values(ptlrpc.counters.dropped)).toEqual([3]);
      for (const xid of [512, 640]) ask(xid);
      await cluster.sim.sleep(100_000);
      expect(begun).toEqual([128, 256, 512, 640]);
      const answers = peer.received.filter(({ event }) => event.offset !== 0);
      expect(answers.map(({ event }) => event.matchBits)).toEqual([512, 640]);
    })(),
  );
});

test('memory that is given back twice is told of, before two have it', () => {
  const cluster = new Cluster();
  return cluster.sim.run(
    (async () => {
      const { ptlrpc } = await cluster.client();
      const slab = ptlrpc.slabs.take(1000);
      ptlrpc.slabs.give(slab);
      expect(() => ptlrpc.slabs.give(slab)).toThrow(expect.objectContaining({ code: 'ERR_LUSTRE_SLAB' }));
      expect(ptlrpc.slabs.take(1000)).not.toBe(ptlrpc.slabs.take(1000));
    })(),
  );
});
