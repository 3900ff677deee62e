/**
 * How a new file is laid out (guide 13 §4, §9, §10): from the request, its directory, the root and the target's own default.
 * Of plain layouts each fills what the one before leaves open; components stand for themselves.
 */
import { type Fid, ROOT_FID, ZERO_FID } from '../../fid/fid.ts';
import {
  ALL_OSTS,
  type FileLayout,
  hasFlag,
  isInstantiated,
  isOnMdt,
  isOverstriped,
  type LayoutComponent,
  type LayoutObject,
  mirrorsOf,
  TO_EOF,
  unsupported,
} from '../../layout/file-layout.ts';
import { decodeLayout, encodeLayout, STRIPE_SIZE_STEP } from '../../layout/layout-ea.ts';
import { errnoError } from '../../runtime/errors.ts';
import { LcmeFlag, LovConstant } from '../../wire/layout-constants.ts';
import { XattrName } from '../../wire/names.ts';
import type { NamespaceView } from './namespace.ts';

/** What objects of one component are wanted. */
export interface WantedLayout {
  /** -1: all OSTs. */
  readonly stripeCount: number;
  /** First OST; -1: any. */
  readonly stripeOffset: number;
  /** Exactly these OSTs, in this order. */
  readonly osts?: readonly number[];
  /** Several may be on one OST. */
  readonly overstriped: boolean;
  /** The count was asked for with the file, so fewer stripes are an error (guide 13 §11). */
  readonly exact: boolean;
}

export interface DefaultLayout {
  readonly stripeCount: number;
  readonly stripeSize: number;
}

/** A layout that has no objects yet, and whether a request asked for its stripe counts. */
export interface PlannedLayout {
  readonly layout: FileLayout;
  readonly exact: boolean;
}

/** Reads lov_user_md from a request. Throws EINVAL for a malformed one, EOPNOTSUPP for kinds that this MDT does not make. */
export function readWish(ea: Uint8Array): FileLayout {
  const layout = ((): FileLayout => {
    try {
      return decodeLayout(withoutDefinedBit(ea), { template: true });
    } catch (error) {
      throw errnoError(22, { syscall: 'setstripe', cause: error });
    }
  })();
  const wrong = unmakeable(layout);
  if (wrong !== undefined)
    throw errnoError(95, {
      syscall: 'setstripe',
      cause: unsupported(wrong),
      hint: `${wrong} is not made here`,
    });
  for (const { end, stripeSize } of layout.components) {
    if (end !== TO_EOF && (end % STRIPE_SIZE_STEP !== 0 || (stripeSize !== 0 && end % stripeSize !== 0)))
      throw errnoError(22, { syscall: 'setstripe' });
  }
  return layout;
}

function unmakeable(layout: FileLayout): string | undefined {
  if (layout.foreign !== undefined) return 'a foreign layout';
  if (mirrorsOf(layout).size > 1) return 'a mirrored file';
  if (layout.components.some(isOnMdt)) return 'data on the MDT';
  // Only the first component gets its objects at once; nothing keeps the list for later.
  if (layout.components.slice(1).some((c) => c.wantedOsts !== undefined))
    return 'a list of OSTs for a later component';
  if (layout.components.some((c) => hasFlag(c, 'LCME_FL_EXTENSION'))) return 'a self-extending layout';
  const strange = layout.components.find(
    ({ pattern }) => (pattern & ~LovConstant.LOV_PATTERN_OVERSTRIPING) !== LovConstant.LOV_PATTERN_RAID0,
  );
  return strange === undefined ? undefined : `the layout pattern 0x${strange.pattern.toString(16)}`;
}

/** What a directory keeps as its default; undefined deletes it (count 0, size 0, any OST, no pool). */
export function defaultLayoutEa(ea: Uint8Array): Uint8Array | undefined {
  const wish = readWish(ea);
  const first = wish.components[0]!;
  if (first.wantedOsts !== undefined)
    throw errnoError(95, { syscall: 'setstripe', hint: 'A list of OSTs is for files, not for a default' });
  const empty = first.stripeCount === 0 && first.stripeSize === 0 && first.stripeOffset === -1;
  if (!wish.composite && empty && first.pool === '') return undefined;
  return encodeLayout(wish);
}

/** `request` is the lov_user_md that came with the open, if one did. */
export function plannedLayout(
  ns: NamespaceView,
  parent: Fid,
  request: Uint8Array | undefined,
  fallback: DefaultLayout,
): PlannedLayout {
  const wishes: FileLayout[] = [];
  if (request !== undefined) wishes.push(readWish(request));
  for (const directory of [parent, ROOT_FID]) {
    const ea = ns.xattr(directory, XattrName.XATTR_NAME_LOV);
    if (ea !== undefined) wishes.push(decodeLayout(ea, { template: true }));
  }
  const exact = request !== undefined;
  const first = wishes[0];
  const layout = first?.composite === true ? planComponents(first, fallback) : planPlain(wishes, fallback);
  return { layout, exact };
}

function planComponents({ components }: FileLayout, fallback: DefaultLayout): FileLayout {
  return {
    fid: ZERO_FID,
    composite: true,
    // Ids are taken from the generation (guide 13 §4).
    generation: components.length,
    flags: 0,
    components: components.map((component, i) => ({
      ...component,
      id: i + 1,
      flags: 0,
      stripeCount: component.stripeCount || fallback.stripeCount,
      stripeSize: component.stripeSize || fallback.stripeSize,
    })),
  };
}

function planPlain(wishes: readonly FileLayout[], fallback: DefaultLayout): FileLayout {
  const parts = wishes.filter((wish) => !wish.composite).map((wish) => wish.components[0]!);
  const counted = parts.find((part) => part.stripeCount !== 0);
  const component: LayoutComponent = {
    id: 0,
    flags: 0,
    start: 0,
    end: TO_EOF,
    pattern: (counted ?? parts[0])?.pattern ?? LovConstant.LOV_PATTERN_RAID0,
    stripeCount: counted?.stripeCount ?? fallback.stripeCount,
    stripeSize: parts.find((part) => part.stripeSize !== 0)?.stripeSize ?? fallback.stripeSize,
    stripeOffset: parts.find((part) => part.stripeOffset !== -1)?.stripeOffset ?? -1,
    ...(parts[0]?.wantedOsts !== undefined && { wantedOsts: parts[0].wantedOsts }),
    pool: parts.find((part) => part.pool !== '')?.pool ?? '',
    generation: 0,
    objects: [],
    timestamp: 0n,
  };
  return { fid: ZERO_FID, composite: false, generation: 0, flags: 0, components: [component] };
}

/** The objects that a component wants. */
export const wantedObjects = (component: LayoutComponent, exact: boolean): WantedLayout => ({
  stripeCount: component.stripeCount,
  stripeOffset: component.stripeOffset,
  ...(component.wantedOsts !== undefined && { osts: component.wantedOsts }),
  overstriped: isOverstriped(component),
  exact: exact && component.stripeCount !== ALL_OSTS,
});

/** Indices of the components without objects that begin before `end`: a write gives objects to all before it, too. */
export function missingComponents(layout: FileLayout, end: number): number[] {
  return layout.components.flatMap((component, i) =>
    !isInstantiated(component) && component.start < end ? [i] : [],
  );
}

/** The layout of `file` with these objects, by index of their component. */
export function withObjects(
  layout: FileLayout,
  file: Fid,
  objects: ReadonlyMap<number, readonly LayoutObject[]>,
): FileLayout {
  const components = layout.components.map((component, i): LayoutComponent => {
    const own = objects.get(i);
    if (own === undefined) return component;
    return {
      ...component,
      flags: component.flags | LcmeFlag.LCME_FL_INIT,
      stripeCount: own.length,
      stripeOffset: own[0]?.ostIndex ?? -1,
      objects: own,
    };
  });
  return { ...layout, fid: file, components };
}

/** A replayed layout is marked as exact; the mark is not part of the magic (guide 13 §9). */
export function withoutDefinedBit(ea: Uint8Array): Uint8Array {
  if (ea.length < 4) return ea;
  const copy = Uint8Array.prototype.slice.call(ea);
  const view = new DataView(copy.buffer, copy.byteOffset, copy.length);
  const magic = view.getUint32(0, true);
  const swapped = view.getUint32(0, false);
  const known = (m: number): boolean =>
    [
      LovConstant.LOV_USER_MAGIC_V1,
      LovConstant.LOV_USER_MAGIC_V3,
      LovConstant.LOV_USER_MAGIC_COMP_V1,
    ].includes((m & ~LovConstant.LOV_MAGIC_DEFINED) as 0xbd10bd0);
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
