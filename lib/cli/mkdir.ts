/** `lustre mkdir`: directories, with their parents on request. */
import { Command } from 'commander';
import { printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

export function mkdirCommand(): Command {
  return addConnectionOptions(new Command('mkdir'))
    .description('make directories')
    .argument('<path...>', 'NID:/fsname/path')
    .option('-p, --parents', 'make missing parents, and do not fail where the directory exists')
    .option('-m, --mode <octal>', 'permission bits', '777')
    .addHelpText('after', '\nExample:\n  lustre mkdir -p 10.0.0.1@tcp:/lab/a/b/c')
    .action(async (texts: string[], options: ConnectionOptions & { parents?: boolean; mode: string }) => {
      const paths = texts.map(requireLustrePath);
      await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        for (const { path } of paths) {
          await filesystem.mkdir(path, {
            recursive: options.parents === true,
            mode: Number.parseInt(options.mode, 8),
          });
        }
      });
      if (options.json === true) printJson({ created: paths.map((p) => p.path) });
    });
}
