/**
 * The rules of the house that no linter knows (CONTRIBUTING.md, docs/architecture.md): the order of the layers, what
 * may touch the clock, names, lengths. A failure names the file, the line and what to do instead.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

/**
 * From the top down: a folder of lib/ imports from itself and from what stands below it. The command stands on
 * index.ts, as any program does.
 */
const layers = [
  'cli',
  'index.ts',
  'client',
  'server',
  'config',
  'layout',
  'ldlm',
  'llog',
  'fid',
  'security',
  'connection',
  'rpc',
  'sim',
  'lnet',
  'wire',
  'runtime',
];

/** From the top down: the folders of lib/client/. What lies in it directly is the face, and what all of them share. */
const clientFolders = [
  'engine',
  'mount',
  'files',
  'data-cache',
  'objects',
  'administration',
  'namespace',
  'mdc',
  'osc',
  'transfers',
];

const LINES_MAX = 500;
/** Longer files, each with the reason why it is not two. */
const longFiles: ReadonlyMap<string, string> = new Map([
  ['lib/wire/formats.ts', 'one table: a row per request format of the wire'],
]);

/** The only places that may touch the world: everything else is handed a Runtime and a Network. */
const worldly = [/^lib\/cli\//, /^lib\/[^/]+\.ts$/, /^lib\/runtime\//, /^lib\/lnet\/native[^/]*\.ts$/];

interface Ban {
  readonly what: RegExp;
  readonly instead: string;
}

const worldBans: readonly Ban[] = [
  { what: /\bDate\.now\b|\bnew Date\(\)/, instead: 'runtime.wallTime()' },
  { what: /\bperformance\.now\b|\bprocess\.hrtime\b/, instead: 'runtime.now()' },
  { what: /\bMath\.random\b|\brandomBytes\b|\brandomUUID\b|\brandomInt\b/, instead: 'runtime.random()' },
  { what: /\bset(Timeout|Interval)\b|node:timers/, instead: 'runtime.after()' },
  { what: /['"]node:(net|dgram|tls|http|https)['"]/, instead: 'a Network (lib/lnet/network.ts)' },
];

const typeBans: readonly Ban[] = [
  { what: /\bas unknown as\b/, instead: 'a type guard, or the right type where the value is made' },
  { what: /@ts-(ignore|expect-error|nocheck)/, instead: 'types that hold' },
  { what: /:\s*any\b|<any>|\bas any\b/, instead: 'unknown and a check' },
];

const testBans: readonly Ban[] = [
  { what: /\b(it|test|describe)\.only\b/, instead: 'running one test by name: npm test -- -t NAME' },
  {
    what: /setTimeout\(\s*(resolve|r|done)\b|node:timers\/promises/,
    instead: 'waiting for the event itself',
  },
];

function filesBelow(folder: string, ends: readonly string[]): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((name) => ends.some((end) => name.endsWith(end)) && !name.includes('node_modules'))
    .sort();
}

/** Text with comments blanked, line for line, so that prose may name what code may not. */
function withoutComments(text: string): string {
  const blank = (match: string) => match.replace(/[^\n]/g, ' ');
  return text.replace(/\/\*[\s\S]*?\*\//g, blank).replace(/(^|[^:'"`])\/\/.*$/gm, blank);
}

interface Source {
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
}

function load(path: string): Source {
  const text = readFileSync(path, 'utf8');
  return { path, text, lines: text.split('\n') };
}

const library = filesBelow('lib', ['.ts']).map(load);
/** But this file, which has to name what it bans. */
const tests = filesBelow('test', ['.ts'])
  .filter((path) => path !== 'test/tidy.test.ts')
  .map(load);
const native = filesBelow('native', ['.cc', '.h']).map(load);
const everything = [...library, ...tests, ...native, ...filesBelow('bench', ['.ts', '.cc']).map(load)];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly line: number;
  readonly typeOnly: boolean;
}

function importsOf({ path, text }: Source): Import[] {
  const pattern =
    /^[ \t]*(?:import|export)\s+(type\s)?[^'";]*?from\s+'(\.[^']+)'|\bimport\(\s*'(\.[^']+)'\s*\)/gm;
  return [...withoutComments(text).matchAll(pattern)].map((match) => ({
    from: path,
    to: normalize(join(dirname(path), match[2] ?? match[3] ?? '')),
    line: text.slice(0, match.index).split('\n').length,
    typeOnly: match[1] !== undefined,
  }));
}

const imports = library.flatMap(importsOf);

/** A file that lies in lib/ itself is a part of index.ts: it starts servers or processes for a program. */
function layerOf(path: string): string {
  const [, folder = '', ...rest] = path.split('/');
  return rest.length === 0 ? 'index.ts' : folder;
}

function offences(sources: readonly Source[], bans: readonly Ban[]): string[] {
  return sources.flatMap(({ path, text }) =>
    withoutComments(text)
      .split('\n')
      .flatMap((line, i) =>
        bans
          .filter(({ what }) => what.test(line))
          .map(({ what, instead }) => `${path}:${i + 1}: ${what.exec(line)?.[0]}: use ${instead}`),
      ),
  );
}

describe('layers', () => {
  it('are all on the list', () => {
    const unknown = library.filter(({ path }) => !layers.includes(layerOf(path))).map(({ path }) => path);
    expect(unknown, 'every file of lib/ belongs to a layer: put it in one, or the layer on the list').toEqual(
      [],
    );
  });

  it('import only from below', () => {
    const upward = imports
      .filter(
        ({ from, to }) =>
          layers.indexOf(layerOf(to)) < layers.indexOf(layerOf(from)) || !to.startsWith('lib/'),
      )
      .map(({ from, line, to }) => `${from}:${line}: imports ${to}, which is above ${layerOf(from)}/`);
    expect(upward, 'move the shared part down, or hand it in from above').toEqual([]);
  });

  it('of the client import only from below', () => {
    const placeOf = (path: string): number =>
      clientFolders.indexOf(/^lib\/client\/([^/]+)\//.exec(path)?.[1] ?? '');
    const folders = readdirSync('lib/client', { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(folders.map(({ name }) => name).sort()).toEqual([...clientFolders].sort());
    const upward = imports
      .filter(({ from, to }) => placeOf(to) >= 0 && placeOf(to) < placeOf(from))
      .map(({ from, line, to }) => `${from}:${line}: imports ${to}, which is above it`);
    expect(upward, 'move the shared part down, or hand it in from above').toEqual([]);
  });

  it('have no circles of imports', () => {
    const edges = new Map<string, string[]>();
    for (const { from, to, typeOnly } of imports) {
      if (!typeOnly) edges.set(from, [...(edges.get(from) ?? []), to]);
    }
    expect(circles(edges), 'one of them needs only a type, or both need a third').toEqual([]);
  });
});

/** Each circle of a graph once, as `a -> b -> a`. */
function circles(edges: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (node: string, path: readonly string[]) => {
    const at = path.indexOf(node);
    if (at >= 0) found.push([...path.slice(at), node].join(' -> '));
    if (at >= 0 || done.has(node)) return;
    for (const next of edges.get(node) ?? []) visit(next, [...path, node]);
    done.add(node);
  };
  for (const node of edges.keys()) visit(node, []);
  return found;
}

describe('code', () => {
  it('touches clock, timers, random source and network only where it may', () => {
    const inner = library.filter(({ path }) => !worldly.some((place) => place.test(path)));
    expect(offences(inner, worldBans), 'sim/ must be able to run it in virtual time').toEqual([]);
  });

  it('has no holes in its types', () => {
    expect(offences([...library, ...tests], typeBans)).toEqual([]);
  });

  it('leaves nothing to do later', () => {
    const marks = everything.flatMap(({ path, lines }) =>
      lines.flatMap((line, i) =>
        /\b(TODO|FIXME|XXX|HACK)\b/.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [],
      ),
    );
    expect(marks, 'do it, or file an issue and say in the comment what holds until then').toEqual([]);
  });

  it('names no machine', () => {
    const named = everything.flatMap(({ path, lines }) =>
      lines.flatMap((line, i) =>
        /\/work\/|\.library\b|\/root\//.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [],
      ),
    );
    expect(named, 'paths are relative to the project').toEqual([]);
  });
});

describe('tests', () => {
  it('run all, and wait for events rather than for time', () => {
    expect(offences(tests, testBans)).toEqual([]);
  });
});

describe('files', () => {
  it('are named for what is in them', () => {
    const vague = everything
      .map(({ path }) => path)
      .filter((path) => /(^|[/_.-])(utils?|helpers?|common|misc|managers?)([/_.-]|$)/i.test(path));
    expect(vague, 'name the thing').toEqual([]);
  });

  it('begin by saying what they are', () => {
    const silent = [...library, ...native].filter(({ text }) => !/^(#![^\n]*\n)?(\/\*\*|\/\/)/.test(text));
    // A .cc file is introduced by its header.
    const bare = silent.map(({ path }) => path).filter((path) => !path.endsWith('.cc'));
    expect(bare, 'first lines: what it is, and the chapter of the guides it implements').toEqual([]);
  });

  it(`are at most ${LINES_MAX} lines long`, () => {
    const long = everything
      .filter(({ path, lines }) => lines.length - 1 > LINES_MAX && !longFiles.has(path))
      .map(({ path, lines }) => `${path}: ${lines.length - 1} lines`);
    expect(long, 'divide it, or list it in test/tidy.test.ts with the reason').toEqual([]);
  });

  it('that may be long still are', () => {
    const short = [...longFiles.keys()].filter(
      (path) => !everything.some((source) => source.path === path && source.lines.length - 1 > LINES_MAX),
    );
    expect(short, 'take it off the list').toEqual([]);
  });
});

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

describe('package.json', () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest;
  const versions = { ...dependencies, ...devDependencies };

  it('names exact versions', () => {
    const loose = Object.entries(versions).filter(([, v]) => !/^\d+\.\d+\.\d+$/.test(v));
    expect(loose, 'npm install --save-exact').toEqual([]);
  });

  it('has every dependency justified in docs/dependencies.md', () => {
    const page = readFileSync('docs/dependencies.md', 'utf8');
    const silent = Object.keys(versions).filter((name) => !page.includes(`\`${name}\``));
    expect(silent, 'a line each: what for, and why this one').toEqual([]);
  });
});
