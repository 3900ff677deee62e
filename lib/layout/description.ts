/** Layouts as users see them: of a file, or the default of a directory. */
import { formatFid } from '../fid/fid.ts';
import { LcmeFlag, LcmFlag, LovConstant } from '../wire/layout-constants.ts';
import {
  type FileLayout,
  isInstantiated,
  isOnMdt,
  isReleased,
  type LayoutComponent,
  mirrorIdOf,
  mirrorState,
  mirrorsOf,
} from './file-layout.ts';
import { decodeLayout } from './layout-ea.ts';

export interface ObjectDescription {
  /** -1 for an object that is lost. */
  readonly ostIndex: number;
  readonly seq: bigint;
  readonly oid: number;
}

/** Striping of a file without components, or of one component. */
export interface StripeDescription {
  /** Names: raid0, mdt, overstriped, released, ... */
  readonly pattern: readonly string[];
  /** -1 where there are no objects yet: all OSTs. 0 in a default: the file system's default; on the MDT none. */
  readonly stripeCount: number;
  /** Bytes; 0 in a default: the file system's default. */
  readonly stripeSize: number;
  /** Index of the OST of the first stripe; -1: any, or none. */
  readonly stripeOffset: number;
  /** Undefined where there is none. */
  readonly pool: string | undefined;
  /** Counts changes; undefined in a default. */
  readonly generation: number | undefined;
  /** The objects in stripe order; empty in a default and while there are none. */
  readonly objects: readonly ObjectDescription[];
}

export interface ComponentDescription extends StripeDescription {
  readonly id: number;
  readonly mirrorId: number;
  /** Names: init, stale, prefrd, prefwr, offline, nosync, extension, ... */
  readonly flags: readonly string[];
  readonly start: number;
  /** Infinity where it has no end. */
  readonly end: number;
  /** Of a component that grows: by how many bytes. */
  readonly extensionSize: number | undefined;
}

/** A layout as users see it. For a composite one, the striping is that of its last component with objects, as lfs has it. */
export interface Layout extends StripeDescription {
  /** Of the file; undefined in a default. */
  readonly fid: string | undefined;
  /** Undefined for a plain layout. */
  readonly composite:
    | {
        /** `0`: not mirrored; ro: all mirrors are in step; wp: some are stale; sp: being synchronised. */
        readonly state: '0' | 'ro' | 'wp' | 'sp';
        readonly mirrorCount: number;
        readonly components: readonly ComponentDescription[];
      }
    | undefined;
  /** The file's data are in an archive. */
  readonly released: boolean;
  readonly foreign: { readonly type: number; readonly flags: number; readonly value: Uint8Array } | undefined;
}

/** Reads and describes a directory's default layout. Throws EPROTO for a malformed one. */
export function describeDefault(ea: Uint8Array): Layout {
  const layout = describeLayout(decodeLayout(ea, { template: true }));
  const open = <T extends StripeDescription>(striping: T): T => ({ ...striping, generation: undefined });
  return {
    ...open(layout),
    fid: undefined,
    composite:
      layout.composite === undefined
        ? undefined
        : { ...layout.composite, components: layout.composite.components.map(open) },
  };
}

/** A file's layout as users see it. */
export function describeLayout(layout: FileLayout): Layout {
  const shown = layout.components.filter(isInstantiated).at(-1) ?? layout.components[0];
  return {
    ...(shown === undefined ? NO_STRIPING : describeStriping(shown)),
    generation: layout.generation,
    fid: formatFid(layout.fid),
    composite: layout.composite
      ? {
          state: STATES[mirrorState(layout)] ?? '0',
          mirrorCount: mirrorsOf(layout).size,
          components: layout.components.map(describeComponent),
        }
      : undefined,
    released: layout.components.some(isReleased),
    foreign: layout.foreign,
  };
}

const STATES: Readonly<Record<number, 'ro' | 'wp' | 'sp'>> = {
  [LcmFlag.LCM_FL_RDONLY]: 'ro',
  [LcmFlag.LCM_FL_WRITE_PENDING]: 'wp',
  [LcmFlag.LCM_FL_SYNC_PENDING]: 'sp',
};

const NO_STRIPING: StripeDescription = {
  pattern: ['foreign'],
  stripeCount: 0,
  stripeSize: 0,
  stripeOffset: -1,
  pool: undefined,
  generation: 0,
  objects: [],
};

const PATTERNS: readonly (readonly [number, string])[] = [
  [LovConstant.LOV_PATTERN_MDT, 'mdt'],
  [LovConstant.LOV_PATTERN_RAID0, 'raid0'],
  [LovConstant.LOV_PATTERN_OVERSTRIPING, 'overstriped'],
  [LovConstant.LOV_PATTERN_PARITY, 'parity'],
  [LovConstant.LOV_PATTERN_FOREIGN, 'foreign'],
  [LovConstant.LOV_PATTERN_COMPRESS, 'compress'],
  [LovConstant.LOV_PATTERN_F_RELEASED, 'released'],
  [LovConstant.LOV_PATTERN_F_HOLE, 'hole'],
];

/** In the order in which lfs names them. */
const COMPONENT_FLAGS: readonly (readonly [number, string])[] = [
  [LcmeFlag.LCME_FL_INIT, 'init'],
  [LcmeFlag.LCME_FL_STALE, 'stale'],
  [LcmeFlag.LCME_FL_PREF_RW, 'prefer'],
  [LcmeFlag.LCME_FL_OFFLINE, 'offline'],
  [LcmeFlag.LCME_FL_NOSYNC, 'nosync'],
  [LcmeFlag.LCME_FL_EXTENSION, 'extension'],
  [LcmeFlag.LCME_FL_PREF_RD, 'prefrd'],
  [LcmeFlag.LCME_FL_PREF_WR, 'prefwr'],
  [LcmeFlag.LCME_FL_PARITY, 'parity'],
  [LcmeFlag.LCME_FL_COMPRESS, 'compress'],
  [LcmeFlag.LCME_FL_PARTIAL, 'partial'],
  [LcmeFlag.LCME_FL_NOCOMPR, 'nocompr'],
];

function namesOf(bits: number, names: readonly (readonly [number, string])[]): string[] {
  const found: string[] = [];
  let left = bits;
  for (const [bit, name] of names) {
    if ((left & bit) >>> 0 !== bit >>> 0 || bit === 0) continue;
    found.push(name);
    left &= ~bit;
  }
  return found;
}

const EXTENSION_UNIT = 1024;

function describeComponent(component: LayoutComponent): ComponentDescription {
  const extension = (component.flags & LcmeFlag.LCME_FL_EXTENSION) !== 0;
  return {
    ...describeStriping(component),
    id: component.id,
    mirrorId: mirrorIdOf(component),
    flags: namesOf(component.flags, COMPONENT_FLAGS),
    start: component.start,
    end: component.end,
    extensionSize: extension ? component.stripeSize * EXTENSION_UNIT : undefined,
  };
}

function describeStriping(component: LayoutComponent): StripeDescription {
  return {
    pattern: namesOf(component.pattern, PATTERNS),
    stripeCount: component.stripeCount,
    stripeSize: component.stripeSize,
    stripeOffset: isOnMdt(component) ? -1 : component.stripeOffset,
    pool: component.pool === '' ? undefined : component.pool,
    generation: component.generation,
    objects: component.objects.map((object) =>
      object === undefined
        ? { ostIndex: -1, seq: 0n, oid: 0 }
        : { ostIndex: object.ostIndex, seq: object.fid.f_seq, oid: object.fid.f_oid },
    ),
  };
}
