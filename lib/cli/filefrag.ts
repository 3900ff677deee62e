/** `lustre filefrag`: where the servers have a file on their disks, in the manner of filefrag(8). */
import { Command } from 'commander';
import { formatTable, printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

interface FilefragOptions extends ConnectionOptions {
  readonly verbose?: boolean;
}

export function filefragCommand(): Command {
  return addConnectionOptions(new Command('filefrag'))
    .description('the extents of files on the disks of their servers')
    .argument('<path...>', 'NID:/fsname/path')
    .option('-v, --verbose', 'each of them')
    .addHelpText('after', '\nExample:\n  lustre filefrag -v 10.0.0.1@tcp:/lab/data/big.bin')
    .action(async (texts: string[], options: FilefragOptions) => {
      const paths = texts.map(requireLustrePath);
      const found = await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        const files = [];
        for (const { path } of paths) {
          await using file = await filesystem.open(path, 'r');
          files.push({ path, extents: await file.extents() });
        }
        return files;
      });
      if (options.json === true) {
        printJson(found);
        return;
      }
      for (const { path, extents } of found) {
        if (options.verbose === true)
          process.stdout.write(
            `${formatTable(
              ['target', 'object', 'offset', 'in object', 'physical', 'length', 'flags'],
              extents.map((e) => [
                e.target,
                e.object,
                String(e.offset),
                String(e.objectOffset),
                String(e.physical),
                String(e.length),
                e.flags.join(','),
              ]),
            )}\n`,
          );
        process.stdout.write(`${path}: ${extents.length} extent${extents.length === 1 ? '' : 's'} found\n`);
      }
    });
}
