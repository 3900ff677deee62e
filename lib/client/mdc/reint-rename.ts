/** REINT_RENAME (guide 09 §6). */
import type { Fid } from '../../fid/fid.ts';
import { ConnectFlag } from '../../wire/connection-constants.ts';
import type { RequestInputs } from '../../wire/format.ts';
import { RQF_MDS_REINT_RENAME } from '../../wire/formats.ts';
import { Reint } from '../../wire/mds-constants.ts';
import { type Credentials, capabilities, NO_GROUP } from './credentials.ts';
import {
  type EarlyCancels,
  earlyCancelRequest,
  MDS_IO_PORTAL,
  MDS_REQUEST_PORTAL,
  type MetadataTarget,
  type RequestOptions,
  seconds,
} from './target.ts';

export interface Rename {
  readonly from: Fid;
  readonly oldName: string;
  readonly to: Fid;
  readonly newName: string;
  /** Mode of the object that moves; the server goes by its type bits. */
  readonly mode: number;
  readonly groups?: readonly [number, number];
  readonly cancels?: EarlyCancels;
}

export function renameRequest(
  rename: Rename,
  who: Credentials,
  time: bigint,
): RequestInputs<typeof RQF_MDS_REINT_RENAME> {
  return {
    rec_reint: {
      rn_opcode: Reint.REINT_RENAME,
      rn_cap: capabilities(who),
      rn_fsuid: who.uid,
      rn_fsgid: who.gid,
      rn_suppgid1: rename.groups?.[0] ?? NO_GROUP,
      rn_suppgid2: rename.groups?.[1] ?? NO_GROUP,
      rn_fid1: rename.from,
      rn_fid2: rename.to,
      rn_time: time,
      rn_mode: rename.mode,
    },
    name: rename.oldName,
    symtgt: rename.newName,
    dlm_req: earlyCancelRequest(rename.cancels ?? []),
    selinux_pol: null,
  };
}

/** Rejects with ENOENT, ENOTEMPTY, EISDIR, ENOTDIR, EINVAL (into its own subtree), EXDEV ... */
export async function rename(
  mdc: MetadataTarget,
  what: Rename,
  who: Credentials,
  options: RequestOptions = {},
): Promise<void> {
  // Renames that wait for each other must not fill the threads of the common portal (guide 09 §1.1).
  const both = ConnectFlag.OBD_CONNECT_GRANT | ConnectFlag.OBD_CONNECT_SRVLOCK;
  const io = (mdc.granted.ocd_connect_flags & both) === both;
  await mdc.caller.call(RQF_MDS_REINT_RENAME, renameRequest(what, who, seconds(mdc.runtime)), {
    requestPortal: io ? MDS_IO_PORTAL : MDS_REQUEST_PORTAL,
    modifies: true,
    ...options,
  });
}
