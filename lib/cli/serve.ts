/** `lustre serve`: MGS, MDT0000 and OSTs in this process, until SIGTERM or SIGINT. */
import { Command, InvalidArgumentError } from 'commander';
import { serve } from '../index.ts';
import { checkBusyPoll } from '../lnet/busy-poll.ts';
import { printJson } from './output.ts';
import { addOutputOptions, logger, parseCount, parseNidMap, parsePort, parseSeconds } from './session.ts';

interface ServeOptions {
  readonly dir: string;
  readonly fsname: string;
  readonly nid: string;
  readonly port: number;
  readonly osts: number;
  readonly busyPoll?: number;
  readonly lockTimeout?: number;
  readonly maxNolockBytes?: number;
  readonly listen?: string;
  readonly nidMap?: Record<string, string>;
  readonly json?: boolean;
  readonly log?: string;
}

function parseBusyPoll(text: string): number {
  try {
    return checkBusyPoll(Number(text));
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

export function serveCommand(): Command {
  return addOutputOptions(new Command('serve'))
    .description('run MGS, MDT0000 and OSTs on a directory')
    .requiredOption('--dir <dir>', 'where the targets keep what they store; made if it is missing')
    .option('--fsname <name>', 'name of the file system, at most 8 characters', 'lustre')
    .option('--nid <nid>', "the servers' NID", '127.0.0.1@tcp')
    .option('--port <n>', 'TCP port', parsePort, 988)
    .option('--osts <n>', 'object storage targets', parseCount, 2)
    .option(
      '--busy-poll <us>',
      'look for requests so long before sleeping while they come fast; 0 for never (100)',
      parseBusyPoll,
    )
    .option('--lock-timeout <s>', 'seconds until a client that keeps a lock is evicted (100)', parseSeconds)
    .option(
      '--max-nolock-bytes <n>',
      'send small requests for what many lock away to do without (0)',
      parseCount,
    )
    .option('--listen <host:port>', 'listen here instead of at the NID (tunnels, containers)')
    .option('--nid-map <NID=HOST:PORT>', 'reach NID at another address (repeatable)', parseNidMap)
    .addHelpText(
      'after',
      '\nExample:\n  lustre serve --dir /srv/lab --fsname lab --nid 127.0.0.1@tcp --port 9988 --osts 2',
    )
    .action(async (options: ServeOptions) => {
      const { json, log, busyPoll, lockTimeout, maxNolockBytes, ...rest } = options;
      const where = {
        ...rest,
        ...(busyPoll !== undefined && { busyPollUs: busyPoll }),
        ...(lockTimeout !== undefined && { lockTimeoutMs: lockTimeout * 1000 }),
        ...(maxNolockBytes !== undefined && { contention: { bytesMax: maxNolockBytes } }),
      };
      const node = await serve({ ...where, log: logger(log ?? 'info') });
      const stopped = new Promise<void>((resolve) => {
        for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
      });
      const spec = `${options.nid}:/${options.fsname}`;
      if (json === true) printJson({ ready: true, spec, port: node.port, pid: process.pid });
      else process.stdout.write(`serving ${spec} on port ${node.port}\n`);
      // Nothing else keeps the loop alive: endpoints do not.
      const alive = setInterval(() => {}, 1 << 30);
      await stopped;
      clearInterval(alive);
      await node.stop();
    });
}
