/** OST_FALLOCATE (guide 12 §4.4): reserves a range of an object, or makes it a hole. */
import { fidToOstId } from '../../fid/ost-id.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_OST_FALLOCATE } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { Obdo } from '../../wire/ost-structs.ts';
import { type RequestOptions, requestOptions } from '../request-options.ts';
import { layoutVersion, ownerFields, stripeObdo } from './obdo.ts';
import type { Owner, StripeObject } from './stripe-object.ts';
import type { ObjectTarget } from './target.ts';

/** `reserve` makes the object longer where it ends before; a hole never does. */
export type FallocateMode = 'reserve' | 'reserve-keep-size' | 'hole';

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const MODES = {
  reserve: 0,
  'reserve-keep-size': FALLOC_FL_KEEP_SIZE,
  hole: FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
} as const;

const RANGE = MdValid.OBD_MD_FLSIZE | MdValid.OBD_MD_FLBLOCKS;

export interface Fallocate {
  readonly mode: FallocateMode;
  /** Bytes `[start, end)` of the object. */
  readonly start: number;
  readonly end: number;
}

export function fallocateRequest(
  object: StripeObject,
  { mode, start, end }: Fallocate,
  owner: Owner,
): RequestInputs<typeof RQF_OST_FALLOCATE> {
  const version = layoutVersion(object);
  const valid = RANGE | MdValid.OBD_MD_FLUID | MdValid.OBD_MD_FLGID | MdValid.OBD_MD_FLPROJID;
  return {
    ost_body: {
      oa: {
        ...stripeObdo(object, valid | version.valid),
        ...version.fields,
        o_size: BigInt(start),
        o_blocks: BigInt(end),
        o_nlink: MODES[mode],
        ...ownerFields(object, owner),
      },
    },
  };
}

/** Of data that an MDT keeps: it knows the file itself. */
export function fallocateOnMdtRequest(
  object: StripeObject,
  { mode, start, end }: Fallocate,
  time: bigint,
  lockHandle: bigint,
): RequestInputs<typeof RQF_OST_FALLOCATE> {
  const { OBD_MD_FLID, OBD_MD_FLGROUP, OBD_MD_FLATIME, OBD_MD_FLMTIME, OBD_MD_FLCTIME, OBD_MD_FLHANDLE } =
    MdValid;
  const times = OBD_MD_FLATIME | OBD_MD_FLMTIME | OBD_MD_FLCTIME;
  return {
    ost_body: {
      oa: {
        o_valid: OBD_MD_FLID | OBD_MD_FLGROUP | times | RANGE | OBD_MD_FLHANDLE,
        o_oi: fidToOstId(object.fid),
        o_size: BigInt(start),
        o_blocks: BigInt(end),
        o_nlink: MODES[mode],
        o_atime: time,
        o_mtime: time,
        o_ctime: time,
        o_handle: lockHandle,
      },
    },
  };
}

/** Under a PW lock on the range. The reply has size and blocks. Rejects with EOPNOTSUPP where the server's disk cannot. */
export async function fallocate(
  ost: ObjectTarget,
  request: RequestInputs<typeof RQF_OST_FALLOCATE>,
  options: RequestOptions = {},
): Promise<Obdo> {
  const reply = await ost.caller.call(RQF_OST_FALLOCATE, request, {
    requestPortal: ost.ioPortal,
    ...requestOptions(options),
  });
  return required(reply.values, 'ost_body').oa;
}
