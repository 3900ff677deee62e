/** MDS_SYNC (guide 09 §2): makes an object's metadata, or with a zero FID the whole target, durable. */
import { type Fid, isZeroFid } from '../../fid/fid.ts';
import type { RequestInputs } from '../../wire/format.ts';
import { RQF_MDS_SYNC } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { bodyCredentials, type Credentials, NO_GROUP } from './credentials.ts';
import type { MetadataTarget, RequestOptions } from './target.ts';

export function syncRequest(fid: Fid, who: Credentials): RequestInputs<typeof RQF_MDS_SYNC> {
  return {
    mdt_body: {
      ...bodyCredentials(who),
      mbo_fid1: fid,
      mbo_valid: isZeroFid(fid) ? 0n : MdValid.OBD_MD_FLID,
      mbo_suppgid: NO_GROUP,
    },
  };
}

export async function sync(
  mdc: MetadataTarget,
  fid: Fid,
  who: Credentials,
  options: RequestOptions = {},
): Promise<void> {
  await mdc.caller.call(RQF_MDS_SYNC, syncRequest(fid, who), options);
}
