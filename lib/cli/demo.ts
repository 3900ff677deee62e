/**
 * `lustre demo`: a cluster of its own in a server process, a real tree copied in over loopback TCP, read back and
 * compared by SHA-256; the servers are then killed with SIGKILL, started again on the same directory, and everything
 * is compared again.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { type Cluster, type Filesystem, startCluster } from '../index.ts';
import { LustreError } from '../runtime/errors.ts';
import { copyTreeIn, forEachParallel, scanLocal, type TreeEntry, totals } from './copy-tree.ts';
import { formatBytes, formatTable, printJson } from './output.ts';
import { baseName, joinPaths } from './paths.ts';
import { type Progress, startProgress } from './progress.ts';
import { addOutputOptions, logger } from './session.ts';

interface DemoOptions {
  readonly dir?: string;
  readonly keep?: boolean;
  readonly json?: boolean;
  readonly log?: string;
}

interface Tree {
  readonly local: string;
  readonly path: string;
  readonly entries: readonly TreeEntry[];
}

interface Phase {
  readonly name: string;
  readonly seconds: number;
  readonly files: number;
  readonly bytes: number;
}

export function demoCommand(): Command {
  return addOutputOptions(new Command('demo'))
    .description('start a cluster, copy a real tree in and out, kill the servers, verify')
    .argument('[path...]', "what to copy (default: this package's node_modules and the node binary)")
    .option('--dir <dir>', 'keep the targets here (default: a temporary directory)')
    .option('--keep', 'leave the cluster directory behind')
    .addHelpText('after', '\nExample:\n  lustre demo ~/photos')
    .action(async (paths: string[], options: DemoOptions) => {
      const trees = await scanSources(paths);
      await using cluster = await startCluster({
        fsname: 'demo',
        nid: '127.0.0.1@tcp',
        osts: 2,
        log: logger(options.log),
        ...(options.dir !== undefined && { dir: options.dir }),
        ...(options.keep === true && { keep: true }),
      });
      say(
        options,
        `cluster: MGS, MDT0000, OST0000, OST0001 in process ${cluster.pid}, ${cluster.spec}, port ${cluster.port}, on ${cluster.dir}`,
      );
      const { phases, rpcs } = await run(cluster, trees, options);
      report(cluster, phases, rpcs, options);
    });
}

async function scanSources(paths: readonly string[]): Promise<Tree[]> {
  const sources = paths.length > 0 ? paths.map((p) => resolve(p)) : [await nodeModules(), process.execPath];
  const trees: Tree[] = [];
  for (const local of sources)
    trees.push({ local, path: joinPaths('/', baseName(local)), entries: await scanLocal(local) });
  return trees;
}

/** The nearest node_modules above this file. */
async function nodeModules(): Promise<string> {
  for (let dir = dirname(fileURLToPath(import.meta.url)); ; dir = dirname(dir)) {
    const candidate = join(dir, 'node_modules');
    const found = await access(candidate).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
    if (dir === dirname(dir))
      throw new LustreError('ENOENT', 'no node_modules to copy', { hint: 'Name a path to copy' }, -2);
  }
}

async function run(
  cluster: Cluster,
  trees: readonly Tree[],
  options: DemoOptions,
): Promise<{ phases: Phase[]; rpcs: Record<string, number> }> {
  const phases: Phase[] = [];
  const rpcs: Record<string, number> = {};
  const sums = new Map<string, string>();
  const phase = async (name: string, work: (progress: Progress) => Promise<void>): Promise<void> => {
    const all = totals(trees.flatMap((t) => t.entries));
    const progress = startProgress(name, all.bytes, all.files, options.json === true);
    const started = performance.now();
    await work(progress);
    const seconds = (performance.now() - started) / 1000;
    progress.done();
    phases.push({ name, seconds, ...all });
  };
  {
    await using filesystem = await cluster.mount();
    await filesystem.setLayout('/', { stripeCount: 2 });
    await phase('copy in', async (progress) => {
      for (const t of trees) await copyTreeIn(filesystem, t.local, t.entries, t.path, progress);
    });
    for (const t of trees) await hashLocal(t, sums);
    await phase('read back', (progress) => compare(filesystem, trees, sums, progress));
    await filesystem.sync();
    await count(rpcs, filesystem);
    say(options, `every byte and name agrees; killing the servers (SIGKILL) and starting them again`);
    await cluster.kill();
  }
  await cluster.restart();
  await using filesystem = await cluster.mount();
  await phase('read again', (progress) => compare(filesystem, trees, sums, progress));
  await count(rpcs, filesystem);
  return { phases, rpcs };
}

async function hashLocal(tree: Tree, sums: Map<string, string>): Promise<void> {
  await forEachParallel(
    tree.entries.filter((e) => e.kind === 'file'),
    async (e) => {
      sums.set(
        joinPaths(tree.path, e.relative),
        await sha256(createReadStream(join(tree.local, e.relative))),
      );
    },
  );
}

/** Every name, kind, link and byte of the trees, as the mount shows them. */
async function compare(
  filesystem: Filesystem,
  trees: readonly Tree[],
  sums: ReadonlyMap<string, string>,
  progress: Progress,
): Promise<void> {
  for (const tree of trees) {
    const children = childCounts(tree.entries);
    await forEachParallel(tree.entries, async (e) => {
      const path = joinPaths(tree.path, e.relative);
      if (e.kind === 'directory') {
        const want = children.get(e.relative) ?? 0;
        const have = await filesystem.readdir(path);
        if (have.length !== want) throw differs(path, `${want} entries`, `${have.length}`);
        return;
      }
      if (e.kind === 'symlink') {
        const link = await filesystem.readlink(path);
        if (link !== e.link) throw differs(path, `link to ${e.link}`, link);
      } else {
        await using file = await filesystem.open(path, 'r');
        const sum = await sha256(file.createReadStream(), (n) => progress.add(n, 0));
        if (sum !== sums.get(path)) throw differs(path, `SHA-256 ${sums.get(path)}`, sum);
      }
      progress.add(0, 1);
    });
  }
}

/** Entries by the directory that they are in; the root is in none. */
function childCounts(entries: readonly TreeEntry[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { relative } of entries) {
    if (relative === '') continue;
    const parent = relative.includes('/') ? dirname(relative) : '';
    counts.set(parent, (counts.get(parent) ?? 0) + 1);
  }
  return counts;
}

async function sha256(stream: AsyncIterable<Buffer>, onBytes?: (n: number) => void): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) {
    hash.update(chunk);
    onBytes?.(chunk.length);
  }
  return hash.digest('hex');
}

function differs(path: string, want: string, have: string): LustreError {
  return new LustreError(
    'EIO',
    `what was read back differs: want ${want}, have ${have}`,
    { syscall: 'compare', path },
    -5,
  );
}

async function count(rpcs: Record<string, number>, filesystem: Filesystem): Promise<void> {
  for (const [opcode, n] of Object.entries((await filesystem.counters()).rpcs))
    rpcs[opcode] = (rpcs[opcode] ?? 0) + n;
}

function say(options: DemoOptions, text: string): void {
  if (options.json !== true) process.stdout.write(`${text}\n`);
}

function report(
  cluster: Cluster,
  phases: readonly Phase[],
  rpcs: Record<string, number>,
  options: DemoOptions,
): void {
  if (options.json === true) {
    printJson({ ok: true, phases, rpcs });
    return;
  }
  const rows = phases.map((p) => [
    p.name,
    `${p.files}`,
    formatBytes(p.bytes),
    p.seconds.toFixed(1),
    (p.bytes / p.seconds / 1e6).toFixed(1),
    (p.files / p.seconds).toFixed(0),
  ]);
  const byCount = Object.entries(rpcs).sort(([, a], [, b]) => b - a);
  process.stdout.write(
    `\n${formatTable(['phase', 'files', 'bytes', 'seconds', 'MB/s', 'files/s'], rows)}\n\n` +
      `${formatTable(
        ['RPC', 'sent'],
        byCount.map(([opcode, n]) => [opcode, `${n}`]),
      )}\n\n` +
      `All SHA-256 sums agree, before and after SIGKILL of the servers.

Go on:
  npx lustre serve --dir /tmp/lab --fsname lab --nid ${cluster.spec.split(':')[0]} --port 9988 --osts 2
  LUSTRE_PORT=9988 npx lustre ls -l ${cluster.spec.split(':')[0]}:/lab/
or, in a program:
  import { startCluster } from 'node-lustre';
  const cluster = await startCluster();
  await (await cluster.mount()).writeFile('/hello', 'world');
`,
  );
}
