/** MDS_GETXATTR (guide 09 §3.4): one value, or the list of names. */
import type { Operation } from '../../../connection/target.ts';
import type { Fid } from '../../../fid/fid.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { required } from '../../../wire/format.ts';
import { RQF_MDS_GETXATTR } from '../../../wire/formats.ts';
import { MdValid } from '../../../wire/mds-constants.ts';
import { XattrName } from '../../../wire/names.ts';
import { credentialOf } from '../credential.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { mayReadXattr } from '../namespace-xattr.ts';
import { nameBytes } from '../request-fields.ts';
import { allXattrs } from '../xattr-list.ts';

export function getxattr(mdt: MetadataTarget): Operation<typeof RQF_MDS_GETXATTR> {
  return {
    format: RQF_MDS_GETXATTR,
    handle(call) {
      const body = required(call.values, 'mdt_body');
      const fid = body.mbo_fid1;
      const inode = mdt.view.inode(fid);
      const who = credentialOf(body.mbo_fsuid, body.mbo_fsgid, body.mbo_capability, body.mbo_suppgid);
      let value: Uint8Array;
      if ((body.mbo_valid & MdValid.OBD_MD_FLXATTR) !== 0n) {
        const name = Buffer.from(nameBytes(call.request, RQF_MDS_GETXATTR, 'name')).toString();
        mayReadXattr(mdt.view, who, fid, inode, name);
        value = xattrValue(mdt, fid, name);
      } else if ((body.mbo_valid & MdValid.OBD_MD_FLXATTRLS) !== 0n) {
        const names = [...allXattrs(mdt, fid, inode)].map(({ name }) => `${name}\0`);
        value = Buffer.from(names.join(''));
      } else throw errnoError(22, { syscall: 'getxattr' });
      const valid = body.mbo_valid & (MdValid.OBD_MD_FLXATTR | MdValid.OBD_MD_FLXATTRLS);
      const reply = { mdt_body: { mbo_valid: valid, mbo_eadatasize: value.length } };
      // Room of 0 asks for the size alone.
      if (body.mbo_eadatasize === 0) return call.reply(reply);
      if (value.length > body.mbo_eadatasize) throw errnoError(34, { syscall: 'getxattr' });
      call.reply({ ...reply, eadata: value });
    },
  };
}

/** A file without a layout has an empty one; any other name that is not there is ENODATA. */
function xattrValue(mdt: MetadataTarget, fid: Fid, name: string): Uint8Array {
  for (const xattr of allXattrs(mdt, fid, mdt.view.inode(fid))) if (xattr.name === name) return xattr.value;
  if (name === XattrName.XATTR_NAME_LOV) return new Uint8Array(0);
  throw errnoError(61, { syscall: 'getxattr' });
}
