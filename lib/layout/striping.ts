/**
 * Asking for a layout (guide 13 §9): what users write for a new file or a directory's default, as `lov_user_md`.
 */
import { ZERO_FID } from '../fid/fid.ts';
import { LustreError } from '../runtime/errors.ts';
import { LcmeFlag, LovConstant } from '../wire/layout-constants.ts';
import { LovMdsMdV3, LovOstDataV1 } from '../wire/layout-structs.ts';
import { ALL_OSTS, type FileLayout, type LayoutComponent, TO_EOF } from './file-layout.ts';
import { encodeLayout, STRIPE_SIZE_STEP } from './layout-ea.ts';

const { LOV_MAXPOOLNAME, LOV_MAX_STRIPE_COUNT } = LovConstant;
/** In the 16-bit field: any OST. */
const ANY = 0xffff;
/** Extensions are counted in these. */
const EXTENSION_UNIT = 1024;
const EXTENSION_STEP = 64 << 20;
/** A component of data on the MDT may not be larger than a stripe size can be. */
const MDT_MAX = 1 << 30;

/** How one range of a file is to be laid out. What is left out is for the MDS to choose. */
export interface ComponentStriping {
  /** OSTs to stripe over; -1 for all of them. */
  readonly stripeCount?: number;
  /** Bytes on one OST before the next: a multiple of 65536. */
  readonly stripeSize?: number;
  /** Index of the first OST; -1 for any. */
  readonly stripeOffset?: number;
  /** Name of a pool of OSTs, at most 15 characters. */
  readonly pool?: string;
  /** Exactly these OSTs, by index, in this order. */
  readonly osts?: readonly number[];
  /** `stripeCount` may be larger than the number of OSTs: several stripes on one. */
  readonly overstripe?: boolean;
}

/** A range of a composite layout. */
export interface ComponentOptions extends ComponentStriping {
  /** Where it ends, bytes: a multiple of 65536, or Infinity. It begins where the one before ends. */
  readonly end: number;
  /** `mdt`: the data are kept on the MDT (only the first component). */
  readonly pattern?: 'raid0' | 'mdt';
  /** The component grows by so many bytes at a time (self-extending); a multiple of 64 MiB. */
  readonly extensionSize?: number;
  /** This component begins a further mirror. */
  readonly newMirror?: boolean;
  /** Prefer this mirror for reads, for writes, or both; never synchronise it. */
  readonly flags?: readonly ('prefer' | 'prefrd' | 'prefwr' | 'nosync')[];
}

/** How a file or what is made in a directory is to be laid out. What is left out is for the MDS to choose. */
export interface StripingOptions extends ComponentStriping {
  /** A composite layout; all else is left out then. */
  readonly components?: readonly ComponentOptions[];
}

export function hasStriping(options: StripingOptions): boolean {
  return Object.values(options).some((value) => value !== undefined);
}

/** `lov_user_md` for these wishes. Throws EINVAL for values that no server takes. */
export function encodeStriping(options: StripingOptions): Uint8Array {
  if (options.components !== undefined) return encodeLayout(template(options.components));
  const component = wish(options, { start: 0, end: TO_EOF, flags: 0 });
  const plain: FileLayout = {
    fid: ZERO_FID,
    composite: false,
    generation: 0,
    flags: 0,
    components: [component],
  };
  return options.osts === undefined ? encodeLayout(plain) : encodeListed(component, options.osts);
}

/** lov_user_md with a list of OSTs: as v3 by another magic, and of the objects only the index counts. */
function encodeListed(component: LayoutComponent, osts: readonly number[]): Uint8Array {
  const ea = new Uint8Array(LovMdsMdV3.size + osts.length * LovOstDataV1.size);
  LovMdsMdV3.encodeInto(ea, 0, {
    lmm_magic: LovConstant.LOV_MAGIC_SPECIFIC,
    lmm_pattern: component.pattern,
    lmm_stripe_size: component.stripeSize,
    lmm_stripe_count: osts.length,
    lmm_layout_gen: component.stripeOffset,
    lmm_pool_name: component.pool,
  });
  osts.forEach((l_ost_idx, i) => {
    LovOstDataV1.encodeInto(ea, LovMdsMdV3.size + i * LovOstDataV1.size, { l_ost_idx });
  });
  return ea;
}

function template(wishes: readonly ComponentOptions[]): FileLayout {
  if (wishes.length === 0) throw invalid('a layout without components', 'Give at least one');
  let start = 0;
  let mirror = 0;
  const components: LayoutComponent[] = [];
  for (const [i, options] of wishes.entries()) {
    if (options.newMirror === true && i > 0) {
      mirror++;
      start = 0;
    }
    const { end } = options;
    if (end !== TO_EOF && (!Number.isSafeInteger(end) || end % STRIPE_SIZE_STEP !== 0))
      throw invalid(
        `a component that ends at ${end}`,
        `Give a multiple of ${STRIPE_SIZE_STEP} bytes, or Infinity`,
      );
    if (end <= start) throw invalid(`a component from ${start} to ${end}`, 'Give ends in rising order');
    components.push(...componentsOf(options, start, mirror));
    start = end;
  }
  return { fid: ZERO_FID, composite: true, generation: 0, flags: 0, components };
}

/** One component, or two of a self-extending one: what there is first, and what it may grow into. */
function componentsOf(options: ComponentOptions, start: number, mirror: number): LayoutComponent[] {
  const { end, extensionSize, pattern } = options;
  const flags = (options.flags ?? []).reduce((bits, name) => bits | FLAGS[name], 0);
  const id = mirror << 16;
  if (pattern === 'mdt') {
    if (start !== 0 || end === TO_EOF || end > MDT_MAX)
      throw invalid(
        `data on the MDT from ${start} to ${end}`,
        'Give it as first component, with an end of at most 1 GiB',
      );
    if (
      ['stripeCount', 'stripeSize', 'stripeOffset', 'pool', 'osts'].some(
        (k) => options[k as keyof ComponentOptions] !== undefined,
      )
    )
      throw invalid('striping of data on the MDT', 'Leave count, size, index and pool out');
    const component = wish({ stripeSize: end }, { start, end, flags });
    return [{ ...component, id, pattern: LovConstant.LOV_PATTERN_MDT }];
  }
  if (options.osts !== undefined)
    throw invalid('a list of OSTs in a component', 'Give the index of the first OST, or a pool');
  if (extensionSize === undefined) return [{ ...wish(options, { start, end, flags }), id }];
  if (!Number.isInteger(extensionSize) || extensionSize <= 0 || extensionSize % EXTENSION_STEP !== 0)
    throw invalid(`an extension size of ${extensionSize}`, `Give a multiple of ${EXTENSION_STEP} bytes`);
  const middle = start === 0 ? Math.min(extensionSize, end) : start;
  const extension = wish(
    { ...options, stripeSize: STRIPE_SIZE_STEP },
    { start: middle, end, flags: flags | LcmeFlag.LCME_FL_EXTENSION },
  );
  return [
    { ...wish(options, { start, end: middle, flags }), id },
    { ...extension, id, stripeSize: extensionSize / EXTENSION_UNIT },
  ];
}

const FLAGS = {
  prefer: LcmeFlag.LCME_FL_PREF_RW,
  prefrd: LcmeFlag.LCME_FL_PREF_RD,
  prefwr: LcmeFlag.LCME_FL_PREF_WR,
  nosync: LcmeFlag.LCME_FL_NOSYNC,
} as const;

function wish(
  options: ComponentStriping,
  at: Pick<LayoutComponent, 'start' | 'end' | 'flags'>,
): LayoutComponent {
  const {
    stripeCount = options.osts?.length ?? 0,
    stripeSize = 0,
    stripeOffset = options.osts?.[0] ?? -1,
    pool = '',
  } = options;
  if (!Number.isInteger(stripeCount) || stripeCount < -1 || stripeCount > LOV_MAX_STRIPE_COUNT)
    throw invalid(`stripeCount ${stripeCount}`, `Give 1 to ${LOV_MAX_STRIPE_COUNT}, or -1 for all OSTs`);
  if (
    !Number.isInteger(stripeSize) ||
    stripeSize < 0 ||
    stripeSize > 0xffff_0000 ||
    stripeSize % STRIPE_SIZE_STEP !== 0
  )
    throw invalid(`stripeSize ${stripeSize}`, `Give a multiple of ${STRIPE_SIZE_STEP} bytes`);
  if (at.end !== TO_EOF && stripeSize !== 0 && at.end % stripeSize !== 0)
    throw invalid(
      `a component that ends at ${at.end}, in stripes of ${stripeSize}`,
      'Give an end that is a multiple of the stripe size',
    );
  for (const index of [stripeOffset, ...(options.osts ?? [])]) {
    if (!Number.isInteger(index) || index < -1 || index >= ANY)
      throw invalid(`stripeOffset ${index}`, 'Give the index of an OST, or -1 for any');
  }
  if (options.osts !== undefined && options.osts.length !== stripeCount)
    throw invalid(`${stripeCount} stripes on ${options.osts.length} OSTs`, 'Give as many OSTs as stripes');
  if (Buffer.byteLength(pool) > LOV_MAXPOOLNAME)
    throw invalid(`pool '${pool}'`, `Pool names have at most ${LOV_MAXPOOLNAME} characters`);
  return {
    id: 0,
    ...at,
    pattern:
      LovConstant.LOV_PATTERN_RAID0 |
      (options.overstripe === true ? LovConstant.LOV_PATTERN_OVERSTRIPING : 0),
    stripeCount: stripeCount === -1 ? ALL_OSTS : stripeCount,
    stripeSize,
    stripeOffset,
    pool,
    generation: 0,
    objects: [],
    timestamp: 0n,
  };
}

function invalid(what: string, hint: string): LustreError {
  return new LustreError('EINVAL', `${what} is not possible`, { hint }, -22);
}
