/** Messages and their first buffer: guide 04. Fields and offsets are the reference's own. */
import { array, bits64, handle, type StructValue, s32, struct, text, u16, u32, u64 } from './struct.ts';

export const LustreMsgV2 = struct('lustre_msg_v2', 32, {
  lm_bufcount: [0, u32],
  lm_secflvr: [4, u32],
  lm_magic: [8, u32],
  lm_repsize: [12, u32],
  lm_cksum: [16, u32],
  lm_flags: [20, u32],
  lm_opc: [24, u32],
  lm_padding_3: [28, u32],
  // lm_buflens follows: u32[]
});
export type LustreMsgV2 = StructValue<typeof LustreMsgV2>;

export const PtlrpcBodyV2 = struct('ptlrpc_body_v2', 152, {
  pb_handle: [0, handle],
  pb_type: [8, u32],
  pb_version: [12, u32],
  pb_opc: [16, u32],
  pb_status: [20, s32],
  pb_last_xid: [24, bits64],
  pb_tag: [32, u16],
  pb_padding0: [34, u16],
  pb_projid: [36, u32],
  pb_last_committed: [40, u64],
  pb_transno: [48, u64],
  pb_flags: [56, u32],
  pb_op_flags: [60, u32],
  pb_conn_cnt: [64, u32],
  pb_timeout: [68, u32],
  pb_service_time: [72, u32],
  pb_limit: [76, u32],
  pb_slv: [80, u64],
  pb_pre_versions: [88, array(u64, 4)],
  pb_mbits: [120, bits64],
  pb_padding64_0: [128, u64],
  pb_padding64_1: [136, u64],
  pb_uid: [144, u32],
  pb_gid: [148, u32],
});
export type PtlrpcBodyV2 = StructValue<typeof PtlrpcBodyV2>;

export const PtlrpcBodyV3 = struct('ptlrpc_body_v3', 184, {
  pb_handle: [0, handle],
  pb_type: [8, u32],
  pb_version: [12, u32],
  pb_opc: [16, u32],
  pb_status: [20, s32],
  pb_last_xid: [24, bits64],
  pb_tag: [32, u16],
  pb_padding0: [34, u16],
  pb_projid: [36, u32],
  pb_last_committed: [40, u64],
  pb_transno: [48, u64],
  pb_flags: [56, u32],
  pb_op_flags: [60, u32],
  pb_conn_cnt: [64, u32],
  pb_timeout: [68, u32],
  pb_service_time: [72, u32],
  pb_limit: [76, u32],
  pb_slv: [80, u64],
  pb_pre_versions: [88, array(u64, 4)],
  pb_mbits: [120, bits64],
  pb_padding64_0: [128, u64],
  pb_padding64_1: [136, u64],
  pb_uid: [144, u32],
  pb_gid: [148, u32],
  pb_jobid: [152, text(32)],
});
export type PtlrpcBodyV3 = StructValue<typeof PtlrpcBodyV3>;

export const ButUpdateHeader = struct('but_update_header', 24, {
  buh_magic: [0, u32],
  buh_count: [4, u32],
  buh_inline_length: [8, u32],
  buh_reply_size: [12, u32],
  buh_update_count: [16, u32],
  buh_padding: [20, u32],
  // buh_inline_data follows: u32[]
});
export type ButUpdateHeader = StructValue<typeof ButUpdateHeader>;

export const ButUpdateBuffer = struct('but_update_buffer', 8, {
  bub_size: [0, u32],
  bub_padding: [4, u32],
});
export type ButUpdateBuffer = StructValue<typeof ButUpdateBuffer>;

export const BatchUpdateRequest = struct('batch_update_request', 8, {
  burq_magic: [0, u32],
  burq_count: [4, u16],
  burq_padding: [6, u16],
  // burq_reqmsg follows: struct lustre_msg_v2[]
});
export type BatchUpdateRequest = StructValue<typeof BatchUpdateRequest>;

export const BatchUpdateReply = struct('batch_update_reply', 8, {
  burp_magic: [0, u32],
  burp_count: [4, u16],
  burp_padding: [6, u16],
  // burp_repmsg follows: struct lustre_msg_v2[]
});
export type BatchUpdateReply = StructValue<typeof BatchUpdateReply>;
