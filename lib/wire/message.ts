/**
 * lustre_msg v2: a header, then up to 32 buffers padded to 8 (guide 04 §1.1). The magic tells the sender's byte
 * order; we send little-endian and read both.
 */
import { Magic } from './ptlrpc-constants.ts';
import { LustreMsgV2 } from './ptlrpc-structs.ts';
import { facesOf, WireError } from './struct.ts';

/** Most buffers a message may have: a kernel keeps a 32-bit mask of them. */
export const MESSAGE_BUFFERS_MAX = 32;
/** Largest single buffer, bytes (guide 04 §1.1). */
export const MESSAGE_BUFFER_SIZE_MAX = 1 << 20;

/** A message taken apart. `buffers` are views of `bytes`, without their padding. */
export interface Message {
  readonly littleEndian: boolean;
  readonly secflvr: number;
  readonly repsize: number;
  readonly cksum: number;
  readonly flags: number;
  readonly opc: number;
  readonly buffers: readonly Uint8Array[];
  /** Bytes that the message takes, padding included; what follows is not part of it. */
  readonly size: number;
}

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

/** Takes a message apart. Throws WireError for a wrong magic, buffer count or length; reads nothing outside `bytes`. */
export function decodeMessage(bytes: Uint8Array): Message {
  const probe = LustreMsgV2.view(bytes);
  const littleEndian = probe.lm_magic === Magic.LUSTRE_MSG_MAGIC_V2;
  if (!littleEndian && probe.lm_magic !== Magic.LUSTRE_MSG_MAGIC_V2_SWABBED) {
    throw new WireError('lustre_msg', `wrong magic 0x${probe.lm_magic.toString(16)}`);
  }
  const header = littleEndian ? probe : LustreMsgV2.view(bytes, 0, false);
  const count = header.lm_bufcount;
  if (count < 1 || count > MESSAGE_BUFFERS_MAX) throw new WireError('lustre_msg', `has ${count} buffers`);
  let at = messageHeaderSize(count);
  if (at > bytes.length) throw new WireError('lustre_msg', 'length table is cut off', at, bytes.length);
  const { view } = facesOf(bytes.buffer);
  const table = bytes.byteOffset + LustreMsgV2.size;
  // As long as it will be: one that grows leaves several behind.
  const buffers = new Array<Uint8Array>(count);
  for (let i = 0; i < count; i++) {
    const length = view.getUint32(table + 4 * i, littleEndian);
    if (length > MESSAGE_BUFFER_SIZE_MAX)
      throw new WireError('lustre_msg', `buffer ${i} claims ${length} bytes`);
    if (at + roundUp8(length) > bytes.length) {
      throw new WireError('lustre_msg', `buffer ${i} is cut off`, at + roundUp8(length), bytes.length);
    }
    buffers[i] = bytes.subarray(at, at + length);
    at += roundUp8(length);
  }
  return {
    littleEndian,
    secflvr: header.lm_secflvr,
    repsize: header.lm_repsize,
    cksum: header.lm_cksum,
    flags: header.lm_flags,
    opc: header.lm_opc,
    buffers,
    size: at,
  };
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
