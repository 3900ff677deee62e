/**
 * What a layout says about a file (guide 13 §2, §4, §7): components, each a range of the file striped over objects or kept
 * on the MDT, in one or several mirrors. A plain (v1, v3) layout is one component that reaches to the end.
 */
import type { Fid } from '../fid/fid.ts';
import { LustreError } from '../runtime/errors.ts';
import { LcmeFlag, LcmFlag, LovConstant } from '../wire/layout-constants.ts';
import type { StripeGeometry } from './raid0.ts';

/** The end of a component that has none. */
export const TO_EOF = Number.POSITIVE_INFINITY;
/** A stripe count that means all OSTs; only in components without objects. */
export const ALL_OSTS = -1;
/** lcm_flags without what is no state of mirrors. */
const FLR_STATE_MASK = LcmFlag.LCM_FL_SYNC_PENDING;

export interface LayoutObject {
  readonly fid: Fid;
  readonly ostIndex: number;
}

export interface LayoutComponent extends StripeGeometry {
  /** Unique in the file; 0 in a plain layout. Bits 30 to 16 are the mirror. */
  readonly id: number;
  /** LCME_FL_ bits. A plain layout is INIT. */
  readonly flags: number;
  /** Bytes `[start, end)` of the file; the end is TO_EOF for all that follows. */
  readonly start: number;
  readonly end: number;
  /** LOV_PATTERN_ bits, the high ones too. */
  readonly pattern: number;
  /** Objects; while there are none, how many are wanted (ALL_OSTS for all). 0 for data on the MDT. */
  readonly stripeCount: number;
  /** Index of the OST of the first stripe; -1: any, or none. */
  readonly stripeOffset: number;
  /** In a wish: exactly these OSTs, in this order. */
  readonly wantedOsts?: readonly number[];
  /** lmm_layout_gen of a part with objects. */
  readonly generation: number;
  /** '' where there is none. */
  readonly pool: string;
  /** In stripe order; undefined for one that is lost. Empty while not instantiated, when released, and on the MDT. */
  readonly objects: readonly (LayoutObject | undefined)[];
  /** When a mirror that must not be synchronised was last so, seconds; 0 otherwise. */
  readonly timestamp: bigint;
}

export interface ForeignLayout {
  /** LU_FOREIGN_TYPE_ value. */
  readonly type: number;
  readonly flags: number;
  readonly value: Uint8Array;
}

export interface FileLayout {
  /** The file that it belongs to; zero in a template. */
  readonly fid: Fid;
  readonly composite: boolean;
  readonly generation: number;
  /** LCM_FL_ state of the mirrors. */
  readonly flags: number;
  /** By mirror and then by extent. Empty for a foreign layout. */
  readonly components: readonly LayoutComponent[];
  readonly foreign?: ForeignLayout;
}

export const hasFlag = (component: LayoutComponent, flag: keyof typeof LcmeFlag): boolean =>
  (component.flags & LcmeFlag[flag]) !== 0;

export const mirrorIdOf = (component: LayoutComponent): number => (component.id >>> 16) & 0x7fff;

/** Objects are there, or the data are on the MDT. */
export const isInstantiated = (component: LayoutComponent): boolean => hasFlag(component, 'LCME_FL_INIT');

export const isOnMdt = (component: LayoutComponent): boolean =>
  (component.pattern & LovConstant.LOV_PATTERN_MDT) !== 0;

export const isReleased = (component: LayoutComponent): boolean =>
  (component.pattern & LovConstant.LOV_PATTERN_F_RELEASED) !== 0;

export const isOverstriped = (component: LayoutComponent): boolean =>
  (component.pattern & LovConstant.LOV_PATTERN_OVERSTRIPING) !== 0;

/** The data are in an archive. */
export const isFileReleased = (layout: FileLayout): boolean => layout.components.some(isReleased);

/** The state of the mirrors: LCM_FL_NONE without any. */
export const mirrorState = (layout: FileLayout): number => layout.flags & FLR_STATE_MASK;

/** The components of each mirror, by mirror id. */
export function mirrorsOf(layout: FileLayout): ReadonlyMap<number, readonly LayoutComponent[]> {
  const mirrors = new Map<number, LayoutComponent[]>();
  for (const component of layout.components) {
    const id = mirrorIdOf(component);
    const mirror = mirrors.get(id);
    if (mirror === undefined) mirrors.set(id, [component]);
    else mirror.push(component);
  }
  return mirrors;
}

/** Why data of this file cannot be used by this client; undefined when they can. */
export function unusable(layout: FileLayout): LustreError | undefined {
  if (layout.foreign !== undefined)
    return unsupported(`a foreign layout of type 0x${layout.foreign.type.toString(16)}`);
  for (const component of layout.components) {
    const low = component.pattern & 0xffff & ~LovConstant.LOV_PATTERN_OVERSTRIPING;
    if ((low & LovConstant.LOV_PATTERN_COMPRESS) !== 0) return unsupported('a compressed layout');
    if ((low & LovConstant.LOV_PATTERN_FOREIGN) !== 0) return unsupported('a foreign component');
    if ((low & LovConstant.LOV_PATTERN_PARITY) !== 0 || hasFlag(component, 'LCME_FL_PARITY'))
      return unsupported('an erasure-coded layout');
    if (low !== LovConstant.LOV_PATTERN_RAID0 && low !== LovConstant.LOV_PATTERN_MDT)
      return unsupported(`the layout pattern 0x${component.pattern.toString(16)}`);
  }
  return undefined;
}

export function unsupported(what: string): LustreError {
  return new LustreError('EOPNOTSUPP', `${what} is not supported by this client`, {}, -95);
}

/** A file's layout of v1 or v3. */
export interface PlainLayout extends StripeGeometry {
  readonly fid: Fid;
  readonly generation: number;
  readonly pool: string;
  readonly objects: readonly LayoutObject[];
  readonly released?: boolean;
  readonly overstriped?: boolean;
}

export function plainLayout(plain: PlainLayout): FileLayout {
  const pattern =
    (LovConstant.LOV_PATTERN_RAID0 |
      (plain.overstriped === true ? LovConstant.LOV_PATTERN_OVERSTRIPING : 0) |
      (plain.released === true ? LovConstant.LOV_PATTERN_F_RELEASED : 0)) >>>
    0;
  return {
    fid: plain.fid,
    composite: false,
    generation: plain.generation,
    flags: 0,
    components: [
      {
        id: 0,
        flags: LcmeFlag.LCME_FL_INIT,
        start: 0,
        end: TO_EOF,
        pattern,
        stripeSize: plain.stripeSize,
        stripeCount: plain.stripeCount,
        stripeOffset: plain.objects[0]?.ostIndex ?? -1,
        generation: plain.generation,
        pool: plain.pool,
        objects: plain.released === true ? [] : plain.objects,
        timestamp: 0n,
      },
    ],
  };
}
