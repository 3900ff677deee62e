/**
 * Everything that must be there before the project runs: Debian packages, node packages, the native module, the
 * compiled TypeScript. Each is made only when it is missing or older than its sources, so running this again costs
 * next to nothing. Plain Node, no packages.
 *
 *   node scripts/setup.mjs                    what `npm start` needs
 *   node scripts/setup.mjs --tests            and what `npm test` needs
 *   node scripts/setup.mjs --bench            what `npm start` and `npm run bench` need
 *   node scripts/setup.mjs --tests --checks   and what .ci/run needs (linters, sanitizers, fuzzers)
 *   ... --only=system,node,native,ts          only these parts
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { newest, root, StepError, step, which } from './run.mjs';

/** A Debian package and how to see, without asking dpkg, that what we need of it is there (whoever installed it). */
const packages = {
  start: [
    ['g++', () => which('g++') ?? which('c++') ?? which('clang++')],
    ['cmake', () => which('cmake')],
    ['make', () => which('make')],
    ['pkg-config', () => which('pkg-config')],
    ['libisal-dev', () => header('isa-l/crc.h')],
  ],
  tests: [
    ['doctest-dev', () => header('doctest/doctest.h')],
    ['tshark', () => which('tshark')],
  ],
  bench: [
    ['iperf3', () => which('iperf3')],
    ['nginx-light', () => which('nginx')],
    ['nfs-ganesha', () => which('ganesha.nfsd')],
    ['rpcbind', () => which('rpcbind')],
    ['nfs-ganesha-vfs', () => library('ganesha/libfsalvfs.so')],
    ['libnfs-dev', () => header('nfsc/libnfs.h')],
  ],
  checks: [
    ['clang', () => which('clang++')],
    ['clang-format', () => which('clang-format')],
    ['clang-tidy', () => which('clang-tidy')],
    ['libclang-rt-14-dev', () => clangRuntime()],
  ],
};

function header(path) {
  return ['/usr/include', '/usr/local/include'].some((folder) => existsSync(join(folder, path)));
}

function library(path) {
  return ['/usr/lib', '/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu'].some((folder) =>
    existsSync(join(folder, path)),
  );
}

/** libFuzzer and the sanitizers' runtimes, which Debian's clang comes without. */
function clangRuntime() {
  const versions = '/usr/lib/llvm-14/lib/clang';
  return (
    existsSync(versions) && readdirSync(versions).some((v) => existsSync(join(versions, v, 'lib/linux')))
  );
}

/** Installs the Debian packages that are missing, or says exactly how to. */
async function installSystemPackages(sets) {
  const missing = sets.flatMap((set) => packages[set]).filter(([, present]) => !present());
  if (missing.length === 0) return;
  const names = missing.map(([name]) => name);
  const line = `apt-get update && apt-get install -y --no-install-recommends ${names.join(' ')}`;
  if (!which('apt-get')) {
    throw new StepError(
      `Missing: ${names.join(' ')} (Debian's names). There is no apt-get here: install them with your system's tool.`,
    );
  }
  if (process.getuid?.() !== 0) {
    throw new StepError(
      `Debian packages are missing. Install them, then run this again:\n\n  sudo sh -c '${line}'\n`,
    );
  }
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await step('apt-get update', 'apt-get', ['update', '-q'], { env });
  const args = ['install', '-y', '-q', '--no-install-recommends', ...names];
  await step(`apt-get install ${names.join(' ')}`, 'apt-get', args, { env });
  const still = missing.filter(([, present]) => !present()).map(([name]) => name);
  if (still.length > 0)
    throw new StepError(`Installed ${still.join(' ')}, but what is needed of it was not found.`);
}

/** True when node_modules holds every package at the version that the lock file says. */
function nodePackagesCurrent() {
  const installedFile = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const locked = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  return Object.entries(locked).every(
    // A package that only other platforms need is not installed, and is not missed.
    ([path, { version, optional }]) =>
      path === '' ||
      installed[path]?.version === version ||
      (optional === true && installed[path] === undefined),
  );
}

/** Node packages exactly as locked. Their install scripts stay off: those we use ship their binaries in packages. */
async function installNodePackages() {
  if (nodePackagesCurrent()) return;
  const args = ['ci', '--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];
  const npm = process.env.npm_execpath;
  if (npm?.endsWith('.js')) await step('npm ci', process.execPath, [npm, ...args]);
  else await step('npm ci', 'npm', args);
}

/** Calls `make` when the output is missing or the sources have changed since `make` last succeeded. */
async function whenChanged(output, stamp, sources, make, skip) {
  const stampFile = join(root, stamp);
  // What the sources were before the build: what is saved while it runs is built the next time.
  const state = `${newest(sources, skip)}\n`;
  if (existsSync(join(root, output)) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === state)
    return;
  await make();
  mkdirSync(dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, state);
}

const notInAddon = (path) => /^native\/(test|fuzz|bench)$/.test(path) || /\.md$/.test(path);

async function buildNative() {
  const sources = ['CMakeLists.txt', 'native', 'package-lock.json'];
  const make = async () => {
    await step('configure the native module', 'cmake', [
      '-S',
      '.',
      '-B',
      'build',
      '-DCMAKE_BUILD_TYPE=Release',
    ]);
    const jobs = String(availableParallelism());
    await step('build the native module', 'cmake', ['--build', 'build', '--parallel', jobs]);
  };
  await whenChanged('build/Release/lustre.node', 'build/.stamp-native', sources, make, notInAddon);
}

async function buildTypeScript() {
  const sources = ['lib', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];
  const make = async () => {
    // What was deleted in lib/ must not live on in dist/.
    rmSync(join(root, 'dist'), { recursive: true, force: true });
    await step('TypeScript', process.execPath, [
      join(root, 'node_modules/typescript/bin/tsc'),
      '-p',
      'tsconfig.build.json',
    ]);
  };
  await whenChanged('dist/lib', 'dist/.stamp', sources, make);
}

/** Benches run as what users run: under tsx a process with two threads takes half as much memory again. */
async function buildBenches() {
  const make = () =>
    step('TypeScript of the benches', process.execPath, [
      join(root, 'node_modules/typescript/bin/tsc'),
      '-p',
      'tsconfig.bench.json',
    ]);
  await whenChanged('dist/bench', 'dist/.stamp-bench', ['lib', 'bench', 'tsconfig.bench.json'], make);
}

const parts = {
  system: installSystemPackages,
  node: installNodePackages,
  native: buildNative,
  ts: buildTypeScript,
};

async function main(argv) {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 17)) {
    throw new StepError(`Node ${process.versions.node} is too old: 20.17 or later is needed.`);
  }
  const optional = ['tests', 'bench', 'checks'].filter((set) => argv.includes(`--${set}`));
  const sets = ['start', ...optional];
  const only =
    argv
      .find((arg) => arg.startsWith('--only='))
      ?.slice('--only='.length)
      .split(',') ?? Object.keys(parts);
  for (const part of only) await parts[part](sets);
  if (sets.includes('bench')) await buildBenches();
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof StepError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
