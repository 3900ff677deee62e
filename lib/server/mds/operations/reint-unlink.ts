/** REINT_UNLINK and RMENTRY (guide 09 §6): what the name points to goes; its objects are destroyed by us. */
import type { Operation } from '../../../connection/target.ts';
import { required } from '../../../wire/format.ts';
import { RQF_MDS_REINT_UNLINK } from '../../../wire/formats.ts';
import { credentialOf, Mode } from '../credential.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { unlink } from '../namespace-remove.ts';
import { attributeBody } from '../object-body.ts';
import { nameBytes } from '../request-fields.ts';
import { changedDirectory, removedObject } from '../server-locks.ts';

export function reintUnlink(mdt: MetadataTarget): Operation<typeof RQF_MDS_REINT_UNLINK> {
  return {
    format: RQF_MDS_REINT_UNLINK,
    async handle(call) {
      const rec = required(call.values, 'rec_reint');
      mdt.cancelEarly(call, call.values.dlm_req);
      const who = credentialOf(rec.ul_fsuid, rec.ul_fsgid, rec.ul_cap, rec.ul_suppgid1, rec.ul_suppgid2);
      const parent = rec.ul_fid1;
      const name = nameBytes(call.request, RQF_MDS_REINT_UNLINK, 'name');
      const directory = (rec.ul_mode & Mode.S_IFMT) === Mode.S_IFDIR;
      const { result, transno } = await mdt.modifyNames(
        call,
        [{ parent, name }],
        ([child]) => [changedDirectory(parent), ...(child === undefined ? [] : [removedObject(child)])],
        (ns) => unlink(ns, who, { parent, name, directory, time: rec.ul_time }, mdt.removal),
      );
      // The size is with the objects: of a file only the rest is told.
      const layout = directory ? undefined : new Uint8Array(0);
      call.reply({ mdt_body: attributeBody(result.fid, result.inode, layout) }, { transno });
    },
  };
}
