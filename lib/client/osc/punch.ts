/** OST_PUNCH (guide 12 §4.3): cuts or grows an object to a size. */

import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_OST_PUNCH } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { Obdo } from '../../wire/ost-structs.ts';
import { type RequestOptions, requestOptions } from '../request-options.ts';
import { stripeObdo } from './obdo.ts';
import { EOF, type ObjectTarget, type Owner, type StripeObject } from './target.ts';

export function punchRequest(
  object: StripeObject,
  size: number,
  time: bigint,
  owner: Owner,
): RequestInputs<typeof RQF_OST_PUNCH> {
  const valid =
    MdValid.OBD_MD_FLSIZE |
    MdValid.OBD_MD_FLBLOCKS |
    MdValid.OBD_MD_FLUID |
    MdValid.OBD_MD_FLGID |
    MdValid.OBD_MD_FLPROJID |
    MdValid.OBD_MD_FLMTIME |
    MdValid.OBD_MD_FLCTIME;
  return {
    ost_body: {
      oa: {
        ...stripeObdo(object, valid),
        o_size: BigInt(size),
        o_blocks: EOF,
        o_mtime: time,
        o_ctime: time,
        o_uid: owner.uid,
        o_gid: owner.gid,
      },
    },
  };
}

/** Under a PW lock on what is cut. The reply has the blocks that are left. */
export async function punch(
  ost: ObjectTarget,
  object: StripeObject,
  size: number,
  time: bigint,
  owner: Owner,
  options: RequestOptions = {},
): Promise<Obdo> {
  const reply = await ost.caller.call(RQF_OST_PUNCH, punchRequest(object, size, time, owner), {
    requestPortal: ost.ioPortal,
    ...requestOptions(options),
  });
  return required(reply.values, 'ost_body').oa;
}
