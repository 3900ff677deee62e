/**
 * `npm run test:interop`: the suite in test/interop against the cluster that LUSTRE_TEST_MOUNT names (our own servers when
 * it names none), then what passed, failed and was skipped, and why.
 *
 *   LUSTRE_TEST_MOUNT=10.0.0.1@tcp:/lab/dir npm run test:interop
 *   ... npm run test:interop -- --verify-with /mnt/lab/dir     compare with a kernel mount of the same directory
 *   ... npm run test:interop -- --verify-shell 'ssh host'      that mount is on another machine
 *   ... npm run test:interop -- -t xattr                       further words go to vitest
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from './run.mjs';

const args = process.argv.slice(2);
const env = {};
const rest = [];
const settings = { '--verify-with': 'LUSTRE_VERIFY_WITH', '--verify-shell': 'LUSTRE_VERIFY_SHELL' };
for (let i = 0; i < args.length; i++) {
  const [flag, value] = args[i].split(/=(.*)/s);
  const name = settings[flag];
  if (name === undefined) rest.push(args[i]);
  else env[name] = value ?? args[++i];
}

const report = join(root, 'build/reports/interop.json');
mkdirSync(join(root, 'build/reports'), { recursive: true });
rmSync(report, { force: true });
const vitest = join(root, 'node_modules/vitest/vitest.mjs');
const flags = ['run', 'test/interop', '--no-file-parallelism', '--reporter=verbose', '--reporter=json'];
const { status } = await run(process.execPath, [vitest, ...flags, `--outputFile.json=${report}`, ...rest], {
  quiet: false,
  env,
});
if (!existsSync(report)) process.exit(status || 1);
const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(report, 'utf8'));
process.stdout.write(`\n${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped\n`);
process.exitCode = status;
