/**
 * The native module under a sanitizer while a short bench runs: real sockets, files, several processes and threads. Needs
 * `node scripts/setup.mjs --bench`.
 *
 *   node scripts/sanitized-bench.mjs asan|tsan
 *
 * Node itself is not instrumented. ThreadSanitizer sees its accesses where they go through libc, but not what its atomics
 * order, so only what two threads of the module did counts.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { root, run, step } from './run.mjs';

const lanes = {
  asan: {
    sanitize: 'address',
    runtimes: ['libasan.so', 'libubsan.so'],
    // Node keeps memory until it ends.
    env: (log) => ({
      ASAN_OPTIONS: `detect_leaks=0:log_path=${log}`,
      UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    }),
  },
  tsan: {
    sanitize: 'thread',
    runtimes: ['libtsan.so'],
    env: (log) => ({ TSAN_OPTIONS: `halt_on_error=0:exitcode=0:report_signal_unsafe=0:log_path=${log}` }),
  },
};
/** What all of it runs through, but no program that is not ours. */
const benches = ['rpc', 'engine', 'scaling'];

/** Those of a log that are about the module. */
function reports(lane, log) {
  const all = log
    .split(/^=+$/m)
    .filter((report) => /(WARNING|ERROR): \w+Sanitizer|runtime error/.test(report));
  return lane === 'asan' ? all : all.filter(raceWithin);
}

/** Both threads were in the module: the innermost frame that is nobody's library. */
function raceWithin(report) {
  const stacks = report.split('\n\n').filter((part) => /(read|write) of size/i.test(part));
  const within = (stack) => {
    const frames = stack.split('\n').filter((line) => /^\s+#\d/.test(line));
    return frames.find((frame) => !/lib(tsan|c|stdc\+\+|pthread)\.so/.test(frame))?.includes('lustre.node');
  };
  return stacks.length === 0 || (stacks.length > 1 && stacks.every(within));
}

const lane = process.argv[2] ?? 'asan';
const { sanitize, runtimes, env } = lanes[lane];
const folder = `build/addon-${lane}`;
const flags = ['-DCMAKE_BUILD_TYPE=RelWithDebInfo', `-DLUSTRE_SANITIZE=${sanitize}`];
await step(`configure for ${lane}`, 'cmake', ['-S', '.', '-B', folder, ...flags]);
await step('build', 'cmake', ['--build', folder, '--parallel', String(availableParallelism())]);

const logs = join(root, 'build/reports', lane);
rmSync(logs, { recursive: true, force: true });
mkdirSync(logs, { recursive: true });
const preload = [];
for (const name of runtimes) preload.push((await run('gcc', [`-print-file-name=${name}`])).output.trim());
// ThreadSanitizer has its own idea of where things lie; not everybody may ask the kernel for that.
const fixed = lane === 'tsan' && (await run('setarch', ['-R', 'true'])).status === 0;
const command = [
  'env',
  `LD_PRELOAD=${preload.join(' ')}`,
  process.execPath,
  'dist/bench/main.js',
  ...benches,
];
const [program, ...args] = fixed ? ['setarch', '-R', ...command] : command;
const { status, output } = await run(program, args, {
  env: {
    ...env(join(logs, 'log')),
    BENCH_QUICK: '1',
    LUSTRE_NATIVE: join(root, folder, 'Release/lustre.node'),
  },
});
const found = readdirSync(logs).flatMap((name) => reports(lane, readFileSync(join(logs, name), 'utf8')));
for (const report of found) console.log(report);
if (status !== 0) console.log(output);
const failed = found.length + (status === 0 ? 0 : 1);
console.log(`benches under ${lane} (${benches.join(', ')}): ${failed === 0 ? 'clean' : `${failed} found`}`);
console.log(`${failed === 0 ? 1 : 0} passed, ${failed} failed, 0 skipped`);
process.exitCode = failed === 0 ? 0 : 1;
