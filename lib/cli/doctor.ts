/** `lustre doctor`: says step by step why a mount does not work. */
import { Command } from 'commander';
import { diagnoseMount } from '../index.ts';
import { ExitCode, printJson } from './output.ts';
import { requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, mountOptions } from './session.ts';

export function doctorCommand(): Command {
  return addConnectionOptions(new Command('doctor'))
    .description('tries what a mount does, step by step, and says what stops it')
    .argument('<filesystem>', 'NID:/fsname')
    .addHelpText('after', '\nExample:\n  lustre doctor 10.0.0.1@tcp:/lab')
    .action(async (text: string, options: ConnectionOptions) => {
      const { spec } = requireLustrePath(text);
      let sick = false;
      for await (const finding of diagnoseMount(spec, mountOptions(options))) {
        sick ||= finding.result === 'failed';
        if (options.json === true) {
          printJson(finding);
          continue;
        }
        process.stdout.write(`${finding.result.padEnd(8)}${finding.step}: ${finding.text}\n`);
        if (finding.hint !== undefined) process.stdout.write(`        ${finding.hint}\n`);
      }
      if (sick) process.exitCode = ExitCode.FAILED;
    });
}
