/** MDS_GETATTR and MDS_GETATTR_NAME (guide 09 §3.4). */
import type { Operation } from '../../../connection/target.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { required } from '../../../wire/format.ts';
import { RQF_MDS_GETATTR, RQF_MDS_GETATTR_NAME } from '../../../wire/formats.ts';
import { credentialOf, demand, MAY_EXEC } from '../credential.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { checkName } from '../name-hash.ts';
import { objectReply } from '../object-body.ts';
import { nameBytes } from '../request-fields.ts';

export function getattr(mdt: MetadataTarget): Operation<typeof RQF_MDS_GETATTR> {
  return {
    format: RQF_MDS_GETATTR,
    handle(call) {
      const body = required(call.values, 'mdt_body');
      const fid = body.mbo_fid1;
      call.reply(objectReply(mdt.view, fid, mdt.view.inode(fid), body.mbo_valid, mdt.maxLayoutSize));
    },
  };
}

export function getattrName(mdt: MetadataTarget): Operation<typeof RQF_MDS_GETATTR_NAME> {
  return {
    format: RQF_MDS_GETATTR_NAME,
    handle(call) {
      const body = required(call.values, 'mdt_body');
      const name = nameBytes(call.request, RQF_MDS_GETATTR_NAME, 'name');
      let fid = body.mbo_fid2;
      if (name.length > 0) {
        checkName(name);
        const parent = mdt.view.directory(body.mbo_fid1);
        const who = credentialOf(body.mbo_fsuid, body.mbo_fsgid, body.mbo_capability, body.mbo_suppgid);
        demand(who, parent, MAY_EXEC, mdt.view.acl(body.mbo_fid1, parent));
        const entry = mdt.view.lookup(body.mbo_fid1, name);
        if (entry === undefined) throw errnoError(2, { syscall: 'getattr' });
        fid = entry.fid;
      }
      call.reply(objectReply(mdt.view, fid, mdt.view.inode(fid), body.mbo_valid, mdt.maxLayoutSize));
    },
  };
}
