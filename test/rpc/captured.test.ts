/** Our first messages beside those of a 2.17 kernel client (captures 01): the same but for cookies, times and flags. */
import { expect, test } from 'vitest';
import { decodeBuffers, decodePtlrpcBody } from '../../lib/wire/format.ts';
import { RQF_CONNECT, RQF_OBD_PING } from '../../lib/wire/formats.ts';
import { decodeMessage, type Message } from '../../lib/wire/message.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { capture, captureBytes } from '../cli/captures.ts';
import { Cluster, serverNid, testTarget } from '../connection/cluster.ts';
import { bodyOnly, RawPeer } from './raw-peer.ts';

function captured(): Message[] {
  const pcap = Buffer.from(captureBytes(capture('01')).buffer);
  const messages: Message[] = [];
  for (let at = pcap.indexOf('d30bd00b', 0, 'hex'); at !== -1; at = pcap.indexOf('d30bd00b', at + 1, 'hex')) {
    try {
      messages.push(decodeMessage(pcap.subarray(at - 8)));
    } catch {
      // Cut by a TCP segment, or no message at all.
    }
  }
  return messages;
}

/** What the layer below the operations decides, without what differs by time and place. */
function shape(message: Message) {
  const body = decodePtlrpcBody(message.buffers[0]!, message.littleEndian);
  const { pb_type, pb_version, pb_opc, pb_op_flags, pb_conn_cnt, pb_timeout, pb_tag, pb_transno } = body;
  return {
    secflvr: message.secflvr,
    flags: message.flags,
    repsize: message.repsize,
    sizes: message.buffers.map((buffer) => buffer.length),
    body: { pb_type, pb_version, pb_opc, pb_op_flags, pb_conn_cnt, pb_timeout, pb_tag, pb_transno },
    mbitsAreXid: body.pb_mbits !== 0n,
  };
}

test('a node answers the messages of a kernel client', async () => {
  const messages = captured();
  const cluster = new Cluster();
  await cluster.sim.run(
    (async () => {
      const names = ['MGS', 'lab-MDT0000', 'lab-MDT0001', 'lab-OST0000', 'lab-OST0001'];
      const targets = names.map((name) =>
        testTarget(new Map(), { name, uuid: name === 'MGS' ? name : `${name}_UUID` }),
      );
      await cluster.server(targets);
      const peer = new RawPeer(await cluster.sim.network.open({ nid: '10.0.0.3@tcp' }));
      for (const portal of [4, 10, 25]) peer.listen(portal);
      const portals = new Map<number, number>([
        [Opcode.MGS_CONNECT, 26],
        [Opcode.MDS_CONNECT, 12],
        [Opcode.OST_CONNECT, 28],
      ]);
      let connects = 0;
      const clients = new Set<string>();
      for (const message of messages) {
        const body = decodePtlrpcBody(message.buffers[0]!, true);
        const portal = portals.get(body.pb_opc);
        if (body.pb_type !== 4711 || portal === undefined || body.pb_conn_cnt !== 1) continue;
        const { connect_data: asked, tgtuuid, cluuid } = decodeBuffers(RQF_CONNECT.request, message);
        if (clients.has(`${tgtuuid} ${cluuid}`)) continue;
        clients.add(`${tgtuuid} ${cluuid}`);
        connects++;
        const answer = peer.next();
        const raw = message.buffers[0]!;
        const bytes = new Uint8Array(
          raw.buffer.slice(raw.byteOffset - 56, raw.byteOffset - 56 + message.size),
        );
        peer.send(serverNid, portal, BigInt(connects) << 7n, bytes);
        const reply = await answer;
        expect(reply.body.pb_status).toBe(0);
        expect(reply.event.offset).toBe(0);
        const granted = decodeBuffers(RQF_CONNECT.reply, reply.message).connect_data!;
        expect(granted.ocd_connect_flags & ~asked!.ocd_connect_flags).toBe(0n);
        expect(granted.ocd_connect_flags2 & ~asked!.ocd_connect_flags2).toBe(0n);
        const pong = peer.next();
        peer.send(
          serverNid,
          portal,
          BigInt(1000 + connects) << 7n,
          bodyOnly(Opcode.OBD_PING, { pb_handle: reply.body.pb_handle }, { flags: 3 }),
        );
        expect((await pong).body.pb_status).toBe(0);
      }
      expect(connects).toBeGreaterThanOrEqual(4);
    })(),
  );
});

test.each([
  ['MGS connect', 'mgs', Opcode.MGS_CONNECT],
  ['MDT connect', 'mdt', Opcode.MDS_CONNECT],
  ['OST connect', 'ost', Opcode.OST_CONNECT],
  ['ping', 'mgs', Opcode.OBD_PING],
  ['MDT disconnect', 'mdt', Opcode.MDS_DISCONNECT],
] as const)('%s', async (_, kind, opcode) => {
  const messages = captured();
  const theirs = messages.find((message) => {
    const body = decodePtlrpcBody(message.buffers[0]!, true);
    const ofKind = opcode !== Opcode.OBD_PING || message.secflvr === 0x03000000;
    return body.pb_type === 4711 && body.pb_opc === opcode && ofKind;
  });
  expect(theirs).toBeDefined();

  const cluster = new Cluster();
  const sent: Uint8Array[] = [];
  await cluster.sim.run(
    (async () => {
      const target = testTarget(new Map(), { name: 'MGS', uuid: 'MGS' });
      await cluster.server([target]);
      const { imp, endpoint } = await cluster.client({ target: { name: 'MGS', uuid: 'MGS', kind } });
      const put = endpoint.put.bind(endpoint);
      endpoint.put = (options, handler) => {
        const { memory, offset, length } = options.segments[0]!;
        sent.push(new Uint8Array(memory.bytes.subarray(offset, offset + length)));
        return put(options, handler);
      };
      await imp.connect();
      await imp.call(RQF_OBD_PING, {});
      await imp.disconnect();
    })(),
  );
  const ours = sent
    .map((bytes) => decodeMessage(bytes))
    .find((message) => decodePtlrpcBody(message.buffers[0]!, true).pb_opc === opcode);
  expect(shape(ours!)).toEqual(shape(theirs!));
  expect(serverNid).toBe('10.0.0.1@tcp');
});
