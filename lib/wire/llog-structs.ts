/** Logs and changelog records: guide 14. Fields and offsets are the reference's own. */
import { LuFid, OstId } from './fid-structs.ts';
import { HsmActionItem } from './hsm-structs.ts';
import { array, type StructValue, s64, struct, text, u16, u32, u64 } from './struct.ts';

export const LlogRecHdr = struct('llog_rec_hdr', 16, {
  lrh_len: [0, u32],
  lrh_index: [4, u32],
  lrh_type: [8, u32],
  lrh_id: [12, u32],
});
export type LlogRecHdr = StructValue<typeof LlogRecHdr>;

export const LlogRecTail = struct('llog_rec_tail', 8, {
  lrt_len: [0, u32],
  lrt_index: [4, u32],
});
export type LlogRecTail = StructValue<typeof LlogRecTail>;

export const LlogLogid = struct('llog_logid', 20, {
  lgl_oi: [0, OstId],
  lgl_ogen: [16, u32],
});
export type LlogLogid = StructValue<typeof LlogLogid>;

export const LlogCatid = struct('llog_catid', 32, {
  lci_logid: [0, LlogLogid],
  lci_padding1: [20, u32],
  lci_padding2: [24, u32],
  lci_padding3: [28, u32],
});
export type LlogCatid = StructValue<typeof LlogCatid>;

export const LlogCookie = struct('llog_cookie', 36, {
  lgc_lgl: [0, LlogLogid],
  lgc_offset: [0, u64],
  lgc_subsys: [24, u32],
  lgc_index: [28, u32],
  lgc_padding: [32, u32],
});
export type LlogCookie = StructValue<typeof LlogCookie>;

export const LlogGen = struct('llog_gen', 16, {
  mnt_cnt: [0, u64],
  conn_cnt: [8, u64],
});
export type LlogGen = StructValue<typeof LlogGen>;

export const LlogLogHdr = struct('llog_log_hdr', 8192, {
  llh_hdr: [0, LlogRecHdr],
  llh_timestamp: [16, s64],
  llh_count: [24, u32],
  llh_bitmap_offset: [28, u32],
  llh_size: [32, u32],
  llh_flags: [36, u32],
  llh_cat_idx: [40, u32],
  llh_tgtuuid: [44, text(40)],
  llh_reserved: [84, array(u32, 1)],
  llh_bitmap: [88, array(u32, 2024)],
  llh_tail: [8184, LlogRecTail],
});
export type LlogLogHdr = StructValue<typeof LlogLogHdr>;

export const LlogdBody = struct('llogd_body', 48, {
  lgd_logid: [0, LlogLogid],
  lgd_ctxt_idx: [20, u32],
  lgd_llh_flags: [24, u32],
  lgd_index: [28, u32],
  lgd_saved_index: [32, u32],
  lgd_len: [36, u32],
  lgd_cur_offset: [40, u64],
});
export type LlogdBody = StructValue<typeof LlogdBody>;

export const LlogdConnBody = struct('llogd_conn_body', 40, {
  lgdc_gen: [0, LlogGen],
  lgdc_logid: [16, LlogLogid],
  lgdc_ctxt_idx: [36, u32],
});
export type LlogdConnBody = StructValue<typeof LlogdConnBody>;

export const LlogLogidRec = struct('llog_logid_rec', 64, {
  lid_hdr: [0, LlogRecHdr],
  lid_id: [16, LlogLogid],
  lid_padding1: [36, u32],
  lid_padding2: [40, u64],
  lid_padding3: [48, u64],
  lid_tail: [56, LlogRecTail],
});
export type LlogLogidRec = StructValue<typeof LlogLogidRec>;

export const LlogGenRec = struct('llog_gen_rec', 64, {
  lgr_hdr: [0, LlogRecHdr],
  lgr_gen: [16, LlogGen],
  padding1: [32, u64],
  padding2: [40, u64],
  padding3: [48, u64],
  lgr_tail: [56, LlogRecTail],
});
export type LlogGenRec = StructValue<typeof LlogGenRec>;

export const LlogUnlink64Rec = struct('llog_unlink64_rec', 64, {
  lur_hdr: [0, LlogRecHdr],
  lur_fid: [16, LuFid],
  lur_count: [32, u32],
  lur_padding1: [36, u32],
  lur_padding2: [40, u64],
  lur_padding3: [48, u64],
  lur_tail: [56, LlogRecTail],
});
export type LlogUnlink64Rec = StructValue<typeof LlogUnlink64Rec>;

export const LlogSetattr64Rec = struct('llog_setattr64_rec', 64, {
  lsr_hdr: [0, LlogRecHdr],
  lsr_oi: [16, OstId],
  lsr_uid: [32, u32],
  lsr_uid_h: [36, u32],
  lsr_gid: [40, u32],
  lsr_gid_h: [44, u32],
  lsr_valid: [48, u64],
  lsr_tail: [56, LlogRecTail],
});
export type LlogSetattr64Rec = StructValue<typeof LlogSetattr64Rec>;

export const LlogSetattr64RecV2 = struct('llog_setattr64_rec_v2', 88, {
  lsr_hdr: [0, LlogRecHdr],
  lsr_oi: [16, OstId],
  lsr_uid: [32, u32],
  lsr_uid_h: [36, u32],
  lsr_gid: [40, u32],
  lsr_gid_h: [44, u32],
  lsr_valid: [48, u64],
  lsr_projid: [56, u32],
  lsr_layout_version: [60, u32],
  lsr_padding2: [64, u64],
  lsr_padding3: [72, u64],
  lsr_tail: [80, LlogRecTail],
});
export type LlogSetattr64RecV2 = StructValue<typeof LlogSetattr64RecV2>;

export const LlogAgentReqRec = struct('llog_agent_req_rec', 136, {
  arr_hdr: [0, LlogRecHdr],
  arr_status: [16, u32],
  arr_archive_id: [20, u32],
  arr_flags: [24, u64],
  arr_compound_id: [32, u64],
  arr_req_create: [40, u64],
  arr_req_change: [48, u64],
  arr_hai: [56, HsmActionItem],
  arr_tail: [128, LlogRecTail],
});
export type LlogAgentReqRec = StructValue<typeof LlogAgentReqRec>;

export const ChangelogRec = struct('changelog_rec', 64, {
  cr_namelen: [0, u16],
  cr_flags: [2, u16],
  cr_type: [4, u32],
  cr_index: [8, u64],
  cr_prev: [16, u64],
  cr_time: [24, u64],
  cr_tfid: [32, LuFid],
  cr_markerflags: [32, u32],
  cr_pfid: [48, LuFid],
});
export type ChangelogRec = StructValue<typeof ChangelogRec>;

export const ChangelogExtRename = struct('changelog_ext_rename', 32, {
  cr_sfid: [0, LuFid],
  cr_spfid: [16, LuFid],
});
export type ChangelogExtRename = StructValue<typeof ChangelogExtRename>;

export const ChangelogExtJobid = struct('changelog_ext_jobid', 32, {
  cr_jobid: [0, text(32)],
});
export type ChangelogExtJobid = StructValue<typeof ChangelogExtJobid>;

export const ChangelogExtExtraFlags = struct('changelog_ext_extra_flags', 8, {
  cr_extra_flags: [0, u64],
});
export type ChangelogExtExtraFlags = StructValue<typeof ChangelogExtExtraFlags>;

export const ChangelogExtUidgid = struct('changelog_ext_uidgid', 16, {
  cr_uid: [0, u64],
  cr_gid: [8, u64],
});
export type ChangelogExtUidgid = StructValue<typeof ChangelogExtUidgid>;

export const ChangelogExtNid = struct('changelog_ext_nid', 24, {
  cr_nid: [0, u64],
  extra: [8, u64],
  padding: [16, u32],
});
export type ChangelogExtNid = StructValue<typeof ChangelogExtNid>;

export const ChangelogExtOpenmode = struct('changelog_ext_openmode', 4, {
  cr_openflags: [0, u32],
});
export type ChangelogExtOpenmode = StructValue<typeof ChangelogExtOpenmode>;

export const ChangelogExtXattr = struct('changelog_ext_xattr', 256, {
  cr_xattr: [0, text(256)],
});
export type ChangelogExtXattr = StructValue<typeof ChangelogExtXattr>;

export const ChangelogSetinfo = struct('changelog_setinfo', 12, {
  cs_recno: [0, u64],
  cs_id: [8, u32],
});
export type ChangelogSetinfo = StructValue<typeof ChangelogSetinfo>;

export const LlogChangelogRec = struct('llog_changelog_rec', 88, {
  cr_hdr: [0, LlogRecHdr],
  cr: [16, ChangelogRec],
  cr_do_not_use: [80, LlogRecTail],
});
export type LlogChangelogRec = StructValue<typeof LlogChangelogRec>;

export const LlogChangelogUserRec = struct('llog_changelog_user_rec', 40, {
  cur_hdr: [0, LlogRecHdr],
  cur_id: [16, u32],
  cur_time: [20, u32],
  cur_endrec: [24, u64],
  cur_tail: [32, LlogRecTail],
});
export type LlogChangelogUserRec = StructValue<typeof LlogChangelogUserRec>;

export const LlogChangelogUserRec2 = struct('llog_changelog_user_rec2', 80, {
  cur_hdr: [0, LlogRecHdr],
  cur_id: [16, u32],
  cur_time: [20, u32],
  cur_endrec: [24, u64],
  cur_mask: [32, u32],
  cur_padding1: [36, u32],
  cur_name: [40, text(16)],
  cur_padding2: [56, u64],
  cur_padding3: [64, u64],
  cur_tail: [72, LlogRecTail],
});
export type LlogChangelogUserRec2 = StructValue<typeof LlogChangelogUserRec2>;
