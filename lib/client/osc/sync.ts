/** OST_SYNC (guide 12 §4.6): makes an object durable. */

import type { RequestInputs } from '../../wire/format.ts';
import { RQF_OST_SYNC } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { type RequestOptions, requestOptions } from '../request-options.ts';
import { objectObdo } from './obdo.ts';
import { EOF, type StripeObject } from './stripe-object.ts';
import { type ObjectTarget, OST_REQUEST_PORTAL } from './target.ts';

/** The whole object. Servers refuse a request without an id (guide 12 §4.6). */
export function syncRequest(object: StripeObject): RequestInputs<typeof RQF_OST_SYNC> {
  const valid = MdValid.OBD_MD_FLSIZE | MdValid.OBD_MD_FLBLOCKS;
  return { ost_body: { oa: { ...objectObdo(object, valid), o_size: 0n, o_blocks: EOF } } };
}

export async function sync(
  ost: ObjectTarget,
  object: StripeObject,
  options: RequestOptions = {},
): Promise<void> {
  await ost.caller.call(RQF_OST_SYNC, syncRequest(object), {
    requestPortal: OST_REQUEST_PORTAL,
    ...requestOptions(options),
  });
}
