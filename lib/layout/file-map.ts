/**
 * Where the bytes of a file are (guide 13 §3, §4, §7): ranges of the file to ranges of objects on OSTs or on the MDT, the
 * file's size from those of its objects, and where a truncation cuts them. Offsets are absolute file offsets, also within a
 * component.
 */
import { LcmeFlag, LcmFlag } from '../wire/layout-constants.ts';
import {
  type FileLayout,
  hasFlag,
  isInstantiated,
  isOnMdt,
  type LayoutComponent,
  type LayoutObject,
  mirrorIdOf,
  mirrorState,
  mirrorsOf,
} from './file-layout.ts';
import {
  fileSizeOfObject,
  type ObjectRun,
  objectRuns,
  objectSizeAt,
  type StripeGeometry,
  toFile,
} from './raid0.ts';

/** One object of the map, or the part of the file that its MDT keeps. */
export interface MappedObject {
  readonly component: LayoutComponent;
  /** Its place in the component. */
  readonly stripe: number;
  readonly onMdt: boolean;
  /** Undefined on the MDT, and for an object that is lost. */
  readonly object: LayoutObject | undefined;
}

/** A range of the file and the component that has it. */
interface Segment {
  readonly start: number;
  readonly end: number;
  readonly component: LayoutComponent;
  /** Of its first object in `objects`. */
  readonly first: number;
}

/** What a write has to ask of the MDS before it can begin. */
export type WriteNeed =
  /** Nothing: all objects are there, and no other mirror has to be marked stale. */
  | 'nothing'
  /** A write intent. */
  | 'intent'
  /** The layout ends before. */
  | 'beyond';

const geometryOf = (component: LayoutComponent): StripeGeometry =>
  isOnMdt(component) ? { stripeSize: component.stripeSize, stripeCount: 1 } : component;

const isStale = (component: LayoutComponent): boolean => hasFlag(component, 'LCME_FL_STALE');

export class FileMap {
  readonly layout: FileLayout;
  /** Objects that are there, of the components that are used. Runs and sizes are by index in this list. */
  readonly objects: readonly MappedObject[];
  readonly #segments: readonly Segment[];

  /** `order`: mirrors, the one to use first; later ones only where the earlier are stale. With `stale` what is stale is
   * used too: for a mirror that is to be synchronised or looked at. */
  constructor(
    layout: FileLayout,
    order: readonly number[] = mirrorOrder(layout),
    { stale = false }: { readonly stale?: boolean } = {},
  ) {
    this.layout = layout;
    const objects: MappedObject[] = [];
    const firsts = new Map<LayoutComponent, number>();
    this.#segments = chooseRanges(layout, order, stale).map(({ start, end, component }) => {
      let first = firsts.get(component);
      if (first === undefined) {
        first = objects.length;
        firsts.set(component, first);
        objects.push(...objectsOf(component));
      }
      return { start, end, component, first };
    });
    this.objects = objects;
  }

  /** What each object holds of `[offset, offset + length)`. Ranges without objects are left out: they read as zeroes. */
  runs(offset: number, length: number): ObjectRun[] {
    return this.#segments.flatMap(({ start, end, component, first }) => {
      const from = Math.max(start, offset);
      const to = Math.min(end, offset + length);
      if (from >= to || !isInstantiated(component) || objectsOf(component).length === 0) return [];
      const runs = objectRuns(geometryOf(component), from, to - from);
      if (first === 0 && from === offset) return runs;
      return runs.map((run) => ({
        ...run,
        stripe: first + run.stripe,
        pieces: run.pieces.map((piece) => ({
          ...piece,
          stripe: first + piece.stripe,
          rangeOffset: piece.rangeOffset + (from - offset),
        })),
      }));
    });
  }

  /** The same without where the bytes lie in the file: what each object has of `[start, end)`, the end perhaps Infinity. */
  ranges(
    start: number,
    end: number,
  ): { readonly index: number; readonly start: number; readonly end: number }[] {
    return this.#segments.flatMap((segment) => {
      const from = Math.max(start, segment.start);
      const to = Math.min(end, segment.end);
      if (from >= to) return [];
      const geometry = geometryOf(segment.component);
      return objectsOf(segment.component)
        .map(({ stripe }) => ({
          index: segment.first + stripe,
          start: objectSizeAt(geometry, stripe, from),
          end: to === Number.POSITIVE_INFINITY ? to : objectSizeAt(geometry, stripe, to),
        }))
        .filter((range) => range.start < range.end);
    });
  }

  /** Where byte `offset` of an object is in the file. */
  fileOffset(index: number, offset: number): number {
    const { component, stripe } = this.objects[index]!;
    return toFile(geometryOf(component), stripe, offset);
  }

  /** The size of a file whose objects have these sizes, in the order of `objects`. */
  fileSize(sizes: readonly number[]): number {
    return this.objects.reduce((size, { component, stripe }, i) => {
      return Math.max(size, fileSizeOfObject(geometryOf(component), stripe, sizes[i] ?? 0));
    }, 0);
  }

  /** Where a truncation to `size` cuts objects: all of them from the component that has the first byte to go. One that ends
   * before it keeps what it has. */
  cuts(size: number): { readonly index: number; readonly size: number }[] {
    const last = Math.max(...this.#segments.filter((s) => isInstantiated(s.component)).map((s) => s.end), 0);
    const cut = this.#segments.filter(
      ({ end, component }) => isInstantiated(component) && (end > size || (end === last && end === size)),
    );
    const components = new Map(cut.map((segment) => [segment.component, segment.first]));
    return [...components].flatMap(([component, first]) =>
      objectsOf(component).map(({ stripe }) => ({
        index: first + stripe,
        size: size < component.start ? 0 : objectSizeAt(geometryOf(component), stripe, size),
      })),
    );
  }

  /** Whether `[start, end)` can be written as the layout is. */
  writeNeed(start: number, end: number): WriteNeed {
    const touched = this.#segments.filter((segment) => segment.start < end && start < segment.end);
    const covered = this.#segments.at(-1)?.end ?? 0;
    if (end > covered) return 'beyond';
    if (touched.some(({ component }) => !isInstantiated(component))) return 'intent';
    const state = mirrorState(this.layout);
    if (state === LcmFlag.LCM_FL_NONE) return 'nothing';
    if (state !== LcmFlag.LCM_FL_WRITE_PENDING) return 'intent';
    const used = new Set(touched.map(({ component }) => mirrorIdOf(component)));
    const others = this.layout.components.some(
      (c) => !isStale(c) && c.start < end && start < c.end && (used.size > 1 || !used.has(mirrorIdOf(c))),
    );
    return others ? 'intent' : 'nothing';
  }
}

function objectsOf(component: LayoutComponent): MappedObject[] {
  if (!isInstantiated(component)) return [];
  if (isOnMdt(component)) return [{ component, stripe: 0, onMdt: true, object: undefined }];
  return component.objects.map((object, stripe) => ({ component, stripe, onMdt: false, object }));
}

/** Mirrors of a layout, those that are preferred first, in a fixed order else. */
export function mirrorOrder(layout: FileLayout, preferred: 'read' | 'write' = 'read'): number[] {
  const flag = preferred === 'read' ? LcmeFlag.LCME_FL_PREF_RD : LcmeFlag.LCME_FL_PREF_WR;
  const rank = (components: readonly LayoutComponent[]): number =>
    components.some((component) => (component.flags & flag) !== 0) ? 0 : 1;
  return [...mirrorsOf(layout)].sort(([, a], [, b]) => rank(a) - rank(b)).map(([id]) => id);
}

/** Mirrors that have all of `[start, end)` up to date, in the order in which to try them. */
export function readableMirrors(layout: FileLayout, start: number, end: number): number[] {
  const mirrors = mirrorsOf(layout);
  return mirrorOrder(layout).filter((id) =>
    mirrors.get(id)!.every((c) => !isStale(c) || c.end <= start || end <= c.start),
  );
}

/** Fills the file's range from the mirrors in order, each with what is not stale in it. */
function chooseRanges(
  layout: FileLayout,
  order: readonly number[],
  stale: boolean,
): Omit<Segment, 'first'>[] {
  const mirrors = mirrorsOf(layout);
  const chosen: Omit<Segment, 'first'>[] = [];
  for (const id of order) {
    for (const component of mirrors.get(id) ?? []) {
      if (!stale && isStale(component)) continue;
      let free = [{ start: component.start, end: component.end }];
      for (const taken of chosen) {
        free = free.flatMap((range) => [
          { start: range.start, end: Math.min(range.end, taken.start) },
          { start: Math.max(range.start, taken.end), end: range.end },
        ]);
        free = free.filter(({ start, end }) => start < end);
      }
      chosen.push(...free.map((range) => ({ ...range, component })));
    }
  }
  return chosen.sort((a, b) => a.start - b.start);
}
