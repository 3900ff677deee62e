/** Layout extended attributes: guide 13. Fields and offsets are the reference's own. */
import { LuFid, OstId } from './fid-structs.ts';
import { array, bytes, type StructValue, struct, text, u8, u16, u32, u64 } from './struct.ts';

export const LuExtent = struct('lu_extent', 16, {
  e_start: [0, u64],
  e_end: [8, u64],
});
export type LuExtent = StructValue<typeof LuExtent>;

export const LovOstDataV1 = struct('lov_ost_data_v1', 24, {
  l_ost_oi: [0, OstId],
  l_ost_type: [16, u32],
  l_ost_gen: [16, u32],
  l_ost_idx: [20, u32],
});
export type LovOstDataV1 = StructValue<typeof LovOstDataV1>;

export const LovMdsMdV1 = struct('lov_mds_md_v1', 32, {
  lmm_magic: [0, u32],
  lmm_pattern: [4, u32],
  lmm_oi: [8, OstId],
  lmm_stripe_size: [24, u32],
  lmm_stripe_count: [28, u16],
  lmm_layout_gen: [30, u16],
  // lmm_objects follows: struct lov_ost_data_v1[]
});
export type LovMdsMdV1 = StructValue<typeof LovMdsMdV1>;

export const LovMdsMdV3 = struct('lov_mds_md_v3', 48, {
  lmm_magic: [0, u32],
  lmm_pattern: [4, u32],
  lmm_oi: [8, OstId],
  lmm_stripe_size: [24, u32],
  lmm_stripe_count: [28, u16],
  lmm_layout_gen: [30, u16],
  lmm_pool_name: [32, text(16)],
  // lmm_objects follows: struct lov_ost_data_v1[]
});
export type LovMdsMdV3 = StructValue<typeof LovMdsMdV3>;

export const LovUserOstDataV1 = struct('lov_user_ost_data_v1', 24, {
  l_ost_oi: [0, OstId],
  l_ost_type: [16, u32],
  l_ost_gen: [16, u32],
  l_ost_idx: [20, u32],
});
export type LovUserOstDataV1 = StructValue<typeof LovUserOstDataV1>;

export const LovUserMdV1 = struct('lov_user_md_v1', 32, {
  lmm_magic: [0, u32],
  lmm_pattern: [4, u32],
  lmm_oi: [8, OstId],
  lmm_stripe_size: [24, u32],
  lmm_stripe_count: [28, u16],
  lmm_stripe_offset: [30, u16],
  lmm_layout_gen: [30, u16],
  // lmm_objects follows: struct lov_user_ost_data_v1[]
});
export type LovUserMdV1 = StructValue<typeof LovUserMdV1>;

export const LovUserMdV3 = struct('lov_user_md_v3', 48, {
  lmm_magic: [0, u32],
  lmm_pattern: [4, u32],
  lmm_oi: [8, OstId],
  lmm_stripe_size: [24, u32],
  lmm_stripe_count: [28, u16],
  lmm_stripe_offset: [30, u16],
  lmm_layout_gen: [30, u16],
  lmm_pool_name: [32, text(16)],
  // lmm_objects follows: struct lov_user_ost_data_v1[]
});
export type LovUserMdV3 = StructValue<typeof LovUserMdV3>;

export const LovCompMdEntryV1 = struct('lov_comp_md_entry_v1', 48, {
  lcme_id: [0, u32],
  lcme_flags: [4, u32],
  lcme_extent: [8, LuExtent],
  lcme_offset: [24, u32],
  lcme_size: [28, u32],
  lcme_layout_gen: [32, u32],
  lcme_timestamp: [36, u64],
  lcme_dstripe_count: [44, u8],
  lcme_cstripe_count: [45, u8],
  lcme_compr_type: [46, u8],
  /** Bit-fields lcme_compr_lvl and next. */
  lcme_compr_lvl_bits: [47, u8],
});
export type LovCompMdEntryV1 = StructValue<typeof LovCompMdEntryV1>;

export const LovCompMdV1 = struct('lov_comp_md_v1', 32, {
  lcm_magic: [0, u32],
  lcm_size: [4, u32],
  lcm_layout_gen: [8, u32],
  lcm_flags: [12, u16],
  lcm_entry_count: [14, u16],
  lcm_mirror_count: [16, u16],
  lcm_ec_count: [18, u8],
  lcm_padding3: [19, bytes(1)],
  lcm_padding1: [20, array(u16, 2)],
  lcm_padding2: [24, u64],
  // lcm_entries follows: struct lov_comp_md_entry_v1[]
});
export type LovCompMdV1 = StructValue<typeof LovCompMdV1>;

export const LovForeignMd = struct('lov_foreign_md', 16, {
  lfm_magic: [0, u32],
  lfm_length: [4, u32],
  lfm_type: [8, u32],
  lfm_flags: [12, u32],
  // lfm_value follows: char[]
});
export type LovForeignMd = StructValue<typeof LovForeignMd>;

export const LovHsmBase = struct('lov_hsm_base', 56, {
  lhb_archive_id: [0, u64],
  lhb_archive_ver: [8, u64],
  lhb_uuid: [16, text(40)],
});
export type LovHsmBase = StructValue<typeof LovHsmBase>;

export const LovHsmMd = struct('lov_hsm_md', 72, {
  lhm_magic: [0, u32],
  lhm_length: [4, u32],
  lhm_type: [8, u32],
  lhm_flags: [12, u32],
  lhm_hsm: [16, LovHsmBase],
});
export type LovHsmMd = StructValue<typeof LovHsmMd>;

export const LmvMdsMdV1 = struct('lmv_mds_md_v1', 56, {
  lmv_magic: [0, u32],
  lmv_stripe_count: [4, u32],
  lmv_master_mdt_index: [8, u32],
  lmv_hash_type: [12, u32],
  lmv_layout_version: [16, u32],
  lmv_migrate_offset: [20, u32],
  lmv_migrate_hash: [24, u32],
  lmv_padding2: [28, u32],
  lmv_padding3: [32, u64],
  lmv_pool_name: [40, text(16)],
  // lmv_stripe_fids follows: struct lu_fid[]
});
export type LmvMdsMdV1 = StructValue<typeof LmvMdsMdV1>;

export const LmvForeignMd = struct('lmv_foreign_md', 16, {
  lfm_magic: [0, u32],
  lfm_length: [4, u32],
  lfm_type: [8, u32],
  lfm_flags: [12, u32],
  // lfm_value follows: char[]
});
export type LmvForeignMd = StructValue<typeof LmvForeignMd>;

export const LmvUserMdsData = struct('lmv_user_mds_data', 24, {
  lum_fid: [0, LuFid],
  lum_padding: [16, u32],
  lum_mds: [20, u32],
});
export type LmvUserMdsData = StructValue<typeof LmvUserMdsData>;

export const LmvUserMdV1 = struct('lmv_user_md_v1', 48, {
  lum_magic: [0, u32],
  lum_stripe_count: [4, u32],
  lum_stripe_offset: [8, u32],
  lum_hash_type: [12, u32],
  lum_type: [16, u32],
  lum_max_inherit: [20, u8],
  lum_max_inherit_rr: [21, u8],
  lum_padding1: [22, u16],
  lum_padding2: [24, u32],
  lum_padding3: [28, u32],
  lum_pool_name: [32, text(16)],
  // lum_objects follows: struct lmv_user_mds_data[]
});
export type LmvUserMdV1 = StructValue<typeof LmvUserMdV1>;
