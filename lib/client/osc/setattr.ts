/** OST_SETATTR (guide 12 §4.2, guide 11 §3): times of an object. */

import type { RequestInputs } from '../../wire/format.ts';
import { RQF_OST_SETATTR } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { type RequestOptions, requestOptions } from '../request-options.ts';
import { stripeObdo } from './obdo.ts';
import type { ObjectTimes, StripeObject } from './stripe-object.ts';
import { type ObjectTarget, OST_REQUEST_PORTAL } from './target.ts';

export function setattrRequest(
  object: StripeObject,
  times: ObjectTimes,
): RequestInputs<typeof RQF_OST_SETATTR> {
  const valid =
    MdValid.OBD_MD_FLCTIME |
    (times.atime === undefined ? 0n : MdValid.OBD_MD_FLATIME) |
    (times.mtime === undefined ? 0n : MdValid.OBD_MD_FLMTIME);
  return {
    ost_body: {
      oa: { ...stripeObdo(object, valid), o_atime: times.atime, o_mtime: times.mtime, o_ctime: times.ctime },
    },
  };
}

export async function setattr(
  ost: ObjectTarget,
  object: StripeObject,
  times: ObjectTimes,
  options: RequestOptions = {},
): Promise<void> {
  await ost.caller.call(RQF_OST_SETATTR, setattrRequest(object, times), {
    requestPortal: OST_REQUEST_PORTAL,
    ...requestOptions(options),
  });
}
