/** What a node answers to requests that are out of order, of the past or plain wrong (guides 04 §5, 05 §2.4, 16 §1). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Operation, Target } from '../../lib/connection/target.ts';
import { encodeBuffers, type PtlrpcBody } from '../../lib/wire/format.ts';
import { RQF_CONNECT, RQF_LDLM_BL_CALLBACK, RQF_MDS_REINT, RQF_MDS_STATFS } from '../../lib/wire/formats.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { bodyOnly, RawPeer } from '../rpc/raw-peer.ts';
import { Cluster, fullAsk, serverNid, testTarget } from './cluster.ts';

const peerNid = '10.0.0.3@tcp';
let nextXid = 0x6b02_b505_0000_0n << 7n;
const xid = (): bigint => {
  nextXid += 128n;
  return nextXid;
};

interface Connect {
  body?: Partial<PtlrpcBody>;
  target?: string;
  client?: string;
  handle?: bigint;
  flags?: bigint;
  opcode?: number;
}

function connectBytes(o: Connect = {}): Uint8Array {
  const ask = {
    ...fullAsk,
    ocd_connect_flags2: 0n,
    ...(o.flags === undefined ? {} : { ocd_connect_flags: o.flags }),
  };
  return encodeBuffers(RQF_CONNECT.request, {
    ptlrpc_body: {
      pb_type: 4711,
      pb_version: 0x10003,
      pb_opc: o.opcode ?? Opcode.MDS_CONNECT,
      pb_timeout: 5,
      pb_conn_cnt: 1,
      pb_op_flags: 0x20,
      ...o.body,
    },
    tgtuuid: o.target ?? 'demo-MDT0000_UUID',
    cluuid: o.client ?? 'raw-client',
    conn: o.handle ?? 5n,
    connect_data: ask,
    selinux_pol: '',
  });
}

async function rawCluster(operations = new Map<number, Operation>(), overrides: Partial<Target> = {}) {
  const cluster = new Cluster();
  const target = testTarget(operations, overrides);
  const server = await cluster.server([target]);
  const peer = new RawPeer(await cluster.sim.network.open({ nid: peerNid }));
  peer.listen(10);
  peer.listen(18);
  const ask = (bytes: Uint8Array, portal = 12, bits = xid()) => {
    const answer = peer.next();
    peer.send(serverNid, portal, bits, bytes);
    return answer;
  };
  return { cluster, target, server, peer, ask };
}

const statfs: Operation<typeof RQF_MDS_STATFS> = { format: RQF_MDS_STATFS, handle: (call) => call.reply({}) };
const statfsMap = (): Map<number, Operation> => new Map([[Opcode.MDS_STATFS, statfs]]);

describe('requests', () => {
  test.each([
    ['an unknown handle', Opcode.OBD_PING, { pb_handle: 99n }, -107],
    ['an unknown opcode', 62, {}, -95],
    ['another version', Opcode.MDS_STATFS, { pb_version: 0x30003 }, -22],
    ['an XID of the past', Opcode.OBD_PING, { pb_last_xid: 0xffff_ffff_ffff_ffffn }, -71],
    ['a tag that is no slot', Opcode.OBD_PING, { pb_tag: 60_000 }, -71],
  ] as const)('%s is answered with an error', async (_, opcode, body, status) => {
    const { cluster, ask } = await rawCluster(statfsMap());
    await cluster.sim.run(
      (async () => {
        const connected = await ask(connectBytes());
        const { pb_handle } = connected.body;
        const answer = await ask(bodyOnly(opcode, { pb_handle, ...body }));
        expect(answer.body).toMatchObject({ pb_type: 4712, pb_status: status, pb_timeout: 0 });
        expect(answer.message.buffers).toHaveLength(1);
      })(),
    );
  });

  test.each([
    ['a timeout of zero', { pb_timeout: 0 }, {}, 'timeout of zero'],
    ['an older connection', { pb_conn_cnt: 0 }, {}, 'of an older connection'],
    ['a type that is no request', { pb_type: 4713 }, {}, 'not a request'],
    ['another ptlrpc version', { pb_version: 0x10002 }, {}, 'wrong ptlrpc version'],
    ['a security flavour', {}, { secflvr: 2 }, 'security flavour is not null'],
  ] as const)('%s is dropped', async (_, body, header, reason) => {
    const { cluster, ask, peer, server } = await rawCluster(statfsMap());
    await cluster.sim.run(
      (async () => {
        const { pb_handle } = (await ask(connectBytes())).body;
        peer.send(serverNid, 12, xid(), bodyOnly(Opcode.OBD_PING, { pb_handle, ...body }, header));
        await cluster.sim.sleep(30_000);
        expect(peer.received).toHaveLength(1);
        expect(server.ptlrpc.counters.dropped[reason]).toBe(1);
      })(),
    );
  });

  test('a replay outside of a recovery evicts', async () => {
    const { cluster, ask, target } = await rawCluster(statfsMap());
    await cluster.sim.run(
      (async () => {
        const { pb_handle } = (await ask(connectBytes())).body;
        const answer = await ask(bodyOnly(Opcode.OBD_PING, { pb_handle, pb_transno: 7n }));
        expect(answer.body.pb_status).toBe(-19);
        expect(target.evicted).toEqual(['raw-client']);
        expect((await ask(bodyOnly(Opcode.OBD_PING, { pb_handle }))).body.pb_status).toBe(-107);
      })(),
    );
  });

  test('the reply is at offset 224 with AT, at 0 without, and at pb_mbits only with REP_MBITS', async () => {
    const { cluster, ask } = await rawCluster(statfsMap());
    await cluster.sim.run(
      (async () => {
        const connected = await ask(connectBytes());
        expect(connected.event.offset).toBe(0);
        const { pb_handle } = connected.body;
        const plain = await ask(bodyOnly(Opcode.OBD_PING, { pb_handle, pb_mbits: 5n }), 12, 0x9900n << 40n);
        expect(plain.event).toMatchObject({ offset: 0, matchBits: 0x9900n << 40n });
        const adaptive = await ask(bodyOnly(Opcode.OBD_PING, { pb_handle }, { flags: 1 }));
        expect(adaptive.event.offset).toBe(224);
      })(),
    );
  });

  test('a request that is resent while it is in work is not done twice', async () => {
    let calls = 0;
    let finish = (): void => {};
    const slow: Operation<typeof RQF_MDS_REINT> = {
      format: RQF_MDS_REINT,
      handle(call) {
        calls++;
        finish = () => call.reply({});
      },
    };
    const { cluster, ask, peer } = await rawCluster(new Map<number, Operation>([[Opcode.MDS_REINT, slow]]));
    await cluster.sim.run(
      (async () => {
        const { pb_handle } = (await ask(connectBytes())).body;
        const bits = xid();
        const body = { pb_handle, pb_tag: 1 };
        const answer = ask(bodyOnly(Opcode.MDS_REINT, body), 12, bits);
        await cluster.sim.sleep(100);
        peer.send(serverNid, 12, bits, bodyOnly(Opcode.MDS_REINT, { ...body, pb_flags: 2 }));
        await cluster.sim.sleep(100);
        finish();
        await answer;
        // Resent again after its reply: the same reply, still done once.
        const again = await ask(bodyOnly(Opcode.MDS_REINT, { ...body, pb_flags: 2 }), 12, bits);
        expect(again.body.pb_status).toBe(0);
        expect(calls).toBe(1);
        const twice = await ask(bodyOnly(Opcode.MDS_REINT, body), 12, bits);
        expect(twice.body.pb_status).toBe(-107);
      })(),
    );
  });

  test('a handler that throws becomes an error reply and a log line', async () => {
    const broken: Operation<typeof RQF_MDS_STATFS> = {
      format: RQF_MDS_STATFS,
      handle() {
        throw new TypeError('oops');
      },
    };
    const { cluster, ask } = await rawCluster(new Map<number, Operation>([[Opcode.MDS_STATFS, broken]]));
    await cluster.sim.run(
      (async () => {
        const { pb_handle } = (await ask(connectBytes())).body;
        const answer = await ask(bodyOnly(Opcode.MDS_STATFS, { pb_handle }));
        expect(answer.body).toMatchObject({ pb_type: 4712, pb_status: -5 });
        expect(cluster.sim.log.at(-1)).toMatchObject({ peer: peerNid, opcode: 'MDS_STATFS' });
      })(),
    );
  });
});

test('nothing that a connected client sends harms a node or goes without an answer', async () => {
  const formats = [RQF_MDS_REINT, RQF_MDS_STATFS, RQF_LDLM_BL_CALLBACK];
  const echo = formats.map(
    (format) => [format.opcodes[0]!, { format, handle: (call) => call.reply({}) } as Operation] as const,
  );
  const change = fc.tuple(fc.nat(1023), fc.nat(255));
  const message = fc.tuple(
    fc.constantFrom(...formats, RQF_CONNECT),
    fc.array(change, { maxLength: 5 }),
    fc.nat(40),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 25 }), async (messages) => {
      const { cluster, ask, peer, server } = await rawCluster(new Map(echo));
      await cluster.sim.run(
        (async () => {
          const { pb_handle } = (await ask(connectBytes())).body;
          for (const [format, changes, cut] of messages) {
            const pb_opc = format.opcodes[0]!;
            const pb_version = format.version | 3;
            const bytes = encodeBuffers(format.request, {
              ptlrpc_body: { pb_type: 4711, pb_version, pb_opc, pb_handle, pb_timeout: 11, pb_conn_cnt: 1 },
            });
            for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
            peer.send(serverNid, 12, xid(), cut === 0 ? bytes.subarray(0, bytes.length >> 1) : bytes);
          }
          await cluster.sim.sleep(2000);
          const answered = peer.arrivals - 1;
          const dropped = Object.values(server.ptlrpc.counters.dropped).reduce((sum, n) => sum + n, 0);
          expect(answered + dropped).toBe(messages.length);
          const fresh = await cluster.client();
          await fresh.imp.connect();
        })(),
      );
    }),
    { numRuns: 80 },
  );
});

describe('connects', () => {
  test.each([
    ['an unknown target', { target: 'demo-MDT0001_UUID' }, -19],
    ['no FULL20', { flags: 0x20n }, -71],
    ['LIBCLIENT', { body: { pb_op_flags: 0x30 } }, -71],
    ['no client uuid', { client: '' }, -22],
    ['a wrong version', { body: { pb_version: 0x20003 } }, -22],
  ] as const)('%s is refused', async (_, how, status) => {
    const { cluster, ask } = await rawCluster();
    const answer = await cluster.sim.run(ask(connectBytes(how)));
    expect(answer.body.pb_status).toBe(status);
  });

  test('grants no more than was asked', async () => {
    const { cluster, ask } = await rawCluster();
    const answer = await cluster.sim.run(ask(connectBytes({ flags: 0x10_0000_0000n })));
    const granted = RQF_CONNECT.reply[1].decode(answer.message.buffers[1]!, true);
    expect(granted.ocd_connect_flags).toBe(0x10_0000_0000n);
    expect(granted.ocd_connect_flags2).toBe(0n);
  });

  test('a known client: reconnect, or the reason why not', async () => {
    const { cluster, ask, peer, target } = await rawCluster(statfsMap());
    await cluster.sim.run(
      (async () => {
        const first = await ask(connectBytes());
        const { pb_handle } = first.body;
        expect(first.body.pb_op_flags).toBe(4);
        const again = { pb_op_flags: 0, pb_handle };
        const status = async (o: Connect): Promise<number> => (await ask(connectBytes(o))).body.pb_status;
        expect(await status({ body: { pb_conn_cnt: 1 } })).toBe(-114);
        expect(await status({ body: { ...again, pb_conn_cnt: 2 }, handle: 6n })).toBe(-114);
        const second = await ask(connectBytes({ body: { ...again, pb_conn_cnt: 3 } }));
        expect(second.body).toMatchObject({ pb_status: 0, pb_op_flags: 6, pb_handle });
        // From another NID, claiming to be new.
        const other = new RawPeer(await cluster.sim.network.open({ nid: '10.0.0.4@tcp' }));
        other.listen(10);
        const answer = other.next();
        other.send(serverNid, 12, xid(), connectBytes({ body: { pb_conn_cnt: 4 } }));
        expect((await answer).body.pb_status).toBe(-114);
        const gone = await ask(bodyOnly(Opcode.MDS_DISCONNECT, { pb_handle, pb_conn_cnt: 3 }));
        expect(gone.body.pb_status).toBe(0);
        expect(target.disconnected).toEqual(['raw-client']);
        const fresh = await ask(connectBytes({ body: { pb_conn_cnt: 4 } }));
        expect(fresh.body.pb_handle).not.toBe(pb_handle);
        expect(peer.received.length).toBeGreaterThan(4);
      })(),
    );
  });

  test('a server that restarted takes over its old export at once', async () => {
    const { cluster, ask, target } = await rawCluster();
    await cluster.sim.run(
      (async () => {
        const flags = fullAsk.ocd_connect_flags | 4n;
        await ask(connectBytes({ flags }));
        const answer = await ask(connectBytes({ flags, handle: 6n }));
        expect(answer.body.pb_status).toBe(0);
        expect(target.evicted).toEqual(['raw-client']);
      })(),
    );
  });

  test('who claims to be a server cannot throw out a client', async () => {
    const { cluster, ask, target } = await rawCluster();
    await cluster.sim.run(
      (async () => {
        await ask(connectBytes());
        const flags = fullAsk.ocd_connect_flags | 4n;
        const answer = await ask(connectBytes({ flags, handle: 6n }));
        expect(answer.body.pb_status).toBe(-114);
        expect(target.evicted).toEqual([]);
      })(),
    );
  });

  test('onConnect that fails refuses', async () => {
    const { cluster, ask, server } = await rawCluster(new Map(), {
      onConnect: () => Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' })),
    });
    const answer = await cluster.sim.run(ask(connectBytes()));
    expect(answer.body.pb_status).toBe(-13);
    expect(server.node.exports()).toEqual([]);
  });
});

test('a target that is removed lets its operations finish, then is not there', async () => {
  const order: string[] = [];
  const cluster = new Cluster();
  const slow: Operation<typeof RQF_MDS_STATFS> = {
    format: RQF_MDS_STATFS,
    async handle(call) {
      await cluster.sim.sleep(500);
      order.push('done');
      call.reply({});
    },
  };
  await cluster.sim.run(
    (async () => {
      const { node } = await cluster.server([
        testTarget(new Map<number, Operation>([[Opcode.MDS_STATFS, slow]])),
      ]);
      const { imp } = await cluster.client();
      await imp.connect();
      const call = imp.call(RQF_MDS_STATFS, {}).then(() => order.push('answered'));
      await cluster.sim.sleep(100);
      await node.remove('demo-MDT0000');
      order.push('removed');
      await call;
      expect(order).toEqual(['done', 'removed', 'answered']);
      expect(() => node.add(testTarget(new Map()))).not.toThrow();
      expect(() => node.add(testTarget(new Map()))).toThrow(/served already/);
    })(),
  );
});

test('a callback reaches the client with its own handle, and its reply comes back', async () => {
  const cluster = new Cluster();
  await cluster.sim.run(
    (async () => {
      const { node } = await cluster.server([testTarget(statfsMap())]);
      const { imp, ptlrpc } = await cluster.client({ callbackHandle: 0xabcn });
      const handles: bigint[] = [];
      ptlrpc.serve({
        portals: [15],
        handler(request) {
          handles.push(request.body.pb_handle);
          request.reply(RQF_LDLM_BL_CALLBACK, {});
        },
      });
      await imp.connect();
      const [client] = node.exports('demo-MDT0000');
      const reply = await client!.callback(RQF_LDLM_BL_CALLBACK, { dlm_req: {} });
      expect(reply.status).toBe(0);
      expect(handles).toEqual([0xabcn]);
      cluster.sim.faults.partition(serverNid, imp.nid === serverNid ? '10.0.0.2@tcp' : imp.nid);
      await expect(
        client!.callback(RQF_LDLM_BL_CALLBACK, { dlm_req: {} }, { timeoutMs: 3000 }),
      ).rejects.toMatchObject({ code: 'ETIMEDOUT', opcode: 'LDLM_BL_CALLBACK' });
      client!.evict('test');
      await expect(client!.callback(RQF_LDLM_BL_CALLBACK, { dlm_req: {} })).rejects.toMatchObject({
        code: 'ENOTCONN',
      });
    })(),
  );
});
