/** `lustre getstripe`: how files lie over objects, in the words of `lfs getstripe`. */
import { Command } from 'commander';
import type { Filesystem } from '../client/filesystem.ts';
import type { Layout } from '../layout/description.ts';
import { printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';
import { directoryStripeText, fileStripeText } from './stripe-text.ts';

interface GetstripeOptions extends ConnectionOptions {
  readonly verbose?: boolean;
  readonly yaml?: boolean;
  readonly directory?: boolean;
  readonly stripeCount?: boolean;
  readonly stripeSize?: boolean;
  readonly stripeIndex?: boolean;
  readonly pool?: boolean;
  readonly layout?: boolean;
  readonly generation?: boolean;
  readonly fid?: boolean;
  readonly componentCount?: boolean;
  readonly mirrorCount?: boolean;
}

/** What an option prints instead of everything. */
const SINGLE: readonly (readonly [keyof GetstripeOptions, (layout: Layout) => unknown])[] = [
  ['stripeCount', (layout) => layout.stripeCount],
  ['stripeSize', (layout) => layout.stripeSize],
  ['stripeIndex', (layout) => layout.stripeOffset],
  ['pool', (layout) => layout.pool ?? ''],
  ['layout', (layout) => layout.pattern.join(',')],
  ['generation', (layout) => layout.generation ?? 0],
  ['fid', (layout) => layout.fid ?? ''],
  ['componentCount', (layout) => layout.composite?.components.length ?? 0],
  ['mirrorCount', (layout) => layout.composite?.mirrorCount ?? 1],
];

interface Found {
  readonly path: string;
  readonly directory: boolean;
  readonly fid: string;
  readonly layout: Layout | undefined;
}

export function getstripeCommand(): Command {
  return addConnectionOptions(new Command('getstripe'))
    .description('the layout of files and the default layout of directories')
    .argument('<path...>', 'NID:/fsname/path')
    .option('-v, --verbose', 'everything: magics, ids, sizes')
    .option('-y, --yaml', 'the same, which is YAML for a file of components')
    .option('-d, --directory', 'directories themselves; always so, there is no recursion')
    .option('-c, --stripe-count', 'only the stripe count (of the last component with objects)')
    .option('-S, --stripe-size', 'only the stripe size')
    .option('-i, --stripe-index', 'only the index of the first OST')
    .option('-p, --pool', 'only the pool')
    .option('-L, --layout', 'only the pattern')
    .option('-g, --generation', 'only the layout generation')
    .option('-F, --fid', 'only the FID')
    .option('--component-count', 'only the number of components')
    .option('-N, --mirror-count', 'only the number of mirrors')
    .addHelpText('after', '\nExample:\n  lustre getstripe -v 10.0.0.1@tcp:/lab/data/big.bin')
    .action(async (texts: string[], options: GetstripeOptions) => {
      const paths = texts.map(requireLustrePath);
      const found = await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        const list: Found[] = [];
        for (const { path } of paths) list.push(await look(filesystem, path));
        return list;
      });
      if (options.json === true) {
        printJson(found.map(({ path, layout }) => ({ path, layout })));
        return;
      }
      for (const one of found) process.stdout.write(textOf(one, options));
    });
}

async function look(filesystem: Filesystem, path: string): Promise<Found> {
  const stats = await filesystem.stat(path);
  const layout = await filesystem.getLayout(path);
  return { path, directory: stats.isDirectory(), fid: stats.fid, layout };
}

function textOf({ path, directory, fid, layout }: Found, options: GetstripeOptions): string {
  const asked = SINGLE.filter(([option]) => options[option] === true);
  if (asked.length > 0)
    return asked.map(([, value]) => `${layout === undefined ? 0 : value(layout)}\n`).join('');
  const verbose = options.verbose === true || options.yaml === true;
  if (directory) return directoryStripeText(path, layout, verbose, fid);
  if (layout === undefined) return `${path} has no stripe info\n\n`;
  return fileStripeText(path, layout, verbose);
}
