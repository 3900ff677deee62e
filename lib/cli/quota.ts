/** `lustre quota` and `setquota`: what users, groups and projects use and may use, in the words of `lfs`. */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import type { Quota, QuotaKind, QuotaLimits, QuotaUse } from '../index.ts';
import { bytes } from './ladvise.ts';
import { formatTable, printJson } from './output.ts';
import { requireLustrePath, usage } from './paths.ts';
import { projectId } from './project.ts';
import { addConnectionOptions, type ConnectionOptions, withMount } from './session.ts';

interface WhoseOptions extends ConnectionOptions {
  readonly pool?: string;
  readonly user?: string;
  readonly group?: string;
  readonly project?: number;
}

interface QuotaOptions extends WhoseOptions {
  readonly verbose?: boolean;
}

interface SetQuotaOptions extends WhoseOptions {
  readonly blockSoftlimit?: number;
  readonly blockHardlimit?: number;
  readonly inodeSoftlimit?: number;
  readonly inodeHardlimit?: number;
}

const addWhose = (command: Command): Command =>
  addConnectionOptions(command)
    .argument('<filesystem>', 'NID:/fsname')
    .option('-u, --user <user>', 'name or id of a user')
    .option('-g, --group <group>', 'name or id of a group')
    .option('-p, --project <id>', 'id of a project', projectId)
    .option('--pool <name>', 'of what is on the OSTs of this pool');

export function quotaCommand(): Command {
  return addWhose(new Command('quota'))
    .description('what a user, group or project uses and may use')
    .option('-v, --verbose', 'of each target too')
    .addHelpText(
      'after',
      `
Without -u, -g and -p: your own.

Examples:
  lustre quota -u alice 10.0.0.1@tcp:/lab
  lustre quota -v -p 1234 10.0.0.1@tcp:/lab
  lustre quota -u alice --pool flash 10.0.0.1@tcp:/lab`,
    )
    .action(async (text: string, options: QuotaOptions) => {
      const { spec } = requireLustrePath(text);
      const { kind, id, name } = whose(options) ?? { kind: 'user', id: process.getuid?.() ?? 0, name: '' };
      const quota = await withMount(spec, options, (filesystem) =>
        filesystem.getQuota(kind, id, poolOf(options)),
      );
      if (options.json === true) printJson(quota);
      else process.stdout.write(quotaText(text, name, quota, options.verbose === true));
    });
}

export function setquotaCommand(): Command {
  return addWhose(new Command('setquota'))
    .description('limit what a user, group or project may use')
    .option('-b, --block-softlimit <n>', 'bytes, with k, M, G, T: for some time it may be more', bytes)
    .option('-B, --block-hardlimit <n>', 'bytes: never more', bytes)
    .option('-i, --inode-softlimit <n>', 'files: for some time they may be more', bytes)
    .option('-I, --inode-hardlimit <n>', 'files: never more', bytes)
    .addHelpText('after', '\nExample:\n  lustre setquota -u alice -b 10G -B 11G -I 100000 10.0.0.1@tcp:/lab')
    .action(async (text: string, options: SetQuotaOptions) => {
      const { spec } = requireLustrePath(text);
      const owner = whose(options);
      if (owner === undefined) throw usage('give one of -u, -g and -p');
      const { blockSoftlimit, blockHardlimit, inodeSoftlimit, inodeHardlimit } = options;
      const limits: QuotaLimits = {
        ...(blockSoftlimit !== undefined && { blockSoft: blockSoftlimit }),
        ...(blockHardlimit !== undefined && { blockHard: blockHardlimit }),
        ...(inodeSoftlimit !== undefined && { inodeSoft: inodeSoftlimit }),
        ...(inodeHardlimit !== undefined && { inodeHard: inodeHardlimit }),
      };
      if (Object.keys(limits).length === 0) throw usage('give a limit: -b, -B, -i or -I');
      await withMount(spec, options, (filesystem) =>
        filesystem.setQuota(owner.kind, owner.id, limits, poolOf(options)),
      );
      if (options.json === true) printJson({ kind: owner.kind, id: owner.id, limits });
    });
}

const poolOf = ({ pool }: WhoseOptions): { pool?: string } => (pool === undefined ? {} : { pool });

function whose(options: WhoseOptions): { kind: QuotaKind; id: number; name: string } | undefined {
  const { user, group, project } = options;
  const given = [user, group, project].filter((one) => one !== undefined);
  if (given.length > 1) throw usage('give only one of -u, -g and -p');
  if (user !== undefined) return { kind: 'user', id: idOf(user, '/etc/passwd'), name: user };
  if (group !== undefined) return { kind: 'group', id: idOf(group, '/etc/group'), name: group };
  return project === undefined ? undefined : { kind: 'project', id: project, name: '' };
}

/** An id, or a name out of the local list. */
function idOf(text: string, list: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  const line = readFileSync(list, 'utf8')
    .split('\n')
    .find((one) => one.startsWith(`${text}:`));
  if (line === undefined) throw usage(`${list} knows no '${text}'`, 'Give the id');
  return Number(line.split(':')[2]);
}

const SHORT = { user: 'usr', group: 'grp', project: 'prj' } as const;
const ID = { user: 'uid', group: 'gid', project: 'pid' } as const;

/** A table as `lfs quota` prints it: KiB; a star behind what is over a limit. */
export function quotaText(where: string, name: string, quota: Quota, verbose: boolean): string {
  const { kind, id, blocks, inodes, targets } = quota;
  const kib = (n: number): string => String(Math.ceil(n / 1024));
  const over = ({ used, soft, hard }: QuotaUse): string =>
    (hard > 0 && used >= hard) || (soft > 0 && used > soft) ? '*' : '';
  const grace = ({ graceMs }: QuotaUse): string => (graceMs === 0 ? '-' : new Date(graceMs).toISOString());
  const rows = [
    [
      where,
      kib(blocks.used) + over(blocks),
      kib(blocks.soft),
      kib(blocks.hard),
      grace(blocks),
      String(inodes.used) + over(inodes),
      String(inodes.soft),
      String(inodes.hard),
      grace(inodes),
    ],
  ];
  for (const target of verbose ? targets : []) {
    const { used } = target;
    const usedText = used === undefined ? ['?', '?'] : [kib(used.bytes), String(used.inodes)];
    rows.push([
      target.name,
      usedText[0]!,
      '-',
      kib(target.bytes),
      '-',
      usedText[1]!,
      '-',
      String(target.inodes),
      '-',
    ]);
  }
  const head = ['Filesystem', 'kbytes', 'bquota', 'blimit', 'bgrace', 'files', 'iquota', 'ilimit', 'igrace'];
  const silent = targets.filter(({ used }) => used === undefined).map((target) => target.name);
  const missing = silent.length === 0 ? '' : `Some targets did not answer: ${silent.join(', ')}\n`;
  const title = `Disk quotas for ${SHORT[kind]} ${name === '' ? id : name} (${ID[kind]} ${id}):\n`;
  return `${title}${formatTable(head, rows)}\n${missing}`;
}
