/** Updates between metadata targets: guide 16. Fields and offsets are the reference's own. */
import { LuFid } from './fid-structs.ts';
import { type StructValue, struct, u16, u32, u64 } from './struct.ts';

export const OutUpdateHeader = struct('out_update_header', 16, {
  ouh_magic: [0, u32],
  ouh_count: [4, u32],
  ouh_inline_length: [8, u32],
  ouh_reply_size: [12, u32],
  // ouh_inline_data follows: u32[]
});
export type OutUpdateHeader = StructValue<typeof OutUpdateHeader>;

export const OutUpdateBuffer = struct('out_update_buffer', 8, {
  oub_size: [0, u32],
  oub_padding: [4, u32],
});
export type OutUpdateBuffer = StructValue<typeof OutUpdateBuffer>;

export const ObjectUpdateParam = struct('object_update_param', 8, {
  oup_len: [0, u16],
  oup_padding: [2, u16],
  oup_padding2: [4, u32],
  // oup_buf follows: char[]
});
export type ObjectUpdateParam = StructValue<typeof ObjectUpdateParam>;

export const ObjectUpdate = struct('object_update', 40, {
  ou_type: [0, u16],
  ou_params_count: [2, u16],
  ou_result_size: [4, u32],
  ou_flags: [8, u32],
  ou_padding1: [12, u32],
  ou_batchid: [16, u64],
  ou_fid: [24, LuFid],
  // ou_params follows: struct object_update_param[]
});
export type ObjectUpdate = StructValue<typeof ObjectUpdate>;

export const ObjectUpdateRequest = struct('object_update_request', 8, {
  ourq_magic: [0, u32],
  ourq_count: [4, u16],
  ourq_padding: [6, u16],
  // ourq_updates follows: struct object_update[]
});
export type ObjectUpdateRequest = StructValue<typeof ObjectUpdateRequest>;

export const ObjectUpdateResult = struct('object_update_result', 8, {
  our_rc: [0, u32],
  our_datalen: [4, u16],
  our_padding: [6, u16],
  // our_data follows: u32[]
});
export type ObjectUpdateResult = StructValue<typeof ObjectUpdateResult>;

export const ObjectUpdateReply = struct('object_update_reply', 8, {
  ourp_magic: [0, u32],
  ourp_count: [4, u16],
  ourp_padding: [6, u16],
  // ourp_lens follows: u16[]
});
export type ObjectUpdateReply = StructValue<typeof ObjectUpdateReply>;
