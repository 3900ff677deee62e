/** `lustre ping`: LNet ping, as `lnetctl ping` does it. */
import { Command } from 'commander';
import { pingNid } from '../index.ts';
import { formatTable, printJson } from './output.ts';
import { addConnectionOptions, type ConnectionOptions, mountOptions, parseCount } from './session.ts';

export function pingCommand(): Command {
  return addConnectionOptions(new Command('ping'))
    .description('LNet ping: is a NID there, and which NIDs does it have')
    .argument('<nid>', 'for example 10.0.0.1@tcp')
    .option('-c, --count <n>', 'pings', parseCount, 1)
    .option('--timeout <ms>', 'give up after', parseCount, 5000)
    .addHelpText('after', '\nExample:\n  lustre ping --port 9988 127.0.0.1@tcp')
    .action(async (nid: string, options: ConnectionOptions & { count: number; timeout: number }) => {
      const results = await pingNid(nid, {
        ...mountOptions(options),
        count: options.count,
        timeoutMs: options.timeout,
      });
      if (options.json === true) {
        printJson(results);
        return;
      }
      const rows = results.map((r) => [nid, r.roundTripMs.toFixed(3), r.nids.join(' ')]);
      process.stdout.write(`${formatTable(['nid', 'ms', 'its NIDs'], rows)}\n`);
    });
}
