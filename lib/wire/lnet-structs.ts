/** LNet messages, NIDs, ping buffers and the acceptor request: guide 01. Fields and offsets are the reference's own. */
import {
  array,
  be16,
  be32,
  bytes,
  le32,
  le64,
  type StructValue,
  struct,
  u8,
  u16,
  u32,
  u64,
} from './struct.ts';

export const LnetNid = struct('lnet_nid', 20, {
  nid_size: [0, u8],
  nid_type: [1, u8],
  nid_num: [2, be16],
  nid_addr: [4, array(be32, 4)],
});
export type LnetNid = StructValue<typeof LnetNid>;

export const LnetHandleWire = struct('lnet_handle_wire', 16, {
  wh_interface_cookie: [0, u64],
  wh_object_cookie: [8, u64],
});
export type LnetHandleWire = StructValue<typeof LnetHandleWire>;

export const LnetAck = struct('lnet_ack', 28, {
  dst_wmd: [0, LnetHandleWire],
  match_bits: [16, u64],
  mlength: [24, u32],
});
export type LnetAck = StructValue<typeof LnetAck>;

export const LnetPut = struct('lnet_put', 40, {
  ack_wmd: [0, LnetHandleWire],
  match_bits: [16, u64],
  hdr_data: [24, u64],
  ptl_index: [32, u32],
  offset: [36, u32],
});
export type LnetPut = StructValue<typeof LnetPut>;

export const LnetGet = struct('lnet_get', 36, {
  return_wmd: [0, LnetHandleWire],
  match_bits: [16, u64],
  ptl_index: [24, u32],
  src_offset: [28, u32],
  sink_length: [32, u32],
});
export type LnetGet = StructValue<typeof LnetGet>;

export const LnetReply = struct('lnet_reply', 16, {
  dst_wmd: [0, LnetHandleWire],
});
export type LnetReply = StructValue<typeof LnetReply>;

export const LnetHello = struct('lnet_hello', 12, {
  incarnation: [0, u64],
  type: [8, u32],
});
export type LnetHello = StructValue<typeof LnetHello>;

/** The header in the form with 64-bit NIDs; little-endian whatever the sender. `msg` is one of the four above. */
export const LnetHdrNid4 = struct('lnet_hdr_nid4', 72, {
  dest_nid: [0, le64],
  src_nid: [8, le64],
  dest_pid: [16, le32],
  src_pid: [20, le32],
  type: [24, le32],
  payload_length: [28, le32],
  msg: [32, bytes(40)],
});
export type LnetHdrNid4 = StructValue<typeof LnetHdrNid4>;

/** The header with 20-byte NIDs. */
export const LnetHdrNid16 = struct('lnet_hdr_nid16', 96, {
  dest_nid: [0, LnetNid],
  src_nid: [20, LnetNid],
  dest_pid: [40, le32],
  src_pid: [44, le32],
  type: [48, le32],
  payload_length: [52, le32],
  msg: [56, bytes(40)],
});
export type LnetHdrNid16 = StructValue<typeof LnetHdrNid16>;

export const LnetMagicversion = struct('lnet_magicversion', 8, {
  magic: [0, u32],
  version_major: [4, u16],
  version_minor: [6, u16],
});
export type LnetMagicversion = StructValue<typeof LnetMagicversion>;

export const LnetNiStatus = struct('lnet_ni_status', 16, {
  ns_nid: [0, u64],
  ns_status: [8, u32],
  ns_msg_size: [12, u32],
});
export type LnetNiStatus = StructValue<typeof LnetNiStatus>;

export const LnetNiLargeStatus = struct('lnet_ni_large_status', 24, {
  ns_status: [0, u32],
  ns_nid: [4, LnetNid],
});
export type LnetNiLargeStatus = StructValue<typeof LnetNiLargeStatus>;

export const LnetPingInfo = struct('lnet_ping_info', 16, {
  pi_magic: [0, u32],
  pi_features: [4, u32],
  pi_pid: [8, u32],
  pi_nnis: [12, u32],
  // pi_ni follows: struct lnet_ni_status[]
});
export type LnetPingInfo = StructValue<typeof LnetPingInfo>;

export const LnetAcceptorConnreq = struct('lnet_acceptor_connreq', 16, {
  acr_magic: [0, u32],
  acr_version: [4, u32],
  acr_nid: [8, u64],
});
export type LnetAcceptorConnreq = StructValue<typeof LnetAcceptorConnreq>;

export const LnetAcceptorConnreqV2 = struct('lnet_acceptor_connreq_v2', 28, {
  acr_magic: [0, u32],
  acr_version: [4, u32],
  acr_nid: [8, LnetNid],
});
export type LnetAcceptorConnreqV2 = StructValue<typeof LnetAcceptorConnreqV2>;
