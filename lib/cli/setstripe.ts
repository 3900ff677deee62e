/** `lustre setstripe`: make a file with a layout, or set a directory's default, with the options of `lfs setstripe`. */
import { Command, InvalidArgumentError } from 'commander';
import type { StripingOptions } from '../layout/striping.ts';
import { isMissing } from './mv.ts';
import { printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';
import { parseComponents } from './stripe-options.ts';

export function setstripeCommand(): Command {
  // Options of components come in any number, and their order counts.
  const words: string[] = [];
  const command = addConnectionOptions(new Command('setstripe'))
    .description("make a file with a layout, or set a directory's default layout")
    .argument('<path...>', 'NID:/fsname/path');
  return addStripeOptions(command, words)
    .addHelpText(
      'after',
      '\nExamples:\n  lustre setstripe -c 2 -S 4M 10.0.0.1@tcp:/lab/wide\n' +
        '  lustre setstripe -E 1M -c 1 -E 1G -c 4 -E -1 -c -1 10.0.0.1@tcp:/lab/growing\n' +
        '  lustre setstripe -E 64K -L mdt -E -1 -c 2 10.0.0.1@tcp:/lab/small-on-mdt\n' +
        '  lustre setstripe -N2 -c 1 10.0.0.1@tcp:/lab/mirrored',
    )
    .action(async (texts: string[], options: ConnectionOptions, self: Command) => {
      await setLayouts(texts, parsed(words, self), options);
    });
}

/** Makes files with a layout; of directories it becomes the default. */
export async function setLayouts(
  texts: readonly string[],
  layout: StripingOptions,
  options: ConnectionOptions,
): Promise<void> {
  const paths = texts.map(requireLustrePath);
  await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
    for (const { path } of paths) {
      const directory = await filesystem.stat(path).then((s) => s.isDirectory(), isMissing);
      if (directory) await filesystem.setLayout(path, layout);
      else await (await filesystem.open(path, 'wx', 0o666, layout)).close();
    }
  });
  if (options.json === true) printJson({ paths: paths.map((p) => p.path), layout });
}

/** What the options taken down say; wrong ones end the command. */
export function parsed(words: readonly string[], command: Command): StripingOptions {
  try {
    return parseComponents(words);
  } catch (error) {
    if (error instanceof InvalidArgumentError) command.error(`error: ${error.message}`);
    throw error;
  }
}

/** The options of `lfs setstripe`, taken down in `words` as they come. */
export function addStripeOptions(command: Command, words: string[]): Command {
  const take = (option: string) => (value: string) => {
    words.push(option, value);
    try {
      parseComponents([option, value]);
    } catch (error) {
      // A component's option may need another that comes later or came before; values that are wrong are wrong now.
      if (!(error instanceof InvalidArgumentError) || !/give -E/.test(error.message)) throw error;
    }
    return value;
  };
  return command
    .option(
      '-E, --component-end <end>',
      'a component up to there (k/M/G, -1 or eof: to the end); the options behind it are its own',
      take('-E'),
    )
    .option('-c, --stripe-count <n>', 'OSTs to stripe over; -1 is all', take('-c'))
    .option('-C, --overstripe-count <n>', 'stripes, of which several may be on one OST', take('-C'))
    .option(
      '-S, --stripe-size <size>',
      'bytes on one OST before the next: 65536 or more, 64k steps, k/M/G',
      take('-S'),
    )
    .option('-i, --stripe-index <n>', 'index of the first OST; -1 lets the MDT choose', take('-i'))
    .option('-o, --ost <list>', 'exactly these OSTs: 0,2-4', take('-o'))
    .option('-p, --pool <name>', 'pool of OSTs', take('-p'))
    .option('-L, --layout <pattern>', 'mdt: the first component is kept on the MDT; raid0', take('-L'))
    .option('-z, --extension-size <size>', 'the component grows by so much at a time: 64M steps', take('-z'))
    .option(
      '-N, --mirror-count [count]',
      'a mirror, or -N3 so many; the options behind it are its own',
      (value: string | true) => {
        if (value !== true && !/^\d+$/.test(value))
          throw new InvalidArgumentError('a number, written together: -N2');
        words.push(value === true ? '-N' : `-N${value}`);
        return value;
      },
    )
    .option('--flags <names>', 'of a component or mirror: prefer, prefrd, prefwr, nosync', take('--flags'));
}
