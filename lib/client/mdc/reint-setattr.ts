/** REINT_SETATTR (guide 09 §6, guide 11 §4): mode, owner, times, size, and a directory's default layout. */
import type { Fid } from '../../fid/fid.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_MDS_REINT_SETATTR } from '../../wire/formats.ts';
import { OpBias, Reint, SetattrValid } from '../../wire/mds-constants.ts';
import type { MdtBody } from '../../wire/mds-structs.ts';
import { type Credentials, capabilities, NO_GROUP } from './credentials.ts';
import {
  type EarlyCancels,
  earlyCancelRequest,
  type MetadataTarget,
  type RequestOptions,
  seconds,
} from './target.ts';

const V = SetattrValid;

export interface Setattr {
  readonly fid: Fid;
  /** Type and permission bits. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Clear set-uid and set-gid bits (chown of a file, a write to one). */
  readonly killIdBits?: boolean;
  /** Seconds. */
  readonly atime?: bigint;
  readonly mtime?: bigint;
  /** A truncation: bytes. */
  readonly size?: bigint;
  /** The truncation is part of an open. */
  readonly fromOpen?: boolean;
  /** The caller holds the file open for writing, so its mode does not matter. */
  readonly override?: boolean;
  /** Project and all flags of the object; the rest must be left out. */
  readonly project?: { readonly id: number; readonly flags: number };
  /** lov_user_md for a directory; all the rest must be left out. */
  readonly striping?: Uint8Array;
  readonly group?: number;
  readonly cancels?: EarlyCancels;
}

export function setattrValid(s: Setattr): bigint {
  if (s.striping !== undefined) return 0n;
  if (s.project !== undefined) return V.MDS_ATTR_ATTR_FLAG | V.MDS_ATTR_PROJID;
  // Servers honour times only with their *_SET bit, and drop all of them when the ctime is old: it is always sent.
  let valid = V.MDS_ATTR_CTIME | V.MDS_ATTR_CTIME_SET;
  if (s.mode !== undefined) valid |= V.MDS_ATTR_MODE;
  if (s.uid !== undefined) valid |= V.MDS_ATTR_UID;
  if (s.gid !== undefined) valid |= V.MDS_ATTR_GID;
  if (s.killIdBits === true) valid |= V.MDS_ATTR_KILL_SUID;
  if (s.atime !== undefined) valid |= V.MDS_ATTR_ATIME | V.MDS_ATTR_ATIME_SET;
  if (s.mtime !== undefined || s.size !== undefined) valid |= V.MDS_ATTR_MTIME | V.MDS_ATTR_MTIME_SET;
  if (s.size !== undefined) valid |= V.MDS_ATTR_SIZE;
  if (s.fromOpen === true) valid |= V.MDS_ATTR_FROM_OPEN;
  if (s.override === true) valid |= V.MDS_ATTR_OVERRIDE;
  return valid;
}

export function setattrRequest(
  s: Setattr,
  who: Credentials,
  time: bigint,
): RequestInputs<typeof RQF_MDS_REINT_SETATTR> {
  const timeless = s.striping !== undefined || s.project !== undefined;
  return {
    rec_reint: {
      sa_opcode: Reint.REINT_SETATTR,
      sa_cap: capabilities(who),
      sa_fsuid: who.uid,
      sa_fsgid: who.gid,
      sa_suppgid: s.group ?? NO_GROUP,
      sa_fid: s.fid,
      sa_valid: setattrValid(s),
      sa_uid: s.uid,
      sa_gid: s.gid,
      sa_size: s.size,
      sa_atime: timeless ? 0n : (s.atime ?? time),
      sa_mtime: timeless ? 0n : (s.mtime ?? time),
      sa_ctime: timeless ? 0n : time,
      sa_mode: s.mode,
      sa_attr_flags: s.project?.flags,
      sa_projid: s.project?.id,
      sa_bias: s.size === undefined ? 0 : OpBias.MDS_DATA_MODIFIED,
    },
    // Slots of old protocols, always there and always empty.
    mdt_epoch: null,
    eadata: s.striping ?? new Uint8Array(0),
    logcookies: new Uint8Array(0),
    dlm_req: earlyCancelRequest(s.cancels ?? []),
  };
}

/** The attributes as they are then. Rejects with EPERM, EACCES, ETXTBSY ... */
export async function setattr(
  mdc: MetadataTarget,
  what: Setattr,
  who: Credentials,
  options: RequestOptions = {},
): Promise<MdtBody> {
  const request = setattrRequest(what, who, seconds(mdc.runtime));
  const reply = await mdc.caller.call(RQF_MDS_REINT_SETATTR, request, { modifies: true, ...options });
  return required(reply.values, 'mdt_body');
}
