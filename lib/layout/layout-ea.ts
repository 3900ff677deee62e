/**
 * Layout EAs (guide 13 §2, §4): v1, v3, composite and foreign. Always little-endian, whatever the message around them. They
 * come from servers and from other clients' setxattr, so every count, offset, extent and id is checked.
 */
import { type Fid, ZERO_FID } from '../fid/fid.ts';
import { fidToOstId, lmmOi, lmmOiToFid, ostIdToFid } from '../fid/ost-id.ts';
import { ProtocolError } from '../runtime/errors.ts';
import { LcmeFlag, LovConstant } from '../wire/layout-constants.ts';
import {
  LovCompMdEntryV1,
  LovCompMdV1,
  LovForeignMd,
  LovMdsMdV1,
  LovMdsMdV3,
  LovOstDataV1,
} from '../wire/layout-structs.ts';
import { checkComponents } from './component-checks.ts';
import {
  ALL_OSTS,
  type FileLayout,
  isInstantiated,
  isOnMdt,
  isReleased,
  type LayoutComponent,
  type LayoutObject,
  TO_EOF,
} from './file-layout.ts';

const {
  LOV_MAGIC_V1,
  LOV_MAGIC_V3,
  LOV_MAGIC_COMP_V1,
  LOV_MAGIC_SEL,
  LOV_MAGIC_FOREIGN,
  LOV_V1_INSANE_STRIPE_COUNT,
  LOV_ALL_STRIPES,
} = LovConstant;

/** Stripe sizes are multiples of this. */
export const STRIPE_SIZE_STEP = 65536;
const EOF = 0xffff_ffff_ffff_ffffn;
/** The index in the place of an object that is not there yet. */
const NO_OST = 0xffff_ffff;

/** What a part (v1 or v3) says by itself. */
type Part = Pick<
  LayoutComponent,
  'pattern' | 'stripeSize' | 'stripeCount' | 'stripeOffset' | 'generation' | 'pool' | 'objects' | 'wantedOsts'
> & { readonly fid: Fid };

/** `template`: a wish or a directory's default, where zeroes stand for what is left open and no objects are listed. */
export interface DecodeOptions {
  readonly template?: boolean;
}

/** Reads a layout EA. Throws EPROTO that says what is wrong with a malformed one. */
export function decodeLayout(ea: Uint8Array, { template = false }: DecodeOptions = {}): FileLayout {
  const magic = magicOf(ea);
  if (magic === LOV_MAGIC_COMP_V1 || magic === LOV_MAGIC_SEL) return decodeComposite(ea, template);
  if (magic === LOV_MAGIC_FOREIGN) return decodeForeign(ea);
  const part = decodePart(ea, { instantiated: !template, template });
  const { fid, pattern, stripeSize, stripeCount, stripeOffset, generation, pool, objects, wantedOsts } = part;
  const component: LayoutComponent = {
    id: 0,
    flags: template ? 0 : LcmeFlag.LCME_FL_INIT,
    start: 0,
    end: TO_EOF,
    timestamp: 0n,
    pattern,
    stripeSize,
    stripeCount,
    stripeOffset,
    generation,
    pool,
    objects,
  };
  const components = [wantedOsts === undefined ? component : { ...component, wantedOsts }];
  return { fid, composite: false, generation, flags: 0, components };
}

function magicOf(ea: Uint8Array): number {
  if (ea.length < 4) throw malformed(`has ${ea.length} bytes`);
  return new DataView(ea.buffer, ea.byteOffset, ea.length).getUint32(0, true);
}

function decodeForeign(ea: Uint8Array): FileLayout {
  if (ea.length < LovForeignMd.size) throw malformed(`has ${ea.length} bytes`);
  const head = LovForeignMd.decode(ea);
  if (head.lfm_length > ea.length - LovForeignMd.size)
    throw malformed(`has a foreign value of ${head.lfm_length} bytes in ${ea.length}`);
  const value = ea.slice(LovForeignMd.size, LovForeignMd.size + head.lfm_length);
  return {
    fid: ZERO_FID,
    composite: false,
    generation: 0,
    flags: 0,
    components: [],
    foreign: { type: head.lfm_type, flags: head.lfm_flags, value },
  };
}

function decodeComposite(ea: Uint8Array, template: boolean): FileLayout {
  if (ea.length < LovCompMdV1.size) throw malformed(`has ${ea.length} bytes`);
  const head = LovCompMdV1.decode(ea);
  const first = LovCompMdV1.size + head.lcm_entry_count * LovCompMdEntryV1.size;
  if (head.lcm_size > ea.length || head.lcm_size < first)
    throw malformed(
      `says ${head.lcm_size} bytes for ${head.lcm_entry_count} components, and has ${ea.length}`,
    );
  if (head.lcm_entry_count === 0) throw malformed('has no components');
  let fid: Fid | undefined;
  let mirror = -1;
  const components = Array.from({ length: head.lcm_entry_count }, (_, i): LayoutComponent => {
    const entry = LovCompMdEntryV1.decode(ea, LovCompMdV1.size + i * LovCompMdEntryV1.size);
    const { lcme_offset: at, lcme_size: size } = entry;
    if (at < first || at > head.lcm_size || size > head.lcm_size - at)
      throw malformed(`has component ${i} at ${at} with ${size} bytes, in ${head.lcm_size}`);
    const instantiated = (entry.lcme_flags & LcmeFlag.LCME_FL_INIT) !== 0;
    const { fid: owner, ...part } = decodePart(ea.subarray(at, at + size), { instantiated, template });
    fid ??= owner;
    // Wishes have no ids yet: every component from 0 begins a mirror.
    if (entry.lcme_extent.e_start === 0n) mirror++;
    return {
      id: template ? (Math.max(mirror, 0) << 16) >>> 0 : entry.lcme_id,
      flags: entry.lcme_flags,
      start: offsetOf(entry.lcme_extent.e_start),
      end: entry.lcme_extent.e_end === EOF ? TO_EOF : offsetOf(entry.lcme_extent.e_end),
      timestamp: entry.lcme_timestamp,
      ...part,
    };
  });
  const layout = {
    fid: fid ?? ZERO_FID,
    composite: true,
    generation: head.lcm_layout_gen,
    flags: head.lcm_flags,
    components,
  };
  const wrong = checkComponents(layout, { mirrors: head.lcm_mirror_count + 1, template });
  if (wrong !== undefined) throw malformed(wrong);
  return layout;
}

function offsetOf(offset: bigint): number {
  if (offset > BigInt(Number.MAX_SAFE_INTEGER))
    throw malformed(`has a component at offset ${offset}, beyond 2^53`);
  return Number(offset);
}

function decodePart(
  ea: Uint8Array,
  { instantiated, template }: { instantiated: boolean; template: boolean },
): Part {
  const magic = magicOf(ea);
  const v3 = magic === LOV_MAGIC_V3 || (template && magic === LovConstant.LOV_MAGIC_SPECIFIC);
  if (!v3 && magic !== LOV_MAGIC_V1) throw malformed(`has the magic 0x${magic.toString(16)}`);
  const size = v3 ? LovMdsMdV3.size : LovMdsMdV1.size;
  if (ea.length < size) throw malformed(`has a part of ${ea.length} bytes`);
  // No clones of what is read: a file that is opened has its layout read, and a clone costs as much as the reading.
  const head = v3 ? LovMdsMdV3.decode(ea) : LovMdsMdV1.decode(ea);
  const pool = (head as { readonly lmm_pool_name?: string }).lmm_pool_name ?? '';
  const fid = template ? ZERO_FID : lmmOiToFid(head.lmm_oi);
  const pattern =
    template && isOpenPattern(head.lmm_pattern) ? LovConstant.LOV_PATTERN_RAID0 : head.lmm_pattern >>> 0;
  const { lmm_stripe_size: stripeSize, lmm_stripe_count: count } = head;
  checkPart({ pattern, stripeSize }, count, head.lmm_oi.oi.oi_id, { instantiated, template });
  if (!instantiated) {
    const offset = head.lmm_layout_gen === LovConstant.LOV_OFFSET_DEFAULT ? -1 : head.lmm_layout_gen;
    return {
      fid,
      pattern,
      stripeSize,
      pool,
      stripeCount: count === LOV_ALL_STRIPES ? ALL_OSTS : count,
      stripeOffset: offset,
      ...(magic === LovConstant.LOV_MAGIC_SPECIFIC && { wantedOsts: decodeWantedOsts(ea, size, count) }),
      generation: 0,
      objects: [],
    };
  }
  const none =
    (pattern & LovConstant.LOV_PATTERN_F_RELEASED) !== 0 || (pattern & LovConstant.LOV_PATTERN_MDT) !== 0;
  const objects = none ? [] : decodeObjects(ea, size, count);
  const stripeOffset = objects.find((o) => o !== undefined)?.ostIndex ?? -1;
  const { lmm_layout_gen: generation } = head;
  return { fid, pattern, stripeSize, pool, stripeCount: count, stripeOffset, generation, objects };
}

const isOpenPattern = (pattern: number): boolean =>
  pattern === LovConstant.LOV_PATTERN_NONE || pattern >>> 0 === LovConstant.LOV_PATTERN_DEFAULT;

function checkPart(
  part: Pick<Part, 'pattern' | 'stripeSize'>,
  count: number,
  owner: bigint,
  { instantiated, template }: { instantiated: boolean; template: boolean },
): void {
  const onMdt = (part.pattern & LovConstant.LOV_PATTERN_MDT) !== 0;
  const open = template && part.stripeSize === 0;
  if (!open && (part.stripeSize === 0 || part.stripeSize % STRIPE_SIZE_STEP !== 0))
    throw malformed(`has a stripe size of ${part.stripeSize} bytes`);
  if (instantiated) {
    if (!onMdt && (count === 0 || count > LOV_V1_INSANE_STRIPE_COUNT))
      throw malformed(`has ${count} stripes`);
    if (onMdt && count !== 0) throw malformed(`has ${count} stripes on the MDT`);
  } else if (count > LOV_V1_INSANE_STRIPE_COUNT && count < LovConstant.LOV_ALL_STRIPES_WIDE) {
    throw malformed(`has ${count} stripes`);
  }
  if (!template && owner === 0n) throw malformed('belongs to object 0');
}

/** The OSTs that a wish lists; of the objects only the index counts. */
function decodeWantedOsts(ea: Uint8Array, at: number, count: number): number[] {
  if (ea.length < at + count * LovOstDataV1.size)
    throw malformed(`lists ${count} OSTs in ${ea.length} bytes`);
  return Array.from(
    { length: count },
    (_, i) => LovOstDataV1.decode(ea, at + i * LovOstDataV1.size).l_ost_idx,
  );
}

function decodeObjects(ea: Uint8Array, at: number, count: number): (LayoutObject | undefined)[] {
  if (ea.length < at + count * LovOstDataV1.size)
    throw malformed(`has ${count} stripes in ${ea.length} bytes`);
  return Array.from({ length: count }, (_, i) => {
    const data = LovOstDataV1.decode(ea, at + i * LovOstDataV1.size);
    const { oi } = data.l_ost_oi;
    // Repair leaves zeroes where an object is lost; I/O there fails, the rest of the file can be used.
    if (oi.oi_id === 0n && oi.oi_seq === 0n) return undefined;
    if (data.l_ost_idx > LOV_V1_INSANE_STRIPE_COUNT) throw malformed(`names OST ${data.l_ost_idx}`);
    return { fid: ostIdToFid(data.l_ost_oi, data.l_ost_idx), ostIndex: data.l_ost_idx };
  });
}

/** Writes a layout EA: v1 or v3, composite, or foreign. */
export function encodeLayout(layout: FileLayout): Uint8Array {
  if (layout.foreign !== undefined) return encodeForeign(layout.foreign);
  if (layout.composite) return encodeComposite(layout);
  return encodePart(layout.fid, layout.components[0]!, { gen: layout.generation, placeholder: false });
}

function encodeForeign({ type, flags, value }: NonNullable<FileLayout['foreign']>): Uint8Array {
  const ea = new Uint8Array(LovForeignMd.size + value.length);
  LovForeignMd.encodeInto(ea, 0, {
    lfm_magic: LOV_MAGIC_FOREIGN,
    lfm_length: value.length,
    lfm_type: type,
    lfm_flags: flags,
  });
  ea.set(value, LovForeignMd.size);
  return ea;
}

function encodeComposite(layout: FileLayout): Uint8Array {
  const template = layout.fid.f_seq === 0n;
  const parts = layout.components.map((component) =>
    encodePart(layout.fid, component, { gen: component.generation, placeholder: !template }),
  );
  let at = LovCompMdV1.size + parts.length * LovCompMdEntryV1.size;
  const places = parts.map((part) => {
    const place = at;
    at += part.length;
    return place;
  });
  const ea = new Uint8Array(at);
  const mirrors = new Set(layout.components.map((component) => component.id >>> 16)).size;
  LovCompMdV1.encodeInto(ea, 0, {
    lcm_magic: LOV_MAGIC_COMP_V1,
    lcm_size: at,
    lcm_layout_gen: layout.generation,
    lcm_flags: layout.flags,
    lcm_entry_count: parts.length,
    lcm_mirror_count: Math.max(0, mirrors - 1),
  });
  layout.components.forEach((component, i) => {
    LovCompMdEntryV1.encodeInto(ea, LovCompMdV1.size + i * LovCompMdEntryV1.size, {
      lcme_id: template ? 0 : component.id,
      lcme_flags: component.flags,
      lcme_extent: {
        e_start: BigInt(component.start),
        e_end: component.end === TO_EOF ? EOF : BigInt(component.end),
      },
      lcme_offset: places[i]!,
      lcme_size: parts[i]!.length,
      lcme_timestamp: component.timestamp,
    });
    ea.set(parts[i]!, places[i]!);
  });
  return ea;
}

/** `placeholder`: kernels keep room for one object in a component that has none yet. */
function encodePart(
  fid: Fid,
  component: LayoutComponent,
  { gen, placeholder }: { gen: number; placeholder: boolean },
): Uint8Array {
  const v3 = component.pool !== '';
  const head = v3 ? LovMdsMdV3 : LovMdsMdV1;
  const instantiated = isInstantiated(component);
  const listed = instantiated
    ? isReleased(component)
      ? []
      : component.objects
    : placeholder && !isOnMdt(component)
      ? [undefined]
      : [];
  // Of the pool: small arrays of their own get a backing store each when something is encoded into them.
  const ea = Buffer.allocUnsafe(head.size + listed.length * LovOstDataV1.size);
  const offset = component.stripeOffset === -1 ? LovConstant.LOV_OFFSET_DEFAULT : component.stripeOffset;
  const value = {
    lmm_magic: v3 ? LOV_MAGIC_V3 : LOV_MAGIC_V1,
    lmm_pattern: component.pattern,
    lmm_oi: lmmOi(fid),
    lmm_stripe_size: component.stripeSize,
    lmm_stripe_count: component.stripeCount === ALL_OSTS ? LOV_ALL_STRIPES : component.stripeCount,
    lmm_layout_gen: instantiated ? gen : offset,
  };
  if (v3) LovMdsMdV3.encodeInto(ea, 0, { ...value, lmm_pool_name: component.pool });
  else LovMdsMdV1.encodeInto(ea, 0, value);
  listed.forEach((object, i) => {
    const at = head.size + i * LovOstDataV1.size;
    if (object === undefined) LovOstDataV1.encodeInto(ea, at, { l_ost_idx: NO_OST });
    else LovOstDataV1.encodeInto(ea, at, { l_ost_oi: fidToOstId(object.fid), l_ost_idx: object.ostIndex });
  });
  return ea;
}

function malformed(how: string): ProtocolError {
  return new ProtocolError('EPROTO', `the layout ${how}`);
}
