/** REINT_RENAME (guide 09 §6). */
import type { Operation } from '../../../connection/target.ts';
import { required } from '../../../wire/format.ts';
import { RQF_MDS_REINT_RENAME } from '../../../wire/formats.ts';
import { credentialOf } from '../credential.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { rename } from '../namespace-rename.ts';
import { attributeBody } from '../object-body.ts';
import { nameBytes } from '../request-fields.ts';
import { changedDirectory, removedObject, renamedObject } from '../server-locks.ts';

export function reintRename(mdt: MetadataTarget): Operation<typeof RQF_MDS_REINT_RENAME> {
  return {
    format: RQF_MDS_REINT_RENAME,
    async handle(call) {
      const rec = required(call.values, 'rec_reint');
      mdt.cancelEarly(call, call.values.dlm_req);
      const who = credentialOf(rec.rn_fsuid, rec.rn_fsgid, rec.rn_cap, rec.rn_suppgid1, rec.rn_suppgid2);
      const source = { parent: rec.rn_fid1, name: nameBytes(call.request, RQF_MDS_REINT_RENAME, 'name') };
      const target = { parent: rec.rn_fid2, name: nameBytes(call.request, RQF_MDS_REINT_RENAME, 'symtgt') };
      const { result, transno } = await mdt.modifyNames(
        call,
        [source, target],
        ([moved, replaced]) => [
          changedDirectory(source.parent),
          changedDirectory(target.parent),
          ...(moved === undefined ? [] : [renamedObject(moved)]),
          ...(replaced === undefined ? [] : [removedObject(replaced)]),
        ],
        (ns) =>
          rename(
            ns,
            who,
            {
              sourceParent: source.parent,
              sourceName: source.name,
              targetParent: target.parent,
              targetName: target.name,
              time: rec.rn_time,
            },
            mdt.removal,
          ),
      );
      const { replaced } = result;
      const mdt_body =
        replaced === undefined ? {} : attributeBody(replaced.fid, replaced.inode, new Uint8Array(0));
      call.reply({ mdt_body }, { transno });
    },
  };
}
