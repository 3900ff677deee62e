/** `lustre du`: the space that directories take with all below them. */
import { Command } from 'commander';
import type { Filesystem, Stats } from '../index.ts';
import { formatBytes, formatTable, printJson } from './output.ts';
import { requireLustrePath, usage } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

interface DuOptions extends ConnectionOptions {
  readonly summarize?: boolean;
  readonly maxDepth?: string;
  readonly apparentSize?: boolean;
  readonly bytes?: boolean;
}

interface Usage {
  readonly path: string;
  readonly depth: number;
  bytes: number;
  files: number;
}

export function duCommand(): Command {
  return addConnectionOptions(new Command('du'))
    .description('space that directories take with all below them')
    .argument('[path...]', 'NID:/fsname/path', [':/'])
    .option('-s, --summarize', 'only the paths themselves')
    .option('-d, --max-depth <n>', 'directories so deep at most')
    .option('--apparent-size', 'sizes of files instead of the space they take')
    .option('-b, --bytes', 'bytes instead of KiB, MiB ...')
    .addHelpText(
      'after',
      '\nA file with several names counts once.\n\nExample:\n  lustre du -s 10.0.0.1@tcp:/lab/data',
    )
    .action(async (texts: string[], options: DuOptions) => {
      const depth = options.summarize === true ? 0 : Number(options.maxDepth ?? Number.POSITIVE_INFINITY);
      if (Number.isNaN(depth) || depth < 0) throw usage(`--max-depth ${options.maxDepth} is no depth`);
      const paths = texts.map(requireLustrePath);
      const usages = await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        const found: Usage[] = [];
        for (const { path } of paths) found.push(...(await usageOf(filesystem, path, depth, options)));
        return found;
      });
      if (options.json === true) {
        printJson(usages.map(({ path, bytes, files }) => ({ path, bytes, files })));
        return;
      }
      const show = (bytes: number): string => (options.bytes === true ? `${bytes}` : formatBytes(bytes));
      const rows = usages.map(({ path, bytes, files }) => [show(bytes), `${files}`, path]);
      process.stdout.write(`${formatTable(['space', 'files', 'path'], rows)}\n`);
    });
}

/** Directories up to `depth`, those below before the one they are in, the path itself last. */
async function usageOf(
  filesystem: Filesystem,
  path: string,
  depth: number,
  options: DuOptions,
): Promise<Usage[]> {
  const bytesOf = (stats: Stats): number => (options.apparentSize === true ? stats.size : stats.blocks * 512);
  const root = await filesystem.lstat(path);
  const total: Usage = { path, depth: 0, bytes: bytesOf(root), files: 1 };
  if (!root.isDirectory()) return [total];
  const directories = new Map<string, Usage>([[path, total]]);
  const counted = new Set<string>();
  const walk = filesystem.walk(path, {
    stats: 'all',
    onError: (error) => {
      process.stderr.write(`lustre: ${error.message}\n`);
      process.exitCode = 1;
    },
  });
  for await (const { path: at, depth: deep, dirent, stats } of walk) {
    if (stats === undefined) continue;
    const above = directories.get(dirent.parentPath) ?? total;
    // Deeper ones are part of the last that is shown.
    let into = above;
    if (stats.isDirectory()) {
      into = deep <= depth ? { path: at, depth: deep, bytes: 0, files: 0 } : above;
      directories.set(at, into);
    } else if (stats.nlink > 1) {
      if (counted.has(stats.fid)) continue;
      counted.add(stats.fid);
    }
    into.bytes += bytesOf(stats);
    into.files++;
  }
  return addUp(directories);
}

function addUp(directories: ReadonlyMap<string, Usage>): Usage[] {
  const all = [...new Set(directories.values())].sort(
    (a, b) => b.depth - a.depth || (a.path < b.path ? -1 : 1),
  );
  for (const usage of all) {
    const slash = usage.path.lastIndexOf('/');
    const above = usage.depth === 0 ? undefined : directories.get(usage.path.slice(0, slash) || '/');
    if (above === undefined || above === usage) continue;
    above.bytes += usage.bytes;
    above.files += usage.files;
  }
  return all;
}
