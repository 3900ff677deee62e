/**
 * The C++ tests: built by plain cmake (no Node headers needed by the code they cover) in a folder of their own per
 * lane, run by ctest.
 *
 *   node scripts/native-tests.mjs [plain|asan|tsan|fuzz]
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, run } from './run.mjs';

const lanes = {
  plain: { flags: ['-DLUSTRE_SANITIZE='], env: {} },
  asan: {
    flags: ['-DLUSTRE_SANITIZE=address,undefined'],
    env: {
      ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1',
      UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    },
  },
  tsan: {
    flags: ['-DLUSTRE_SANITIZE=thread'],
    env: { TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1' },
  },
};

const failure = (output) => {
  process.stdout.write(output);
  return { passed: 0, failed: 1, skipped: 0 };
};

async function cmakeBuild(folder, flags) {
  const configure = await run('cmake', ['-S', '.', '-B', folder, ...flags]);
  if (configure.status !== 0) return configure;
  return run('cmake', ['--build', folder, '--parallel', String(availableParallelism())]);
}

/** Builds and runs one lane; resolves with its counts. Prints only what failed. */
export async function buildAndRun(lane) {
  if (!existsSync(join(root, 'native/test'))) return { passed: 0, failed: 0, skipped: 0 };
  const { flags, env } = lanes[lane];
  const folder = `build/tests-${lane}`;
  const common = ['-DLUSTRE_ADDON=OFF', '-DLUSTRE_TESTS=ON', '-DCMAKE_BUILD_TYPE=RelWithDebInfo'];
  const build = await cmakeBuild(folder, [...common, ...flags]);
  if (build.status !== 0) return failure(build.output);
  mkdirSync(join(root, 'build/reports'), { recursive: true });
  const report = join(root, `build/reports/ctest-${lane}.xml`);
  const args = ['--test-dir', folder, '--output-on-failure', '--timeout', '300', '--output-junit', report];
  const { status, output } = await run('ctest', args, { env });
  if (status !== 0) process.stdout.write(output);
  const suite = existsSync(report) ? readFileSync(report, 'utf8') : '';
  const count = (name) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suite)?.[1] ?? 0);
  const skipped = count('skipped') + count('disabled');
  const counts = { passed: count('tests') - count('failures') - skipped, failed: count('failures'), skipped };
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  console.log(
    `native tests (${lane}): ${Object.entries(counts)
      .map(([key, n]) => `${n} ${key}`)
      .join(', ')}`,
  );
  return counts;
}

/** Builds native/fuzz with clang's libFuzzer and runs each target for `seconds`. */
export async function fuzz(seconds) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  if (!existsSync(join(root, 'native/fuzz'))) return total;
  const folder = 'build/fuzz';
  const flags = [
    '-DCMAKE_CXX_COMPILER=clang++',
    '-DCMAKE_C_COMPILER=clang',
    '-DCMAKE_BUILD_TYPE=RelWithDebInfo',
  ];
  const build = await cmakeBuild(folder, [...flags, '-DLUSTRE_ADDON=OFF', '-DLUSTRE_FUZZ=ON']);
  if (build.status !== 0) return failure(build.output);
  const sources = readdirSync(join(root, 'native/fuzz')).filter((name) => name.endsWith('.cc'));
  for (const target of sources.map((name) => basename(name, '.cc'))) {
    const corpus = join(root, `build/fuzz-corpus/${target}`);
    mkdirSync(corpus, { recursive: true });
    const binary = ['', 'native', 'native/fuzz']
      .map((f) => join(root, folder, f, target))
      .find((f) => existsSync(f));
    const args = [
      corpus,
      `-max_total_time=${seconds}`,
      '-timeout=10',
      '-rss_limit_mb=2048',
      '-print_final_stats=1',
    ];
    const { status, output } = await run(binary ?? target, args, { cwd: corpus });
    const runs = /number_of_executed_units:\s*(\d+)/.exec(output)?.[1] ?? '0';
    console.log(`native fuzz ${target}: ${status === 0 ? 'ok' : 'FAILED'}, ${runs} inputs in ${seconds} s`);
    if (status !== 0) process.stdout.write(output.slice(-20_000));
    total[status === 0 ? 'passed' : 'failed'] += 1;
  }
  return total;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const lane = process.argv[2] ?? 'plain';
  const counts =
    lane === 'fuzz' ? await fuzz(Number(process.env.LUSTRE_FUZZ_SECONDS ?? 60)) : await buildAndRun(lane);
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
}
