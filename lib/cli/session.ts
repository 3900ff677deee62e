/** What every client command shares: the connection options, a mount for the time of one command, logging to stderr. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { pino } from 'pino';
import { type Filesystem, type MountOptions, mount } from '../index.ts';
import type { Logger } from '../runtime/runtime.ts';
import { usage } from './paths.ts';

export interface ConnectionOptions {
  readonly port?: number;
  readonly nid?: string;
  readonly nidMap?: Record<string, string>;
  readonly json?: boolean;
  readonly log?: string;
}

/** Adds --port, --nid, --nid-map (also as LUSTRE_PORT, LUSTRE_NID, LUSTRE_NID_MAP), --json and --log. */
export function addConnectionOptions(command: Command): Command {
  return addOutputOptions(command)
    .addOption(new Option('--port <n>', "the servers' port").env('LUSTRE_PORT').argParser(parsePort))
    .addOption(new Option('--nid <nid>', 'our own NID, for example 10.0.0.7@tcp').env('LUSTRE_NID'))
    .addOption(
      new Option('--nid-map <NID=HOST:PORT>', 'reach NID at another address (repeatable)')
        .env('LUSTRE_NID_MAP')
        .argParser(parseNidMap),
    );
}

/** Adds --json and --log, which every command has. */
export function addOutputOptions(command: Command): Command {
  return command
    .option('--json', 'one JSON document (or one per line) for machines')
    .addOption(
      new Option('--log <level>', 'log to stderr')
        .env('LUSTRE_LOG')
        .choices(['trace', 'debug', 'info', 'warn', 'error', 'silent']),
    );
}

export function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new InvalidArgumentError('a port is 1 to 65535');
  return port;
}

export function parseCount(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError('a whole number from 1');
  return n;
}

export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0 && seconds <= 86_400)) throw new InvalidArgumentError('seconds, more than 0');
  return seconds;
}

/** Repeatable on the command line, comma-separated in the environment. */
export function parseNidMap(text: string, previous: Record<string, string> = {}): Record<string, string> {
  const map = { ...previous };
  for (const entry of text.split(',')) {
    const [nid, address] = entry.split('=');
    if (nid === undefined || nid === '' || address === undefined || !/:\d+$/.test(address)) {
      throw new InvalidArgumentError('write NID=HOST:PORT, for example 10.0.2.15@tcp=127.0.0.1:9988');
    }
    map[nid] = address;
  }
  return map;
}

/** The library's log, to stderr so that stdout stays the command's own. */
export function logger(level: string | undefined): Logger {
  return pino({ name: 'lustre', level: level ?? 'silent' }, pino.destination({ dest: 2, sync: true }));
}

export function mountOptions(options: ConnectionOptions): MountOptions {
  return {
    log: logger(options.log),
    // No command blocks its event loop for long, and half of a short one's time was the second thread's start.
    engine: 'inline',
    ...(options.port !== undefined && { port: options.port }),
    ...(options.nid !== undefined && { nid: options.nid }),
    ...(options.nidMap !== undefined && { nidMap: options.nidMap }),
  };
}

/** Mounts, works, unmounts: also when the work fails. */
export async function withMount<T>(
  spec: string,
  options: ConnectionOptions,
  work: (filesystem: Filesystem) => Promise<T>,
): Promise<T> {
  const filesystem = await mount(spec, mountOptions(options));
  try {
    return await work(filesystem);
  } finally {
    await filesystem.unmount();
  }
}

/** All paths of one command lie on one file system; its spec. */
export function commonSpec(specs: readonly string[]): string {
  const [first, ...others] = specs;
  if (first === undefined) throw usage('a Lustre path is needed');
  const other = others.find((spec) => spec !== first);
  if (other !== undefined)
    throw usage(`'${first}' and '${other}' are different file systems`, 'Give one command per file system');
  return first;
}
