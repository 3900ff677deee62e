/** `lustre setstripe`: make a file with a layout, or set a directory's default, with the options of `lfs setstripe`. */
import { Command, InvalidArgumentError } from 'commander';
import { isMissing } from './mv.ts';
import { parseSize, printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

interface SetstripeOptions extends ConnectionOptions {
  readonly stripeCount?: number;
  readonly stripeSize?: number;
  readonly stripeIndex?: number;
  readonly pool?: string;
}

export function setstripeCommand(): Command {
  return addConnectionOptions(new Command('setstripe'))
    .description("make a file with a layout, or set a directory's default layout")
    .argument('<path...>', 'NID:/fsname/path')
    .option('-c, --stripe-count <n>', 'OSTs to stripe over; -1 is all', wholeNumber)
    .option(
      '-S, --stripe-size <size>',
      'bytes on one OST before the next: 65536 or more, 64k steps, k/M/G',
      stripeSize,
    )
    .option('-i, --stripe-index <n>', 'index of the first OST; -1 lets the MDT choose', wholeNumber)
    .option('-p, --pool <name>', 'pool of OSTs')
    .addHelpText('after', '\nExample:\n  lustre setstripe -c 2 -S 4M 10.0.0.1@tcp:/lab/wide')
    .action(async (texts: string[], options: SetstripeOptions) => {
      const paths = texts.map(requireLustrePath);
      const layout = {
        ...(options.stripeCount !== undefined && { stripeCount: options.stripeCount }),
        ...(options.stripeSize !== undefined && { stripeSize: options.stripeSize }),
        ...(options.stripeIndex !== undefined && { stripeOffset: options.stripeIndex }),
        ...(options.pool !== undefined && { pool: options.pool }),
      };
      await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        for (const { path } of paths) {
          const directory = await filesystem.stat(path).then((s) => s.isDirectory(), isMissing);
          if (directory) await filesystem.setLayout(path, layout);
          else await (await filesystem.open(path, 'wx', 0o666, layout)).close();
        }
      });
      if (options.json === true) printJson({ paths: paths.map((p) => p.path), layout });
    });
}

function wholeNumber(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < -1) throw new InvalidArgumentError('a whole number from -1');
  return n;
}

function stripeSize(text: string): number {
  const size = parseSize(text);
  if (size === undefined || size === 0 || size % 65536 !== 0)
    throw new InvalidArgumentError('a multiple of 64k, for example 4M');
  return size;
}
