/** Connect data, target registration, configuration records: guide 05. Fields and offsets are the reference's own. */
import { array, type StructValue, s32, s64, struct, text, u8, u16, u32, u64 } from './struct.ts';

export const ObdConnectData = struct('obd_connect_data', 192, {
  ocd_connect_flags: [0, u64],
  ocd_version: [8, u32],
  ocd_grant: [12, u32],
  ocd_index: [16, u32],
  ocd_brw_size: [20, u32],
  ocd_ibits_known: [24, u64],
  ocd_grant_blkbits: [32, u8],
  ocd_grant_inobits: [33, u8],
  ocd_grant_tax_kb: [34, u16],
  ocd_grant_max_blks: [36, u32],
  ocd_transno: [40, u64],
  ocd_group: [48, u32],
  ocd_cksum_types: [52, u32],
  ocd_max_easize: [56, u32],
  ocd_instance: [60, u32],
  ocd_maxbytes: [64, u64],
  ocd_maxmodrpcs: [72, u16],
  ocd_conn_policy: [74, u8],
  padding0: [75, u8],
  padding1: [76, u32],
  ocd_connect_flags2: [80, u64],
  ocd_compr_type: [88, u64],
  padding4: [96, u64],
  padding5: [104, u64],
  padding6: [112, u64],
  padding7: [120, u64],
  padding8: [128, u64],
  padding9: [136, u64],
  paddingA: [144, u64],
  paddingB: [152, u64],
  paddingC: [160, u64],
  paddingD: [168, u64],
  paddingE: [176, u64],
  paddingF: [184, u64],
});
export type ObdConnectData = StructValue<typeof ObdConnectData>;

export const MgsTargetInfo = struct('mgs_target_info', 4544, {
  mti_lustre_ver: [0, u32],
  mti_stripe_index: [4, u32],
  mti_config_ver: [8, u32],
  mti_flags: [12, u32],
  mti_nid_count: [16, u32],
  mti_instance: [20, u32],
  mti_fsname: [24, text(64)],
  mti_svname: [88, text(64)],
  mti_uuid: [152, text(40)],
  mti_nids: [192, array(u64, 32)],
  mti_params: [448, text(4096)],
  // mti_nidlist follows: char[][64]
});
export type MgsTargetInfo = StructValue<typeof MgsTargetInfo>;

export const MgsTargetNidlist = struct('mgs_target_nidlist', 8, {
  mtn_flags: [0, u32],
  mtn_nids: [4, u32],
  // mtn_inline_list follows: char[][64]
});
export type MgsTargetNidlist = StructValue<typeof MgsTargetNidlist>;

export const MgsNidtblEntry = struct('mgs_nidtbl_entry', 24, {
  mne_version: [0, u64],
  mne_instance: [8, u32],
  mne_index: [12, u32],
  mne_length: [16, u32],
  mne_type: [20, u8],
  mne_nid_type: [21, u8],
  mne_nid_size: [22, u8],
  mne_nid_count: [23, u8],
  u: [
    24,
    struct('u', 0, {
      // nids follows: u64[]
      // nidlist follows: struct lnet_nid[]
    }),
  ],
});
export type MgsNidtblEntry = StructValue<typeof MgsNidtblEntry>;

export const MgsConfigBody = struct('mgs_config_body', 80, {
  mcb_name: [0, text(64)],
  mcb_offset: [64, u64],
  mcb_type: [72, u16],
  mcb_nm_cur_pass: [74, u8],
  mcb_rec_nid_size: [74, u8],
  mcb_bits: [75, u8],
  mcb_units: [76, u32],
});
export type MgsConfigBody = StructValue<typeof MgsConfigBody>;

export const MgsConfigRes = struct('mgs_config_res', 16, {
  mcr_offset: [0, u64],
  mcr_size: [8, u64],
  mcr_nm_cur_pass: [8, u64],
});
export type MgsConfigRes = StructValue<typeof MgsConfigRes>;

export const MgsSendParam = struct('mgs_send_param', 1024, {
  mgs_param: [0, text(1024)],
});
export type MgsSendParam = StructValue<typeof MgsSendParam>;

export const LustreCfg = struct('lustre_cfg', 32, {
  lcfg_version: [0, u32],
  lcfg_command: [4, u32],
  lcfg_num: [8, u32],
  lcfg_flags: [12, u32],
  lcfg_nid: [16, u64],
  lcfg_nal: [24, u32],
  lcfg_bufcount: [28, u32],
  // lcfg_buflens follows: u32[]
});
export type LustreCfg = StructValue<typeof LustreCfg>;

export const CfgMarker = struct('cfg_marker', 160, {
  cm_step: [0, u32],
  cm_flags: [4, u32],
  cm_vers: [8, u32],
  cm_padding: [12, u32],
  cm_createtime: [16, s64],
  cm_canceltime: [24, s64],
  cm_tgtname: [32, text(64)],
  cm_comment: [96, text(64)],
});
export type CfgMarker = StructValue<typeof CfgMarker>;

export const LovDesc = struct('lov_desc', 88, {
  ld_tgt_count: [0, u32],
  ld_active_tgt_count: [4, u32],
  ld_default_stripe_count: [8, s32],
  ld_pattern: [12, u32],
  ld_default_stripe_size: [16, u64],
  ld_default_stripe_offset: [24, s64],
  ld_padding_0: [32, u32],
  ld_qos_maxage: [36, u32],
  ld_padding_1: [40, u32],
  ld_padding_2: [44, u32],
  ld_uuid: [48, text(40)],
});
export type LovDesc = StructValue<typeof LovDesc>;

export const LmvDesc = struct('lmv_desc', 88, {
  ld_tgt_count: [0, u32],
  ld_active_tgt_count: [4, u32],
  ld_default_stripe_count: [8, u32],
  ld_pattern: [12, u32],
  ld_default_hash_size: [16, u64],
  ld_padding_1: [24, u64],
  ld_padding_2: [32, u32],
  ld_qos_maxage: [36, u32],
  ld_padding_3: [40, u32],
  ld_padding_4: [44, u32],
  ld_uuid: [48, text(40)],
});
export type LmvDesc = StructValue<typeof LmvDesc>;
