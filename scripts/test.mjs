/**
 * `npm test`: every test of the project, TypeScript (vitest) and C++ (doctest under ctest), then one closing line
 * `N passed, N failed, N skipped`. With arguments it hands them to vitest and leaves the C++ tests out:
 *
 *   npm test                       everything
 *   npm test -- test/rpc           the tests below test/rpc
 *   npm test -- -t 'resend'        the tests whose names match
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildAndRun } from './native-tests.mjs';
import { root, run } from './run.mjs';

const reports = join(root, 'build/reports');

/** Runs vitest; resolves with the counts of its JSON report. A run that made no report counts as one failure. */
async function vitest(args, name) {
  mkdirSync(reports, { recursive: true });
  const report = join(reports, `${name}.json`);
  rmSync(report, { force: true });
  const cli = join(root, 'node_modules/vitest/vitest.mjs');
  const flags = ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...args];
  const { status } = await run(process.execPath, [cli, ...flags], { quiet: false });
  if (!existsSync(report)) return { passed: 0, failed: 1, skipped: 0 };
  const json = JSON.parse(readFileSync(report, 'utf8'));
  const counts = {
    passed: json.numPassedTests,
    failed: json.numFailedTests,
    skipped: json.numPendingTests + (json.numTodoTests ?? 0),
  };
  // A file that does not load and an unhandled rejection fail the run without failing a test.
  if (status !== 0 && counts.failed === 0) counts.failed = Math.max(1, json.numFailedTestSuites);
  return counts;
}

const args = process.argv.slice(2);
const results = [await vitest(args, 'vitest')];
if (args.length === 0) results.push(await buildAndRun('plain'));
const sum = (key) => results.reduce((total, counts) => total + counts[key], 0);
process.stdout.write(`\n${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped\n`);
process.exitCode = sum('failed') === 0 ? 0 : 1;
