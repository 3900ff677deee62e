/** `lustre locks`: the locks of running servers, or of a mount with a control socket: who holds, who waits for whom. */
import { statSync } from 'node:fs';
import { Command, Option } from 'commander';
import { askControl, controlPath } from '../control-socket.ts';
import type { LockReport } from '../index.ts';
import { graphviz, mermaid } from './lock-graph.ts';
import { formatTable, printJson } from './output.ts';
import { parseLustrePath, usage } from './paths.ts';
import { addOutputOptions, parseCount } from './session.ts';

interface LocksOptions {
  readonly dir?: string;
  readonly socket?: string;
  readonly contended?: boolean;
  readonly limit: number;
  readonly graph?: string;
  readonly json?: boolean;
}

export function locksCommand(): Command {
  return addOutputOptions(new Command('locks'))
    .description('locks of running servers or of a mount: holders, waiters, what waits for whom')
    .option('--dir <dir>', 'of servers: the directory that `lustre serve` was given')
    .option('--socket <path>', 'of a mount: the `control` socket that mount() was given')
    .option('--contended', 'only resources that somebody waits for')
    .option('--limit <n>', 'resources of each target to show', parseCount, 1000)
    .addOption(new Option('--graph <form>', 'print a graph').choices(['mermaid', 'graphviz']))
    .addHelpText(
      'after',
      '\nExamples:\n  lustre locks --dir /srv/lab\n  lustre locks --dir /srv/lab --contended --graph graphviz | dot -Tsvg',
    )
    .action(async (options: LocksOptions) => {
      const asked = { limit: options.limit, contended: options.contended === true };
      const answer = await askControl(socketOf(options), 'locks', asked);
      if (!isReports(answer)) throw usage('what listens there is no node-lustre of this version');
      if (options.json === true) printJson({ targets: answer });
      else if (options.graph === 'mermaid') process.stdout.write(mermaid(answer));
      else if (options.graph === 'graphviz') process.stdout.write(graphviz(answer));
      else process.stdout.write(table(answer));
    });
}

function socketOf({ dir, socket }: LocksOptions): string {
  if (socket !== undefined) return socket;
  if (dir === undefined)
    throw usage(
      'nobody is named to look at',
      "Give --dir with the servers' directory, or --socket with a mount's socket",
    );
  if (parseLustrePath(dir) !== undefined)
    throw usage(
      `'${dir}' is a Lustre path`,
      'Servers are looked into on their own machine, by their directory',
    );
  if (!statSync(dir, { throwIfNoEntry: false })?.isDirectory()) throw usage(`'${dir}' is no directory`);
  return controlPath(dir);
}

function isReports(value: unknown): value is LockReport[] {
  return (
    Array.isArray(value) && value.every((one) => typeof one === 'object' && one !== null && 'shown' in one)
  );
}

function table(reports: readonly LockReport[]): string {
  const rows = reports.flatMap(({ target, shown }) =>
    shown.flatMap(({ object, name, type, holders, waiters }) =>
      [...holders, ...waiters].map((lock) => [
        target,
        object === '' ? name : object,
        type,
        lock.mode,
        lock.what,
        lock.wantedForMs === undefined
          ? lock.state
          : `${lock.state} ${Math.round(lock.wantedForMs / 1000)} s`,
        lock.id,
        lock.nid === '' ? lock.holder : `${lock.holder} ${lock.nid}`,
        lock.waitsFor.join(' '),
      ]),
    ),
  );
  const head = ['target', 'object', 'type', 'mode', 'what', 'state', 'lock', 'holder', 'waits for'];
  const sums = reports.map(({ target, side, locks, resources, shown }) => {
    const left = shown.length < resources ? `, ${shown.length} shown` : '';
    return `${target} (${side}): locks ${locks}, resources ${resources}${left}`;
  });
  return `${rows.length === 0 ? '' : `${formatTable(head, rows)}\n\n`}${sums.join('\n')}\n`;
}
