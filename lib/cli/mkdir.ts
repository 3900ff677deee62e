/** `lustre mkdir`: directories, with their parents on request. */
import { Command } from 'commander';
import {
  type DirectoryWishOptions,
  directoryWish,
  mdtCountOption,
  mdtHashOption,
  mdtIndexOption,
} from './dirstripe.ts';
import { printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

interface MkdirOptions extends ConnectionOptions, DirectoryWishOptions {
  readonly parents?: boolean;
  readonly mode: string;
}

export function mkdirCommand(): Command {
  return addConnectionOptions(new Command('mkdir'))
    .description('make directories')
    .argument('<path...>', 'NID:/fsname/path')
    .option('-p, --parents', 'make missing parents, and do not fail where the directory exists')
    .option('-m, --mode <octal>', 'permission bits', '777')
    .addOption(mdtIndexOption())
    .addOption(mdtCountOption())
    .addOption(mdtHashOption())
    .addHelpText('after', '\nExample:\n  lustre mkdir -p 10.0.0.1@tcp:/lab/a/b/c')
    .action(async (texts: string[], options: MkdirOptions) => {
      const paths = texts.map(requireLustrePath);
      await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        for (const { path } of paths) {
          await filesystem.mkdir(path, {
            recursive: options.parents === true,
            mode: Number.parseInt(options.mode, 8),
            ...directoryWish(options),
          });
        }
      });
      if (options.json === true) printJson({ created: paths.map((p) => p.path) });
    });
}
