/** Layouts in the words and columns of `lfs getstripe` (guide 17), so that scripts that read those read these. */
import type { ComponentDescription, Layout, StripeDescription } from '../layout/description.ts';
import { LovConstant } from '../wire/layout-constants.ts';
import {
  LovCompMdEntryV1,
  LovCompMdV1,
  LovMdsMdV1,
  LovMdsMdV3,
  LovOstDataV1,
} from '../wire/layout-structs.ts';

const hex8 = (n: number): string => `0x${n.toString(16).toUpperCase().padStart(8, '0')}`;
const line = (indent: string, name: string, value: unknown): string => {
  const label = `${name}:`;
  return `${indent}${label.padEnd(Math.max(19, label.length + 1))}${value}\n`;
};

/** A file's layout; `verbose` as `lfs getstripe -v`. */
export function fileStripeText(path: string, layout: Layout, verbose: boolean): string {
  if (layout.foreign !== undefined) return `${path}\n${foreignText(layout.foreign)}\n`;
  if (layout.composite !== undefined) return `${path}\n${compositeText(layout, layout.composite, verbose)}\n`;
  return `${path}\n${partText('', layout, layout, verbose)}${objectTable(layout)}\n`;
}

/** A directory's default layout; `path` has none of its own where `layout` is undefined. */
export function directoryStripeText(
  path: string,
  layout: Layout | undefined,
  verbose: boolean,
  fid?: string,
): string {
  const head = `${path}\n${verbose && fid !== undefined ? line('', 'lmm_fid', fid) : ''}`;
  if (layout === undefined)
    return `${head}stripe_count:  1 stripe_size:   0 pattern:       0 stripe_offset: -1\n\n`;
  if (layout.composite !== undefined) return `${head}${compositeText(layout, layout.composite, verbose)}\n`;
  const pool = layout.pool === undefined ? '' : ` pool:          ${layout.pool}`;
  return (
    `${head}stripe_count:  ${layout.stripeCount} stripe_size:   ${layout.stripeSize} ` +
    `pattern:       ${layout.pattern.join(',')} stripe_offset: ${layout.stripeOffset}${pool}\n\n`
  );
}

function foreignText({ type, flags, value }: NonNullable<Layout['foreign']>): string {
  return (
    line('', 'lfm_magic', hex8(LovConstant.LOV_MAGIC_FOREIGN)) +
    line('', 'lfm_length', value.length) +
    line('', 'lfm_type', `0x${type.toString(16)}`) +
    line('', 'lfm_flags', `0x${flags.toString(16)}`)
  );
}

function compositeText(
  layout: Layout,
  composite: NonNullable<Layout['composite']>,
  verbose: boolean,
): string {
  const { components, mirrorCount, state } = composite;
  const places = placesOf(components);
  let text = verbose
    ? `composite_header:\n${line('  ', 'lcm_magic', hex8(LovConstant.LOV_MAGIC_COMP_V1))}` +
      `${line('  ', 'lcm_size', places.total)}${line('  ', 'lcm_flags', state)}`
    : '';
  text += line('  ', 'lcm_layout_gen', layout.generation ?? 0);
  text += line('  ', 'lcm_mirror_count', mirrorCount);
  text += line('  ', 'lcm_entry_count', components.length);
  if (verbose) text += 'components:\n';
  components.forEach((component, i) => {
    text += entryText(layout, component, places.places[i]!, verbose);
  });
  return text;
}

function entryText(
  layout: Layout,
  component: ComponentDescription,
  place: { offset: number; size: number },
  verbose: boolean,
): string {
  const field = (name: string, value: unknown): string => line('    ', name, value);
  const wide = (name: string, value: unknown): string => `    ${name}: ${value}\n`;
  const first = verbose
    ? line('  - ', 'lcme_id', component.id).replace('lcme_id:           ', 'lcme_id:             ')
    : '';
  const id = verbose ? first : `    lcme_id:             ${component.id}\n`;
  return (
    id +
    `    lcme_mirror_id:      ${component.mirrorId}\n` +
    `    lcme_flags:          ${component.flags.length === 0 ? 0 : component.flags.join(',')}\n` +
    wide('lcme_extent.e_start', component.start) +
    `    lcme_extent.e_end:   ${component.end === Number.POSITIVE_INFINITY ? 'EOF' : component.end}\n` +
    (verbose
      ? `    lcme_offset:         ${place.offset}\n    lcme_size:           ${place.size}\n    sub_layout:\n`
      : '') +
    (component.extensionSize === undefined ? '' : field('lmm_extension_size', component.extensionSize)) +
    partText('      ', layout, component, verbose) +
    objectList(component) +
    '\n'
  );
}

/** What a part of v1 or v3 says. */
function partText(indent: string, layout: Layout, part: StripeDescription, verbose: boolean): string {
  const onMdt = part.pattern.includes('mdt');
  let text = '';
  if (verbose) {
    const magic = part.pool === undefined ? LovConstant.LOV_MAGIC_V1 : LovConstant.LOV_MAGIC_V3;
    text += line(indent, 'lmm_magic', hex8(magic));
    const [seq, oid] = fidParts(layout.fid);
    text += line(indent, 'lmm_seq', seq) + line(indent, 'lmm_object_id', oid);
    text += line(indent, 'lmm_fid', layout.fid);
  }
  text += line(indent, 'lmm_stripe_count', part.stripeCount);
  text += line(indent, 'lmm_stripe_size', part.stripeSize);
  text += line(indent, 'lmm_pattern', part.pattern.join(','));
  text += line(indent, 'lmm_layout_gen', part.generation ?? 0);
  text += onMdt ? line(indent, 'lmm_mdt_index', 0) : line(indent, 'lmm_stripe_offset', part.stripeOffset);
  if (part.pool !== undefined) text += line(indent, 'lmm_pool', part.pool);
  return text;
}

function fidParts(fid: string | undefined): [string, string] {
  const [seq = '0x0', oid = '0x0'] = (fid ?? '').replace(/[[\]]/g, '').split(':');
  return [seq, oid];
}

/** Objects of a plain layout. */
function objectTable({ objects }: StripeDescription): string {
  if (objects.length === 0) return '';
  const rows = objects.map(({ ostIndex, oid, seq }) => {
    const hex = `0x${oid.toString(16)}`;
    return `\t${String(ostIndex).padStart(6)}\t${String(oid).padStart(14)}\t${hex.padStart(13)}\t${`0x${seq.toString(16)}`.padStart(14)}\n`;
  });
  return `\tobdidx\t\t objid\t\t objid\t\t group\n${rows.join('')}`;
}

/** Objects of a component. */
function objectList({ objects }: StripeDescription): string {
  if (objects.length === 0) return '';
  const rows = objects.map(({ ostIndex, oid, seq }, i) => {
    const fid = `[0x${seq.toString(16)}:0x${oid.toString(16)}:0x0]`;
    return `      - ${String(i).padStart(3)}: { l_ost_idx: ${String(ostIndex).padStart(3)}, l_fid: ${fid} }\n`;
  });
  return `      lmm_objects:\n${rows.join('')}`;
}

/** Where the parts are in the extended attribute: they follow each other. */
function placesOf(components: readonly ComponentDescription[]): {
  readonly places: readonly { readonly offset: number; readonly size: number }[];
  readonly total: number;
} {
  let at = LovCompMdV1.size + components.length * LovCompMdEntryV1.size;
  const places = components.map((component) => {
    const head = component.pool === undefined ? LovMdsMdV1.size : LovMdsMdV3.size;
    // A kernel keeps room for one object in a component that has none yet.
    const waiting = !component.flags.includes('init') && !component.pattern.includes('mdt') ? 1 : 0;
    const size = head + Math.max(component.objects.length, waiting) * LovOstDataV1.size;
    const offset = at;
    at += size;
    return { offset, size };
  });
  return { places, total: at };
}
