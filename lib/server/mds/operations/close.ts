/** MDS_CLOSE (guide 09 §7). */
import type { Call, Export, Operation } from '../../../connection/target.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { required } from '../../../wire/format.ts';
import { RQF_MDS_CLOSE } from '../../../wire/formats.ts';
import type { MdtRecSetattr } from '../../../wire/mds-structs.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { destroy } from '../namespace-remove.ts';
import { type Attributes, closeAttributes } from '../namespace-setattr.ts';
import type { OpenFile } from '../open-files.ts';

/** The setattr record as the namespace takes it. */
export function recordAttributes(rec: MdtRecSetattr): Attributes {
  return {
    valid: rec.sa_valid,
    mode: rec.sa_mode,
    uid: rec.sa_uid,
    gid: rec.sa_gid,
    size: rec.sa_size,
    blocks: rec.sa_blocks,
    atime: rec.sa_atime,
    mtime: rec.sa_mtime,
    ctime: rec.sa_ctime,
    flags: rec.sa_attr_flags,
    projid: rec.sa_projid,
  };
}

export function close(mdt: MetadataTarget): Operation<typeof RQF_MDS_CLOSE> {
  return {
    format: RQF_MDS_CLOSE,
    handle(call) {
      const { mio_open_handle } = required(call.values, 'mdt_epoch');
      const rec = required(call.values, 'rec_reint');
      const file = mdt.files.find(call.export, mio_open_handle);
      if (file === undefined) throw errnoError(116, { syscall: 'close' });
      const atimeChosen = mdt.files.atimeChosen(file);
      // The file is closed whatever else happens.
      mdt.files.close(file);
      const closing = { file, attributes: recordAttributes(rec), atimeChosen };
      const transno = isReadOnly(mdt, call.export) ? mdt.emptyTransno() : closed(mdt, call, closing);
      call.reply({ mdt_body: {} }, { transno });
    },
  };
}

/** The last close of what has no name any more removes it; any other one brings times and a lazy size. */
function closed(
  mdt: MetadataTarget,
  call: Call<typeof RQF_MDS_CLOSE>,
  {
    file: { fid },
    attributes,
    atimeChosen,
  }: { readonly file: OpenFile; readonly attributes: Attributes; readonly atimeChosen: bigint },
): bigint {
  return mdt.modifyLater(call, (ns) => {
    const inode = ns.find(fid);
    if (inode === undefined) return;
    if (inode.nlink === 0 && !mdt.files.isOpen(fid)) destroy(ns, fid, mdt.removal);
    else closeAttributes(ns, fid, inode, attributes, atimeChosen);
  });
}

function isReadOnly(mdt: MetadataTarget, client: Export): boolean {
  try {
    mdt.checkWritable(client);
    return false;
  } catch {
    return true;
  }
}
