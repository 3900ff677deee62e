/** `lustre mv`: rename within one file system. */
import { Command } from 'commander';
import { printJson } from './output.ts';
import { baseName, joinPaths, requireLustrePath, splitDestination, usage } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

export function mvCommand(): Command {
  return addConnectionOptions(new Command('mv'))
    .description('rename or move files and directories')
    .usage('[options] <source...> <destination>')
    .argument('<paths...>', 'sources, then a new name or a directory to move into: NID:/fsname/path')
    .addHelpText('after', '\nExample:\n  lustre mv 10.0.0.1@tcp:/lab/old 10.0.0.1@tcp:/lab/new')
    .action(async (paths: string[], options: ConnectionOptions) => {
      const { sources: texts, to } = splitDestination(paths);
      const sources = texts.map(requireLustrePath);
      const target = requireLustrePath(to);
      const moved: { from: string; to: string }[] = [];
      await withMount(commonSpec([...sources, target].map((p) => p.spec)), options, async (filesystem) => {
        const into = await filesystem.stat(target.path).then((s) => s.isDirectory(), isMissing);
        if (sources.length > 1 && !into) throw usage(`'${to}' is not a directory`);
        for (const { path } of sources) {
          const name = into ? joinPaths(target.path, baseName(path)) : target.path;
          await filesystem.rename(path, name);
          moved.push({ from: path, to: name });
        }
      });
      if (options.json === true) printJson({ moved });
    });
}

/** For a look at a destination: false where nothing is there; any other error is the caller's. */
export function isMissing(error: unknown): false {
  if ((error as { code?: unknown }).code === 'ENOENT') return false;
  throw error;
}
