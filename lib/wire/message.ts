/**
 * lustre_msg v2: a header, then up to 32 buffers padded to 8 (guide 04 §1.1). The magic tells the sender's byte
 * order; we send little-endian and read both.
 */
import { Magic } from './ptlrpc-constants.ts';
import { LustreMsgV2, PtlrpcBodyV3 } from './ptlrpc-structs.ts';
import { facesOf, WireError } from './struct.ts';

/** Most buffers a message may have: a kernel keeps a 32-bit mask of them. */
export const MESSAGE_BUFFERS_MAX = 32;
/** Largest single buffer, bytes (guide 04 §1.1). */
export const MESSAGE_BUFFER_SIZE_MAX = 1 << 20;

export interface MessageHeader {
  readonly secflvr?: number | undefined;
  readonly repsize?: number | undefined;
  readonly cksum?: number | undefined;
  readonly flags?: number | undefined;
  readonly opc?: number | undefined;
}

/** Buffers are padded to this. */
export const roundUp8 = (n: number): number => (n + 7) & ~7;

/** Size of header and length table for `count` buffers. */
export function messageHeaderSize(count: number): number {
  return roundUp8(LustreMsgV2.size + 4 * count);
}

/** Bytes of a whole message whose buffers have these lengths. */
export function messageSize(lengths: readonly number[]): number {
  let size = messageHeaderSize(lengths.length);
  for (let i = 0; i < lengths.length; i++) size += roundUp8(lengths[i]!);
  return size;
}

/** Filled anew for each message: writing one is over before another begins. */
const headerFields = {
  lm_bufcount: 0,
  lm_magic: Magic.LUSTRE_MSG_MAGIC_V2,
  lm_secflvr: 0,
  lm_repsize: 0,
  lm_cksum: 0,
  lm_flags: 0,
  lm_opc: 0,
};

/** What a message that was not read yet has for its first buffer. */
export const NO_BODY: PtlrpcBodyV3 = PtlrpcBodyV3.view(new Uint8Array(PtlrpcBodyV3.size));

/** A message taken apart: where its buffers lie is worked out when somebody asks. */
export class Message {
  littleEndian = true;
  secflvr = 0;
  repsize = 0;
  cksum = 0;
  flags = 0;
  opc = 0;
  /** Buffers. */
  count = 0;
  /** Bytes that the message takes, padding included; what follows is not part of it. */
  size = 0;
  /** What it was taken out of, and what its header takes of that; the first buffer begins behind it. */
  bytes: Uint8Array = NO_BYTES;
  headerSize = 0;
  #buffers: readonly Uint8Array[] | undefined;

  /** Takes another message apart, whose bytes must stay as they are: the first `available` ones. Throws WireError for a wrong magic,
   * buffer count or length; reads nothing behind them. */
  read(bytes: Uint8Array, available = bytes.length): void {
    if (available < LustreMsgV2.size)
      throw new WireError('lustre_msg', 'is cut off', LustreMsgV2.size, available);
    const { view } = facesOf(bytes.buffer);
    const at = bytes.byteOffset;
    const magic = view.getUint32(at + MAGIC_AT, true);
    const littleEndian = magic === Magic.LUSTRE_MSG_MAGIC_V2;
    if (!littleEndian && magic !== Magic.LUSTRE_MSG_MAGIC_V2_SWABBED)
      throw new WireError('lustre_msg', `wrong magic 0x${magic.toString(16)}`);
    const count = view.getUint32(at + COUNT_AT, littleEndian);
    if (count < 1 || count > MESSAGE_BUFFERS_MAX) throw new WireError('lustre_msg', `has ${count} buffers`);
    const headerSize = messageHeaderSize(count);
    if (headerSize > available)
      throw new WireError('lustre_msg', 'length table is cut off', headerSize, available);
    let end = headerSize;
    for (let i = 0; i < count; i++) {
      const length = view.getUint32(at + LustreMsgV2.size + 4 * i, littleEndian);
      if (length > MESSAGE_BUFFER_SIZE_MAX)
        throw new WireError('lustre_msg', `buffer ${i} claims ${length} bytes`);
      end += roundUp8(length);
      if (end > available) throw new WireError('lustre_msg', `buffer ${i} is cut off`, end, available);
    }
    this.littleEndian = littleEndian;
    this.secflvr = view.getUint32(at + SECFLVR_AT, littleEndian);
    this.repsize = view.getUint32(at + REPSIZE_AT, littleEndian);
    this.cksum = view.getUint32(at + CKSUM_AT, littleEndian);
    this.flags = view.getUint32(at + FLAGS_AT, littleEndian);
    this.opc = view.getUint32(at + OPC_AT, littleEndian);
    this.count = count;
    this.size = end;
    this.bytes = bytes;
    this.headerSize = headerSize;
    this.#buffers = undefined;
  }

  /** Bytes of buffer `i` of those that there are, without its padding. */
  lengthOf(i: number): number {
    const { view } = facesOf(this.bytes.buffer);
    return view.getUint32(this.bytes.byteOffset + LustreMsgV2.size + 4 * i, this.littleEndian);
  }

  /** Views of all of them. */
  get buffers(): readonly Uint8Array[] {
    if (this.#buffers === undefined) {
      let at = this.headerSize;
      this.#buffers = Array.from({ length: this.count }, (_, i) => {
        const start = at;
        const length = this.lengthOf(i);
        at += roundUp8(length);
        return this.bytes.subarray(start, start + length);
      });
    }
    return this.#buffers;
  }
}

const NO_BYTES = new Uint8Array(0);
const placeOf = (field: string): number => LustreMsgV2.fields[field]![0];
const COUNT_AT = placeOf('lm_bufcount');
const SECFLVR_AT = placeOf('lm_secflvr');
const MAGIC_AT = placeOf('lm_magic');
const REPSIZE_AT = placeOf('lm_repsize');
const CKSUM_AT = placeOf('lm_cksum');
const FLAGS_AT = placeOf('lm_flags');
const OPC_AT = placeOf('lm_opc');

/** Takes a message apart, as `Message.read` does. */
export function decodeMessage(bytes: Uint8Array): Message {
  const message = new Message();
  message.read(bytes);
  return message;
}

/**
 * Writes header and length table for buffers of these lengths and gives the offset of the first buffer; each next one begins
 * behind the padding of the one before it. The buffers themselves, padding included, are zeroed for the caller to fill.
 * Throws WireError when `bytes` is too small.
 */
export function layOutMessage(
  bytes: Uint8Array,
  lengths: readonly number[],
  header: MessageHeader = {},
): number {
  const size = messageSize(lengths);
  if (bytes.length < size) throw new WireError('lustre_msg', 'does not fit', size, bytes.length);
  bytes.fill(0, 0, size);
  headerFields.lm_bufcount = lengths.length;
  headerFields.lm_secflvr = header.secflvr ?? 0;
  headerFields.lm_repsize = header.repsize ?? 0;
  headerFields.lm_cksum = header.cksum ?? 0;
  headerFields.lm_flags = header.flags ?? 0;
  headerFields.lm_opc = header.opc ?? 0;
  LustreMsgV2.encodeInto(bytes, 0, headerFields);
  const { view } = facesOf(bytes.buffer);
  const table = bytes.byteOffset + LustreMsgV2.size;
  for (let i = 0; i < lengths.length; i++) view.setUint32(table + 4 * i, lengths[i]!, true);
  return messageHeaderSize(lengths.length);
}
