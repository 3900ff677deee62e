/** Locks: guide 08. Fields and offsets are the reference's own. */
import { LuExtent } from './layout-structs.ts';
import { LquotaId } from './quota-structs.ts';
import { array, handle, type StructValue, s64, struct, u32, u64 } from './struct.ts';

export const LdlmResId = struct('ldlm_res_id', 32, {
  name: [0, array(u64, 4)],
});
export type LdlmResId = StructValue<typeof LdlmResId>;

export const LdlmExtent = struct('ldlm_extent', 24, {
  start: [0, u64],
  end: [8, u64],
  gid: [16, u64],
});
export type LdlmExtent = StructValue<typeof LdlmExtent>;

export const LdlmFlockWire = struct('ldlm_flock_wire', 32, {
  lfw_start: [0, u64],
  lfw_end: [8, u64],
  lfw_owner: [16, u64],
  lfw_padding: [24, u32],
  lfw_pid: [28, u32],
});
export type LdlmFlockWire = StructValue<typeof LdlmFlockWire>;

export const LdlmInodebits = struct('ldlm_inodebits', 32, {
  bits: [0, u64],
  try_bits: [8, u64],
  cancel_bits: [8, u64],
  li_gid: [16, u64],
  li_padding: [24, u32],
  li_initiator_id: [28, u32],
});
export type LdlmInodebits = StructValue<typeof LdlmInodebits>;

export const LdlmWirePolicyData = struct('ldlm_wire_policy_data', 32, {
  l_extent: [0, LdlmExtent],
  l_flock: [0, LdlmFlockWire],
  l_inodebits: [0, LdlmInodebits],
});
export type LdlmWirePolicyData = StructValue<typeof LdlmWirePolicyData>;

export const LdlmResourceDesc = struct('ldlm_resource_desc', 40, {
  lr_type: [0, u32],
  lr_pad: [4, u32],
  lr_name: [8, LdlmResId],
});
export type LdlmResourceDesc = StructValue<typeof LdlmResourceDesc>;

export const LdlmLockDesc = struct('ldlm_lock_desc', 80, {
  l_resource: [0, LdlmResourceDesc],
  l_req_mode: [40, u32],
  l_granted_mode: [44, u32],
  l_policy_data: [48, LdlmWirePolicyData],
});
export type LdlmLockDesc = StructValue<typeof LdlmLockDesc>;

export const LdlmRequest = struct('ldlm_request', 88, {
  lock_flags: [0, u32],
  lock_count: [4, u32],
  lock_desc: [8, LdlmLockDesc],
  // lock_handle follows: struct lustre_handle[]
});
export type LdlmRequest = StructValue<typeof LdlmRequest>;

export const LdlmReply = struct('ldlm_reply', 112, {
  lock_flags: [0, u32],
  lock_padding: [4, u32],
  lock_desc: [8, LdlmLockDesc],
  lock_handle: [88, handle],
  lock_policy_res1: [96, u64],
  lock_policy_res2: [104, u64],
});
export type LdlmReply = StructValue<typeof LdlmReply>;

export const LdlmIntent = struct('ldlm_intent', 8, {
  opc: [0, u64],
});
export type LdlmIntent = StructValue<typeof LdlmIntent>;

export const LdlmGlLquotaDesc = struct('ldlm_gl_lquota_desc', 64, {
  gl_id: [0, LquotaId],
  gl_flags: [16, u64],
  gl_ver: [24, u64],
  gl_hardlimit: [32, u64],
  gl_softlimit: [40, u64],
  gl_time: [48, u64],
  gl_pad2: [56, u64],
});
export type LdlmGlLquotaDesc = StructValue<typeof LdlmGlLquotaDesc>;

export const LdlmGlBarrierDesc = struct('ldlm_gl_barrier_desc', 16, {
  lgbd_status: [0, u32],
  lgbd_timeout: [4, u32],
  lgbd_padding: [8, u64],
});
export type LdlmGlBarrierDesc = StructValue<typeof LdlmGlBarrierDesc>;

export const LdlmGlDesc = struct('ldlm_gl_desc', 64, {
  lquota_desc: [0, LdlmGlLquotaDesc],
  barrier_desc: [0, LdlmGlBarrierDesc],
});
export type LdlmGlDesc = StructValue<typeof LdlmGlDesc>;

export const LayoutIntent = struct('layout_intent', 24, {
  lai_opc: [0, u32],
  lai_flags: [4, u32],
  lai_extent: [8, LuExtent],
});
export type LayoutIntent = StructValue<typeof LayoutIntent>;

export const OstLvbV1 = struct('ost_lvb_v1', 40, {
  lvb_size: [0, u64],
  lvb_mtime: [8, s64],
  lvb_atime: [16, s64],
  lvb_ctime: [24, s64],
  lvb_blocks: [32, u64],
});
export type OstLvbV1 = StructValue<typeof OstLvbV1>;

export const OstLvb = struct('ost_lvb', 56, {
  lvb_size: [0, u64],
  lvb_mtime: [8, s64],
  lvb_atime: [16, s64],
  lvb_ctime: [24, s64],
  lvb_blocks: [32, u64],
  lvb_mtime_ns: [40, u32],
  lvb_atime_ns: [44, u32],
  lvb_ctime_ns: [48, u32],
  lvb_padding: [52, u32],
});
export type OstLvb = StructValue<typeof OstLvb>;

export const LquotaLvb = struct('lquota_lvb', 40, {
  lvb_flags: [0, u64],
  lvb_id_may_rel: [8, u64],
  lvb_id_rel: [16, u64],
  lvb_id_qunit: [24, u64],
  lvb_pad1: [32, u64],
});
export type LquotaLvb = StructValue<typeof LquotaLvb>;

export const BarrierLvb = struct('barrier_lvb', 16, {
  lvb_status: [0, u32],
  lvb_index: [4, u32],
  lvb_padding: [8, u64],
});
export type BarrierLvb = StructValue<typeof BarrierLvb>;
