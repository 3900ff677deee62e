/** `lustre ladvise`: what will happen to files, in the words of `lfs ladvise`. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { parseSize, printJson } from './output.ts';
import { requireLustrePath, usage } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

interface LadviseOptions extends ConnectionOptions {
  readonly advice: 'willread' | 'dontneed';
  readonly background?: boolean;
  readonly start: number;
  readonly end?: number;
  readonly length?: number;
}

export function ladviseCommand(): Command {
  return addConnectionOptions(new Command('ladvise'))
    .description('tell the servers what will happen to files')
    .argument('<path...>', 'NID:/fsname/path')
    .addOption(
      new Option('-a, --advice <advice>', 'willread: read it ahead; dontneed: forget it')
        .choices(['willread', 'dontneed'])
        .makeOptionMandatory(),
    )
    .option('-b, --background', 'the servers answer before it is done')
    .option('-s, --start <n>', 'first byte, with k, M or G', bytes, 0)
    .option('-e, --end <n>', 'past the last byte; default the end of the file', bytes)
    .option('-l, --length <n>', 'bytes, instead of an end', bytes)
    .addHelpText(
      'after',
      '\nExample:\n  lustre ladvise -a willread -s 0 -e 1G 10.0.0.1@tcp:/lab/data/big.bin',
    )
    .action(async (texts: string[], options: LadviseOptions) => {
      const paths = texts.map(requireLustrePath);
      const { advice, background = false, start, end } = options;
      if (end !== undefined && options.length !== undefined) throw usage('give an end or a length, not both');
      const length = options.length ?? (end === undefined ? undefined : end - start);
      if (length !== undefined && length <= 0) throw usage('the range has no bytes');
      await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        for (const { path } of paths) {
          await using file = await filesystem.open(path, 'r');
          await file.advise(advice, { start, background, ...(length !== undefined && { length }) });
        }
      });
      if (options.json === true) printJson(paths.map(({ path }) => ({ path, advice, start, length })));
    });
}

/** A number of bytes as an option has it. */
export function bytes(text: string): number {
  const size = parseSize(text);
  if (size === undefined) throw new InvalidArgumentError('a number of bytes, with k, M, G, T or P');
  return size;
}
