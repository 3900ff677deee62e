/** `lustre mirror create|extend|split|delete|resync|verify`: mirrored files, with the options of `lfs mirror`. */
import { Command, InvalidArgumentError } from 'commander';
import type { Filesystem, MirrorComparison } from '../index.ts';
import type { ComponentOptions, StripingOptions } from '../layout/striping.ts';
import { ExitCode, printJson } from './output.ts';
import { requireLustrePath, usage } from './paths.ts';
import { type Progress, startProgress } from './progress.ts';
import {
  addConnectionOptions,
  type ConnectionOptions,
  commonSpec,
  parseCount,
  withMount,
} from './session.ts';
import { addStripeOptions, parsed, setLayouts } from './setstripe.ts';

interface OnlyOptions extends ConnectionOptions {
  readonly only?: number[];
}

interface SplitOptions extends ConnectionOptions {
  readonly mirrorId?: number;
  readonly destroy?: boolean;
  readonly file?: string;
}

const EXAMPLE = '10.0.0.1@tcp:/lab/data/big.bin';

export function mirrorCommand(): Command {
  const group = new Command('mirror')
    .description('files that are kept several times: make, extend, split, bring up to date, compare')
    .addHelpText(
      'after',
      `
A mirror is changed under a lease: somebody who has the file open is in the way (EBUSY).

Examples:
  lustre mirror create -N2 -c 1 ${EXAMPLE}
  lustre mirror extend -N -c 2 -S 4M ${EXAMPLE}
  lustre mirror resync ${EXAMPLE}
  lustre mirror verify ${EXAMPLE}
  lustre mirror split --mirror-id 2 -d ${EXAMPLE}`,
    );
  for (const command of [create(), extend(), split('split'), split('delete'), resync(), verify()])
    group.addCommand(command.exitOverride().showHelpAfterError());
  return group;
}

const subcommand = (name: string, description: string): Command =>
  addConnectionOptions(new Command(name)).description(description).argument('<path...>', 'NID:/fsname/path');

function create(): Command {
  const words: string[] = [];
  const command = subcommand('create', 'make mirrored files, or let those made in directories be so');
  return addStripeOptions(command, words).action(
    async (texts: string[], options: ConnectionOptions, self: Command) => {
      if (!words.some((word) => word.startsWith('-N')))
        throw usage('how many mirrors?', 'Give -N for each, or -N2');
      await setLayouts(texts, parsed(words, self), options);
    },
  );
}

/** The mirrors that a layout's options ask for, each as a layout of its own. */
function mirrorsAsked(layout: StripingOptions): StripingOptions[] {
  const mirrors: ComponentOptions[][] = [];
  for (const { newMirror, ...component } of layout.components ?? []) {
    if (mirrors.length === 0 || newMirror === true) mirrors.push([component]);
    else mirrors.at(-1)!.push(component);
  }
  return mirrors.length === 0 ? [layout] : mirrors.map((components) => ({ components }));
}

function extend(): Command {
  const words: string[] = [];
  const command = subcommand('extend', 'add mirrors to files, and copy their data to them');
  return addStripeOptions(command, words)
    .option(
      '--no-verify',
      'taken for the sake of scripts: mirrors are copied here, there is nothing to verify',
    )
    .action(async (texts: string[], options: ConnectionOptions, self: Command) => {
      const mirrors = mirrorsAsked(parsed(words, self));
      const done = await onFiles(texts, options, 'copying', mirrors.length, async (filesystem, path, how) => {
        for (const mirror of mirrors) await filesystem.extendMirror(path, mirror, how);
        const layout = await filesystem.getLayout(path);
        return { path, mirrors: layout?.composite?.mirrorCount ?? 1 };
      });
      if (options.json === true) printJson(done);
    });
}

function split(name: 'split' | 'delete'): Command {
  const command = subcommand(
    name,
    name === 'split' ? 'take a mirror away from files' : 'take a mirror away from files, with its data',
  ).option('--mirror-id <n>', 'which one; lustre getstripe shows them', parseCount);
  if (name === 'split') {
    command
      .option('-d, --destroy', 'with its data; else it becomes a file, PATH.mirror~N')
      .option('-f, --file <path>', 'the file that it becomes, on the same file system: /path');
  }
  return command.action(async (texts: string[], options: SplitOptions) => {
    const { mirrorId, file } = options;
    if (mirrorId === undefined) throw usage('which mirror?', 'Give --mirror-id');
    if (file !== undefined && texts.length > 1) throw usage('one file for several mirrors', 'Give one path');
    const destroy = name === 'delete' || options.destroy === true;
    const paths = texts.map(requireLustrePath);
    await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
      for (const { path } of paths) {
        const into = destroy ? undefined : (file ?? `${path}.mirror~${mirrorId}`);
        await filesystem.splitMirror(path, mirrorId, into === undefined ? {} : { into });
      }
    });
    if (options.json === true) printJson(paths.map(({ path }) => ({ path, mirror: mirrorId })));
  });
}

const only = (command: Command): Command =>
  command.option('--only <ids>', 'only these mirrors: 2,3', (text: string) =>
    text.split(',').map((id) => {
      const number = Number(id);
      if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError('mirror ids: 2,3');
      return number;
    }),
  );

const onlyOf = ({ only: ids }: OnlyOptions): { only?: number[] } => (ids === undefined ? {} : { only: ids });

function resync(): Command {
  return only(subcommand('resync', 'bring stale mirrors up to date')).action(
    async (texts: string[], options: OnlyOptions) => {
      const done = await onFiles(texts, options, 'copying', 1, async (filesystem, path, how) => ({
        path,
        components: await filesystem.resyncMirrors(path, { ...how, ...onlyOf(options) }),
      }));
      if (options.json === true) printJson(done);
    },
  );
}

function verify(): Command {
  return only(subcommand('verify', 'compare mirrors; exit code 1 when one is not as the others'))
    .option('-v, --verbose', 'say what was compared')
    .action(async (texts: string[], options: OnlyOptions & { readonly verbose?: boolean }) => {
      const done = await onFiles(texts, options, 'comparing', 1, async (filesystem, path, how) => ({
        path,
        ...(await filesystem.verifyMirrors(path, { ...how, ...onlyOf(options) })),
      }));
      if (options.json === true) printJson(done);
      else for (const one of done) process.stdout.write(comparisonText(one, options.verbose === true));
      if (done.some(({ stale, differences }) => stale.length + differences.length > 0))
        process.exitCode = ExitCode.FAILED;
    });
}

function comparisonText(
  { path, mirrors, stale, differences }: MirrorComparison & { readonly path: string },
  verbose: boolean,
): string {
  const lines = [
    ...(verbose ? [`${path}: mirrors ${mirrors.join(', ')} compared`] : []),
    ...(stale.length > 0 ? [`${path}: mirrors ${stale.join(', ')} are stale: lustre mirror resync`] : []),
    ...differences.map(
      ({ start, end, mirrors: [first, ...others] }) =>
        `${path}: bytes ${start} to ${end}: mirror ${others.join(', ')} is not as mirror ${first}`,
    ),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** Works on one file after the other, `passes` times over its bytes, and shows how far that is. */
export async function onFiles<T>(
  texts: readonly string[],
  options: ConnectionOptions,
  label: string,
  passes: number,
  work: (filesystem: Filesystem, path: string, how: { onProgress: (bytes: number) => void }) => Promise<T>,
): Promise<T[]> {
  const paths = texts.map(requireLustrePath);
  return withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
    let bytes = 0;
    for (const { path } of paths) bytes += (await filesystem.stat(path)).size * passes;
    const progress: Progress = startProgress(label, bytes, paths.length, options.json === true);
    const done: T[] = [];
    for (const { path } of paths) {
      done.push(await work(filesystem, path, { onProgress: (more) => progress.add(more, 0) }));
      progress.add(0, 1);
    }
    progress.done();
    return done;
  });
}
