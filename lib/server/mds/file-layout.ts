/**
 * How a new file is laid out (guide 13 §9, §10): from the request, its directory, the root and the target's own default,
 * in this order, each filling what the one before leaves open.
 */
import { type Fid, ROOT_FID } from '../../fid/fid.ts';
import { type LayoutObject, plainLayout, unsupported } from '../../layout/file-layout.ts';
import { decodeLayout, encodeLayout } from '../../layout/layout-ea.ts';
import { encodeStriping } from '../../layout/striping.ts';
import { errnoError } from '../../runtime/errors.ts';
import { LovConstant } from '../../wire/layout-constants.ts';
import { XattrName } from '../../wire/names.ts';
import type { NamespaceView } from './namespace.ts';

export interface WantedLayout {
  /** -1: all OSTs. */
  readonly stripeCount: number;
  readonly stripeSize: number;
  /** First OST; -1: any. */
  readonly stripeOffset: number;
  readonly pool: string;
  /** The count was asked for with the file, so fewer stripes are an error (guide 13 §11). */
  readonly exact: boolean;
}

/** What a lov_user_md leaves open is 0, -1 for the first OST. */
interface Wish {
  readonly stripeCount: number;
  readonly stripeSize: number;
  readonly stripeOffset: number;
  readonly pool: string | undefined;
}

export interface DefaultLayout {
  readonly stripeCount: number;
  readonly stripeSize: number;
}

/** Reads lov_user_md from a request. Throws EINVAL for a malformed one, EOPNOTSUPP for kinds that come later. */
export function readWish(ea: Uint8Array): Wish {
  const layout = ((): Wish => {
    try {
      return decodeWish(withoutDefinedBit(ea));
    } catch (error) {
      const unsupported = (error as { errno?: number }).errno === -95;
      throw errnoError(unsupported ? 95 : 22, { syscall: 'setstripe', cause: error });
    }
  })();
  if (layout.stripeSize % 65_536 !== 0) throw errnoError(22, { syscall: 'setstripe' });
  const pattern = new DataView(ea.buffer, ea.byteOffset, ea.length).getUint32(4, true);
  if (
    pattern !== 0 &&
    pattern !== LovConstant.LOV_PATTERN_RAID0 &&
    pattern !== LovConstant.LOV_PATTERN_DEFAULT
  )
    throw errnoError(95, { syscall: 'setstripe' });
  return layout;
}

function decodeWish(ea: Uint8Array): Wish {
  const { composite, foreign, components } = decodeLayout(ea, { template: true });
  if (composite) throw unsupported('a composite layout');
  if (foreign !== undefined) throw unsupported('a foreign layout');
  const { stripeCount, stripeSize, stripeOffset, pool } = components[0]!;
  return { stripeCount, stripeSize, stripeOffset, pool: pool === '' ? undefined : pool };
}

/** What a directory keeps as its default; undefined deletes it (count 0, size 0, any OST, no pool). */
export function defaultLayoutEa(ea: Uint8Array): Uint8Array | undefined {
  const wish = readWish(ea);
  const empty = wish.stripeCount === 0 && wish.stripeSize === 0 && wish.stripeOffset === -1;
  if (empty && wish.pool === undefined) return undefined;
  return encodeStriping({
    stripeCount: wish.stripeCount,
    stripeSize: wish.stripeSize,
    stripeOffset: wish.stripeOffset,
    ...(wish.pool === undefined ? {} : { pool: wish.pool }),
  });
}

/** `request` is the lov_user_md that came with the open, if one did. */
export function wantedLayout(
  ns: NamespaceView,
  parent: Fid,
  request: Uint8Array | undefined,
  fallback: DefaultLayout,
): WantedLayout {
  const wishes: Wish[] = [];
  if (request !== undefined) wishes.push(readWish(request));
  for (const directory of [parent, ROOT_FID]) {
    const ea = ns.xattr(directory, XattrName.XATTR_NAME_LOV);
    if (ea !== undefined) wishes.push(decodeWish(ea));
  }
  return {
    stripeCount: wishes.find((w) => w.stripeCount !== 0)?.stripeCount ?? fallback.stripeCount,
    stripeSize: wishes.find((w) => w.stripeSize !== 0)?.stripeSize ?? fallback.stripeSize,
    stripeOffset: wishes.find((w) => w.stripeOffset !== -1)?.stripeOffset ?? -1,
    pool: wishes.find((w) => w.pool !== undefined)?.pool ?? '',
    exact: request !== undefined && wishes[0]!.stripeCount > 0,
  };
}

export function layoutEa(file: Fid, wanted: WantedLayout, objects: readonly LayoutObject[]): Uint8Array {
  return encodeLayout(
    plainLayout({
      fid: file,
      stripeSize: wanted.stripeSize,
      stripeCount: objects.length,
      generation: 0,
      pool: wanted.pool,
      objects,
    }),
  );
}

/** A replayed layout is marked as exact; the mark is not part of the magic (guide 13 §9). */
export function withoutDefinedBit(ea: Uint8Array): Uint8Array {
  if (ea.length < 4) return ea;
  const copy = Uint8Array.prototype.slice.call(ea);
  const view = new DataView(copy.buffer, copy.byteOffset, copy.length);
  const magic = view.getUint32(0, true);
  const swapped = view.getUint32(0, false);
  const known = (m: number): boolean =>
    [LovConstant.LOV_USER_MAGIC_V1, LovConstant.LOV_USER_MAGIC_V3].includes(
      (m & ~LovConstant.LOV_MAGIC_DEFINED) as 0xbd10bd0,
    );
  if (known(magic)) view.setUint32(0, magic & ~LovConstant.LOV_MAGIC_DEFINED, true);
  else if (known(swapped)) return swapUserMd(copy);
  return copy;
}

/** lov_user_md of a big-endian user. */
function swapUserMd(ea: Uint8Array): Uint8Array {
  const view = new DataView(ea.buffer, ea.byteOffset, ea.length);
  if (ea.length < 32) return ea;
  for (const at of [0, 4, 24]) view.setUint32(at, view.getUint32(at, false), true);
  for (const at of [8, 16]) view.setBigUint64(at, view.getBigUint64(at, false), true);
  for (const at of [28, 30]) view.setUint16(at, view.getUint16(at, false), true);
  return ea;
}
