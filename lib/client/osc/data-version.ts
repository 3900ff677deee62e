/** OST_GETATTR (guide 12 §4.1, guide 17 §12): the version of an object's data, which every change of them raises. */
import { ProtocolError } from '../../runtime/errors.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_OST_GETATTR } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { ObdoFlag } from '../../wire/ost-constants.ts';
import { type RequestOptions, requestOptions } from '../request-options.ts';
import { objectOnly } from './obdo.ts';
import type { StripeObject } from './stripe-object.ts';
import { type ObjectTarget, OST_REQUEST_PORTAL } from './target.ts';

/** What clients have in their caches: left there, written out by writers, or given up by everybody. */
export type VersionFlush = 'none' | 'read' | 'write';

export function dataVersionRequest(
  object: StripeObject,
  flush: VersionFlush,
): RequestInputs<typeof RQF_OST_GETATTR> {
  const o_flags = flushFlags(flush);
  return {
    ost_body: { oa: { ...objectOnly(object, o_flags === 0 ? 0n : MdValid.OBD_MD_FLFLAGS), o_flags } },
  };
}

export function flushFlags(flush: VersionFlush): number {
  if (flush === 'none') return 0;
  return ObdoFlag.OBD_FL_SRVLOCK | (flush === 'write' ? ObdoFlag.OBD_FL_FLUSH : 0);
}

export async function dataVersion(
  ost: ObjectTarget,
  object: StripeObject,
  flush: VersionFlush,
  options: RequestOptions = {},
): Promise<bigint> {
  const reply = await ost.caller.call(RQF_OST_GETATTR, dataVersionRequest(object, flush), {
    requestPortal: OST_REQUEST_PORTAL,
    ...requestOptions(options),
  });
  const { oa } = required(reply.values, 'ost_body');
  if ((oa.o_valid & MdValid.OBD_MD_FLDATAVERSION) === 0n)
    throw new ProtocolError('EOPNOTSUPP', 'the server keeps no versions of data', { target: ost.name });
  return oa.o_data_version;
}
