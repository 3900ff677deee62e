/** REINT_SETXATTR (guide 09 §6). On a directory `trusted.lov` and `lustre.lov` set the default layout. */
import type { Operation } from '../../../connection/target.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { required } from '../../../wire/format.ts';
import { RQF_MDS_REINT_SETXATTR } from '../../../wire/formats.ts';
import { InodeBit } from '../../../wire/ldlm-constants.ts';
import { MdValid } from '../../../wire/mds-constants.ts';
import { XattrName } from '../../../wire/names.ts';
import { Capability, capable, credentialOf, isDirectory, isOwner } from '../credential.ts';
import { defaultLayoutEa } from '../file-layout.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { setXattr } from '../namespace-xattr.ts';
import { nameBytes, valueBytes } from '../request-fields.ts';
import { changedObject } from '../server-locks.ts';

/** Clients keep the access ACL with the mode, not among the other attributes. */
const bitOf = (name: string): number =>
  name === XattrName.XATTR_NAME_ACL_ACCESS ? InodeBit.MDS_INODELOCK_PERM : InodeBit.MDS_INODELOCK_XATTR;

export function reintSetxattr(mdt: MetadataTarget): Operation<typeof RQF_MDS_REINT_SETXATTR> {
  return {
    format: RQF_MDS_REINT_SETXATTR,
    async handle(call) {
      const rec = required(call.values, 'rec_reint');
      mdt.cancelEarly(call, call.values.dlm_req);
      const removes = (rec.sx_valid & MdValid.OBD_MD_FLXATTRRM) !== 0n;
      if (!removes && (rec.sx_valid & MdValid.OBD_MD_FLXATTR) === 0n)
        throw errnoError(22, { syscall: 'setxattr' });
      const fid = rec.sx_fid;
      const name = Buffer.from(nameBytes(call.request, RQF_MDS_REINT_SETXATTR, 'name')).toString();
      const given = valueBytes(call.request, RQF_MDS_REINT_SETXATTR, 'eadata') ?? new Uint8Array(0);
      const value = removes ? undefined : given;
      const who = credentialOf(rec.sx_fsuid, rec.sx_fsgid, rec.sx_cap, rec.sx_suppgid1);
      const bits = InodeBit.MDS_INODELOCK_UPDATE | bitOf(name);
      const time = rec.sx_time !== 0n ? rec.sx_time : mdt.now();
      const { transno } = await mdt.modifyLocked(call, [changedObject(fid, bits)], (ns) => {
        const inode = ns.inode(fid);
        const layout = name === XattrName.XATTR_NAME_LOV || name === XattrName.XATTR_LUSTRE_LOV;
        if (!layout || !isDirectory(inode)) {
          const flags = rec.sx_flags;
          return setXattr(ns, who, fid, {
            name: layout ? XattrName.XATTR_NAME_LOV : name,
            value,
            flags,
            time,
          });
        }
        const trusted = name === XattrName.XATTR_NAME_LOV && !capable(who, Capability.SYS_ADMIN);
        if (trusted || !isOwner(who, inode)) throw errnoError(1, { syscall: 'setxattr' });
        ns.setXattr(fid, XattrName.XATTR_NAME_LOV, value === undefined ? undefined : defaultLayoutEa(value));
        return inode;
      });
      call.reply({ mdt_body: {} }, { transno });
    },
  };
}
