/** What holds between the components of a composite layout (guide 13 §4): ids, order, extents, mirrors. */
import { LcmeFlag } from '../wire/layout-constants.ts';
import {
  type FileLayout,
  isInstantiated,
  isOnMdt,
  type LayoutComponent,
  mirrorState,
  mirrorsOf,
  TO_EOF,
} from './file-layout.ts';

/** Says what is wrong, to follow 'the layout'; undefined when all is right. `mirrors`: how many the header says. */
export function checkComponents(
  layout: FileLayout,
  { mirrors, template }: { mirrors: number; template: boolean },
): string | undefined {
  const byMirror = mirrorsOf(layout);
  return (
    (template ? undefined : (checkIds(layout) ?? checkMirrors(layout, byMirror.size, mirrors))) ??
    [...byMirror].map(([id, components]) => checkMirror(id, components)).find((wrong) => wrong !== undefined)
  );
}

function checkIds({ components }: FileLayout): string | undefined {
  const seen = new Set<number>();
  const mirrorsDone = new Set<number>();
  let last = -1;
  for (const { id } of components) {
    if (id === 0 || id > LcmeFlag.LCME_ID_MAX) return `has a component with the id 0x${id.toString(16)}`;
    if (seen.has(id)) return `has two components with the id ${id}`;
    seen.add(id);
    const mirror = id >>> 16;
    if (mirror !== last && mirrorsDone.has(mirror)) return `has mirror ${mirror} in two places`;
    mirrorsDone.add(mirror);
    last = mirror;
  }
  return undefined;
}

function checkMirrors(layout: FileLayout, found: number, said: number): string | undefined {
  if (found !== said) return `says ${said} mirrors and has ${found}`;
  if (found > 1 && mirrorState(layout) === 0) return `has ${found} mirrors and no state of them`;
  if (found === 1 && mirrorState(layout) !== 0) return `has one mirror in state ${mirrorState(layout)}`;
  const onMdt = layout.components.filter(isOnMdt);
  if (onMdt.some((component) => component.end !== onMdt[0]!.end))
    return 'has mirrors on the MDT of different ends';
  return undefined;
}

/** Components of a mirror begin at 0 and follow each other without gap and overlap. One that is to be extended may be
 * empty while it has no objects. */
function checkMirror(id: number, components: readonly LayoutComponent[]): string | undefined {
  let at = 0;
  for (const component of components) {
    const { start, end } = component;
    const name = `component ${component.id} of mirror ${id}`;
    if (start !== at)
      return `has ${start < at ? 'overlapping extents' : 'a gap'} before ${name} (${at}, ${start})`;
    if (end < start || (end === start && isInstantiated(component)))
      return `has ${name} from ${start} to ${end}`;
    if (isOnMdt(component) && start !== 0) return `has ${name} on the MDT from ${start}`;
    if (isOnMdt(component) && end === TO_EOF) return `has ${name} on the MDT without end`;
    at = end;
  }
  return undefined;
}
