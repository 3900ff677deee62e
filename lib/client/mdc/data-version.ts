/** MDS_GETATTR that asks for the version of the data that an MDT keeps itself (guide 17 §12). */
import type { Fid } from '../../fid/fid.ts';
import { ProtocolError } from '../../runtime/errors.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_MDS_GETATTR } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { flushFlags, type VersionFlush } from '../osc/data-version.ts';
import { MDS_REQUEST_PORTAL, type MetadataTarget, type RequestOptions } from './target.ts';

export function dataVersionRequest(fid: Fid, flush: VersionFlush): RequestInputs<typeof RQF_MDS_GETATTR> {
  const { OBD_MD_FLID, OBD_MD_FLDATAVERSION, OBD_MD_FLFLAGS } = MdValid;
  const mbo_flags = flushFlags(flush);
  return {
    mdt_body: {
      mbo_fid1: fid,
      mbo_valid: OBD_MD_FLID | OBD_MD_FLDATAVERSION | (mbo_flags === 0 ? 0n : OBD_MD_FLFLAGS),
      mbo_flags,
    },
  };
}

export async function dataVersion(
  mdc: MetadataTarget,
  fid: Fid,
  flush: VersionFlush,
  options: RequestOptions = {},
): Promise<bigint> {
  const reply = await mdc.caller.call(RQF_MDS_GETATTR, dataVersionRequest(fid, flush), {
    requestPortal: MDS_REQUEST_PORTAL,
    ...options,
  });
  const body = required(reply.values, 'mdt_body');
  if ((body.mbo_valid & MdValid.OBD_MD_FLDATAVERSION) === 0n)
    throw new ProtocolError('EOPNOTSUPP', 'the server keeps no versions of data', { target: mdc.name });
  return body.mbo_version;
}
