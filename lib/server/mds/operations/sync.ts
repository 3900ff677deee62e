/** MDS_SYNC (guide 09 §2): everything before is on disk; a FID asks for its attributes too. */
import type { Operation } from '../../../connection/target.ts';
import { required } from '../../../wire/format.ts';
import { RQF_MDS_SYNC } from '../../../wire/formats.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { attributeBody } from '../object-body.ts';

export function sync(mdt: MetadataTarget): Operation<typeof RQF_MDS_SYNC> {
  return {
    format: RQF_MDS_SYNC,
    async handle(call) {
      const { mbo_fid1: fid } = required(call.values, 'mdt_body');
      await mdt.store.sync();
      if (fid.f_seq === 0n) call.reply({ mdt_body: {} });
      else call.reply({ mdt_body: attributeBody(fid, mdt.view.inode(fid), mdt.layoutOf(fid)) });
    },
  };
}
