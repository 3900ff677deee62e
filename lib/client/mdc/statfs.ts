/** MDS_STATFS (guide 09 §2): space and files of one MDT, or summed over all targets where the MDT offers it. */
import { ConnectFlag2 } from '../../wire/connection-constants.ts';
import { required } from '../../wire/format.ts';
import { RQF_MDS_STATFS, RQF_MDS_STATFS_NEW } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { ObdStatfs } from '../../wire/mds-structs.ts';
import type { MetadataTarget, RequestOptions } from './target.ts';

/** `sum`: of all targets; the reply's os_state says whether it is (OS_STATFS_SUM). */
export async function statfs(
  mdc: MetadataTarget,
  sum: boolean,
  options: RequestOptions = {},
): Promise<ObdStatfs> {
  const offered = (mdc.granted.ocd_connect_flags2 & ConnectFlag2.OBD_CONNECT2_SUM_STATFS) !== 0n;
  if (sum && offered) {
    const request = { mdt_body: { mbo_valid: MdValid.OBD_MD_FLAGSTATFS } };
    const reply = await mdc.caller.call(RQF_MDS_STATFS_NEW, request, options);
    return required(reply.values, 'obd_statfs');
  }
  return required((await mdc.caller.call(RQF_MDS_STATFS, {}, options)).values, 'obd_statfs');
}
