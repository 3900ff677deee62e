/** Requests out of the captures: the message with a given opcode in a given frame. */
import { decodePtlrpcBody, encodeBuffers, type Format, type RequestInputs } from '../../lib/wire/format.ts';
import { decodeMessage, type Message } from '../../lib/wire/message.ts';
import { capture, captureBytes } from '../cli/captures.ts';

const frames = new Map<string, Buffer[]>();

function framesOf(name: string): Buffer[] {
  let list = frames.get(name);
  if (list === undefined) {
    list = [];
    const pcap = Buffer.from(captureBytes(capture(name)).buffer);
    for (let at = 24; at < pcap.length; ) {
      const length = pcap.readUInt32LE(at + 8);
      list.push(pcap.subarray(at + 16, at + 16 + length));
      at += 16 + length;
    }
    frames.set(name, list);
  }
  return list;
}

/** The `nth` message with `opcode` in frame `number` (from 1). */
export function capturedMessage(name: string, number: number, opcode: number, nth = 0): Message {
  const frame = framesOf(name)[number - 1]!;
  const found: Message[] = [];
  const magic = Buffer.from([0xd3, 0x0b, 0xd0, 0x0b]);
  let message: Message;
  // Messages within a message (batches) are passed over.
  for (let at = frame.indexOf(magic); at !== -1; at = frame.indexOf(magic, at - 8 + message.size)) {
    message = decodeMessage(frame.subarray(at - 8));
    if (decodePtlrpcBody(message.buffers[0]!, true).pb_opc === opcode) found.push(message);
  }
  const wanted = found[nth];
  if (wanted === undefined) throw new Error(`${name} frame ${number} has no message with opcode ${opcode}`);
  return wanted;
}

/** Buffers from 1 on, as hex. */
export function buffersOf(message: Message): string[] {
  return message.buffers.slice(1).map((buffer) => Buffer.from(buffer).toString('hex'));
}

/** The same of a request of ours. */
export function encoded<F extends Format>(format: F, values: RequestInputs<F>): string[] {
  return buffersOf(decodeMessage(encodeBuffers<F['request']>(format.request, values)));
}
