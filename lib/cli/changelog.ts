/** `lustre changelog` and `changelog_clear`: what has changed on an MDT, in the words of `lfs`. */
import { Command, InvalidArgumentError } from 'commander';
import type { ChangelogRecord } from '../index.ts';
import { printJson, toJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, withMount } from './session.ts';

interface ChangelogOptions extends ConnectionOptions {
  readonly follow?: boolean;
}

export function changelogCommand(): Command {
  return addConnectionOptions(new Command('changelog'))
    .description('what has changed on an MDT')
    .argument('<filesystem>', 'NID:/fsname')
    .argument('<mdt>', 'name of the MDT, lab-MDT0000')
    .argument('[startrec]', 'index of the first record', recordIndex)
    .argument('[endrec]', 'index of the last record', recordIndex)
    .option('-f, --follow', 'wait for more at the end')
    .addHelpText(
      'after',
      `
An administrator registers a consumer on the MDS first: lctl --device lab-MDT0000 changelog_register.
With --json a record is a line.

Examples:
  lustre changelog 10.0.0.1@tcp:/lab lab-MDT0000
  lustre changelog -f --json 10.0.0.1@tcp:/lab lab-MDT0000 1000`,
    )
    .action(
      async (
        text: string,
        mdt: string,
        from: bigint | undefined,
        end: bigint | undefined,
        options: ChangelogOptions,
      ) => {
        const { spec } = requireLustrePath(text);
        await withMount(spec, options, async (filesystem) => {
          const records = filesystem.changelog({
            mdt,
            ...(from !== undefined && { from }),
            follow: options.follow === true,
          });
          for await (const record of records) {
            if (end !== undefined && end !== 0n && record.index > end) break;
            const line = options.json === true ? toJson(record) : changelogLine(record);
            process.stdout.write(`${line}\n`);
          }
        });
      },
    );
}

export function changelogClearCommand(): Command {
  return addConnectionOptions(new Command('changelog_clear'))
    .description('tell an MDT which records a consumer needs no more')
    .argument('<filesystem>', 'NID:/fsname')
    .argument('<mdt>', 'name of the MDT, lab-MDT0000')
    .argument('<user>', 'the consumer, cl1')
    .argument('<endrec>', 'index of the last such record; 0 for all', recordIndex)
    .addHelpText('after', '\nExample:\n  lustre changelog_clear 10.0.0.1@tcp:/lab lab-MDT0000 cl1 1000')
    .action(async (text: string, mdt: string, user: string, upTo: bigint, options: ConnectionOptions) => {
      const { spec } = requireLustrePath(text);
      await withMount(spec, options, (filesystem) => filesystem.clearChangelog(user, upTo, { mdt }));
      if (options.json === true) printJson({ mdt, user, endrec: upTo });
    });
}

const MODE = { read: 1, write: 2, exec: 4 } as const;

/** A record as `lfs changelog` prints it. */
export function changelogLine(record: ChangelogRecord): string {
  const { index, type, typeNumber, timeMs, nanoseconds, flags, target } = record;
  const date = new Date(timeMs).toISOString();
  const time = `${date.slice(11, 19)}.${String(nanoseconds).padStart(9, '0')}`;
  const day = date.slice(0, 10).replaceAll('-', '.');
  const kind = `${String(typeNumber).padStart(2, '0')}${type.padEnd(5)}`;
  const parts = [`${index} ${kind} ${time} ${day} 0x${flags.toString(16)} t=${target}`];
  if (record.jobid !== undefined) parts.push(`j=${record.jobid}`);
  if (record.extraFlags !== undefined) parts.push(`ef=0x${record.extraFlags.toString(16)}`);
  if (record.uid !== undefined) parts.push(`u=${record.uid}:${record.gid}`);
  if (record.nid !== undefined) parts.push(`nid=${record.nid}`);
  if (record.openFlags !== undefined) parts.push(`m=${modeText(record.openFlags)}`);
  if (record.xattr !== undefined) parts.push(`x=${record.xattr}`);
  if (record.parent !== undefined) parts.push(`p=${record.parent} ${record.name}`);
  const { source } = record;
  if (source !== undefined) parts.push(`s=${source.fid} sp=${source.parent} ${source.name}`);
  return parts.join(' ');
}

function modeText(flags: number): string {
  if ((flags & MODE.exec) !== 0) return '--x';
  return `${(flags & MODE.read) !== 0 ? 'r' : '-'}${(flags & MODE.write) !== 0 ? 'w' : '-'}-`;
}

function recordIndex(text: string): bigint {
  if (!/^\d{1,19}$/.test(text)) throw new InvalidArgumentError('the index of a record');
  return BigInt(text);
}
