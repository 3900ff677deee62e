/** MDS_GETXATTR and REINT_SETXATTR (guide 09 §3.4, §6; guide 11 §9). */
import type { Fid } from '../../fid/fid.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_MDS_GETXATTR, RQF_MDS_REINT_SETXATTR } from '../../wire/formats.ts';
import { MdValid, Reint } from '../../wire/mds-constants.ts';
import { decodeText } from '../../wire/text.ts';
import { bodyCredentials, type Credentials, capabilities, NO_GROUP } from './credentials.ts';
import {
  type EarlyCancels,
  earlyCancelRequest,
  MDS_READPAGE_PORTAL,
  type MetadataTarget,
  type RequestOptions,
  seconds,
} from './target.ts';

/** XATTR_CREATE: fail if it exists. XATTR_REPLACE: fail if it does not. */
export const XattrFlag = { CREATE: 1, REPLACE: 2 } as const;
const XATTR_SIZE_MAX = 65536;

export function getxattrRequest(
  fid: Fid,
  name: string | undefined,
  size: number,
  who: Credentials,
): RequestInputs<typeof RQF_MDS_GETXATTR> {
  const what = name === undefined ? MdValid.OBD_MD_FLXATTRLS : MdValid.OBD_MD_FLXATTR;
  return {
    mdt_body: {
      ...bodyCredentials(who),
      mbo_fid1: fid,
      mbo_valid: MdValid.OBD_MD_FLID | what,
      mbo_eadatasize: size,
      mbo_suppgid: NO_GROUP,
    },
    name: name ?? '',
    eadata: new Uint8Array(0),
    selinux_pol: null,
  };
}

async function get(
  mdc: MetadataTarget,
  fid: Fid,
  name: string | undefined,
  who: Credentials,
  options: RequestOptions,
): Promise<Uint8Array> {
  const room = Math.min(mdc.granted.ocd_max_easize || XATTR_SIZE_MAX, XATTR_SIZE_MAX);
  const reply = await mdc.caller.call(RQF_MDS_GETXATTR, getxattrRequest(fid, name, room, who), {
    requestPortal: MDS_READPAGE_PORTAL,
    replyRoom: room,
    ...options,
  });
  const size = required(reply.values, 'mdt_body').mbo_eadatasize;
  return (reply.values.eadata ?? new Uint8Array(0)).subarray(0, size);
}

/** The value of one attribute. Rejects with ENODATA when it is not there. */
export function getxattr(
  mdc: MetadataTarget,
  fid: Fid,
  name: string,
  who: Credentials,
  options: RequestOptions = {},
): Promise<Uint8Array> {
  return get(mdc, fid, name, who, options);
}

export async function listxattr(
  mdc: MetadataTarget,
  fid: Fid,
  who: Credentials,
  options: RequestOptions = {},
): Promise<string[]> {
  const names = await get(mdc, fid, undefined, who, options);
  return decodeText(names)
    .split('\0')
    .filter((name) => name !== '');
}

export interface SetXattr {
  readonly fid: Fid;
  readonly name: string;
  /** Undefined removes it. */
  readonly value: Uint8Array | undefined;
  /** XattrFlag bits. */
  readonly flags: number;
  readonly group?: number;
  readonly cancels?: EarlyCancels;
}

export function setxattrRequest(
  set: SetXattr,
  who: Credentials,
  time: bigint,
): RequestInputs<typeof RQF_MDS_REINT_SETXATTR> {
  const what = set.value === undefined ? MdValid.OBD_MD_FLXATTRRM : MdValid.OBD_MD_FLXATTR;
  return {
    rec_reint: {
      sx_opcode: Reint.REINT_SETXATTR,
      sx_cap: capabilities(who),
      sx_fsuid: who.uid,
      sx_fsgid: who.gid,
      sx_suppgid1: set.group ?? NO_GROUP,
      sx_suppgid2: NO_GROUP,
      sx_fid: set.fid,
      sx_valid: what | MdValid.OBD_MD_FLCTIME,
      sx_time: time,
      // The kernel sends 0 here: the length is the buffer's.
      sx_size: 0,
      sx_flags: set.value === undefined ? XattrFlag.REPLACE : set.flags,
    },
    name: set.name,
    eadata: set.value ?? new Uint8Array(0),
    dlm_req: earlyCancelRequest(set.cancels ?? []),
    selinux_pol: null,
  };
}

/** Rejects with ENODATA (removing or replacing what is not there), EEXIST, EPERM, E2BIG, ENOSPC ... */
export async function setxattr(
  mdc: MetadataTarget,
  what: SetXattr,
  who: Credentials,
  options: RequestOptions = {},
): Promise<void> {
  await mdc.caller.call(RQF_MDS_REINT_SETXATTR, setxattrRequest(what, who, seconds(mdc.runtime)), {
    modifies: true,
    ...options,
  });
}
