/**
 * The C++ tests and fuzzers: built by plain cmake without Node, each lane in a folder of its own.
 *
 *   node scripts/native-tests.mjs [plain|asan|tsan|fuzz]
 */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, run } from './run.mjs';

const lanes = {
  plain: { sanitize: '', env: {} },
  asan: {
    sanitize: 'address',
    env: {
      ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1',
      UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    },
  },
  tsan: { sanitize: 'thread', env: { TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1' } },
};

const failure = (output) => {
  process.stdout.write(output);
  return { passed: 0, failed: 1, skipped: 0 };
};

async function cmakeBuild(folder, flags) {
  const common = ['-DLUSTRE_BUILD_ADDON=OFF', '-DCMAKE_BUILD_TYPE=RelWithDebInfo'];
  const configure = await run('cmake', ['-S', '.', '-B', folder, ...common, ...flags]);
  if (configure.status !== 0) return configure;
  return run('cmake', ['--build', folder, '--parallel', String(availableParallelism())]);
}

/** The sum of the closing lines of doctest programs: `test cases: 10 | 9 passed | 1 failed | 0 skipped`. */
function doctestCounts(output) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const closing = /test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed \|\s*(\d+) skipped/g;
  for (const [, passed, failed, skipped] of output.matchAll(closing)) {
    counts.passed += Number(passed);
    counts.failed += Number(failed);
    counts.skipped += Number(skipped);
  }
  return counts;
}

/** Builds and runs one lane; resolves with its counts. Prints only what failed. */
export async function buildAndRun(lane) {
  if (!existsSync(join(root, 'native/test'))) return { passed: 0, failed: 0, skipped: 0 };
  const { sanitize, env } = lanes[lane];
  const folder = `build/tests-${lane}`;
  const build = await cmakeBuild(folder, ['-DLUSTRE_BUILD_TESTS=ON', `-DLUSTRE_SANITIZE=${sanitize}`]);
  if (build.status !== 0) return failure(build.output);
  const args = ['--test-dir', folder, '--verbose', '--timeout', '600'];
  const { status, output } = await run('ctest', args, { env });
  if (status !== 0) process.stdout.write(output);
  const counts = doctestCounts(output);
  // A crash ends a program before it has counted.
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  console.log(`C++ tests (${lane}): ${counts.passed} passed, ${counts.failed} failed`);
  return counts;
}

/** Runs one target for `seconds`; what it learnt stays in a corpus for the next time. */
async function fuzzOne(binary, seconds) {
  const name = basename(binary);
  const corpus = join(root, `build/fuzz-corpus/${name}`);
  mkdirSync(corpus, { recursive: true });
  const limits = [`-max_total_time=${seconds}`, '-timeout=10', '-rss_limit_mb=2048', '-print_final_stats=1'];
  const { status, output } = await run(binary, [corpus, ...limits], { cwd: corpus });
  const runs = /number_of_executed_units:\s*(\d+)/.exec(output)?.[1] ?? '0';
  console.log(`${name}: ${status === 0 ? 'ok' : 'FAILED'}, ${runs} inputs in ${seconds} s`);
  if (status !== 0) process.stdout.write(output.slice(-20_000));
  return status === 0;
}

/** Builds native/fuzz with clang's libFuzzer and runs every target for `seconds`. */
export async function fuzz(seconds) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  if (!existsSync(join(root, 'native/fuzz'))) return total;
  const folder = 'build/fuzz';
  const build = await cmakeBuild(folder, ['-DCMAKE_CXX_COMPILER=clang++', '-DLUSTRE_BUILD_FUZZERS=ON']);
  if (build.status !== 0) return failure(build.output);
  const sources = readdirSync(join(root, 'native/fuzz')).filter((name) => name.endsWith('.cc'));
  for (const name of sources) {
    const ok = await fuzzOne(join(root, folder, `fuzz_${basename(name, '.cc')}`), seconds);
    total[ok ? 'passed' : 'failed'] += 1;
  }
  return total;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const lane = process.argv[2] ?? 'plain';
  const seconds = Number(process.env.LUSTRE_FUZZ_SECONDS ?? 60);
  const counts = lane === 'fuzz' ? await fuzz(seconds) : await buildAndRun(lane);
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}
