/** MDS_GET_INFO: fid2path (guide 07 §9); MDS_SET_INFO (guide 09 §2). */
import type { Operation } from '../../../connection/target.ts';
import { type Fid, isNamespaceVisible, isSaneFid, ROOT_FID, sameFid } from '../../../fid/fid.ts';
import { errnoError } from '../../../runtime/errors.ts';
import { GetinfoFid2path, LuFid } from '../../../wire/fid-structs.ts';
import { required } from '../../../wire/format.ts';
import { RQF_MDS_FID2PATH, RQF_MDT_SET_INFO } from '../../../wire/formats.ts';
import { InfoKey, XattrName } from '../../../wire/names.ts';
import { decodeLinks } from '../link-ea.ts';
import type { MetadataTarget } from '../metadata-target.ts';

/** The key's name with its NUL, rounded up to 8. */
const KEY_SIZE = 16;
const PATH_ROOM_MAX = 1 << 16;
const DEPTH_MAX = 4096;
const TOLERATED: ReadonlySet<string> = new Set([InfoKey.KEY_READ_ONLY, InfoKey.KEY_EVICT_BY_NID]);

function keyName(key: Uint8Array): string {
  const nul = key.indexOf(0);
  return Buffer.from(nul === -1 ? key : key.subarray(0, nul)).toString('latin1');
}

export function getInfo(mdt: MetadataTarget): Operation<typeof RQF_MDS_FID2PATH> {
  return {
    format: RQF_MDS_FID2PATH,
    handle(call) {
      const key = required(call.values, 'getinfo_key');
      if (keyName(key) !== InfoKey.KEY_FID2PATH) throw errnoError(95, { syscall: 'get_info' });
      const valueSize = required(call.values, 'getinfo_vallen');
      const { littleEndian } = call.request.message;
      const request = GetinfoFid2path.decode(key, KEY_SIZE, littleEndian);
      const room = request.gf_pathlen;
      if (room !== valueSize - GetinfoFid2path.size || room > PATH_ROOM_MAX)
        throw errnoError(22, { syscall: 'fid2path' });
      if (!isSaneFid(request.gf_fid) || !isNamespaceVisible(request.gf_fid))
        throw errnoError(22, { syscall: 'fid2path' });
      const rootAt = KEY_SIZE + GetinfoFid2path.size;
      const root = key.length >= rootAt + LuFid.size ? LuFid.decode(key, rootAt, littleEndian) : ROOT_FID;
      if (room < 3) throw errnoError(75, { syscall: 'fid2path' });
      const { path, links } = pathOf(mdt, request.gf_fid, root, request.gf_linkno);
      if (path.length + 1 > room) throw errnoError(36, { syscall: 'fid2path' });
      const value = new Uint8Array(GetinfoFid2path.size + room);
      const next = request.gf_linkno + 1 < links ? request.gf_linkno + 1 : request.gf_linkno;
      GetinfoFid2path.encodeInto(value, 0, { ...request, gf_linkno: next });
      value.set(path, GetinfoFid2path.size);
      call.reply({ getinfo_val: value });
    },
  };
}

/** The path below `root`, by the link EAs; `link` chooses among an object's names. */
function pathOf(mdt: MetadataTarget, fid: Fid, root: Fid, link: number): { path: Buffer; links: number } {
  const parts: Buffer[] = [];
  let at = fid;
  let links = 1;
  mdt.view.inode(fid);
  for (let depth = 0; !sameFid(at, root); depth++) {
    if (sameFid(at, ROOT_FID) || depth > DEPTH_MAX) throw errnoError(2, { syscall: 'fid2path' });
    const ea = mdt.view.xattr(at, XattrName.XATTR_NAME_LINK);
    const names = decodeLinks(ea);
    if (names.length === 0) throw errnoError(ea === undefined ? 61 : 2, { syscall: 'fid2path' });
    if (depth === 0) links = names.length;
    const chosen = names[depth === 0 ? Math.min(link, names.length - 1) : 0]!;
    parts.unshift(Buffer.from(chosen.name));
    at = chosen.parent;
  }
  const separated = parts.flatMap((part, i) => (i === 0 ? [part] : [Buffer.from('/'), part]));
  return { path: Buffer.concat(separated), links };
}

export function setInfo(_mdt: MetadataTarget): Operation<typeof RQF_MDT_SET_INFO> {
  return {
    format: RQF_MDT_SET_INFO,
    handle(call) {
      const key = keyName(required(call.values, 'setinfo_key'));
      // There is no changelog, so nobody is registered for it.
      if (key === InfoKey.KEY_CHANGELOG_CLEAR) throw errnoError(2, { syscall: 'changelog_clear' });
      if (!TOLERATED.has(key)) throw errnoError(22, { syscall: 'set_info' });
      call.reply({});
    },
  };
}
