/** REINT_RESYNC (guide 17 §10): the holder of a lease is going to bring the stale mirrors of a file up to date. */
import type { Fid } from '../../fid/fid.ts';
import type { RequestInputs } from '../../wire/format.ts';
import { RQF_MDS_REINT_RESYNC } from '../../wire/formats.ts';
import { Reint } from '../../wire/mds-constants.ts';
import { type Credentials, capabilities } from './credentials.ts';
import { type EarlyCancels, earlyCancelRequest, type MetadataTarget, type RequestOptions } from './target.ts';

export interface Resync {
  readonly fid: Fid;
  /** The server's handle of the lease. */
  readonly lease: bigint;
  readonly cancels?: EarlyCancels;
}

export function resyncRequest(
  { fid, lease, cancels = [] }: Resync,
  who: Credentials,
): RequestInputs<typeof RQF_MDS_REINT_RESYNC> {
  return {
    rec_reint: {
      rs_opcode: Reint.REINT_RESYNC,
      rs_cap: capabilities(who),
      rs_fsuid: who.uid,
      rs_fsgid: who.gid,
      rs_fid: fid,
      rs_lease_handle: lease,
    },
    dlm_req: earlyCancelRequest(cancels),
  };
}

/** Makes the objects that stale components lack, and lets the OSTs take writes of nobody else. Rejects with EBUSY when
 * the lease is broken. */
export async function resync(
  mdc: MetadataTarget,
  what: Resync,
  who: Credentials,
  options: RequestOptions = {},
): Promise<void> {
  await mdc.caller.call(RQF_MDS_REINT_RESYNC, resyncRequest(what, who), { modifies: true, ...options });
}
