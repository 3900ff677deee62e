/** REINT_SETATTR (guide 09 §6), with EADATA the setting of a directory's default layout (guide 13 §9). */
import type { Call, Operation } from '../../../connection/target.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { required } from '../../../wire/format.ts';
import { RQF_MDS_REINT_SETATTR } from '../../../wire/formats.ts';
import { LmvConstant } from '../../../wire/layout-constants.ts';
import { InodeBit } from '../../../wire/ldlm-constants.ts';
import { OpBias, SetattrValid } from '../../../wire/mds-constants.ts';
import type { MdtRecSetattr } from '../../../wire/mds-structs.ts';
import { XattrName } from '../../../wire/names.ts';
import { type Credential, credentialOf, isDirectory, isOwner, isRegular } from '../credential.ts';
import { defaultLayoutEa } from '../file-layout.ts';
import type { MetadataTarget, Modified } from '../metadata-target.ts';
import { setAttributes } from '../namespace-setattr.ts';
import { objectReply } from '../object-body.ts';
import type { Inode } from '../records.ts';
import { valueBytes } from '../request-fields.ts';
import { changedAttributes, changedObject } from '../server-locks.ts';
import { recordAttributes } from './close.ts';

const V = SetattrValid;
/** What others may have cached permissions from. */
const PERMISSIONS = V.MDS_ATTR_MODE | V.MDS_ATTR_UID | V.MDS_ATTR_GID | V.MDS_ATTR_ATTR_FLAG;

export function reintSetattr(mdt: MetadataTarget): Operation<typeof RQF_MDS_REINT_SETATTR> {
  return {
    format: RQF_MDS_REINT_SETATTR,
    async handle(call) {
      const rec = required(call.values, 'rec_reint');
      mdt.cancelEarly(call, call.values.dlm_req);
      const ea = valueBytes(call.request, RQF_MDS_REINT_SETATTR, 'eadata');
      const { result, transno } =
        ea === undefined || rec.sa_valid !== 0n
          ? await setRecord(mdt, call, rec)
          : await setDefault(mdt, call, rec, ea);
      const { mdt_body } = objectReply(mdt.view, rec.sa_fid, result, 0n, 0);
      call.reply({ mdt_body }, { transno });
    },
  };
}

function whoOf(rec: MdtRecSetattr): Credential {
  return credentialOf(rec.sa_fsuid, rec.sa_fsgid, rec.sa_cap, rec.sa_suppgid);
}

function setRecord(
  mdt: MetadataTarget,
  call: Call<typeof RQF_MDS_REINT_SETATTR>,
  rec: MdtRecSetattr,
): Promise<Modified<Inode>> {
  const fid = rec.sa_fid;
  let bits: number = InodeBit.MDS_INODELOCK_UPDATE;
  if ((rec.sa_valid & PERMISSIONS) !== 0n) bits |= InodeBit.MDS_INODELOCK_PERM;
  const override = OpBias.MDS_OWNEROVERRIDE;
  const ownerOverride = (rec.sa_bias & override) !== 0 || (rec.sa_valid & V.MDS_ATTR_OVERRIDE) !== 0n;
  return mdt.modifyLocked(call, [changedAttributes(fid, bits)], (ns) => {
    const before = ns.inode(fid);
    const { uid, gid, projid } = before;
    if ((rec.sa_valid & V.MDS_ATTR_SIZE) !== 0n) mdt.files.check(fid, 2n);
    const after = setAttributes(ns, whoOf(rec), fid, recordAttributes(rec), { ownerOverride });
    if ((rec.sa_valid & V.MDS_ATTR_ATIME_SET) !== 0n) mdt.files.chooseAtime(fid, rec.sa_ctime);
    const layout = ns.xattr(fid, XattrName.XATTR_NAME_LOV);
    const given = after.uid !== uid || after.gid !== gid || after.projid !== projid;
    if (isRegular(after) && layout !== undefined && given)
      mdt.objects.setOwner({ table: (name) => ns.raw(name) }, layout, after);
    return after;
  });
}

function setDefault(
  mdt: MetadataTarget,
  call: Call<typeof RQF_MDS_REINT_SETATTR>,
  rec: MdtRecSetattr,
  ea: Uint8Array,
): Promise<Modified<Inode>> {
  const fid = rec.sa_fid;
  const magic = ea.length < 4 ? 0 : new DataView(ea.buffer, ea.byteOffset, ea.length).getUint32(0, true);
  if (magic === LmvConstant.LMV_USER_MAGIC) throw errnoError(95, { syscall: 'setdirstripe' });
  const layout = defaultLayoutEa(ea);
  const locks = [changedObject(fid, InodeBit.MDS_INODELOCK_UPDATE | InodeBit.MDS_INODELOCK_XATTR)];
  return mdt.modifyLocked(call, locks, (ns) => {
    const inode = ns.inode(fid);
    if (!isDirectory(inode)) throw errnoError(20, { syscall: 'setstripe' });
    if (!isOwner(whoOf(rec), inode)) throw errnoError(1, { syscall: 'setstripe' });
    ns.setXattr(fid, XattrName.XATTR_NAME_LOV, layout);
    if (mdt.now() > inode.ctime) inode.ctime = mdt.now();
    ns.putInode(fid, inode);
    return inode;
  });
}
