/** MDS_GET_INFO "fid2path" (guide 07 §9): the path of an object below the mounted root. */
import { type Fid, formatFid } from '../../fid/fid.ts';
import { ProtocolError } from '../../runtime/errors.ts';
import { GetinfoFid2path, LuFid } from '../../wire/fid-structs.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_MDS_FID2PATH } from '../../wire/formats.ts';
import { decodeText } from '../../wire/text.ts';
import type { MetadataTarget, RequestOptions } from './target.ts';

const KEY_SIZE = 16;
const PATH_MAX = 4096;
const MDS_GET_INFO = 53;

export function fid2pathRequest(
  fid: Fid,
  root: Fid,
  linkNumber: number,
): RequestInputs<typeof RQF_MDS_FID2PATH> {
  const key = new Uint8Array(KEY_SIZE + GetinfoFid2path.size + LuFid.size);
  key.set(Buffer.from('fid2path'));
  GetinfoFid2path.encodeInto(key, KEY_SIZE, {
    gf_fid: fid,
    gf_recno: 0xffff_ffff_ffff_ffffn,
    gf_linkno: linkNumber,
    gf_pathlen: PATH_MAX,
  });
  LuFid.encodeInto(key, KEY_SIZE + GetinfoFid2path.size, root);
  return { getinfo_key: key, getinfo_vallen: GetinfoFid2path.size + PATH_MAX };
}

/** A path without leading slash; '' is the root itself. Rejects with ENOENT, ENODATA, EINVAL ... */
export async function fid2path(
  mdc: MetadataTarget,
  fid: Fid,
  root: Fid,
  linkNumber = 0,
  options: RequestOptions = {},
): Promise<string> {
  const reply = await mdc.caller.call(RQF_MDS_FID2PATH, fid2pathRequest(fid, root, linkNumber), {
    opcode: MDS_GET_INFO,
    replyRoom: GetinfoFid2path.size + PATH_MAX,
    ...options,
  });
  const value = required(reply.values, 'getinfo_val');
  if (value.length < GetinfoFid2path.size) {
    throw new ProtocolError('EPROTO', `a fid2path reply has ${value.length} bytes`, {
      fid: formatFid(fid),
      target: mdc.name,
    });
  }
  const path = value.subarray(GetinfoFid2path.size);
  const end = path.indexOf(0);
  return decodeText(end === -1 ? path : path.subarray(0, end)).replace(/^\/+/, '');
}
