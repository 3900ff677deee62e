/** Requests to an object storage target: guide 12. Fields and offsets are the reference's own. */
import { OstId, OstLayout } from './fid-structs.ts';
import { array, handle, type StructValue, s64, struct, text, u16, u32, u64 } from './struct.ts';

export const Obdo = struct('obdo', 208, {
  o_valid: [0, u64],
  o_oi: [8, OstId],
  o_parent_seq: [24, u64],
  o_size: [32, u64],
  o_mtime: [40, s64],
  o_atime: [48, s64],
  o_ctime: [56, s64],
  o_blocks: [64, u64],
  o_grant: [72, u64],
  o_blksize: [80, u32],
  o_mode: [84, u32],
  o_uid: [88, u32],
  o_gid: [92, u32],
  o_flags: [96, u32],
  o_nlink: [100, u32],
  o_parent_oid: [104, u32],
  o_misc: [108, u32],
  o_ioepoch: [112, u64],
  o_stripe_idx: [120, u32],
  o_parent_ver: [124, u32],
  o_handle: [128, handle],
  o_layout: [136, OstLayout],
  o_layout_version: [164, u32],
  o_uid_h: [168, u32],
  o_gid_h: [172, u32],
  o_data_version: [176, u64],
  o_projid: [184, u32],
  o_padding_4: [188, u32],
  o_padding_5: [192, u64],
  o_padding_6: [200, u64],
});
export type Obdo = StructValue<typeof Obdo>;

export const OstBody = struct('ost_body', 208, {
  oa: [0, Obdo],
});
export type OstBody = StructValue<typeof OstBody>;

export const ObdIoobj = struct('obd_ioobj', 24, {
  ioo_oid: [0, OstId],
  ioo_max_brw: [16, u32],
  ioo_bufcnt: [20, u32],
});
export type ObdIoobj = StructValue<typeof ObdIoobj>;

export const NiobufRemote = struct('niobuf_remote', 16, {
  rnb_offset: [0, u64],
  rnb_len: [8, u32],
  rnb_flags: [12, u32],
});
export type NiobufRemote = StructValue<typeof NiobufRemote>;

export const FiemapExtent = struct('fiemap_extent', 56, {
  fe_logical: [0, u64],
  fe_physical: [8, u64],
  fe_length: [16, u64],
  fe_reserved64: [24, array(u64, 2)],
  fe_flags: [40, u32],
  fe_reserved: [44, array(u32, 3)],
});
export type FiemapExtent = StructValue<typeof FiemapExtent>;

export const Fiemap = struct('fiemap', 32, {
  fm_start: [0, u64],
  fm_length: [8, u64],
  fm_flags: [16, u32],
  fm_mapped_extents: [20, u32],
  fm_extent_count: [24, u32],
  fm_reserved: [28, u32],
  // fm_extents follows: struct fiemap_extent[]
});
export type Fiemap = StructValue<typeof Fiemap>;

export const LlFiemapInfoKey = struct('ll_fiemap_info_key', 248, {
  lfik_name: [0, text(8)],
  lfik_oa: [8, Obdo],
  lfik_fiemap: [216, Fiemap],
});
export type LlFiemapInfoKey = StructValue<typeof LlFiemapInfoKey>;

export const LuLadvise = struct('lu_ladvise', 32, {
  lla_advice: [0, u16],
  lla_value1: [2, u16],
  lla_value2: [4, u32],
  lla_start: [8, u64],
  lla_end: [16, u64],
  lla_value3: [24, u32],
  lla_value4: [28, u32],
});
export type LuLadvise = StructValue<typeof LuLadvise>;

export const LadviseHdr = struct('ladvise_hdr', 32, {
  lah_magic: [0, u32],
  lah_count: [4, u32],
  lah_flags: [8, u64],
  lah_value1: [16, u32],
  lah_value2: [20, u32],
  lah_value3: [24, u64],
  // lah_advise follows: struct lu_ladvise[]
});
export type LadviseHdr = StructValue<typeof LadviseHdr>;
