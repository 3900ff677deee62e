/**
 * Layout EAs of files (guide 13 §2): v1 and v3, raid0. Always little-endian, whatever the message around them. They
 * come from servers and from other clients' setxattr, so every count and id is checked.
 */
import type { Fid } from '../fid/fid.ts';
import { fidToOstId, lmmOi, lmmOiToFid, ostIdToFid } from '../fid/ost-id.ts';
import { LustreError, ProtocolError } from '../runtime/errors.ts';
import { LovConstant } from '../wire/layout-constants.ts';
import { LovMdsMdV1, LovMdsMdV3, LovOstDataV1 } from '../wire/layout-structs.ts';
import type { StripeGeometry } from './raid0.ts';

const {
  LOV_MAGIC_V1,
  LOV_MAGIC_V3,
  LOV_PATTERN_RAID0,
  LOV_PATTERN_OVERSTRIPING,
  LOV_PATTERN_F_MASK,
  LOV_PATTERN_F_HOLE,
  LOV_PATTERN_F_RELEASED,
  LOV_V1_INSANE_STRIPE_COUNT,
} = LovConstant;

/** Stripe sizes are multiples of this. */
export const STRIPE_SIZE_STEP = 65536;

export interface LayoutObject {
  readonly fid: Fid;
  readonly ostIndex: number;
}

/** A plain (v1 or v3) raid0 layout. */
export interface Raid0Layout extends StripeGeometry {
  /** The file that it belongs to. */
  readonly fid: Fid;
  readonly generation: number;
  /** '' where there is none. */
  readonly pool: string;
  /** In stripe order; empty when the file is released to an archive. */
  readonly objects: readonly LayoutObject[];
  readonly released: boolean;
  /** Several stripes may lie on one OST. */
  readonly overstriped: boolean;
}

/** Reads a layout EA. Throws EPROTO for a malformed one and ENOTSUP (named) for a kind that is not supported yet. */
export function decodeLayout(ea: Uint8Array): Raid0Layout {
  if (ea.length < LovMdsMdV1.size) throw malformed(`has ${ea.length} bytes`);
  const magic = new DataView(ea.buffer, ea.byteOffset, ea.length).getUint32(0, true);
  if (magic !== LOV_MAGIC_V1 && magic !== LOV_MAGIC_V3) throw unsupportedMagic(magic);
  const v3 = magic === LOV_MAGIC_V3;
  if (v3 && ea.length < LovMdsMdV3.size) throw malformed(`has ${ea.length} bytes`);
  const head = v3 ? LovMdsMdV3.decode(ea) : { ...LovMdsMdV1.decode(ea), lmm_pool_name: '' };
  const flags = (head.lmm_pattern & LOV_PATTERN_F_MASK) >>> 0;
  checkPattern(head.lmm_pattern, flags);
  const released = (flags & LOV_PATTERN_F_RELEASED) !== 0;
  const count = head.lmm_stripe_count;
  if (count === 0 || count > LOV_V1_INSANE_STRIPE_COUNT) throw malformed(`has ${count} stripes`);
  if (head.lmm_stripe_size === 0 || head.lmm_stripe_size % STRIPE_SIZE_STEP !== 0)
    throw malformed(`has a stripe size of ${head.lmm_stripe_size} bytes`);
  if (head.lmm_oi.oi.oi_id === 0n) throw malformed('belongs to object 0');
  return {
    fid: lmmOiToFid(head.lmm_oi),
    stripeSize: head.lmm_stripe_size,
    stripeCount: count,
    generation: head.lmm_layout_gen,
    pool: head.lmm_pool_name,
    objects: released ? [] : decodeObjects(ea, v3 ? LovMdsMdV3.size : LovMdsMdV1.size, count),
    released,
    overstriped: (head.lmm_pattern & LOV_PATTERN_OVERSTRIPING) !== 0,
  };
}

function decodeObjects(ea: Uint8Array, at: number, count: number): LayoutObject[] {
  if (ea.length < at + count * LovOstDataV1.size)
    throw malformed(`has ${count} stripes in ${ea.length} bytes`);
  return Array.from({ length: count }, (_, i) => {
    const data = LovOstDataV1.decode(ea, at + i * LovOstDataV1.size);
    if (data.l_ost_idx > LOV_V1_INSANE_STRIPE_COUNT) throw malformed(`names OST ${data.l_ost_idx}`);
    const { oi } = data.l_ost_oi;
    if (oi.oi_id === 0n && oi.oi_seq === 0n) throw unsupported('a layout with missing objects (F_HOLE)');
    return { fid: ostIdToFid(data.l_ost_oi, data.l_ost_idx), ostIndex: data.l_ost_idx };
  });
}

function checkPattern(pattern: number, flags: number): void {
  const base = pattern & 0xffff & ~LOV_PATTERN_OVERSTRIPING;
  if ((flags & LOV_PATTERN_F_HOLE) !== 0) throw unsupported('a layout with missing objects (F_HOLE)');
  if (base === LovConstant.LOV_PATTERN_MDT) throw unsupported('data on MDT');
  if (base !== LOV_PATTERN_RAID0) throw unsupported(`the layout pattern 0x${pattern.toString(16)}`);
}

/** Writes a layout EA: v1, or v3 when there is a pool. */
export function encodeLayout(layout: Raid0Layout): Uint8Array {
  const v3 = layout.pool !== '';
  const head = v3 ? LovMdsMdV3 : LovMdsMdV1;
  const objects = layout.released ? [] : layout.objects;
  const ea = new Uint8Array(head.size + objects.length * LovOstDataV1.size);
  const pattern =
    (LOV_PATTERN_RAID0 |
      (layout.overstriped ? LOV_PATTERN_OVERSTRIPING : 0) |
      (layout.released ? LOV_PATTERN_F_RELEASED : 0)) >>>
    0;
  const value = {
    lmm_pattern: pattern,
    lmm_oi: lmmOi(layout.fid),
    lmm_stripe_size: layout.stripeSize,
    lmm_stripe_count: layout.stripeCount,
    lmm_layout_gen: layout.generation,
  };
  if (v3) LovMdsMdV3.encodeInto(ea, 0, { ...value, lmm_magic: LOV_MAGIC_V3, lmm_pool_name: layout.pool });
  else LovMdsMdV1.encodeInto(ea, 0, { ...value, lmm_magic: LOV_MAGIC_V1 });
  objects.forEach((object, i) => {
    LovOstDataV1.encodeInto(ea, head.size + i * LovOstDataV1.size, {
      l_ost_oi: fidToOstId(object.fid),
      l_ost_idx: object.ostIndex,
    });
  });
  return ea;
}

export function unsupportedMagic(magic: number): Error {
  const names: Record<number, string> = {
    [LovConstant.LOV_MAGIC_COMP_V1]: 'a composite layout (PFL, mirrors)',
    [LovConstant.LOV_MAGIC_SEL]: 'a self-extending layout',
    [LovConstant.LOV_MAGIC_FOREIGN]: 'a foreign layout',
    [LovConstant.LOV_MAGIC_SPECIFIC]: 'a layout with a list of OSTs',
  };
  const name = names[magic];
  return name === undefined ? malformed(`has the magic 0x${magic.toString(16)}`) : unsupported(name);
}

function unsupported(what: string): LustreError {
  return new LustreError('ENOTSUP', `${what} is not supported yet`, {}, -95);
}

function malformed(how: string): ProtocolError {
  return new ProtocolError('EPROTO', `the layout ${how}`);
}
