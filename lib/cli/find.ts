/** `lustre find`: names below directories that meet conditions, as find(1) and `lfs find` choose them. */
import { Command } from 'commander';
import type { Filesystem, Stats, WalkEntry } from '../index.ts';
import { parseSize, toJson } from './output.ts';
import { requireLustrePath, usage } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

interface FindOptions extends ConnectionOptions {
  readonly name?: string;
  readonly iname?: string;
  readonly type?: string;
  readonly size?: string;
  readonly mtime?: string;
  readonly atime?: string;
  readonly ctime?: string;
  readonly uid?: string;
  readonly gid?: string;
  readonly maxdepth?: string;
  readonly mindepth?: string;
  readonly print0?: boolean;
}

/** As find(1) writes them, with one dash. */
const words = 'name iname type size mtime atime ctime uid gid maxdepth mindepth print0'.split(' ');

/** `-name x` as `--name x`: what people's fingers know. */
export function longFindOptions(args: readonly string[]): string[] {
  return args.map((arg) => (words.some((word) => arg === `-${word}`) ? `-${arg}` : arg));
}

export function findCommand(): Command {
  return addConnectionOptions(new Command('find'))
    .description('names below directories that meet all conditions')
    .argument('[path...]', 'NID:/fsname/path', [':/'])
    .option('--name <pattern>', 'the name, with * ? and [...]')
    .option('--iname <pattern>', 'the same, whatever the case')
    .option('--type <letters>', 'f, d, l, p, s, c, b; several with commas')
    .option('--size <n>', 'bytes, or with k, M, G, T, P; +n more, -n less')
    .option('--mtime <n>', 'changed n days ago; +n earlier, -n later')
    .option('--atime <n>', 'read n days ago')
    .option('--ctime <n>', 'attributes changed n days ago')
    .option('--uid <n>', 'of a user')
    .option('--gid <n>', 'of a group')
    .option('--maxdepth <n>', 'so deep at most; 0 is the path itself')
    .option('--mindepth <n>', 'so deep at least')
    .option('--print0', 'NUL instead of a new line behind each name')
    .addHelpText(
      'after',
      `
Each condition may be written with one dash too. With --json each line is an object.

Example:
  lustre find 10.0.0.1@tcp:/lab/data -type f -size +1G -mtime -7`,
    )
    .action(async (texts: string[], options: FindOptions) => {
      const paths = texts.map(requireLustrePath);
      const conditions = conditionsOf(options, Date.now());
      await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        for (const { path } of paths) await find(filesystem, path, conditions, options);
      });
    });
}

interface Found {
  readonly path: string;
  readonly name: string;
  readonly depth: number;
  readonly type: string;
  readonly fid: string;
  readonly stats: Stats | undefined;
}

type Condition = (found: Found) => boolean;

interface Conditions {
  readonly all: readonly Condition[];
  /** What must be known of each file. */
  readonly stats: 'all' | 'mdt' | undefined;
  readonly maxDepth: number;
  readonly minDepth: number;
}

/** Throws ERR_LUSTRE_USAGE for what cannot be read. `now`: milliseconds since the epoch. */
export function conditionsOf(options: FindOptions, now: number): Conditions {
  const all: Condition[] = [];
  const { name, iname, type, size, uid, gid } = options;
  if (name !== undefined) all.push(matching(name, ''));
  if (iname !== undefined) all.push(matching(iname, 'i'));
  if (type !== undefined) all.push(typed(type));
  if (size !== undefined) all.push(sized(size));
  if (uid !== undefined) all.push(counted('uid', uid, (stats) => stats.uid));
  if (gid !== undefined) all.push(counted('gid', gid, (stats) => stats.gid));
  const days = (ms: number): number => Math.floor((now - ms) / 86_400_000);
  let times = false;
  for (const time of ['mtime', 'atime', 'ctime'] as const) {
    const text = options[time];
    if (text === undefined) continue;
    times = true;
    all.push(counted(time, text, (stats) => days(stats[`${time}Ms`])));
  }
  const owner = uid !== undefined || gid !== undefined;
  return {
    all,
    stats: size !== undefined || times ? 'all' : owner ? 'mdt' : undefined,
    maxDepth: depthOf('maxdepth', options.maxdepth) ?? Number.POSITIVE_INFINITY,
    minDepth: depthOf('mindepth', options.mindepth) ?? 0,
  };
}

function matching(pattern: string, flags: string): Condition {
  const expression = new RegExp(`^${globSource(pattern)}$`, `su${flags}`);
  return ({ name }) => expression.test(name);
}

/** A shell pattern as a regular expression. A bracket that is never closed stands for itself. */
function globSource(pattern: string): string {
  const quoted = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  return pattern.replace(
    /\\(.)|\[([!^]?)((?:\]|[^\]])[^\]]*)\]|[*?]|[^*?[\\]+|[[\\]/gs,
    (text, literal, not, set) => {
      if (literal !== undefined) return quoted(literal);
      if (set !== undefined) return `[${not === '' ? '' : '^'}${set.replace(/[\\\][^]/g, '\\$&')}]`;
      return text === '*' ? '.*' : text === '?' ? '.' : quoted(text);
    },
  );
}

function typed(text: string): Condition {
  const letters = text.split(',');
  const wrong = letters.find((letter) => !/^[fdlpscb]$/.test(letter));
  if (wrong !== undefined) throw usage(`'${wrong}' is no type`, 'Write one of f, d, l, p, s, c, b');
  return ({ type }) => letters.includes(type);
}

function signOf(option: string, text: string): { sign: string; rest: string } {
  const match = /^([+-]?)(.+)$/.exec(text);
  if (match === null) throw usage(`--${option} needs a number`);
  return { sign: match[1]!, rest: match[2]! };
}

const compares = (sign: string, value: number, n: number): boolean =>
  sign === '+' ? value > n : sign === '-' ? value < n : value === n;

/** An exact size counts whole units, begun ones too, as find(1) does. */
function sized(text: string): Condition {
  const { sign, rest } = signOf('size', text);
  const bytes = parseSize(rest.replace(/c$/, ''));
  const unit = parseSize(`1${/[a-z]*$/i.exec(rest.replace(/c$/, ''))?.[0] ?? ''}`) ?? 1;
  if (bytes === undefined) throw usage(`--size ${text} is no size`, 'Write for example +4k, -1M or 10G');
  return ({ stats }) => {
    if (stats === undefined) return false;
    return sign === '' ? Math.ceil(stats.size / unit) === bytes / unit : compares(sign, stats.size, bytes);
  };
}

function counted(option: string, text: string, of: (stats: Stats) => number): Condition {
  const { sign, rest } = signOf(option, text);
  const n = Number(rest);
  if (!Number.isSafeInteger(n) || rest.trim() === '') throw usage(`--${option} ${text} is no number`);
  return ({ stats }) => stats !== undefined && compares(sign, of(stats), n);
}

function depthOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const n = Number(text);
  if (!Number.isSafeInteger(n) || n < 0) throw usage(`--${option} ${text} is no depth`);
  return n;
}

const letters: Record<number, string> = { 1: 'p', 2: 'c', 4: 'd', 6: 'b', 8: 'f', 10: 'l', 12: 's' };

async function find(
  filesystem: Filesystem,
  path: string,
  conditions: Conditions,
  options: FindOptions,
): Promise<void> {
  const root = await filesystem.lstat(path);
  const show = (found: Found): void => {
    if (found.depth < conditions.minDepth || !conditions.all.every((condition) => condition(found))) return;
    process.stdout.write(textOf(found, options));
  };
  const name = path.split('/').pop() ?? '';
  show({ path, name, depth: 0, type: letters[root.mode >> 12] ?? '?', fid: root.fid, stats: root });
  if (!root.isDirectory() || conditions.maxDepth === 0) return;
  const { stats, maxDepth } = conditions;
  const walk = filesystem.walk(path, {
    maxDepth,
    ...(stats !== undefined && { stats }),
    onError: (error) => {
      process.stderr.write(`lustre: ${error.message}\n`);
      process.exitCode = 1;
    },
  });
  for await (const entry of walk) show(foundOf(entry));
}

function foundOf({ path, name, depth, dirent, stats }: WalkEntry): Found {
  const tests = [
    ['f', dirent.isFile()],
    ['d', dirent.isDirectory()],
    ['l', dirent.isSymbolicLink()],
    ['p', dirent.isFIFO()],
    ['s', dirent.isSocket()],
    ['b', dirent.isBlockDevice()],
    ['c', dirent.isCharacterDevice()],
  ] as const;
  const type = tests.find(([, is]) => is)?.[0] ?? '?';
  return { path, name, depth, type, fid: dirent.fid, stats };
}

function textOf({ path, type, fid, stats }: Found, options: FindOptions): string {
  if (options.json !== true) return `${path}${options.print0 === true ? '\0' : '\n'}`;
  const known =
    stats === undefined
      ? {}
      : {
          mode: stats.mode & 0o7777,
          uid: stats.uid,
          gid: stats.gid,
          size: stats.size,
          blocks: stats.blocks,
          mtime: stats.mtime,
        };
  return `${toJson({ path, type, fid, ...known })}\n`;
}
