/** `lustre fallocate`: reserves space of files or frees it, in the words of fallocate(1). */
import { Command } from 'commander';
import { bytes } from './ladvise.ts';
import { printJson } from './output.ts';
import { requireLustrePath, usage } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, withMount } from './session.ts';

interface FallocateOptions extends ConnectionOptions {
  readonly length: number;
  readonly offset: number;
  readonly keepSize?: boolean;
  readonly punchHole?: boolean;
}

export function fallocateCommand(): Command {
  return addConnectionOptions(new Command('fallocate'))
    .description('reserve space for a file, or make a hole in it')
    .argument('<path>', 'NID:/fsname/path; made when it is not there, unless a hole is wanted')
    .requiredOption('-l, --length <n>', 'bytes, with k, M or G', bytes)
    .option('-o, --offset <n>', 'first byte', bytes, 0)
    .option('-n, --keep-size', 'the file grows no longer')
    .option('-p, --punch-hole', 'free the space: it reads as zeroes')
    .addHelpText(
      'after',
      `
Examples:
  lustre fallocate -l 10G 10.0.0.1@tcp:/lab/data/new.bin
  lustre fallocate -p -o 1M -l 64k 10.0.0.1@tcp:/lab/data/big.bin`,
    )
    .action(async (text: string, options: FallocateOptions) => {
      const { spec, path } = requireLustrePath(text);
      const { length, offset } = options;
      if (length === 0) throw usage('the range has no bytes');
      await withMount(spec, options, async (filesystem) => {
        await using file = await filesystem.open(path, options.punchHole === true ? 'r+' : 'a+');
        if (options.punchHole === true) await file.punchHole(offset, length);
        else await file.fallocate(offset, length, { keepSize: options.keepSize === true });
      });
      if (options.json === true) printJson({ path, offset, length });
    });
}
