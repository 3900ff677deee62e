/** `lustre migrate`: move the data of files to another layout, with the options of `lfs migrate`. */
import { Command } from 'commander';
import { onFiles } from './mirror.ts';
import { printJson } from './output.ts';
import { usage } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions } from './session.ts';
import { addStripeOptions, parsed } from './setstripe.ts';

interface MigrateOptions extends ConnectionOptions {
  readonly block?: boolean;
  readonly verbose?: boolean;
}

export function migrateCommand(): Command {
  const words: string[] = [];
  const command = addConnectionOptions(new Command('migrate'))
    .description('move the data of files to another layout; their names, FIDs and times stay')
    .argument('<path...>', 'NID:/fsname/path');
  return addStripeOptions(command, words)
    .option('-n, --non-block', 'give up when somebody opens the file meanwhile: always so')
    .option('-b, --block', 'let others wait meanwhile: not possible with this client')
    .option('-v, --verbose', 'print the names of files that are moved')
    .addHelpText('after', '\nExample:\n  lustre migrate -c 4 -S 4M 10.0.0.1@tcp:/lab/data/big.bin')
    .action(async (texts: string[], options: MigrateOptions, self: Command) => {
      if (options.block === true)
        throw usage('--block is not possible', 'Without it a file that somebody opens stays where it is');
      const striping = parsed(words, self);
      const done = await onFiles(texts, options, 'copying', 1, async (filesystem, path, how) => {
        await filesystem.migrate(path, striping, how);
        return { path, layout: await filesystem.getLayout(path) };
      });
      if (options.json === true) printJson(done);
      else if (options.verbose === true) for (const { path } of done) process.stdout.write(`${path}\n`);
    });
}
