/** `lustre project`: the projects that files and directories are charged to, in the words of `lfs project`. */
import { Command, InvalidArgumentError } from 'commander';
import type { Filesystem, Project } from '../index.ts';
import { printJson } from './output.ts';
import { requireLustrePath, usage } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

interface ProjectOptions extends ConnectionOptions {
  readonly project?: number;
  readonly setInherit?: boolean;
  readonly directory?: boolean;
  readonly recursive?: boolean;
  readonly check?: boolean;
  readonly clear?: boolean;
  readonly keep?: boolean;
}

interface Found extends Project {
  readonly path: string;
  readonly directory: boolean;
}

export function projectCommand(): Command {
  return addConnectionOptions(new Command('project'))
    .description('show, set, check or clear the project of files and directories')
    .argument('<path...>', 'NID:/fsname/path')
    .option('-p, --project <id>', 'charge it to this project', projectId)
    .option('-s, --set-inherit', 'what is made in the directories belongs to it too')
    .option('-d, --directory', 'directories themselves, not what is in them')
    .option('-r, --recursive', 'all that is below')
    .option('-c, --check', 'print what is not in the project and directories that do not hand it on')
    .option('-C, --clear', 'to no project, and not handed on')
    .option('-k, --keep', 'with -C: the project stays, it is only not handed on')
    .addHelpText(
      'after',
      `
Examples:
  lustre project -p 1234 -s -r 10.0.0.1@tcp:/lab/proj    set a tree up
  lustre project -d 10.0.0.1@tcp:/lab/proj               show the directory
  lustre project -c -p 1234 -r 10.0.0.1@tcp:/lab/proj    look for strays`,
    )
    .action(async (texts: string[], options: ProjectOptions) => {
      const paths = texts.map(requireLustrePath);
      const sets = options.project !== undefined || options.setInherit === true;
      if (options.check === true && options.clear === true) throw usage('-c and -C exclude each other');
      if (options.clear === true && sets) throw usage('-C takes neither -p nor -s');
      const lists = options.check !== true && options.clear !== true && !sets;
      const found = await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        const all: Found[] = [];
        for (const { path } of paths) {
          for await (const one of select(filesystem, path, lists, options)) {
            if (options.check !== true && !lists) await change(filesystem, one, options);
            all.push(one);
          }
        }
        return all;
      });
      if (options.check === true) printStrays(found, options);
      else if (options.json === true) printJson(found);
      else if (lists)
        for (const { id, inherit, path } of found)
          process.stdout.write(`${String(id).padStart(5)} ${inherit ? 'P' : '-'} ${path}\n`);
    });
}

/** As lfs: a directory with what is in it, but lists leave itself out unless it is asked for. */
async function* select(
  filesystem: Filesystem,
  path: string,
  lists: boolean,
  options: ProjectOptions,
): AsyncGenerator<Found> {
  const look = async (at: string, directory: boolean): Promise<Found> => ({
    path: at,
    directory,
    ...(await filesystem.getProject(at)),
  });
  const directory = (await filesystem.lstat(path)).isDirectory();
  const itself = options.directory === true;
  if (!directory || itself || !lists) yield await look(path, directory);
  if (!directory || itself) return;
  if (options.recursive === true) {
    for await (const entry of filesystem.walk(path)) yield await look(entry.path, entry.dirent.isDirectory());
  } else {
    for await (const entry of await filesystem.opendir(path))
      yield await look(`${path === '/' ? '' : path}/${entry.name}`, entry.isDirectory());
  }
}

async function change(filesystem: Filesystem, one: Found, options: ProjectOptions): Promise<void> {
  if (options.clear === true) {
    const id = options.keep === true ? one.id : 0;
    if (one.inherit || one.id !== id) await filesystem.setProject(one.path, { id, inherit: false });
    return;
  }
  const id = options.project ?? one.id;
  const inherit = one.inherit || (options.setInherit === true && one.directory);
  if (id !== one.id || inherit !== one.inherit) await filesystem.setProject(one.path, { id, inherit });
}

function printStrays(found: readonly Found[], options: ProjectOptions): void {
  const project = options.project ?? found[0]?.id ?? 0;
  const strays = found.filter((one) => one.id !== project || (one.directory && !one.inherit));
  if (options.json === true) {
    printJson(strays);
    return;
  }
  for (const { path, id, inherit, directory } of strays) {
    if (directory && !inherit) process.stdout.write(`${path} - project inheritance flag is not set\n`);
    if (id !== project)
      process.stdout.write(`${path} - project identifier is not set (inode=${id}, tree=${project})\n`);
  }
}

export function projectId(text: string): number {
  const id = Number(text);
  if (!/^\d+$/.test(text) || id > 0xffff_fffe)
    throw new InvalidArgumentError('a number from 0 to 4294967294');
  return id;
}
