/** OST_PUNCH (guide 12 §4.3): cuts or grows an object to a size. */

import { fidToOstId } from '../../fid/ost-id.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_OST_PUNCH } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { Obdo } from '../../wire/ost-structs.ts';
import { type RequestOptions, requestOptions } from '../request-options.ts';
import { layoutVersion, ownerFields, stripeObdo } from './obdo.ts';
import { EOF, type Owner, type StripeObject } from './stripe-object.ts';
import type { ObjectTarget } from './target.ts';

/** `lockHandle`: of the lock on data that an MDT keeps; it knows the file itself, and has no use for the rest. */
export function punchRequest(
  object: StripeObject,
  size: number,
  time: bigint,
  owner: Owner,
  lockHandle?: bigint,
): RequestInputs<typeof RQF_OST_PUNCH> {
  if (lockHandle !== undefined) return punchOnMdt(object, size, time, lockHandle);
  const version = layoutVersion(object);
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
        ...stripeObdo(object, valid | version.valid),
        ...version.fields,
        o_size: BigInt(size),
        o_blocks: EOF,
        o_mtime: time,
        o_ctime: time,
        ...ownerFields(object, owner),
      },
    },
  };
}

function punchOnMdt(
  object: StripeObject,
  size: number,
  time: bigint,
  lockHandle: bigint,
): RequestInputs<typeof RQF_OST_PUNCH> {
  const o_valid =
    MdValid.OBD_MD_FLID |
    MdValid.OBD_MD_FLGROUP |
    MdValid.OBD_MD_FLATIME |
    MdValid.OBD_MD_FLMTIME |
    MdValid.OBD_MD_FLCTIME |
    MdValid.OBD_MD_FLSIZE |
    MdValid.OBD_MD_FLBLOCKS |
    MdValid.OBD_MD_FLHANDLE;
  const times = { o_atime: time, o_mtime: time, o_ctime: time };
  const o_oi = fidToOstId(object.fid);
  return {
    ost_body: {
      oa: { o_valid, o_oi, o_size: BigInt(size), o_blocks: EOF, ...times, o_handle: lockHandle },
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
  options: RequestOptions & { readonly lockHandle?: bigint } = {},
): Promise<Obdo> {
  const request = punchRequest(object, size, time, owner, options.lockHandle);
  const reply = await ost.caller.call(RQF_OST_PUNCH, request, {
    requestPortal: ost.ioPortal,
    ...requestOptions(options),
  });
  return required(reply.values, 'ost_body').oa;
}
