/** OST_GET_INFO with the key `fiemap` (guide 12 §9): the extents of an object on its server's disk. */
import { Errno, errnoError, ProtocolError } from '../../runtime/errors.ts';
import { type RequestInputs, required } from '../../wire/format.ts';
import { RQF_OST_GET_INFO_FIEMAP } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { Fiemap as Flag, ObdoFlag } from '../../wire/ost-constants.ts';
import { Fiemap, FiemapExtent } from '../../wire/ost-structs.ts';
import { type RequestOptions, requestOptions } from '../request-options.ts';
import { childObdo } from './obdo.ts';
import type { StripeObject } from './stripe-object.ts';
import { type ObjectTarget, OST_REQUEST_PORTAL } from './target.ts';

/** Extents of one request: what fits 4 KiB. */
const EXTENTS_AT_ONCE = 72;
/** Extents of an object that are asked for before that is given up. */
const EXTENTS_MAX = 1_000_000;

export interface FiemapRange {
  /** Bytes `[start, end)` of the object. */
  readonly start: number;
  readonly end: number;
  /** Of the file. */
  readonly fileSize: number;
  /** This client has a lock on the range; else the server makes others write first. */
  readonly locked: boolean;
}

/** As `FIEMAP_EXTENT_` names them. */
export interface ObjectExtent {
  readonly offset: number;
  readonly length: number;
  /** On the server's disk; 0 where it does not say. */
  readonly physical: number;
  readonly flags: number;
}

export function fiemapRequest(
  object: StripeObject,
  { start, end, fileSize, locked }: FiemapRange,
  count = EXTENTS_AT_ONCE,
): RequestInputs<typeof RQF_OST_GET_INFO_FIEMAP> {
  const { OBD_MD_FLPROJID, OBD_MD_FLSIZE, OBD_MD_FLFLAGS } = MdValid;
  const fiemap = {
    fm_start: BigInt(start),
    fm_length: BigInt(end - start),
    fm_flags: Flag.FIEMAP_FLAG_SYNC,
    fm_extent_count: count,
  };
  const value = new Uint8Array(Fiemap.size + count * FiemapExtent.size);
  value.set(Fiemap.encode(fiemap));
  return {
    fiemap_key: {
      lfik_name: 'fiemap',
      lfik_oa: {
        ...childObdo(object, OBD_MD_FLPROJID | OBD_MD_FLSIZE | OBD_MD_FLFLAGS),
        o_size: BigInt(fileSize),
        o_flags: locked ? 0 : ObdoFlag.OBD_FL_SRVLOCK,
      },
      lfik_fiemap: fiemap,
    },
    fiemap_val: value,
  };
}

/** All extents of a range of an object, in order. Rejects with EOPNOTSUPP where the server's disk cannot say. */
export async function fiemap(
  ost: ObjectTarget,
  object: StripeObject,
  range: FiemapRange,
  options: RequestOptions = {},
): Promise<ObjectExtent[]> {
  const extents: ObjectExtent[] = [];
  for (let at = range.start; at < range.end; ) {
    const request = fiemapRequest(object, { ...range, start: at });
    const reply = await ost.caller.call(RQF_OST_GET_INFO_FIEMAP, request, {
      requestPortal: OST_REQUEST_PORTAL,
      replyRoom: Fiemap.size + EXTENTS_AT_ONCE * FiemapExtent.size,
      ...requestOptions(options),
    });
    const some = decodeExtents(required(reply.values, 'fiemap_val'), at, ost.name);
    extents.push(...some);
    if (extents.length > EXTENTS_MAX)
      throw errnoError(Errno.EOVERFLOW, { ...options.context, target: ost.name });
    const last = some.at(-1);
    if (some.length < EXTENTS_AT_ONCE || last === undefined) break;
    if ((last.flags & Flag.FIEMAP_EXTENT_LAST) !== 0) break;
    at = last.offset + last.length;
  }
  return extents;
}

/** Checks that they go on from `at`, so that asking for more ends. */
export function decodeExtents(bytes: Uint8Array, at: number, target: string): ObjectExtent[] {
  const bad = (what: string): Error => new ProtocolError('EPROTO', `a map of extents ${what}`, { target });
  if (bytes.length < Fiemap.size) throw bad(`of ${bytes.length} bytes`);
  const { fm_mapped_extents: count } = Fiemap.decode(bytes);
  if (count > (bytes.length - Fiemap.size) / FiemapExtent.size)
    throw bad(`claims ${count} extents in ${bytes.length} bytes`);
  const extents: ObjectExtent[] = [];
  let end = at;
  for (let i = 0; i < count; i++) {
    const e = FiemapExtent.decode(bytes, Fiemap.size + i * FiemapExtent.size);
    const offset = Number(e.fe_logical);
    const length = Number(e.fe_length);
    if (length === 0 || offset + length <= end || !Number.isSafeInteger(offset + length))
      throw bad('is out of order');
    end = offset + length;
    extents.push({ offset, length, physical: Number(e.fe_physical), flags: e.fe_flags });
  }
  return extents;
}
