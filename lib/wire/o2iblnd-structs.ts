/** o2iblnd messages: guide 03. Fields and offsets are the reference's own. */
import { LnetHdrNid4 } from './lnet-structs.ts';
import { type StructValue, s32, struct, u8, u16, u32, u64 } from './struct.ts';

export const KibCompletionMsg = struct('kib_completion_msg', 12, {
  ibcm_cookie: [0, u64],
  ibcm_status: [8, s32],
});
export type KibCompletionMsg = StructValue<typeof KibCompletionMsg>;

export const KibConnparams = struct('kib_connparams', 8, {
  ibcp_queue_depth: [0, u16],
  ibcp_max_frags: [2, u16],
  ibcp_max_msg_size: [4, u32],
});
export type KibConnparams = StructValue<typeof KibConnparams>;

export const KibRdmaFrag = struct('kib_rdma_frag', 12, {
  rf_nob: [0, u32],
  rf_addr: [4, u64],
});
export type KibRdmaFrag = StructValue<typeof KibRdmaFrag>;

export const KibRdmaDesc = struct('kib_rdma_desc', 8, {
  rd_key: [0, u32],
  rd_nfrags: [4, u32],
  // rd_frags follows: struct kib_rdma_frag[]
});
export type KibRdmaDesc = StructValue<typeof KibRdmaDesc>;

export const KibGetMsg = struct('kib_get_msg', 88, {
  ibgm_hdr: [0, LnetHdrNid4],
  ibgm_cookie: [72, u64],
  ibgm_rd: [80, KibRdmaDesc],
});
export type KibGetMsg = StructValue<typeof KibGetMsg>;

export const KibImmediateMsg = struct('kib_immediate_msg', 72, {
  ibim_hdr: [0, LnetHdrNid4],
  // ibim_payload follows: char[]
});
export type KibImmediateMsg = StructValue<typeof KibImmediateMsg>;

export const KibPutreqMsg = struct('kib_putreq_msg', 80, {
  ibprm_hdr: [0, LnetHdrNid4],
  ibprm_cookie: [72, u64],
});
export type KibPutreqMsg = StructValue<typeof KibPutreqMsg>;

export const KibPutackMsg = struct('kib_putack_msg', 24, {
  ibpam_src_cookie: [0, u64],
  ibpam_dst_cookie: [8, u64],
  ibpam_rd: [16, KibRdmaDesc],
});
export type KibPutackMsg = StructValue<typeof KibPutackMsg>;

export const KibMsg = struct('kib_msg', 136, {
  ibm_magic: [0, u32],
  ibm_version: [4, u16],
  ibm_type: [6, u8],
  ibm_credits: [7, u8],
  ibm_nob: [8, u32],
  ibm_cksum: [12, u32],
  ibm_srcnid: [16, u64],
  ibm_srcstamp: [24, u64],
  ibm_dstnid: [32, u64],
  ibm_dststamp: [40, u64],
  ibm_u: [
    48,
    struct('ibm_u', 88, {
      connparams: [0, KibConnparams],
      immediate: [0, KibImmediateMsg],
      putreq: [0, KibPutreqMsg],
      putack: [0, KibPutackMsg],
      get: [0, KibGetMsg],
      completion: [0, KibCompletionMsg],
    }),
  ],
});
export type KibMsg = StructValue<typeof KibMsg>;

export const KibRej = struct('kib_rej', 24, {
  ibr_magic: [0, u32],
  ibr_version: [4, u16],
  ibr_why: [6, u8],
  ibr_padding: [7, u8],
  ibr_incarnation: [8, u64],
  ibr_cp: [16, KibConnparams],
});
export type KibRej = StructValue<typeof KibRej>;
