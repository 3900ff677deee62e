/** `lustre cp`: between the local file system and Lustre, and within one Lustre file system. */
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Command } from 'commander';
import type { Filesystem } from '../index.ts';
import { copyTree, copyTreeIn, copyTreeOut, lustreTree, scanLocal, scanLustre, totals } from './copy-tree.ts';
import { isMissing } from './mv.ts';
import { formatBytes, printJson } from './output.ts';
import { baseName, joinPaths, type LustrePath, parseLustrePath, splitDestination, usage } from './paths.ts';
import { startProgress } from './progress.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

interface CpOptions extends ConnectionOptions {
  readonly recursive?: boolean;
}

interface Place {
  readonly text: string;
  readonly lustre: LustrePath | undefined;
}

export function cpCommand(): Command {
  return addConnectionOptions(new Command('cp'))
    .description('copy files and trees in, out and within')
    .usage('[options] <source...> <destination>')
    .argument('<paths...>', 'sources, then the destination: local paths or NID:/fsname/path')
    .option('-r, --recursive', 'directories and all that is in them')
    .addHelpText(
      'after',
      '\nExamples:\n  lustre cp -r ./results 10.0.0.1@tcp:/lab/results\n  lustre cp 10.0.0.1@tcp:/lab/results/run.h5 .',
    )
    .action(async (paths: string[], options: CpOptions) => {
      const { sources: texts, to } = splitDestination(paths);
      const sources = texts.map((text): Place => ({ text, lustre: parseLustrePath(text) }));
      const target: Place = { text: to, lustre: parseLustrePath(to) };
      const specs = [...sources, target].flatMap((p) => (p.lustre === undefined ? [] : [p.lustre.spec]));
      if (specs.length === 0)
        throw usage('neither side is on Lustre', 'Use cp(1), or write NID:/fsname/path');
      const started = performance.now();
      const copied = await withMount(commonSpec(specs), options, async (filesystem) => {
        const into = await isDirectory(filesystem, target);
        if (sources.length > 1 && !into) throw usage(`'${to}' is not a directory`);
        const sum = { files: 0, bytes: 0 };
        for (const source of sources) {
          const done = await copyOne(filesystem, source, target, into, options);
          sum.files += done.files;
          sum.bytes += done.bytes;
        }
        return sum;
      });
      const seconds = (performance.now() - started) / 1000;
      if (options.json === true) printJson({ ...copied, seconds });
      else
        process.stderr.write(
          `${copied.files} files, ${formatBytes(copied.bytes)} in ${seconds.toFixed(1)} s\n`,
        );
    });
}

async function isDirectory(filesystem: Filesystem, place: Place): Promise<boolean> {
  const found = place.lustre === undefined ? stat(place.text) : filesystem.stat(place.lustre.path);
  return found.then((s) => s.isDirectory(), isMissing);
}

async function copyOne(
  filesystem: Filesystem,
  source: Place,
  target: Place,
  into: boolean,
  options: CpOptions,
): Promise<{ files: number; bytes: number }> {
  const from = source.lustre?.path ?? source.text;
  const entries = source.lustre === undefined ? await scanLocal(from) : await scanLustre(filesystem, from);
  if (entries[0]?.kind === 'directory' && options.recursive !== true)
    throw usage(`'${source.text}' is a directory`, 'Add -r');
  const name = source.lustre === undefined ? basename(from) : baseName(from);
  const sum = totals(entries);
  const progress = startProgress('copying', sum.bytes, sum.files, options.json === true);
  if (target.lustre === undefined) {
    await copyTreeOut(filesystem, from, entries, into ? join(target.text, name) : target.text, progress);
  } else {
    const to = into ? joinPaths(target.lustre.path, name) : target.lustre.path;
    if (source.lustre === undefined) await copyTreeIn(filesystem, from, entries, to, progress);
    else {
      const tree = lustreTree(filesystem, to, (relative, path) =>
        filesystem.copyFile(joinPaths(from, relative), path),
      );
      await copyTree(entries, tree, progress);
    }
  }
  progress.done();
  return sum;
}
