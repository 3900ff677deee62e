/** `lustre df`: space of each target and of the whole file system, as `lfs df` shows it. */
import { Command } from 'commander';
import { formatBytes, formatTable, printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, withMount } from './session.ts';

export function dfCommand(): Command {
  return addConnectionOptions(new Command('df'))
    .description('space and files of each target')
    .argument('[filesystem]', 'NID:/fsname', ':/')
    .option('-i, --inodes', 'files instead of bytes')
    .addHelpText('after', '\nExample:\n  lustre df 10.0.0.1@tcp:/lab')
    .action(async (text: string, options: ConnectionOptions & { inodes?: boolean }) => {
      const { spec } = requireLustrePath(text);
      const { targets, total } = await withMount(spec, options, async (filesystem) => ({
        targets: await filesystem.statfsTargets(),
        total: await filesystem.statfs('/'),
      }));
      if (options.json === true) {
        printJson({ targets, total });
        return;
      }
      const row = (name: string, s: typeof total): string[] => {
        const [all, free, available] =
          options.inodes === true ? [s.files, s.ffree, s.ffree] : [s.blocks, s.bfree, s.bavail];
        const show = (n: number | bigint): string =>
          options.inodes === true ? `${n}` : formatBytes(Number(n) * Number(s.bsize));
        const used = Number(all) - Number(free);
        const share = Number(all) === 0 ? 0 : Math.ceil((100 * used) / (used + Number(available)));
        return [name, show(all), show(used), show(available), `${share}%`];
      };
      const head =
        options.inodes === true
          ? ['target', 'inodes', 'used', 'free', 'use%']
          : ['target', 'size', 'used', 'available', 'use%'];
      const rows = targets.map((t) => row(t.name, t.statfs));
      process.stdout.write(`${formatTable(head, [...rows, row('total', total)])}\n`);
    });
}
