/**
 * Asking for a layout (guide 13 §9): what users write for a new file or a directory's default, as `lov_user_md`, and
 * what they are shown.
 */
import { LustreError, ProtocolError } from '../runtime/errors.ts';
import { LovConstant } from '../wire/layout-constants.ts';
import { LovUserMdV1, LovUserMdV3 } from '../wire/layout-structs.ts';
import { type Raid0Layout, STRIPE_SIZE_STEP, unsupportedMagic } from './layout-ea.ts';

const { LOV_USER_MAGIC_V1, LOV_USER_MAGIC_V3, LOV_MAXPOOLNAME, LOV_MAX_STRIPE_COUNT } = LovConstant;
/** In the 16-bit fields: all OSTs; any OST. */
const ALL = 0xffff;

/** How a file or what is made in a directory is to be laid out. What is left out is for the MDS to choose. */
export interface StripingOptions {
  /** OSTs to stripe over; -1 for all of them. */
  readonly stripeCount?: number;
  /** Bytes on one OST before the next: a multiple of 65536. */
  readonly stripeSize?: number;
  /** Index of the first OST; -1 for any. */
  readonly stripeOffset?: number;
  /** Name of a pool of OSTs, at most 15 characters. */
  readonly pool?: string;
}

/** A layout as users see it. */
export interface Layout {
  /** -1 in a default: all OSTs. 0 in a default: the file system's default. */
  readonly stripeCount: number;
  /** Bytes; 0 in a default: the file system's default. */
  readonly stripeSize: number;
  /** Index of the OST of the first stripe; -1 in a default: any. */
  readonly stripeOffset: number;
  /** Undefined where there is none. */
  readonly pool: string | undefined;
  /** Counts changes; undefined in a default. */
  readonly generation: number | undefined;
  /** The objects in stripe order; empty in a default. */
  readonly objects: readonly { readonly ostIndex: number; readonly seq: bigint; readonly oid: number }[];
}

export function hasStriping(options: StripingOptions): boolean {
  const { stripeCount, stripeSize, stripeOffset, pool } = options;
  return [stripeCount, stripeSize, stripeOffset, pool].some((value) => value !== undefined);
}

/** `lov_user_md` for these wishes: v1, or v3 with a pool. Throws EINVAL for values that no server takes. */
export function encodeStriping(options: StripingOptions): Uint8Array {
  const { stripeCount = 0, stripeSize = 0, stripeOffset = -1, pool = '' } = options;
  if (!Number.isInteger(stripeCount) || stripeCount < -1 || stripeCount > LOV_MAX_STRIPE_COUNT)
    throw invalid(`stripeCount ${stripeCount}`, `Give 1 to ${LOV_MAX_STRIPE_COUNT}, or -1 for all OSTs`);
  if (
    !Number.isInteger(stripeSize) ||
    stripeSize < 0 ||
    stripeSize > 0xffff_0000 ||
    stripeSize % STRIPE_SIZE_STEP !== 0
  )
    throw invalid(`stripeSize ${stripeSize}`, `Give a multiple of ${STRIPE_SIZE_STEP} bytes`);
  if (!Number.isInteger(stripeOffset) || stripeOffset < -1 || stripeOffset >= ALL)
    throw invalid(`stripeOffset ${stripeOffset}`, 'Give the index of an OST, or -1 for any');
  if (Buffer.byteLength(pool) > LOV_MAXPOOLNAME)
    throw invalid(`pool '${pool}'`, `Pool names have at most ${LOV_MAXPOOLNAME} characters`);
  const value = {
    lmm_pattern: LovConstant.LOV_PATTERN_RAID0,
    lmm_stripe_size: stripeSize,
    lmm_stripe_count: stripeCount === -1 ? ALL : stripeCount,
    // The same two bytes as lmm_layout_gen: where a layout is asked for they say the first OST.
    lmm_layout_gen: stripeOffset === -1 ? ALL : stripeOffset,
  };
  return pool === ''
    ? LovUserMdV1.encode({ ...value, lmm_magic: LOV_USER_MAGIC_V1 })
    : LovUserMdV3.encode({ ...value, lmm_magic: LOV_USER_MAGIC_V3, lmm_pool_name: pool });
}

/** Reads a directory's default layout. Throws EPROTO for a malformed one, ENOTSUP for a kind not supported yet. */
export function decodeStriping(ea: Uint8Array): Layout {
  const magic = ea.length >= 4 ? new DataView(ea.buffer, ea.byteOffset, ea.length).getUint32(0, true) : 0;
  const v3 = magic === LOV_USER_MAGIC_V3;
  if (ea.length < (v3 ? LovUserMdV3.size : LovUserMdV1.size))
    throw new ProtocolError('EPROTO', `the default layout has ${ea.length} bytes`);
  if (magic !== LOV_USER_MAGIC_V1 && !v3) throw unsupportedMagic(magic);
  const head = v3 ? LovUserMdV3.decode(ea) : { ...LovUserMdV1.decode(ea), lmm_pool_name: '' };
  return {
    stripeCount: head.lmm_stripe_count === ALL ? -1 : head.lmm_stripe_count,
    stripeSize: head.lmm_stripe_size,
    stripeOffset: head.lmm_stripe_offset === ALL ? -1 : head.lmm_stripe_offset,
    pool: head.lmm_pool_name === '' ? undefined : head.lmm_pool_name,
    generation: undefined,
    objects: [],
  };
}

/** A file's layout as users see it. */
export function describeLayout(layout: Raid0Layout): Layout {
  return {
    stripeCount: layout.stripeCount,
    stripeSize: layout.stripeSize,
    stripeOffset: layout.objects[0]?.ostIndex ?? -1,
    pool: layout.pool === '' ? undefined : layout.pool,
    generation: layout.generation,
    objects: layout.objects.map(({ fid, ostIndex }) => ({ ostIndex, seq: fid.f_seq, oid: fid.f_oid })),
  };
}

function invalid(what: string, hint: string): LustreError {
  return new LustreError('EINVAL', `${what} is not possible`, { hint }, -22);
}
