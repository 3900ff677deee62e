/** What a process spends its CPU time on, by kind of work: samples of `perf`, sorted by where they were taken. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
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

/** Shares of the process's CPU time while `work` runs, in all 1; undefined where perf cannot look. */
export async function cpuProfile(
  pid: number,
  work: () => Promise<void>,
): Promise<ReadonlyMap<string, number> | undefined> {
  const dir = await scratch();
  const data = join(dir, 'perf.data');
  try {
    const perf = spawn('perf', ['record', '-q', '-F', '1999', '-p', String(pid), '-o', data], {
      stdio: 'ignore',
    });
    const ended = once(perf, 'close').catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 500));
    await work();
    perf.kill('SIGINT');
    await ended;
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
