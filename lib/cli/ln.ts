/** `lustre ln`: hard links, and symbolic ones with -s. */
import { Command } from 'commander';
import { printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

export function lnCommand(): Command {
  return addConnectionOptions(new Command('ln'))
    .description('make a hard link, or a symbolic one with -s')
    .argument('<target>', 'an existing NID:/fsname/path; with -s any text')
    .argument('<link>', 'the new NID:/fsname/path')
    .option('-s, --symbolic', 'a symbolic link: TARGET is stored as it is written')
    .addHelpText(
      'after',
      '\nExamples:\n  lustre ln 10.0.0.1@tcp:/lab/a 10.0.0.1@tcp:/lab/b\n  lustre ln -s ../data 10.0.0.1@tcp:/lab/links/data',
    )
    .action(async (target: string, link: string, options: ConnectionOptions & { symbolic?: boolean }) => {
      const to = requireLustrePath(link);
      const from = options.symbolic === true ? undefined : requireLustrePath(target);
      await withMount(
        commonSpec(from === undefined ? [to.spec] : [from.spec, to.spec]),
        options,
        (filesystem) =>
          from === undefined ? filesystem.symlink(target, to.path) : filesystem.link(from.path, to.path),
      );
      if (options.json === true) printJson({ link: to.path, target: from?.path ?? target });
    });
}
