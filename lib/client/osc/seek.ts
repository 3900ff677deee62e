/** OST_SEEK (guide 12 §4.5): where data or a hole begins in an object. */
import { errnoError } from '../../runtime/errors.ts';
import { ConnectFlag2 } from '../../wire/connection-constants.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_OST_SEEK } from '../../wire/formats.ts';
import { type RequestOptions, requestOptions } from '../request-options.ts';
import { objectOnly } from './obdo.ts';
import type { StripeObject } from './stripe-object.ts';
import type { ObjectTarget } from './target.ts';

export type SeekWhat = 'data' | 'hole';

const WHENCE = { data: 3, hole: 4 } as const;
const ENXIO = -6;

export function seekRequest(
  object: StripeObject,
  offset: number,
  what: SeekWhat,
): RequestInputs<typeof RQF_OST_SEEK> {
  return { ost_body: { oa: { ...objectOnly(object, 0n), o_size: BigInt(offset), o_mode: WHENCE[what] } } };
}

/**
 * The first data or hole at or after `offset` of an object of `size` bytes, undefined where there is none. What is behind
 * the end counts as a hole; an object on a server that cannot say is all data.
 */
export async function seek(
  ost: ObjectTarget,
  object: StripeObject,
  size: number,
  offset: number,
  what: SeekWhat,
  options: RequestOptions = {},
): Promise<number | undefined> {
  if (offset >= size) return what === 'hole' ? offset : undefined;
  if ((ost.granted.ocd_connect_flags2 & ConnectFlag2.OBD_CONNECT2_LSEEK) === 0n)
    return what === 'hole' ? size : offset;
  const reply = await ost.caller.call(RQF_OST_SEEK, seekRequest(object, offset, what), {
    ...requestOptions(options),
  });
  // A negative errno in place of the result: the operation itself has succeeded.
  const found = Number(BigInt.asIntN(64, required(reply.values, 'ost_body').oa.o_size));
  if (found === ENXIO) return undefined;
  if (found < 0) throw errnoError(found, { ...options.context, target: ost.name });
  if (found < offset) throw errnoError(-71, { ...options.context, target: ost.name });
  return found;
}
