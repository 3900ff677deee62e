/** Requests to a metadata target: guide 09. Fields and offsets are the reference's own. */
import { LuFid } from './fid-structs.ts';
import { array, bytes, handle, le16, le32, type StructValue, s64, struct, u16, u32, u64 } from './struct.ts';

export const MdtBody = struct('mdt_body', 216, {
  mbo_fid1: [0, LuFid],
  mbo_fid2: [16, LuFid],
  mbo_open_handle: [32, handle],
  mbo_valid: [40, u64],
  mbo_size: [48, u64],
  mbo_mtime: [56, s64],
  mbo_atime: [64, s64],
  mbo_ctime: [72, s64],
  mbo_blocks: [80, u64],
  mbo_version: [88, u64],
  mbo_t_state: [96, u64],
  mbo_fsuid: [104, u32],
  mbo_fsgid: [108, u32],
  mbo_capability: [112, u32],
  mbo_mode: [116, u32],
  mbo_uid: [120, u32],
  mbo_gid: [124, u32],
  mbo_flags: [128, u32],
  mbo_rdev: [132, u32],
  mbo_nlink: [136, u32],
  mbo_layout_gen: [140, u32],
  mbo_suppgid: [144, u32],
  mbo_eadatasize: [148, u32],
  mbo_aclsize: [152, u32],
  mbo_max_mdsize: [156, u32],
  mbo_unused3: [160, u32],
  mbo_uid_h: [164, u32],
  mbo_gid_h: [168, u32],
  mbo_projid: [172, u32],
  mbo_dom_size: [176, u64],
  mbo_dom_blocks: [184, u64],
  mbo_btime: [192, u64],
  mbo_padding_9: [200, u64],
  mbo_padding_10: [208, u64],
});
export type MdtBody = StructValue<typeof MdtBody>;

export const MdtIoepoch = struct('mdt_ioepoch', 24, {
  mio_open_handle: [0, handle],
  mio_unused1: [8, u64],
  mio_unused2: [16, u32],
  mio_padding: [20, u32],
});
export type MdtIoepoch = StructValue<typeof MdtIoepoch>;

export const MdtRecSetattr = struct('mdt_rec_setattr', 136, {
  sa_opcode: [0, u32],
  sa_cap: [4, u32],
  sa_fsuid: [8, u32],
  sa_fsuid_h: [12, u32],
  sa_fsgid: [16, u32],
  sa_fsgid_h: [20, u32],
  sa_suppgid: [24, u32],
  sa_suppgid_h: [28, u32],
  sa_padding_1: [32, u32],
  sa_padding_1_h: [36, u32],
  sa_fid: [40, LuFid],
  sa_valid: [56, u64],
  sa_uid: [64, u32],
  sa_gid: [68, u32],
  sa_size: [72, u64],
  sa_blocks: [80, u64],
  sa_mtime: [88, s64],
  sa_atime: [96, s64],
  sa_ctime: [104, s64],
  sa_attr_flags: [112, u32],
  sa_mode: [116, u32],
  sa_bias: [120, u32],
  sa_projid: [124, u32],
  sa_padding_4: [128, u32],
  sa_padding_5: [132, u32],
});
export type MdtRecSetattr = StructValue<typeof MdtRecSetattr>;

export const MdtRecCreate = struct('mdt_rec_create', 136, {
  cr_opcode: [0, u32],
  cr_cap: [4, u32],
  cr_fsuid: [8, u32],
  cr_fsuid_h: [12, u32],
  cr_fsgid: [16, u32],
  cr_fsgid_h: [20, u32],
  cr_suppgid1: [24, u32],
  cr_suppgid1_h: [28, u32],
  cr_suppgid2: [32, u32],
  cr_suppgid2_h: [36, u32],
  cr_fid1: [40, LuFid],
  cr_fid2: [56, LuFid],
  cr_open_handle_old: [72, handle],
  cr_time: [80, s64],
  cr_rdev: [88, u64],
  cr_archive_id: [88, u32],
  cr_ioepoch: [96, u64],
  cr_padding_1: [104, u64],
  cr_mode: [112, u32],
  cr_bias: [116, u32],
  cr_flags_l: [120, u32],
  cr_flags_h: [124, u32],
  cr_umask: [128, u32],
  cr_padding_4: [132, u32],
});
export type MdtRecCreate = StructValue<typeof MdtRecCreate>;

export const MdtRecLink = struct('mdt_rec_link', 136, {
  lk_opcode: [0, u32],
  lk_cap: [4, u32],
  lk_fsuid: [8, u32],
  lk_fsuid_h: [12, u32],
  lk_fsgid: [16, u32],
  lk_fsgid_h: [20, u32],
  lk_suppgid1: [24, u32],
  lk_suppgid1_h: [28, u32],
  lk_suppgid2: [32, u32],
  lk_suppgid2_h: [36, u32],
  lk_fid1: [40, LuFid],
  lk_fid2: [56, LuFid],
  lk_time: [72, s64],
  lk_padding_1: [80, u64],
  lk_padding_2: [88, u64],
  lk_padding_3: [96, u64],
  lk_padding_4: [104, u64],
  lk_bias: [112, u32],
  lk_padding_5: [116, u32],
  lk_padding_6: [120, u32],
  lk_padding_7: [124, u32],
  lk_padding_8: [128, u32],
  lk_padding_9: [132, u32],
});
export type MdtRecLink = StructValue<typeof MdtRecLink>;

export const MdtRecUnlink = struct('mdt_rec_unlink', 136, {
  ul_opcode: [0, u32],
  ul_cap: [4, u32],
  ul_fsuid: [8, u32],
  ul_fsuid_h: [12, u32],
  ul_fsgid: [16, u32],
  ul_fsgid_h: [20, u32],
  ul_suppgid1: [24, u32],
  ul_suppgid1_h: [28, u32],
  ul_suppgid2: [32, u32],
  ul_suppgid2_h: [36, u32],
  ul_fid1: [40, LuFid],
  ul_fid2: [56, LuFid],
  ul_time: [72, s64],
  ul_padding_2: [80, u64],
  ul_padding_3: [88, u64],
  ul_padding_4: [96, u64],
  ul_padding_5: [104, u64],
  ul_bias: [112, u32],
  ul_mode: [116, u32],
  ul_padding_6: [120, u32],
  ul_padding_7: [124, u32],
  ul_padding_8: [128, u32],
  ul_padding_9: [132, u32],
});
export type MdtRecUnlink = StructValue<typeof MdtRecUnlink>;

export const MdtRecRename = struct('mdt_rec_rename', 136, {
  rn_opcode: [0, u32],
  rn_cap: [4, u32],
  rn_fsuid: [8, u32],
  rn_fsuid_h: [12, u32],
  rn_fsgid: [16, u32],
  rn_fsgid_h: [20, u32],
  rn_suppgid1: [24, u32],
  rn_suppgid1_h: [28, u32],
  rn_suppgid2: [32, u32],
  rn_suppgid2_h: [36, u32],
  rn_fid1: [40, LuFid],
  rn_fid2: [56, LuFid],
  rn_time: [72, s64],
  rn_padding_1: [80, u64],
  rn_padding_2: [88, u64],
  rn_padding_3: [96, u64],
  rn_padding_4: [104, u64],
  rn_bias: [112, u32],
  rn_mode: [116, u32],
  rn_padding_5: [120, u32],
  rn_padding_6: [124, u32],
  rn_padding_7: [128, u32],
  rn_padding_8: [132, u32],
});
export type MdtRecRename = StructValue<typeof MdtRecRename>;

export const MdtRecSetxattr = struct('mdt_rec_setxattr', 136, {
  sx_opcode: [0, u32],
  sx_cap: [4, u32],
  sx_fsuid: [8, u32],
  sx_fsuid_h: [12, u32],
  sx_fsgid: [16, u32],
  sx_fsgid_h: [20, u32],
  sx_suppgid1: [24, u32],
  sx_suppgid1_h: [28, u32],
  sx_suppgid2: [32, u32],
  sx_suppgid2_h: [36, u32],
  sx_fid: [40, LuFid],
  sx_padding_1: [56, u64],
  sx_padding_2: [64, u32],
  sx_padding_3: [68, u32],
  sx_valid: [72, u64],
  sx_time: [80, s64],
  sx_padding_5: [88, u64],
  sx_padding_6: [96, u64],
  sx_padding_7: [104, u64],
  sx_size: [112, u32],
  sx_flags: [116, u32],
  sx_padding_8: [120, u32],
  sx_padding_9: [124, u32],
  sx_padding_10: [128, u32],
  sx_padding_11: [132, u32],
});
export type MdtRecSetxattr = StructValue<typeof MdtRecSetxattr>;

export const MdtRecResync = struct('mdt_rec_resync', 136, {
  rs_opcode: [0, u32],
  rs_cap: [4, u32],
  rs_fsuid: [8, u32],
  rs_fsuid_h: [12, u32],
  rs_fsgid: [16, u32],
  rs_fsgid_h: [20, u32],
  rs_suppgid1: [24, u32],
  rs_suppgid1_h: [28, u32],
  rs_suppgid2: [32, u32],
  rs_suppgid2_h: [36, u32],
  rs_fid: [40, LuFid],
  rs_padding0: [56, bytes(16)],
  rs_lease_handle: [72, handle],
  rs_padding1: [80, s64],
  rs_padding2: [88, s64],
  rs_padding3: [96, u64],
  rs_padding4: [104, u64],
  rs_bias: [112, u32],
  rs_padding5: [116, u32],
  rs_padding6: [120, u32],
  rs_padding7: [124, u32],
  rs_mirror_id_new: [128, u32],
  rs_mirror_id_old: [132, u16],
  rs_padding9: [134, u16],
});
export type MdtRecResync = StructValue<typeof MdtRecResync>;

export const MdtRecReint = struct('mdt_rec_reint', 136, {
  rr_opcode: [0, u32],
  rr_cap: [4, u32],
  rr_fsuid: [8, u32],
  rr_fsuid_h: [12, u32],
  rr_fsgid: [16, u32],
  rr_fsgid_h: [20, u32],
  rr_suppgid1: [24, u32],
  rr_suppgid1_h: [28, u32],
  rr_suppgid2: [32, u32],
  rr_suppgid2_h: [36, u32],
  rr_fid1: [40, LuFid],
  rr_fid2: [56, LuFid],
  rr_mtime: [72, s64],
  rr_atime: [80, s64],
  rr_ctime: [88, s64],
  rr_size: [96, u64],
  rr_blocks: [104, u64],
  rr_bias: [112, u32],
  rr_mode: [116, u32],
  rr_flags: [120, u32],
  rr_flags_h: [124, u32],
  rr_umask: [128, u32],
  rr_mirror_id_old: [132, u16],
  rr_padding_4: [134, u16],
});
export type MdtRecReint = StructValue<typeof MdtRecReint>;

export const CloseDataResyncDone = struct('close_data_resync_done', 64, {
  resync_count: [0, u32],
  resync_ids_inline: [4, array(u32, 15)],
});
export type CloseDataResyncDone = StructValue<typeof CloseDataResyncDone>;

export const CloseData = struct('close_data', 96, {
  cd_handle: [0, handle],
  cd_fid: [8, LuFid],
  cd_data_version: [24, u64],
  cd_reserved: [32, array(u64, 8)],
  cd_resync: [32, CloseDataResyncDone],
  cd_mirror_id: [32, u16],
  cd_archive_id: [32, u32],
  cd_data_version2: [32, u64],
});
export type CloseData = StructValue<typeof CloseData>;

export const MdcSwapLayouts = struct('mdc_swap_layouts', 8, {
  msl_flags: [0, u64],
});
export type MdcSwapLayouts = StructValue<typeof MdcSwapLayouts>;

export const ObdStatfs = struct('obd_statfs', 144, {
  os_type: [0, u64],
  os_blocks: [8, u64],
  os_bfree: [16, u64],
  os_bavail: [24, u64],
  os_files: [32, u64],
  os_ffree: [40, u64],
  os_fsid: [48, bytes(40)],
  os_bsize: [88, u32],
  os_namelen: [92, u32],
  os_maxbytes: [96, u64],
  os_state: [104, u32],
  os_fprecreated: [108, u32],
  os_granted: [112, u32],
  os_spare3: [116, u32],
  os_spare4: [120, u32],
  os_spare5: [124, u32],
  os_spare6: [128, u32],
  os_spare7: [132, u32],
  os_spare8: [136, u32],
  os_spare9: [140, u32],
});
export type ObdStatfs = StructValue<typeof ObdStatfs>;

export const LuDirent = struct('lu_dirent', 32, {
  lde_fid: [0, LuFid],
  lde_hash: [16, u64],
  lde_reclen: [24, u16],
  lde_namelen: [26, u16],
  lde_attrs: [28, u32],
  // lde_name follows: char[]
});
export type LuDirent = StructValue<typeof LuDirent>;

export const LuDirpage = struct('lu_dirpage', 24, {
  ldp_hash_start: [0, u64],
  ldp_hash_end: [8, u64],
  ldp_flags: [16, u32],
  ldp_pad0: [20, u32],
  // ldp_entries follows: struct lu_dirent[]
});
export type LuDirpage = StructValue<typeof LuDirpage>;

export const LudaType = struct('luda_type', 2, {
  lt_type: [0, u16],
});
export type LudaType = StructValue<typeof LudaType>;

export const IdxInfo = struct('idx_info', 80, {
  ii_magic: [0, u32],
  ii_flags: [4, u32],
  ii_count: [8, u16],
  ii_pad0: [10, u16],
  ii_attrs: [12, u32],
  ii_fid: [16, LuFid],
  ii_version: [32, u64],
  ii_hash_start: [40, u64],
  ii_hash_end: [48, u64],
  ii_keysize: [56, u16],
  ii_recsize: [58, u16],
  ii_pad1: [60, u32],
  ii_pad2: [64, u64],
  ii_pad3: [72, u64],
});
export type IdxInfo = StructValue<typeof IdxInfo>;

export const LuIdxpage = struct('lu_idxpage', 16, {
  lip_magic: [0, u32],
  lip_flags: [4, u16],
  lip_nr: [6, u16],
  lip_pad0: [8, u64],
  // lip_entries follows: char[]
});
export type LuIdxpage = StructValue<typeof LuIdxpage>;

export const PosixAclXattrHeader = struct('posix_acl_xattr_header', 4, {
  a_version: [0, le32],
});
export type PosixAclXattrHeader = StructValue<typeof PosixAclXattrHeader>;

export const PosixAclXattrEntry = struct('posix_acl_xattr_entry', 8, {
  e_tag: [0, le16],
  e_perm: [2, le16],
  e_id: [4, le32],
});
export type PosixAclXattrEntry = StructValue<typeof PosixAclXattrEntry>;
