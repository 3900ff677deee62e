/** Services and their clients: slowness, long replies, floods and rubbish (guide 04 §4, §5, §8). */

import { channel } from 'node:diagnostics_channel';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Operation } from '../../lib/connection/target.ts';
import type { Endpoint, MatchEntry } from '../../lib/lnet/network.ts';
import { PtlRpc } from '../../lib/rpc/ptlrpc.ts';
import type { IncomingRequest } from '../../lib/rpc/rpc.ts';
import { earlyReplyChecksum } from '../../lib/rpc/transmission.ts';
import type { Bits64 } from '../../lib/wire/bits64.ts';
import { RQF_MDS_GETXATTR, RQF_MDS_STATFS, RQF_OBD_PING } from '../../lib/wire/formats.ts';
import { decodeMessage } from '../../lib/wire/message.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { capture, captureBytes } from '../cli/captures.ts';
import { Cluster, clientNid, serverNid, testTarget } from '../connection/cluster.ts';
import { bodyOnly, RawPeer } from './raw-peer.ts';

function simulate(body: (cluster: Cluster) => Promise<void>, seed = 1): Promise<void> {
  const cluster = new Cluster(seed);
  return cluster.sim.run(body(cluster));
}

const slowStatfs = (cluster: Cluster, ms: number): Operation<typeof RQF_MDS_STATFS> => ({
  format: RQF_MDS_STATFS,
  async handle(call) {
    await cluster.sim.sleep(ms);
    call.reply({});
  },
});

describe('early replies', () => {
  test.each([12, 40, 300])('a server that needs %d s keeps its client waiting', (seconds) =>
    simulate(async (cluster) => {
      const operations = new Map<number, Operation>([
        [Opcode.MDS_STATFS, slowStatfs(cluster, seconds * 1000)],
      ]);
      const server = await cluster.server([testTarget(operations)]);
      const { imp, ptlrpc } = await cluster.client();
      await imp.connect();
      await imp.call(RQF_MDS_STATFS, {});
      expect(ptlrpc.counters.client.MDS_STATFS).toMatchObject({ requests: 1, resends: 0, timeouts: 0 });
      const early = ptlrpc.counters.client.MDS_STATFS?.earlyReplies ?? 0;
      expect(early).toBeGreaterThanOrEqual(1);
      expect(server.ptlrpc.counters.server.MDS_STATFS?.earlyReplies).toBe(early);
    }),
  );

  test('the estimate learns, so that the next one needs none', () =>
    simulate(async (cluster) => {
      const operations = new Map<number, Operation>([[Opcode.MDS_STATFS, slowStatfs(cluster, 40_000)]]);
      await cluster.server([testTarget(operations)]);
      const { imp, ptlrpc } = await cluster.client();
      await imp.connect();
      await imp.call(RQF_MDS_STATFS, {});
      const before = ptlrpc.counters.client.MDS_STATFS?.earlyReplies;
      await imp.call(RQF_MDS_STATFS, {});
      expect(ptlrpc.counters.client.MDS_STATFS?.earlyReplies).toBe(before);
    }));

  test('without an answer within at_max the request is dropped, not kept for ever', () =>
    simulate(async (cluster) => {
      const never: Operation<typeof RQF_MDS_STATFS> = { format: RQF_MDS_STATFS, handle: () => {} };
      const server = await cluster.server([
        testTarget(new Map<number, Operation>([[Opcode.MDS_STATFS, never]])),
      ]);
      const { imp } = await cluster.client();
      await imp.connect();
      const call = imp.call(RQF_MDS_STATFS, {}, { noResend: true });
      const failed = expect(call).rejects.toMatchObject({ code: 'ETIMEDOUT' });
      await cluster.sim.sleep(700_000);
      await failed;
      expect(server.ptlrpc.counters.dropped['no answer within at_max']).toBe(1);
      await imp.disconnect();
    }));

  test('a wrong checksum counts for nothing', () =>
    simulate(async (cluster) => {
      const peer = new RawPeer(await cluster.sim.network.open({ nid: serverNid }));
      peer.listen(12);
      const { ptlrpc } = await cluster.client();
      const slab = ptlrpc.slabs.take(4096);
      const bytes = bodyOnly(Opcode.OBD_PING, {}, { flags: 1 });
      slab.bytes.set(bytes);
      const send = () =>
        ptlrpc.send(
          {
            peer: serverNid,
            requestPortal: 12,
            replyPortal: 10,
            xid: 0x1000,
            replyMatchBits: 0x1000,
            request: slab,
            requestLength: bytes.length,
            replySize: 224,
            adaptive: true,
            timeoutMs: 5000,
            latencyMs: 0,
            bulkMatchBits: 0,
          },
          Opcode.OBD_PING,
          false,
        );
      for (const [cksum, kind] of [
        [1, 'timeout'],
        [undefined, 'reply'],
      ] as const) {
        const transmission = send();
        await cluster.sim.sleep(1000);
        const reply = bodyOnly(Opcode.OBD_PING, { pb_type: 4713, pb_version: 3, pb_timeout: 20 });
        const good = earlyReplyChecksum(decodeMessage(reply).buffers[0]!);
        const early = bodyOnly(
          Opcode.OBD_PING,
          { pb_type: 4713, pb_version: 3, pb_timeout: 20 },
          { cksum: cksum ?? good },
        );
        peer.send(clientNid, 10, 0x1000, early, 0);
        await cluster.sim.sleep(9000);
        peer.send(clientNid, 10, 0x1000, reply, 224);
        expect((await transmission.outcome).kind).toBe(kind);
      }
    }));

  test('the checksum is that of a captured early reply', () => {
    const bytes = Buffer.from(captureBytes(capture('08')).buffer);
    const at = bytes.indexOf(Buffer.from([0xf7, 0x7d, 0xdb, 0x4d]));
    const message = decodeMessage(bytes.subarray(at - 16, at - 16 + 224));
    expect(message.cksum).toBe(0x4ddb7df7);
    expect(earlyReplyChecksum(message.buffers[0]!)).toBe(message.cksum);
  });
});

test('a reply longer than the buffer is asked for again with a larger one, and is the same reply', () =>
  simulate(async (cluster) => {
    let calls = 0;
    const getxattr: Operation<typeof RQF_MDS_GETXATTR> = {
      format: RQF_MDS_GETXATTR,
      handle(call) {
        calls++;
        call.reply({ eadata: new Uint8Array(30_000).fill(7) }, { transno: 1n });
      },
    };
    await cluster.server([testTarget(new Map<number, Operation>([[Opcode.MDS_GETXATTR, getxattr]]))]);
    const { imp, ptlrpc } = await cluster.client();
    await imp.connect();
    const reply = await imp.call(RQF_MDS_GETXATTR, {}, { modifies: true });
    expect(reply.values.eadata).toEqual(new Uint8Array(30_000).fill(7));
    expect(ptlrpc.counters.client.MDS_GETXATTR?.resends).toBe(1);
    expect(calls).toBe(1);
    const roomy = await imp.call(RQF_MDS_GETXATTR, {}, { replyRoom: 30_000 });
    expect(roomy.values.eadata).toHaveLength(30_000);
    expect(ptlrpc.counters.client.MDS_GETXATTR?.resends).toBe(1);
  }));

test('subscribers of the two channels see every request and reply from both ends', () =>
  simulate(async (cluster) => {
    const seen: string[] = [];
    const listen = (what: string) => (message: unknown) => {
      const { end, opcode, peer, status } = message as {
        end: string;
        opcode: number;
        peer: string;
        status?: number;
      };
      if (opcode === Opcode.MDS_STATFS) seen.push(`${end} ${what} ${peer} ${status ?? ''}`.trim());
    };
    const listeners = { request: listen('request'), reply: listen('reply') };
    for (const [name, listener] of Object.entries(listeners))
      channel(`node-lustre:rpc:${name}`).subscribe(listener);
    const operations = new Map<number, Operation>([[Opcode.MDS_STATFS, slowStatfs(cluster, 0)]]);
    await cluster.server([testTarget(operations)]);
    const { imp } = await cluster.client();
    await imp.connect();
    await imp.call(RQF_MDS_STATFS, {});
    for (const [name, listener] of Object.entries(listeners))
      channel(`node-lustre:rpc:${name}`).unsubscribe(listener);
    expect(seen).toEqual([
      `client request ${serverNid}`,
      `server request ${clientNid}`,
      `server reply ${clientNid} 0`,
      `client reply ${serverNid} 0`,
    ]);
  }));

test('in steady state memory is used again', () =>
  simulate(async (cluster) => {
    const operations = new Map<number, Operation>([[Opcode.MDS_STATFS, slowStatfs(cluster, 0)]]);
    await cluster.server([testTarget(operations)]);
    const { imp, endpoint } = await cluster.client();
    await imp.connect();
    await imp.call(RQF_MDS_STATFS, {});
    let allocations = 0;
    const allocate = endpoint.allocate.bind(endpoint);
    endpoint.allocate = (bytes) => {
      allocations++;
      return allocate(bytes);
    };
    for (let i = 0; i < 100; i++) await imp.call(RQF_MDS_STATFS, {});
    expect(allocations).toBe(0);
  }));

describe('floods', () => {
  test('more requests than buffers wait their turn and are all answered', () =>
    simulate(async (cluster) => {
      const endpoint = await cluster.sim.network.open({ nid: serverNid });
      const ptlrpc = new PtlRpc(endpoint, cluster.sim.runtime);
      let now = 0;
      let most = 0;
      const service = ptlrpc.serve({
        portals: [28],
        requestSizeMax: 4096,
        bufferSize: 16_384,
        buffers: 2,
        inProgressMax: 40,
        inProgressPerPeerMax: 30,
        async handler(request) {
          most = Math.max(most, ++now);
          await cluster.sim.sleep(1);
          now--;
          request.reply(RQF_OBD_PING, {});
        },
      });
      const peer = new RawPeer(await cluster.sim.network.open({ nid: clientNid }));
      peer.listen(4);
      const count = 1000;
      for (let i = 1; i <= count; i++)
        peer.send(serverNid, 28, BigInt(i) << 7n, bodyOnly(Opcode.OBD_PING, { pb_timeout: 300 }));
      while (peer.received.length < count) await cluster.sim.sleep(50);
      expect(new Set(peer.received.map(({ event }) => event.matchBits)).size).toBe(count);
      expect(most).toBe(30);
      await service.close();
    }));

  test('one peer that floods does not keep another out', () =>
    simulate(async (cluster) => {
      const endpoint = await cluster.sim.network.open({ nid: serverNid });
      const ptlrpc = new PtlRpc(endpoint, cluster.sim.runtime);
      ptlrpc.serve({
        portals: [28],
        inProgressPerPeerMax: 10,
        handler: (request) => {
          if (request.peer !== clientNid) request.reply(RQF_OBD_PING, {});
        },
      });
      const flooder = new RawPeer(await cluster.sim.network.open({ nid: clientNid }));
      for (let i = 1; i <= 100; i++) flooder.send(serverNid, 28, BigInt(i) << 7n, bodyOnly(Opcode.OBD_PING));
      const peer = new RawPeer(await cluster.sim.network.open({ nid: '10.0.0.5@tcp' }));
      peer.listen(4);
      await cluster.sim.sleep(10);
      const answer = peer.next();
      peer.send(serverNid, 28, 1n << 40n, bodyOnly(Opcode.OBD_PING));
      expect((await answer).body.pb_status).toBe(0);
    }));
});

test('what others wait for passes what waits, also when that is known only later', () =>
  simulate(async (cluster) => {
    const endpoint = await cluster.sim.network.open({ nid: serverNid });
    const ptlrpc = new PtlRpc(endpoint, cluster.sim.runtime);
    const blocked: IncomingRequest[] = [];
    const urgent = new Set<Bits64>([90 << 7]);
    ptlrpc.serve({
      portals: [28],
      inProgressMax: 2,
      inProgressPerPeerMax: 2,
      isUrgent: (request) => urgent.has(request.xid),
      handler: (request) => {
        if (urgent.has(request.xid)) request.reply(RQF_OBD_PING, {});
        else blocked.push(request);
      },
    });
    const peer = new RawPeer(await cluster.sim.network.open({ nid: clientNid }));
    peer.listen(4);
    for (let i = 1; i <= 100; i++)
      peer.send(serverNid, 28, BigInt(i) << 7n, bodyOnly(Opcode.OBD_PING, { pb_timeout: 300 }));
    expect((await peer.next()).event.matchBits).toBe(90 << 7);
    expect(blocked.length).toBe(2);
    urgent.add(70 << 7);
    expect((await peer.next()).event.matchBits).toBe(70 << 7);
    expect(blocked.length).toBe(2);
  }));

describe('rubbish', () => {
  const portals = [12, 23, 13, 24, 30, 29, 28, 6, 7, 31, 26, 17];
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 600 }),
    // Well-formed but for a few bytes.
    fc
      .tuple(
        fc.constantFrom(8, 38, 250, 9, 39, 251, 400, 41, 101, 36, 3, 4, 700, 4242),
        fc.array(fc.tuple(fc.nat(223), fc.nat(255)), { maxLength: 6 }),
        fc.nat(224),
      )
      .map(([opcode, changes, cut]) => {
        const message = bodyOnly(opcode);
        for (const [at, value] of changes) message[at] = value;
        return cut % 3 === 0 ? message.subarray(0, cut) : message;
      }),
  );

  test('nothing that comes to a service portal harms a node', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.tuple(fc.constantFrom(...portals), bytes, fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })),
          {
            minLength: 1,
            maxLength: 40,
          },
        ),
        async (messages) => {
          const cluster = new Cluster();
          await cluster.sim.run(
            (async () => {
              const operations = new Map<number, Operation>([[Opcode.MDS_STATFS, slowStatfs(cluster, 0)]]);
              await cluster.server([testTarget(operations)]);
              const peer = new RawPeer(await cluster.sim.network.open({ nid: '10.0.0.6@tcp' }));
              for (const [portal, message, bits] of messages) peer.send(serverNid, portal, bits, message);
              await cluster.sim.sleep(1000);
              const { imp } = await cluster.client();
              await imp.connect();
              await imp.call(RQF_MDS_STATFS, {});
            })(),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  test('nothing that comes as a reply harms a client', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(bytes, fc.constantFrom(0, 224, 7, 4000)), { minLength: 1, maxLength: 5 }),
        async (replies) => {
          const cluster = new Cluster();
          await cluster.sim.run(
            (async () => {
              const peer = new RawPeer(await cluster.sim.network.open({ nid: serverNid }));
              peer.listen(12);
              const { imp } = await cluster.client();
              const request = peer.next();
              const connecting = imp.connect({ timeoutMs: 20_000 }).catch((error: unknown) => error);
              const { event } = await request;
              for (const [message, offset] of replies)
                peer.send(clientNid, 10, event.matchBits, message, offset);
              expect(await connecting).toBeInstanceOf(Error);
              await imp.disconnect();
            })(),
          );
        },
      ),
      { numRuns: 60 },
    );
  });
});

test('closing an endpoint under calls and services ends them all', () =>
  simulate(async (cluster) => {
    const never: Operation<typeof RQF_MDS_STATFS> = { format: RQF_MDS_STATFS, handle: () => {} };
    const server = await cluster.server([
      testTarget(new Map<number, Operation>([[Opcode.MDS_STATFS, never]])),
    ]);
    const { imp, ptlrpc, endpoint } = await cluster.client();
    await imp.connect();
    const call = expect(imp.call(RQF_MDS_STATFS, {})).rejects.toMatchObject({ code: 'ESHUTDOWN' });
    await cluster.sim.sleep(100);
    await imp.disconnect();
    await call;
    await ptlrpc.close();
    await endpoint.close();
    await server.node.close();
    await server.ptlrpc.close();
    await server.endpoint.close();
  }));

test('every descriptor that a call made is gone when it ends', () =>
  simulate(async (cluster) => {
    const operations = new Map<number, Operation>([[Opcode.MDS_STATFS, slowStatfs(cluster, 0)]]);
    await cluster.server([testTarget(operations)]);
    const { imp, endpoint } = await cluster.client();
    const live = countLive(endpoint);
    await imp.connect();
    for (let i = 0; i < 10; i++) await imp.call(RQF_MDS_STATFS, {});
    expect(live()).toBe(0);
  }));

function countLive(endpoint: Endpoint): () => number {
  let live = 0;
  const attach = endpoint.attach.bind(endpoint);
  endpoint.attach = (entry: MatchEntry, handler) => {
    live++;
    return attach(entry, (event) => {
      if (event.unlinked) live--;
      handler(event);
    });
  };
  return () => live;
}
