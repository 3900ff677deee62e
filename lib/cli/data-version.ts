/** `lustre data_version`: a number that changes with the data of a file, as `lfs data_version` prints it. */
import { Command } from 'commander';
import type { VersionFlush } from '../index.ts';
import { printJson } from './output.ts';
import { requireLustrePath, usage } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, withMount } from './session.ts';

interface DataVersionOptions extends ConnectionOptions {
  readonly readFlush?: boolean;
  readonly writeFlush?: boolean;
}

export function dataVersionCommand(): Command {
  return addConnectionOptions(new Command('data_version'))
    .description("a number that changes with every change of a file's data")
    .argument('<path>', 'NID:/fsname/path')
    .option('-n, --no-flush', 'of what the servers have, whatever clients have not written yet')
    .option('-r, --read-flush', 'clients write first what they have (the default)')
    .option('-w, --write-flush', 'clients write, and give up all they cache of it')
    .addHelpText('after', '\nExample:\n  lustre data_version 10.0.0.1@tcp:/lab/data/big.bin')
    .action(async (text: string, _options: unknown, command: Command) => {
      const { spec, path } = requireLustrePath(text);
      const options = command.opts<DataVersionOptions & { flush: boolean }>();
      const asked: VersionFlush[] = [
        ...(options.flush ? [] : ['none' as const]),
        ...(options.readFlush === true ? ['read' as const] : []),
        ...(options.writeFlush === true ? ['write' as const] : []),
      ];
      if (asked.length > 1) throw usage('-n, -r and -w exclude each other');
      const version = await withMount(spec, options, async (filesystem) => {
        await using file = await filesystem.open(path, 'r');
        return file.dataVersion({ flush: asked[0] ?? 'read' });
      });
      if (options.json === true) printJson({ path, version });
      else process.stdout.write(`${version}\n`);
    });
}
