/** `lustre hsm_state`, `hsm_set`, `hsm_archive` ...: files in archives, in the words of `lfs`. */
import { Command } from 'commander';
import type { Filesystem, HsmFlag, HsmRequestAction, HsmState } from '../index.ts';
import { printJson } from './output.ts';
import { requireLustrePath, usage } from './paths.ts';
import {
  addConnectionOptions,
  type ConnectionOptions,
  commonSpec,
  parseCount,
  withMount,
} from './session.ts';

interface FlagOptions extends ConnectionOptions, Partial<Record<HsmFlag, boolean>> {
  readonly archiveId?: number;
}

interface RequestOptions extends ConnectionOptions {
  readonly archive?: number;
}

/** In the order, with the names and the bits that `lfs hsm_state` prints. */
const STATES: readonly (readonly [HsmFlag, string, number])[] = [
  ['released', 'released', 4],
  ['exists', 'exists', 1],
  ['dirty', 'dirty', 2],
  ['archived', 'archived', 8],
  ['norelease', 'never_release', 0x10],
  ['noarchive', 'never_archive', 0x20],
  ['lost', 'lost_from_hsm', 0x40],
];
const SETTABLE: readonly HsmFlag[] = ['exists', 'archived', 'dirty', 'norelease', 'noarchive', 'lost'];
const EXAMPLE = '10.0.0.1@tcp:/lab/data/big.bin';

function command(name: string, description: string, example: string): Command {
  return addConnectionOptions(new Command(name))
    .description(description)
    .argument('<path...>', 'NID:/fsname/path')
    .addHelpText('after', `\nExample:\n  lustre ${example} ${EXAMPLE}`);
}

async function onPaths<T>(
  texts: readonly string[],
  options: ConnectionOptions,
  work: (filesystem: Filesystem, path: string) => Promise<T>,
): Promise<{ path: string; result: T }[]> {
  const paths = texts.map(requireLustrePath);
  return withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
    const results = [];
    for (const { path } of paths) results.push({ path, result: await work(filesystem, path) });
    return results;
  });
}

/** `0x00000009) exists archived, archive_id:1`, as lfs prints it. */
export function stateText(path: string, { flags, archiveId }: HsmState): string {
  const set = STATES.filter(([flag]) => flags.includes(flag));
  const bits = set.reduce((sum, [, , bit]) => sum | bit, 0);
  const names = set.map(([, name]) => ` ${name}`).join('');
  const archive = archiveId === 0 ? '' : `, archive_id:${archiveId}`;
  return `${path}: (0x${bits.toString(16).padStart(8, '0')})${names}${archive}`;
}

export function hsmStateCommand(): Command {
  return command('hsm_state', 'what is known of files in an archive', 'hsm_state').action(
    async (texts: string[], options: ConnectionOptions) => {
      const found = await onPaths(texts, options, (filesystem, path) => filesystem.getHsmState(path));
      if (options.json === true) printJson(found.map(({ path, result }) => ({ path, ...result })));
      else for (const { path, result } of found) process.stdout.write(`${stateText(path, result)}\n`);
    },
  );
}

export function hsmActionCommand(): Command {
  return command('hsm_action', 'what a copy tool is doing with files', 'hsm_action').action(
    async (texts: string[], options: ConnectionOptions) => {
      const found = await onPaths(texts, options, (filesystem, path) => filesystem.getHsmState(path));
      if (options.json === true)
        printJson(found.map(({ path, result }) => ({ path, action: result.action ?? null })));
      else
        for (const { path, result } of found) {
          const { action } = result;
          const text =
            action === undefined
              ? 'NOOP'
              : `${action.name.toUpperCase()} ${action.progress} (${action.bytes} bytes moved)`;
          process.stdout.write(`${path}: ${text}\n`);
        }
    },
  );
}

function flagCommand(verb: 'set' | 'clear'): Command {
  const made = command(`hsm_${verb}`, `${verb} flags of files in an archive`, `hsm_${verb} --norelease`)
    .option('--norelease', 'its data may never be given up')
    .option('--noarchive', 'it may never be archived')
    .option('--dirty', 'it has changed since it was archived')
    .option('--exists', 'there is a copy, perhaps of an older state')
    .option('--archived', 'there is a copy of it')
    .option('--lost', 'the copy is lost');
  if (verb === 'set') made.option('--archive-id <n>', 'the archive that has the copy', parseCount);
  return made.action(async (texts: string[], options: FlagOptions) => {
    const flags = SETTABLE.filter((flag) => options[flag] === true);
    const { archiveId } = options;
    if (flags.length === 0 && archiveId === undefined) throw usage('give a flag');
    const change = { [verb]: flags, ...(archiveId !== undefined && { archiveId }) };
    const done = await onPaths(texts, options, (filesystem, path) => filesystem.setHsmState(path, change));
    if (options.json === true) printJson(done.map(({ path }) => ({ path, ...change })));
  });
}

export const hsmSetCommand = (): Command => flagCommand('set');
export const hsmClearCommand = (): Command => flagCommand('clear');

function requestCommand(action: HsmRequestAction, description: string): Command {
  const made = command(`hsm_${action}`, description, `hsm_${action}`);
  if (action === 'archive') made.option('-a, --archive <n>', 'into this archive', parseCount);
  return made.action(async (texts: string[], options: RequestOptions) => {
    const paths = texts.map(requireLustrePath);
    await withMount(commonSpec(paths.map((p) => p.spec)), options, (filesystem) =>
      filesystem.requestHsm(
        action,
        paths.map((p) => p.path),
        { archiveId: options.archive ?? 0 },
      ),
    );
    if (options.json === true) printJson(paths.map(({ path }) => ({ path, action })));
  });
}

export const hsmArchiveCommand = (): Command =>
  requestCommand('archive', 'ask for files to be copied into an archive');
export const hsmRestoreCommand = (): Command =>
  requestCommand('restore', 'ask for the data of files to be brought back');
export const hsmRemoveCommand = (): Command =>
  requestCommand('remove', 'ask for the copies of files to be removed');
export const hsmCancelCommand = (): Command =>
  requestCommand('cancel', 'give up what was asked for and is not done yet');

export function hsmReleaseCommand(): Command {
  return command('hsm_release', 'give up the data of archived files', 'hsm_release').action(
    async (texts: string[], options: ConnectionOptions) => {
      const done = await onPaths(texts, options, (filesystem, path) => filesystem.releaseHsm(path));
      if (options.json === true) printJson(done.map(({ path }) => ({ path, released: true })));
    },
  );
}
