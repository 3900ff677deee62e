/**
 * Takes out of a capture every bulk or short transfer with the checksum that a kernel sent beside it. Reads only what
 * that needs, with offsets of its own (guides 01 §2, 02 §3, 04 §2, 12 §2), so that it shares nothing with the codecs.
 */
import { captureBytes } from '../cli/captures.ts';

export interface CapturedTransfer {
  readonly what: 'bulk write' | 'bulk read' | 'short write' | 'short read';
  /** Bits 12 to 15 of o_flags. */
  readonly type: number;
  readonly checksum: number;
  readonly payload: Uint8Array[];
}

/** An LNet message as it stood on a TCP stream. */
interface Message {
  readonly type: number;
  /** return_wmd of a GET, dst_wmd of a REPLY: both belong to one transfer. */
  readonly handle: string;
  readonly matchBits: bigint;
  readonly portal: number;
  readonly payload: Buffer;
}

const ACK = 0;
const PUT = 1;
const GET = 2;
const REPLY = 3;
const OST_IO_PORTAL = 6;
const OST_BULK_PORTAL = 8;
const OST_READ = 3;
const OST_WRITE = 4;
const PTL_RPC_MSG_REPLY = 4713;
const FLCKSUM = 0x100000n;

interface Part {
  readonly sequence: number;
  readonly bytes: Buffer;
}

/** The bytes of each direction of each TCP connection. */
export function tcpStreams(pcap: Buffer): Buffer[] {
  const streams: Part[][] = [];
  const open = new Map<string, Part[]>();
  for (let at = 24; at < pcap.length; ) {
    const length = pcap.readUInt32LE(at + 8);
    const frame = pcap.subarray(at + 16, at + 16 + length);
    at += 16 + length;
    if (frame.readUInt16BE(12) !== 0x0800 || frame[23] !== 6) continue;
    const ip = frame.subarray(14, 14 + frame.readUInt16BE(16));
    const tcp = ip.subarray((ip[0]! & 15) * 4);
    const key = `${ip.readUInt32BE(12)}:${tcp.readUInt16BE(0)}>${ip.readUInt32BE(16)}:${tcp.readUInt16BE(2)}`;
    const synchronize = (tcp[13]! & 2) !== 0;
    if (synchronize) streams.push(open.set(key, []).get(key)!);
    const sequence = tcp.readUInt32BE(4) + (synchronize ? 1 : 0);
    open.get(key)?.push({ sequence, bytes: tcp.subarray((tcp[12]! >> 4) * 4) });
  }
  return streams.map(assemble);
}

/** A stream up to its first gap. */
function assemble(parts: readonly Part[]): Buffer {
  const first = parts[0]!.sequence;
  const placed = parts.map(({ sequence, bytes }) => ({ offset: (sequence - first) | 0, bytes }));
  const stream: Buffer[] = [];
  let end = 0;
  for (const { offset, bytes } of placed.sort((a, b) => a.offset - b.offset)) {
    if (offset > end) break;
    if (offset + bytes.length <= end) continue;
    stream.push(bytes.subarray(end - offset));
    end = offset + bytes.length;
  }
  return Buffer.concat(stream);
}

/** LNet messages behind the connection request and the HELLO. */
export function messages(stream: Buffer): Message[] {
  let at = stream.length > 16 && stream.readUInt32LE(0) === 0xacce7100 ? 16 : 0;
  if (stream.length < at + 56) return [];
  at += 56 + 4 * stream.readUInt32LE(at + 52);
  const found: Message[] = [];
  while (at + 24 <= stream.length) {
    const noop = stream.readUInt32LE(at) === 0xc0;
    at += 24;
    if (noop) continue;
    const header = stream.subarray(at, at + 72);
    const length = header.readUInt32LE(28);
    const type = header.readUInt32LE(24);
    found.push({
      type,
      handle: header.toString('hex', 32, 48),
      matchBits: type === PUT || type === GET ? header.readBigUInt64LE(48) : 0n,
      portal: type === PUT ? header.readUInt32LE(64) : type === GET ? header.readUInt32LE(56) : -1,
      payload: stream.subarray(at + 72, at + 72 + length),
    });
    if (type > REPLY || type < ACK) throw new Error(`not an LNet message type: ${type}`);
    at += 72 + length;
  }
  return found;
}

/** The buffers of a lustre_msg_v2, or none when it is not one. */
export function buffers(message: Buffer): Buffer[] {
  if (message.length < 40 || message.readUInt32LE(8) !== 0x0bd00bd3) return [];
  const count = message.readUInt32LE(0);
  let at = (32 + 4 * count + 7) & ~7;
  return Array.from({ length: count }, (_, i) => {
    const length = message.readUInt32LE(32 + 4 * i);
    const buffer = message.subarray(at, at + length);
    at += (length + 7) & ~7;
    return buffer;
  });
}

interface Rpc {
  readonly opcode: number;
  readonly bulkBits: bigint;
  readonly body: Buffer;
  readonly rest: Buffer[];
}

function rpc(message: Message): Rpc | undefined {
  const [body, ost, ...rest] = buffers(message.payload);
  if (body === undefined || ost === undefined || body.length < 152 || ost.length < 208) return undefined;
  return { opcode: body.readUInt32LE(16), bulkBits: body.readBigUInt64LE(120), body: ost, rest };
}

/** A transfer with the checksum of an ost_body, if that has one. */
function transfer(what: CapturedTransfer['what'], body: Buffer, payload: Buffer[]): CapturedTransfer[] {
  if ((body.readBigUInt64LE(0) & FLCKSUM) === 0n || payload.length === 0) return [];
  return [{ what, type: body.readUInt32LE(96) & 0xf000, checksum: body.readUInt32LE(100), payload }];
}

export function capturedTransfers(file: string): CapturedTransfer[] {
  const all = tcpStreams(Buffer.from(captureBytes(file).buffer)).flatMap(messages);
  const replies = new Map(all.filter((m) => m.type === REPLY).map((m) => [m.handle, m.payload]));
  const pulled = new Map<bigint, Buffer | undefined>();
  const pushed = new Map<bigint, Buffer>();
  const answers = new Map<bigint, Rpc>();
  for (const message of all) {
    const bulk = message.portal === OST_BULK_PORTAL;
    if (message.type === GET && bulk) pulled.set(message.matchBits, replies.get(message.handle));
    if (message.type !== PUT) continue;
    if (bulk) pushed.set(message.matchBits, message.payload);
    else if (buffers(message.payload)[0]?.readUInt32LE(8) === PTL_RPC_MSG_REPLY) {
      const answer = rpc(message);
      if (answer !== undefined) answers.set(message.matchBits, answer);
    }
  }
  const requests = all.filter((m) => m.type === PUT && m.portal === OST_IO_PORTAL).map(rpc);
  return requests.flatMap((request) =>
    request === undefined ? [] : ofRequest(request, pulled, pushed, answers),
  );
}

function ofRequest(
  request: Rpc,
  pulled: ReadonlyMap<bigint, Buffer | undefined>,
  pushed: ReadonlyMap<bigint, Buffer>,
  answers: ReadonlyMap<bigint, Rpc>,
): CapturedTransfer[] {
  const { opcode, bulkBits, body, rest } = request;
  const pieces = (map: ReadonlyMap<bigint, Buffer | undefined>) => {
    const list: Buffer[] = [];
    // XIDs are multiples of 128; the MDs of one transfer count up from there to pb_mbits (guide 04 §3.3).
    for (let bits = bulkBits & ~127n; bits <= bulkBits; bits++) {
      const piece = map.get(bits);
      if (piece !== undefined) list.push(piece);
    }
    return list;
  };
  if (opcode === OST_WRITE) {
    // Behind the ost_body: obd_ioobj, niobufs, a capability nobody uses, the short write's bytes.
    const short = rest[3];
    if (short !== undefined && short.length > 0) return transfer('short write', body, [short]);
    return transfer('bulk write', body, pieces(pulled));
  }
  const answer = answers.get(bulkBits);
  if (opcode !== OST_READ || answer === undefined) return [];
  const short = answer.rest[0];
  if (short !== undefined && short.length > 0) return transfer('short read', answer.body, [short]);
  return transfer('bulk read', answer.body, pieces(pushed));
}
