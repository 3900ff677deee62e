/** What of an mdt_body is worth remembering (guide 09 §3.2): what a reply was about alone is left out, and numbers are shared. */
import type { Fid } from '../../fid/fid.ts';
import { sharedBigint } from '../../runtime/shared-bigints.ts';
import type { MdtBody } from '../../wire/mds-structs.ts';

/** By the names of the fields on the wire. */
export class KnownAttributes {
  readonly mbo_fid1: Fid;
  readonly mbo_valid: bigint;
  readonly mbo_size: bigint;
  readonly mbo_blocks: bigint;
  mbo_mtime: bigint;
  mbo_atime: bigint;
  readonly mbo_ctime: bigint;
  readonly mbo_btime: bigint;
  mbo_mode: number;
  mbo_uid: number;
  mbo_gid: number;
  readonly mbo_flags: number;
  readonly mbo_rdev: number;
  readonly mbo_nlink: number;
  readonly mbo_projid: number;

  constructor(body: MdtBody) {
    this.mbo_fid1 = body.mbo_fid1;
    this.mbo_valid = sharedBigint(body.mbo_valid);
    this.mbo_size = sharedBigint(body.mbo_size);
    this.mbo_blocks = sharedBigint(body.mbo_blocks);
    this.mbo_mtime = sharedBigint(body.mbo_mtime);
    this.mbo_atime = sharedBigint(body.mbo_atime);
    this.mbo_ctime = sharedBigint(body.mbo_ctime);
    this.mbo_btime = sharedBigint(body.mbo_btime);
    this.mbo_mode = body.mbo_mode;
    this.mbo_uid = body.mbo_uid;
    this.mbo_gid = body.mbo_gid;
    this.mbo_flags = body.mbo_flags;
    this.mbo_rdev = body.mbo_rdev;
    this.mbo_nlink = body.mbo_nlink;
    this.mbo_projid = body.mbo_projid;
  }
}
