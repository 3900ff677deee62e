/** REINT_LINK (guide 09 §6): a further name for an object. */
import type { Fid } from '../../fid/fid.ts';
import type { RequestInputs } from '../../wire/format.ts';
import { RQF_MDS_REINT_LINK } from '../../wire/formats.ts';
import { Reint } from '../../wire/mds-constants.ts';
import { type Credentials, capabilities, NO_GROUP } from './credentials.ts';
import {
  type EarlyCancels,
  earlyCancelRequest,
  type MetadataTarget,
  type RequestOptions,
  seconds,
} from './target.ts';

export interface Link {
  readonly object: Fid;
  readonly parent: Fid;
  readonly name: string;
  /** Groups for the object and for the directory. */
  readonly groups?: readonly [number, number];
  readonly cancels?: EarlyCancels;
}

export function linkRequest(
  link: Link,
  who: Credentials,
  time: bigint,
): RequestInputs<typeof RQF_MDS_REINT_LINK> {
  return {
    rec_reint: {
      lk_opcode: Reint.REINT_LINK,
      lk_cap: capabilities(who),
      lk_fsuid: who.uid,
      lk_fsgid: who.gid,
      lk_suppgid1: link.groups?.[0] ?? NO_GROUP,
      lk_suppgid2: link.groups?.[1] ?? NO_GROUP,
      lk_fid1: link.object,
      lk_fid2: link.parent,
      lk_time: time,
    },
    name: link.name,
    dlm_req: earlyCancelRequest(link.cancels ?? []),
    selinux_pol: null,
  };
}

/** Rejects with EEXIST, EPERM (directories), EMLINK, ENOENT ... */
export async function link(
  mdc: MetadataTarget,
  what: Link,
  who: Credentials,
  options: RequestOptions = {},
): Promise<void> {
  await mdc.caller.call(RQF_MDS_REINT_LINK, linkRequest(what, who, seconds(mdc.runtime)), {
    modifies: true,
    ...options,
  });
}
