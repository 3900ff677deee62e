/** `lustre getstripe`: how files lie over objects, in the words of `lfs getstripe`. */
import { Command } from 'commander';
import { printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

export function getstripeCommand(): Command {
  return addConnectionOptions(new Command('getstripe'))
    .description('the layout of files and the default layout of directories')
    .argument('<path...>', 'NID:/fsname/path')
    .addHelpText('after', '\nExample:\n  lustre getstripe 10.0.0.1@tcp:/lab/data/big.bin')
    .action(async (texts: string[], options: ConnectionOptions) => {
      const paths = texts.map(requireLustrePath);
      const layouts = await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        const found = [];
        for (const { path } of paths) found.push({ path, layout: await filesystem.getLayout(path) });
        return found;
      });
      if (options.json === true) {
        printJson(layouts);
        return;
      }
      for (const { path, layout } of layouts) {
        process.stdout.write(`${path}\n`);
        if (layout === undefined) {
          process.stdout.write('has no layout of its own\n\n');
          continue;
        }
        process.stdout.write(
          `lmm_stripe_count:  ${layout.stripeCount}\nlmm_stripe_size:   ${layout.stripeSize}\n` +
            `lmm_pattern:       raid0\nlmm_layout_gen:    ${layout.generation ?? 0}\n` +
            `lmm_stripe_offset: ${layout.stripeOffset}\n${layout.pool ? `lmm_pool:          ${layout.pool}\n` : ''}`,
        );
        if (layout.objects.length > 0) process.stdout.write('\tobdidx\tobjid\tgroup\n');
        for (const o of layout.objects)
          process.stdout.write(`\t${o.ostIndex}\t${o.oid}\t0x${o.seq.toString(16)}\n`);
        process.stdout.write('\n');
      }
    });
}
