/** REINT_UNLINK (guide 09 §6): removes a name, and the object with its last name. The MDS destroys the data objects. */
import type { Fid } from '../../fid/fid.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_MDS_REINT_UNLINK } from '../../wire/formats.ts';
import { Reint } from '../../wire/mds-constants.ts';
import type { MdtBody } from '../../wire/mds-structs.ts';
import { type Credentials, capabilities, NO_GROUP } from './credentials.ts';
import {
  type EarlyCancels,
  earlyCancelRequest,
  type MetadataTarget,
  type RequestOptions,
  seconds,
} from './target.ts';

export interface Unlink {
  readonly parent: Fid;
  readonly name: string;
  /** The object, if it is known; a hint for routing. */
  readonly child: Fid;
  readonly directory: boolean;
  readonly group?: number;
  readonly cancels?: EarlyCancels;
}

const S_IFDIR = 0o040000;

export function unlinkRequest(
  unlink: Unlink,
  who: Credentials,
  time: bigint,
): RequestInputs<typeof RQF_MDS_REINT_UNLINK> {
  return {
    rec_reint: {
      ul_opcode: Reint.REINT_UNLINK,
      ul_cap: capabilities(who),
      ul_fsuid: who.uid,
      ul_fsgid: who.gid,
      ul_suppgid1: unlink.group ?? NO_GROUP,
      ul_suppgid2: NO_GROUP,
      ul_fid1: unlink.parent,
      ul_fid2: unlink.child,
      ul_time: time,
      ul_mode: unlink.directory ? S_IFDIR : 0,
    },
    name: unlink.name,
    dlm_req: earlyCancelRequest(unlink.cancels ?? []),
    selinux_pol: null,
  };
}

/** Attributes of what lost the name (link count 0: it is gone). Rejects with ENOENT, ENOTEMPTY, ENOTDIR, EISDIR, EACCES ... */
export async function unlink(
  mdc: MetadataTarget,
  what: Unlink,
  who: Credentials,
  options: RequestOptions = {},
): Promise<MdtBody> {
  const request = unlinkRequest(what, who, seconds(mdc.runtime));
  const reply = await mdc.caller.call(RQF_MDS_REINT_UNLINK, request, { modifies: true, ...options });
  return required(reply.values, 'mdt_body');
}
