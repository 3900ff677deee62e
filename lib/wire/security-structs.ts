/** Security headers: guide 15. Fields and offsets are the reference's own. */
import { bytes, type StructValue, struct, u8, u16, u32, u64 } from './struct.ts';

export const PlainHeader = struct('plain_header', 8, {
  ph_ver: [0, u8],
  ph_flags: [1, u8],
  ph_sp: [2, u8],
  ph_bulk_hash_alg: [3, u8],
  ph_pad: [4, bytes(4)],
});
export type PlainHeader = StructValue<typeof PlainHeader>;

export const PlainBulkToken = struct('plain_bulk_token', 8, {
  pbt_hash: [0, bytes(8)],
});
export type PlainBulkToken = StructValue<typeof PlainBulkToken>;

export const PtlrpcBulkSecDesc = struct('ptlrpc_bulk_sec_desc', 8, {
  bsd_version: [0, u8],
  bsd_type: [1, u8],
  bsd_svc: [2, u8],
  bsd_flags: [3, u8],
  bsd_nob: [4, u32],
  // bsd_data follows: u8[]
});
export type PtlrpcBulkSecDesc = StructValue<typeof PtlrpcBulkSecDesc>;

export const PtlrpcUserDesc = struct('ptlrpc_user_desc', 24, {
  pud_uid: [0, u32],
  pud_gid: [4, u32],
  pud_fsuid: [8, u32],
  pud_fsgid: [12, u32],
  pud_cap: [16, u32],
  pud_ngroups: [20, u32],
  // pud_groups follows: u32[]
});
export type PtlrpcUserDesc = StructValue<typeof PtlrpcUserDesc>;

export const NetobjS = struct('netobj_s', 4, {
  len: [0, u32],
  // data follows: u8[]
});
export type NetobjS = StructValue<typeof NetobjS>;

export const GssHeader = struct('gss_header', 36, {
  gh_version: [0, u8],
  gh_sp: [1, u8],
  gh_pad0: [2, u16],
  gh_flags: [4, u32],
  gh_proc: [8, u32],
  gh_seq: [12, u32],
  gh_svc: [16, u32],
  gh_pad1: [20, u32],
  gh_pad2: [24, u32],
  gh_pad3: [28, u32],
  gh_handle: [32, NetobjS],
});
export type GssHeader = StructValue<typeof GssHeader>;

export const GssRepHeader = struct('gss_rep_header', 36, {
  gh_version: [0, u8],
  gh_sp: [1, u8],
  gh_pad0: [2, u16],
  gh_flags: [4, u32],
  gh_proc: [8, u32],
  gh_major: [12, u32],
  gh_minor: [16, u32],
  gh_seqwin: [20, u32],
  gh_pad2: [24, u32],
  gh_pad3: [28, u32],
  gh_handle: [32, NetobjS],
});
export type GssRepHeader = StructValue<typeof GssRepHeader>;

export const GssErrHeader = struct('gss_err_header', 36, {
  gh_version: [0, u8],
  gh_sp: [1, u8],
  gh_pad0: [2, u16],
  gh_flags: [4, u32],
  gh_proc: [8, u32],
  gh_major: [12, u32],
  gh_minor: [16, u32],
  gh_pad1: [20, u32],
  gh_pad2: [24, u32],
  gh_pad3: [28, u32],
  gh_handle: [32, NetobjS],
});
export type GssErrHeader = StructValue<typeof GssErrHeader>;

export const SkHdr = struct('sk_hdr', 16, {
  skh_version: [0, u64],
  skh_iv: [8, u64],
});
export type SkHdr = StructValue<typeof SkHdr>;

export const Krb5Header = struct('krb5_header', 16, {
  kh_tok_id: [0, u16],
  kh_flags: [2, u8],
  kh_filler: [3, u8],
  kh_ec: [4, u16],
  kh_rrc: [6, u16],
  kh_seq: [8, u64],
  // kh_cksum follows: u8[]
});
export type Krb5Header = StructValue<typeof Krb5Header>;
