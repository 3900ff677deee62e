/** HSM bodies: guide 17. Fields and offsets are the reference's own. */
import { LuFid } from './fid-structs.ts';
import { type StructValue, struct, u16, u32, u64 } from './struct.ts';

export const HsmExtent = struct('hsm_extent', 16, {
  offset: [0, u64],
  length: [8, u64],
});
export type HsmExtent = StructValue<typeof HsmExtent>;

export const HsmAttrs = struct('hsm_attrs', 24, {
  hsm_compat: [0, u32],
  hsm_flags: [4, u32],
  hsm_arch_id: [8, u64],
  hsm_arch_ver: [16, u64],
});
export type HsmAttrs = StructValue<typeof HsmAttrs>;

export const HsmUserState = struct('hsm_user_state', 32, {
  hus_states: [0, u32],
  hus_archive_id: [4, u32],
  hus_in_progress_state: [8, u32],
  hus_in_progress_action: [12, u32],
  hus_in_progress_location: [16, HsmExtent],
  // hus_extended_info follows: char[]
});
export type HsmUserState = StructValue<typeof HsmUserState>;

export const HsmStateSet = struct('hsm_state_set', 24, {
  hss_valid: [0, u32],
  hss_archive_id: [4, u32],
  hss_setmask: [8, u64],
  hss_clearmask: [16, u64],
});
export type HsmStateSet = StructValue<typeof HsmStateSet>;

export const HsmCurrentAction = struct('hsm_current_action', 24, {
  hca_state: [0, u32],
  hca_action: [4, u32],
  hca_location: [8, HsmExtent],
});
export type HsmCurrentAction = StructValue<typeof HsmCurrentAction>;

export const HsmProgress = struct('hsm_progress', 48, {
  hp_fid: [0, LuFid],
  hp_cookie: [16, u64],
  hp_extent: [24, HsmExtent],
  hp_flags: [40, u16],
  hp_errval: [42, u16],
  padding: [44, u32],
});
export type HsmProgress = StructValue<typeof HsmProgress>;

export const HsmProgressKernel = struct('hsm_progress_kernel', 64, {
  hpk_fid: [0, LuFid],
  hpk_cookie: [16, u64],
  hpk_extent: [24, HsmExtent],
  hpk_flags: [40, u16],
  hpk_errval: [42, u16],
  hpk_padding1: [44, u32],
  hpk_data_version: [48, u64],
  hpk_padding2: [56, u64],
});
export type HsmProgressKernel = StructValue<typeof HsmProgressKernel>;

export const HsmUserItem = struct('hsm_user_item', 32, {
  hui_fid: [0, LuFid],
  hui_extent: [16, HsmExtent],
});
export type HsmUserItem = StructValue<typeof HsmUserItem>;

export const HsmRequest = struct('hsm_request', 24, {
  hr_action: [0, u32],
  hr_archive_id: [4, u32],
  hr_flags: [8, u64],
  hr_itemcount: [16, u32],
  hr_data_len: [20, u32],
});
export type HsmRequest = StructValue<typeof HsmRequest>;

export const HsmUserRequest = struct('hsm_user_request', 24, {
  hur_request: [0, HsmRequest],
  // hur_user_item follows: struct hsm_user_item[]
});
export type HsmUserRequest = StructValue<typeof HsmUserRequest>;

export const HsmActionItem = struct('hsm_action_item', 72, {
  hai_len: [0, u32],
  hai_action: [4, u32],
  hai_fid: [8, LuFid],
  hai_dfid: [24, LuFid],
  hai_extent: [40, HsmExtent],
  hai_cookie: [56, u64],
  hai_gid: [64, u64],
  // hai_data follows: char[]
});
export type HsmActionItem = StructValue<typeof HsmActionItem>;

export const HsmActionList = struct('hsm_action_list', 32, {
  hal_version: [0, u32],
  hal_count: [4, u32],
  hal_compound_id: [8, u64],
  hal_flags: [16, u64],
  hal_archive_id: [24, u32],
  padding1: [28, u32],
  // hal_fsname follows: char[]
});
export type HsmActionList = StructValue<typeof HsmActionList>;
