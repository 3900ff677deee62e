/** `lustre rm`: remove files, and trees with -r. */
import { Command } from 'commander';
import { printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

export function rmCommand(): Command {
  return addConnectionOptions(new Command('rm'))
    .description('remove files, or trees with -r')
    .argument('<path...>', 'NID:/fsname/path')
    .option('-r, --recursive', 'directories and all that is in them')
    .option('-f, --force', 'do not fail where nothing is there')
    .addHelpText('after', '\nExample:\n  lustre rm -r 10.0.0.1@tcp:/lab/scratch')
    .action(
      async (texts: string[], options: ConnectionOptions & { recursive?: boolean; force?: boolean }) => {
        const paths = texts.map(requireLustrePath);
        await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
          for (const { path } of paths) {
            await filesystem.rm(path, {
              recursive: options.recursive === true,
              force: options.force === true,
            });
          }
        });
        if (options.json === true) printJson({ removed: paths.map((p) => p.path) });
      },
    );
}
