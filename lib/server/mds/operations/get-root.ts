/** MDS_GET_ROOT (guide 09 §2): the root, or the directory below it that a client mounts as its root. */
import type { Operation } from '../../../connection/target.ts';
import { type Fid, ROOT_FID } from '../../../fid/fid.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { RQF_MDS_GET_ROOT } from '../../../wire/formats.ts';
import { MdValid } from '../../../wire/mds-constants.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { checkName, isDotDot } from '../name-hash.ts';
import { nameBytes } from '../request-fields.ts';

const SLASH = 0x2f;
const PATH_MAX = 4096;

export function getRoot(mdt: MetadataTarget): Operation<typeof RQF_MDS_GET_ROOT> {
  return {
    format: RQF_MDS_GET_ROOT,
    handle(call) {
      const path = nameBytes(call.request, RQF_MDS_GET_ROOT, 'name');
      const root = path.length === 0 ? ROOT_FID : directoryAt(mdt, path);
      call.reply({ mdt_body: { mbo_fid1: root, mbo_valid: MdValid.OBD_MD_FLID } });
    },
  };
}

/** Throws ENOENT, ENOTDIR (also for a symlink: none is followed), EINVAL for what leads upwards, ENAMETOOLONG. */
function directoryAt(mdt: MetadataTarget, path: Uint8Array): Fid {
  if (path.length >= PATH_MAX) throw errnoError(36, { syscall: 'get_root' });
  let at: Fid = ROOT_FID;
  for (const name of components(path)) {
    if (isDotDot(name)) throw errnoError(22, { syscall: 'get_root' });
    checkName(name);
    const entry = mdt.view.lookup(at, name);
    if (entry === undefined) throw errnoError(2, { syscall: 'get_root' });
    mdt.view.directory(entry.fid);
    at = entry.fid;
  }
  return at;
}

function* components(path: Uint8Array): Iterable<Uint8Array> {
  let from = 0;
  for (let i = 0; i <= path.length; i++) {
    if (i < path.length && path[i] !== SLASH) continue;
    if (i > from) yield path.subarray(from, i);
    from = i + 1;
  }
}
