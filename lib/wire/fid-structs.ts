/** File identifiers, sequence ranges, link EAs: guide 07. Fields and offsets are the reference's own. */
import { array, bytes, type StructValue, struct, u16, u32, u64 } from './struct.ts';

export const LuFid = struct('lu_fid', 16, {
  f_seq: [0, u64],
  f_oid: [8, u32],
  f_ver: [12, u32],
});
export type LuFid = StructValue<typeof LuFid>;

export const OstId = struct('ost_id', 16, {
  oi: [
    0,
    struct('oi', 16, {
      oi_id: [0, u64],
      oi_seq: [8, u64],
    }),
  ],
  oi_fid: [0, LuFid],
});
export type OstId = StructValue<typeof OstId>;

export const LuSeqRange = struct('lu_seq_range', 24, {
  lsr_start: [0, u64],
  lsr_end: [8, u64],
  lsr_index: [16, u32],
  lsr_flags: [20, u32],
});
export type LuSeqRange = StructValue<typeof LuSeqRange>;

export const LuSeqRangeArray = struct('lu_seq_range_array', 8, {
  lsra_count: [0, u32],
  lsra_padding: [4, u32],
  // lsra_lsr follows: struct lu_seq_range[]
});
export type LuSeqRangeArray = StructValue<typeof LuSeqRangeArray>;

export const LinkEaHeader = struct('link_ea_header', 24, {
  leh_magic: [0, u32],
  leh_reccount: [4, u32],
  leh_len: [8, u64],
  leh_overflow_time: [16, u32],
  leh_padding: [20, u32],
});
export type LinkEaHeader = StructValue<typeof LinkEaHeader>;

export const LinkEaEntry = struct('link_ea_entry', 18, {
  lee_reclen: [0, bytes(2)],
  lee_parent_fid: [2, bytes(16)],
  // lee_name follows: char[]
});
export type LinkEaEntry = StructValue<typeof LinkEaEntry>;

export const GetinfoFid2path = struct('getinfo_fid2path', 32, {
  gf_fid: [0, LuFid],
  gf_recno: [16, u64],
  gf_linkno: [24, u32],
  gf_pathlen: [28, u32],
  gf_u: [
    32,
    struct('gf_u', 0, {
      // gf_path follows: char[]
      // gf_root_fid follows: struct lu_fid[]
    }),
  ],
});
export type GetinfoFid2path = StructValue<typeof GetinfoFid2path>;

export const Getparent = struct('getparent', 24, {
  gp_fid: [0, LuFid],
  gp_linkno: [16, u32],
  gp_name_size: [20, u32],
  // gp_name follows: char[]
});
export type Getparent = StructValue<typeof Getparent>;

export const LustreMdtAttrs = struct('lustre_mdt_attrs', 24, {
  lma_compat: [0, u32],
  lma_incompat: [4, u32],
  lma_self_fid: [8, LuFid],
});
export type LustreMdtAttrs = StructValue<typeof LustreMdtAttrs>;

export const LustreOstAttrs = struct('lustre_ost_attrs', 64, {
  loa_lma: [0, LustreMdtAttrs],
  loa_parent_fid: [24, LuFid],
  loa_stripe_size: [40, u32],
  loa_comp_id: [44, u32],
  loa_comp_start: [48, u64],
  loa_comp_end: [56, u64],
});
export type LustreOstAttrs = StructValue<typeof LustreOstAttrs>;

export const OstLayout = struct('ost_layout', 28, {
  ol_stripe_size: [0, u32],
  ol_stripe_count: [4, u32],
  ol_comp_start: [8, u64],
  ol_comp_end: [16, u64],
  ol_comp_id: [24, u32],
});
export type OstLayout = StructValue<typeof OstLayout>;

export const FilterFid = struct('filter_fid', 52, {
  ff_parent: [0, LuFid],
  ff_layout: [16, OstLayout],
  ff_layout_version: [44, u32],
  ff_range: [48, u32],
});
export type FilterFid = StructValue<typeof FilterFid>;

export const LustreSomAttrs = struct('lustre_som_attrs', 24, {
  lsa_valid: [0, u16],
  lsa_reserved: [2, array(u16, 3)],
  lsa_size: [8, u64],
  lsa_blocks: [16, u64],
});
export type LustreSomAttrs = StructValue<typeof LustreSomAttrs>;

export const FidArray = struct('fid_array', 16, {
  fa_nr: [0, u32],
  fa_padding0: [4, u32],
  fa_padding1: [8, u64],
  // fa_fids follows: struct lu_fid[]
});
export type FidArray = StructValue<typeof FidArray>;
