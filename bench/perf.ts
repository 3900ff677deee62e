/** What `perf` sees of a process: the system calls that it makes, and what it spends its CPU time on, by kind of work. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { output, scratch } from './measure.ts';

/** The first that matches `object;symbol` of a sample counts. */
const KINDS: readonly (readonly [string, RegExp])[] = [
  ['checksums', /crc32/i],
  [
    'copies to and from sockets and files',
    /kernel.*(copy_(from|to)_iter|copy_(page|folio)_\w+_iter|copy_user)/,
  ],
  ['pages of files', /kernel.*(shmem|folio|filemap|clear_page|xas_|xarray)/],
  ['interrupts, waits and wakes', /kernel.*(irq_enable|sched|futex|epoll|ep_|eventfd|wake|switch|halt|idle)/],
  ['the rest of the kernel, TCP for the most part', /kernel/],
  ['compiling', /^node;.*v8::internal::(compiler|baseline|interpreter|maglev|turboshaft|\w*Compil)/],
  ['collecting', /^node;.*(Scaveng|Mark|Sweep|Evacuat|Heap::)/],
  ['JavaScript and what it calls of V8', /^\[JIT\]|^perf-\d+\.map|Builtins_/],
  ['the rest of V8 and Node', /^node;/],
  ['native module', /^lustre\.node/],
  ['libc and others', /./],
];

/** Runs `work` twice, and has perf look at the second time: this process may be the one that it looks at, and has each page
 * to copy that it writes after it has started another. Gives what perf says, or undefined where it cannot look. */
async function underPerf(
  command: readonly string[],
  pid: number,
  work: () => Promise<void>,
): Promise<string | undefined> {
  const args = [...command, '-D', '-1', '--control', 'fd:3,4', '-p', String(pid)];
  const perf = spawn('perf', args, { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] });
  let text = '';
  perf.stderr!.on('data', (chunk: Buffer) => {
    text += chunk;
  });
  const ended = once(perf, 'close').catch(() => undefined);
  const [, , , control, acknowledged] = perf.stdio as unknown as [null, null, Readable, Writable, Readable];
  control.on('error', () => {});
  await work();
  control.write('enable\n');
  await Promise.race([once(acknowledged, 'data'), ended]);
  if (perf.exitCode !== null) return undefined;
  await work();
  perf.kill('SIGINT');
  await ended;
  return text;
}

/** System calls that a process makes meanwhile, or undefined where perf cannot count them. */
export async function systemCalls(pid: number, work: () => Promise<void>): Promise<number | undefined> {
  const text = await underPerf(['stat', '-x,', '-e', 'raw_syscalls:sys_enter'], pid, work);
  const count = Number.parseInt(text?.replace(/^Events \w+\n/gm, '') ?? '', 10);
  return Number.isNaN(count) ? undefined : count;
}

/** Shares of the process's CPU time while `work` runs, in all 1; undefined where perf cannot look. */
export async function cpuProfile(
  pid: number,
  work: () => Promise<void>,
): Promise<ReadonlyMap<string, number> | undefined> {
  const dir = await scratch();
  const data = join(dir, 'perf.data');
  try {
    if ((await underPerf(['record', '-q', '-F', '1999', '-o', data], pid, work)) === undefined)
      return undefined;
    const report = output('perf', ['report', '-q', '-i', data, '-F', 'overhead,dso,sym', '-t', ';']);
    return await report.then(sharesOf, () => undefined);
  } finally {
    await rm(dir, { recursive: true });
  }
}

function sharesOf(report: string): ReadonlyMap<string, number> {
  const shares = new Map(KINDS.map(([kind]) => [kind, 0]));
  for (const line of report.split('\n')) {
    const [percent, object, symbol] = line.split(';').map((field) => field.trim());
    if (symbol === undefined) continue;
    const [kind] = KINDS.find(([, pattern]) => pattern.test(`${object};${symbol}`))!;
    shares.set(kind, shares.get(kind)! + Number.parseFloat(percent!) / 100);
  }
  return shares;
}
