/** OST_LADVISE (guide 12 §4.7): what is going to happen to a range of an object. */
import type { RequestInputs } from '../../wire/format.ts';
import { RQF_OST_LADVISE } from '../../wire/formats.ts';
import { Ladvise } from '../../wire/ost-constants.ts';
import { type RequestOptions, requestOptions } from '../request-options.ts';
import { childObdo } from './obdo.ts';
import { EOF, type StripeObject } from './stripe-object.ts';
import type { ObjectTarget } from './target.ts';

/** What servers are told. */
export type ServerAdvice = Exclude<Advice, 'lockread' | 'lockwrite'>;

/** `willread`: the server may read it ahead; `dontneed`: it may forget it; `lockread`, `lockwrite`: a lock ahead of reads or
 * writes (guide 08 §3.3), of just these bytes, and only if nobody has to give one back for it. */
export type Advice = 'willread' | 'dontneed' | 'lockread' | 'lockwrite';

const ADVICE = { willread: Ladvise.LU_LADVISE_WILLREAD, dontneed: Ladvise.LU_LADVISE_DONTNEED } as const;

export interface LadviseRange {
  readonly advice: ServerAdvice;
  /** Bytes `[start, end)` of the object; an end of Infinity is the object's. */
  readonly start: number;
  readonly end: number;
  /** The server answers before it has done it. */
  readonly background: boolean;
}

export function ladviseRequest(
  object: StripeObject,
  { advice, start, end, background }: LadviseRange,
): RequestInputs<typeof RQF_OST_LADVISE> {
  return {
    ost_body: { oa: childObdo(object, 0n) },
    ost_ladvise_hdr: {
      lah_magic: Ladvise.LADVISE_MAGIC,
      lah_count: 1,
      lah_flags: background ? BigInt(Ladvise.LF_ASYNC) : 0n,
    },
    ost_ladvise: [
      {
        lla_advice: ADVICE[advice],
        lla_start: BigInt(start),
        lla_end: end === Number.POSITIVE_INFINITY ? EOF : BigInt(end),
      },
    ],
  };
}

export async function ladvise(
  ost: ObjectTarget,
  object: StripeObject,
  range: LadviseRange,
  options: RequestOptions = {},
): Promise<void> {
  await ost.caller.call(RQF_OST_LADVISE, ladviseRequest(object, range), requestOptions(options));
}
