/** REINT_LINK (guide 09 §6). */
import type { Operation } from '../../../connection/target.ts';
import { required } from '../../../wire/format.ts';
import { RQF_MDS_REINT_LINK } from '../../../wire/formats.ts';
import { InodeBit } from '../../../wire/ldlm-constants.ts';
import { credentialOf } from '../credential.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { link } from '../namespace-create.ts';
import { nameBytes } from '../request-fields.ts';
import { changedDirectory, changedObject } from '../server-locks.ts';

export function reintLink(mdt: MetadataTarget): Operation<typeof RQF_MDS_REINT_LINK> {
  return {
    format: RQF_MDS_REINT_LINK,
    async handle(call) {
      const rec = required(call.values, 'rec_reint');
      mdt.cancelEarly(call, call.values.dlm_req);
      const who = credentialOf(rec.lk_fsuid, rec.lk_fsgid, rec.lk_cap, rec.lk_suppgid1, rec.lk_suppgid2);
      const { lk_fid1: fid, lk_fid2: parent, lk_time: time } = rec;
      const name = nameBytes(call.request, RQF_MDS_REINT_LINK, 'name');
      const locks = [
        changedDirectory(parent),
        changedObject(fid, InodeBit.MDS_INODELOCK_UPDATE | InodeBit.MDS_INODELOCK_XATTR),
      ];
      const { transno } = await mdt.modifyLocked(call, locks, (ns) =>
        link(ns, who, { fid, parent, name, time }),
      );
      // As the reference answers: nothing of the object (its times would be taken for the directory's).
      call.reply({ mdt_body: {} }, { transno });
    },
  };
}
