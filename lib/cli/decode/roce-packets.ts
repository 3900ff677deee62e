/** RoCE v2 packets: InfiniBand transport headers and connection management messages (InfiniBand Architecture, volume 1). */
import { array, be16, be32, be64, bytes, struct, u8 } from '../../wire/struct.ts';

/** Base transport header. `flags`: solicited, migrated, pad count (bits 4 and 5), version. */
export const BaseTransport = struct('bth', 12, {
  opcode: [0, u8],
  flags: [1, u8],
  pkey: [2, be16],
  destination_qp: [4, be32],
  psn: [8, be32],
});

/** RDMA: where to write or read. */
export const RdmaExtended = struct('reth', 16, { address: [0, be64], key: [8, be32], length: [12, be32] });

export const Acknowledge = struct('aeth', 4, { syndrome_msn: [0, be32] });
export const Immediate = struct('immdt', 4, { data: [0, be32] });

/** Datagrams: the key of the queue pair and who sent it. */
export const DatagramExtended = struct('deth', 8, { qkey: [0, be32], source_qp: [4, be32] });

export const ManagementHeader = struct('mad', 24, {
  base_version: [0, u8],
  class: [1, u8],
  class_version: [2, u8],
  method: [3, u8],
  status: [4, be16],
  class_specific: [6, be16],
  transaction: [8, be64],
  attribute: [16, be16],
  reserved: [18, be16],
  modifier: [20, be32],
});

/** Path of a connection request, primary or alternate. */
const Path = struct('path', 44, {
  local_lid: [0, be16],
  remote_lid: [2, be16],
  local_gid: [4, bytes(16)],
  remote_gid: [20, bytes(16)],
  flow_label_rate: [36, be32],
  traffic_class: [40, u8],
  hop_limit: [41, u8],
  service_level: [42, u8],
  ack_timeout: [43, u8],
});

/** Connection request; 92 bytes of private data follow. */
export const ConnectRequest = struct('cm_req', 140, {
  local_comm_id: [0, be32],
  reserved1: [4, be32],
  service_id: [8, be64],
  local_ca_guid: [16, be64],
  reserved2: [24, be32],
  local_qkey: [28, be32],
  local_qpn_resources: [32, be32],
  local_eecn_depth: [36, be32],
  remote_eecn_flow: [40, be32],
  starting_psn_retry: [44, be32],
  pkey: [48, be16],
  mtu_rnr_retry: [50, u8],
  cm_retries: [51, u8],
  primary: [52, Path],
  alternate: [96, Path],
});

/** What the RDMA connection manager puts before the user's private data: both IP addresses. */
export const CmaHeader = struct('cma', 36, {
  version: [0, u8],
  ip_version: [1, u8],
  port: [2, be16],
  source: [4, array(be32, 4)],
  destination: [20, array(be32, 4)],
});

/** Answer; 196 bytes of private data follow. */
export const ConnectReply = struct('cm_rep', 36, {
  local_comm_id: [0, be32],
  remote_comm_id: [4, be32],
  local_qkey: [8, be32],
  local_qpn: [12, be32],
  local_eecn: [16, be32],
  starting_psn: [20, be32],
  responder_resources: [24, u8],
  initiator_depth: [25, u8],
  ack_delay_flow: [26, u8],
  rnr_retry_srq: [27, u8],
  local_ca_guid: [28, be64],
});

/** Refusal; 148 bytes of private data follow. */
export const ConnectReject = struct('cm_rej', 84, {
  local_comm_id: [0, be32],
  remote_comm_id: [4, be32],
  message_rejected: [8, u8],
  info_length: [9, u8],
  reason: [10, be16],
  info: [12, bytes(72)],
});

/** Ready to use, disconnect, disconnected: two ids, then private data. */
export const ConnectionIds = struct('cm_ids', 8, { local_comm_id: [0, be32], remote_comm_id: [4, be32] });
export const DisconnectRequest = struct('cm_dreq', 12, {
  local_comm_id: [0, be32],
  remote_comm_id: [4, be32],
  remote_qpn: [8, be32],
});

export const MAD_CLASS_CM = 7;
export const CmAttribute = {
  REQ: 0x10,
  MRA: 0x11,
  REJ: 0x12,
  REP: 0x13,
  RTU: 0x14,
  DREQ: 0x15,
  DREP: 0x16,
} as const;

/** Opcodes of the reliable connected transport, and of datagrams. */
export const RcOpcode = {
  SEND_FIRST: 0,
  SEND_MIDDLE: 1,
  SEND_LAST: 2,
  SEND_LAST_IMMEDIATE: 3,
  SEND_ONLY: 4,
  SEND_ONLY_IMMEDIATE: 5,
  WRITE_FIRST: 6,
  WRITE_MIDDLE: 7,
  WRITE_LAST: 8,
  WRITE_LAST_IMMEDIATE: 9,
  WRITE_ONLY: 10,
  WRITE_ONLY_IMMEDIATE: 11,
  ACKNOWLEDGE: 17,
  SEND_LAST_INVALIDATE: 22,
  SEND_ONLY_INVALIDATE: 23,
  DATAGRAM: 100,
} as const;

/** Bytes of the checksum behind every packet. */
export const ICRC_SIZE = 4;
/** The BTH's pad count. */
export const padCount = (flags: number): number => (flags >> 4) & 3;
