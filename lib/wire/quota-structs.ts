/** Quota bodies: guide 17. Fields and offsets are the reference's own. */
import { LuFid } from './fid-structs.ts';
import { array, handle, type StructValue, struct, u32, u64 } from './struct.ts';

export const ObdDqinfo = struct('obd_dqinfo', 24, {
  dqi_bgrace: [0, u64],
  dqi_igrace: [8, u64],
  dqi_flags: [16, u32],
  dqi_valid: [20, u32],
});
export type ObdDqinfo = StructValue<typeof ObdDqinfo>;

export const ObdDqblk = struct('obd_dqblk', 72, {
  dqb_bhardlimit: [0, u64],
  dqb_bsoftlimit: [8, u64],
  dqb_curspace: [16, u64],
  dqb_ihardlimit: [24, u64],
  dqb_isoftlimit: [32, u64],
  dqb_curinodes: [40, u64],
  dqb_btime: [48, u64],
  dqb_itime: [56, u64],
  dqb_valid: [64, u32],
  dqb_padding: [68, u32],
});
export type ObdDqblk = StructValue<typeof ObdDqblk>;

export const ObdQuotactl = struct('obd_quotactl', 112, {
  qc_cmd: [0, u32],
  qc_type: [4, u32],
  qc_id: [8, u32],
  qc_stat: [12, u32],
  qc_dqinfo: [16, ObdDqinfo],
  qc_dqblk: [40, ObdDqblk],
  // qc_poolname follows: char[]
});
export type ObdQuotactl = StructValue<typeof ObdQuotactl>;

export const LquotaId = struct('lquota_id', 16, {
  qid_fid: [0, LuFid],
  qid_uid: [0, u64],
  qid_gid: [0, u64],
  qid_projid: [0, u64],
});
export type LquotaId = StructValue<typeof LquotaId>;

export const QuotaBody = struct('quota_body', 112, {
  qb_fid: [0, LuFid],
  qb_id: [16, LquotaId],
  qb_flags: [32, u32],
  qb_padding: [36, u32],
  qb_count: [40, u64],
  qb_usage: [48, u64],
  qb_slv_ver: [56, u64],
  qb_lockh: [64, handle],
  qb_glb_lockh: [72, handle],
  qb_padding1: [80, array(u64, 4)],
});
export type QuotaBody = StructValue<typeof QuotaBody>;
