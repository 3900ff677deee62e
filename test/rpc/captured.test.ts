/** Our first messages beside those of a 2.17 kernel client (captures 01): the same but for cookies, times and flags. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { decodePtlrpcBody } from '../../lib/wire/format.ts';
import { RQF_OBD_PING } from '../../lib/wire/formats.ts';
import { decodeMessage, type Message } from '../../lib/wire/message.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { Cluster, serverNid, testTarget } from '../connection/cluster.ts';

const capture = '../shared/captures/01-mount-df-umount.pcap';

function captured(): Message[] | undefined {
  let pcap: Buffer;
  try {
    pcap = readFileSync(capture);
  } catch {
    return undefined;
  }
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

test.each([
  ['MGS connect', 'mgs', Opcode.MGS_CONNECT],
  ['MDT connect', 'mdt', Opcode.MDS_CONNECT],
  ['OST connect', 'ost', Opcode.OST_CONNECT],
  ['ping', 'mgs', Opcode.OBD_PING],
  ['MDT disconnect', 'mdt', Opcode.MDS_DISCONNECT],
] as const)('%s', async (_, kind, opcode) => {
  const messages = captured();
  if (messages === undefined) {
    console.log('skipped: ../shared/captures is not there');
    return;
  }
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
