/** `lustre cat`: files to standard output. */
import { pipeline } from 'node:stream/promises';
import { Command } from 'commander';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

export function catCommand(): Command {
  return addConnectionOptions(new Command('cat'))
    .description('write files to standard output')
    .argument('<path...>', 'NID:/fsname/path')
    .addHelpText('after', '\nExample:\n  lustre cat 10.0.0.1@tcp:/lab/notes.txt')
    .action(async (texts: string[], options: ConnectionOptions) => {
      const paths = texts.map(requireLustrePath);
      await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        for (const { path } of paths) {
          await using file = await filesystem.open(path, 'r');
          await pipeline(file.createReadStream(), process.stdout, { end: false });
        }
      });
    });
}
