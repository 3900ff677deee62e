/** LNet messages (guide 01 §3): the header in both forms, taken apart into parts and into what the layers above ask for. */
import { type Nid, nidFromBits } from '../../lnet/nid.ts';
import { Lnet, LnetMsgType } from '../../wire/lnet-constants.ts';
import {
  LnetAck,
  LnetGet,
  LnetNid,
  LnetNiStatus,
  LnetPingInfo,
  LnetPut,
  LnetReply,
} from '../../wire/lnet-structs.ts';
import { le32, le64, type StructValue, struct } from '../../wire/struct.ts';
import type { Dissection } from './dissection.ts';

/** The common part of the header with 64-bit NIDs. */
export const LnetHeaderNid4 = struct('lnet_hdr', 32, {
  dest_nid: [0, le64],
  src_nid: [8, le64],
  dest_pid: [16, le32],
  src_pid: [20, le32],
  type: [24, le32],
  payload_length: [28, le32],
});

/** The common part of the header with 20-byte NIDs. */
export const LnetHeaderNid16 = struct('lnet_hdr', 56, {
  dest_nid: [0, LnetNid],
  src_nid: [20, LnetNid],
  dest_pid: [40, le32],
  src_pid: [44, le32],
  type: [48, le32],
  payload_length: [52, le32],
});

const VARIANT = 40;
export const COOKIE_NONE = 0xffff_ffff_ffff_ffffn;

/** The fields of a message's header that the conversation needs. */
export interface LnetHeader {
  readonly type: 'PUT' | 'GET' | 'ACK' | 'REPLY';
  readonly source: Nid;
  readonly destination: Nid;
  readonly payloadLength: number;
  /** Portal, match bits and offset of a PUT or GET; match bits of an ACK. */
  readonly portal: number;
  readonly matchBits: bigint;
  readonly offset: number;
  /** The handle that an ACK or REPLY to this comes to, or that this one is for. */
  readonly cookie: string;
  readonly wantsAck: boolean;
  /** Bytes that a GET asks for, or that an ACK says were stored. */
  readonly length: number;
}

/** A NID of 20 bytes; IPv6 addresses in brackets. */
export function largeNid(nid: StructValue<typeof LnetNid>): Nid {
  if (nid.nid_type === 0xff) return '*';
  const [first = 0] = nid.nid_addr;
  const net = (BigInt(nid.nid_type) << 48n) | (BigInt(nid.nid_num) << 32n);
  if (nid.nid_size === 0) return nidFromBits(net | BigInt(first));
  const words = nid.nid_addr.flatMap((word) => [word >>> 16, word & 0xffff]);
  const text = nidFromBits(net);
  return `[${words.map((word) => word.toString(16)).join(':')}]${text.slice(text.indexOf('@'))}`;
}

/** Takes a header of 72 or 96 bytes apart. */
export function dissectHeader(d: Dissection, nid16: boolean): LnetHeader {
  const common = nid16
    ? d.struct('lnet_hdr', LnetHeaderNid16, true)
    : d.struct('lnet_hdr', LnetHeaderNid4, true);
  const nid = (value: bigint | StructValue<typeof LnetNid>): Nid =>
    typeof value === 'bigint' ? nidFromBits(value) : largeNid(value);
  const base = {
    source: nid(common.src_nid),
    destination: nid(common.dest_nid),
    payloadLength: common.payload_length,
    portal: 0,
    matchBits: 0n,
    offset: 0,
    wantsAck: false,
    length: 0,
  };
  const start = d.at;
  const header = dissectVariant(d, common.type, base);
  d.raw('padding', 'padding', VARIANT - (d.at - start));
  return header;
}

type Base = Omit<LnetHeader, 'type' | 'cookie'>;

function dissectVariant(d: Dissection, type: number, base: Base): LnetHeader {
  const cookieOf = (handle: { wh_interface_cookie: bigint; wh_object_cookie: bigint }): string =>
    `${handle.wh_interface_cookie.toString(16)}.${handle.wh_object_cookie.toString(16)}`;
  if (type === LnetMsgType.LNET_MSG_PUT) {
    const put = d.struct('put', LnetPut, true);
    return {
      ...base,
      type: 'PUT',
      portal: put.ptl_index,
      matchBits: put.match_bits,
      offset: put.offset,
      wantsAck: put.ack_wmd.wh_object_cookie !== COOKIE_NONE,
      cookie: cookieOf(put.ack_wmd),
    };
  }
  if (type === LnetMsgType.LNET_MSG_GET) {
    const get = d.struct('get', LnetGet, true);
    return {
      ...base,
      type: 'GET',
      portal: get.ptl_index,
      matchBits: get.match_bits,
      offset: get.src_offset,
      length: get.sink_length,
      cookie: cookieOf(get.return_wmd),
    };
  }
  if (type === LnetMsgType.LNET_MSG_ACK) {
    const ack = d.struct('ack', LnetAck, true);
    return {
      ...base,
      type: 'ACK',
      matchBits: ack.match_bits,
      length: ack.mlength,
      cookie: cookieOf(ack.dst_wmd),
    };
  }
  const reply = d.struct('reply', LnetReply, true);
  return { ...base, type: 'REPLY', cookie: cookieOf(reply.dst_wmd) };
}

/** A ping or push buffer (guide 01 §9), in its sender's byte order. */
export function dissectPing(d: Dissection): readonly Nid[] {
  d.littleEndian = d.peek(1)[0] === (Lnet.LNET_PROTO_PING_MAGIC & 0xff);
  const info = d.struct('ping_info', LnetPingInfo);
  const count = Math.min(info.pi_nnis, Math.floor(d.left / LnetNiStatus.size));
  const nids = d.structs('ni', LnetNiStatus, count).map((ni) => nidFromBits(ni.ns_nid));
  // Large NIDs and metadata of newer nodes follow (feature bits 5 to 7).
  d.raw('value', 'large_nids');
  return nids;
}
