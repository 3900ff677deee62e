/** MDS_GET_ROOT (guide 09 §2). */
import type { Operation } from '../../../connection/target.ts';
import { ROOT_FID } from '../../../fid/fid.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { RQF_MDS_GET_ROOT } from '../../../wire/formats.ts';
import { MdValid } from '../../../wire/mds-constants.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { nameBytes } from '../request-fields.ts';

export function getRoot(_mdt: MetadataTarget): Operation<typeof RQF_MDS_GET_ROOT> {
  return {
    format: RQF_MDS_GET_ROOT,
    handle(call) {
      // Mounting a subdirectory needs SUBTREE, which is not offered.
      if (nameBytes(call.request, RQF_MDS_GET_ROOT, 'name').length > 0)
        throw errnoError(95, { syscall: 'get_root' });
      call.reply({ mdt_body: { mbo_fid1: ROOT_FID, mbo_valid: MdValid.OBD_MD_FLID } });
    },
  };
}
