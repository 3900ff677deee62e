/** `lustre ls`: names, or with -l what stat knows. */
import { Command } from 'commander';
import type { Filesystem, Stats } from '../index.ts';
import { formatTable, printJson } from './output.ts';
import { baseName, joinPaths, requireLustrePath } from './paths.ts';
import { addConnectionOptions, type ConnectionOptions, commonSpec, withMount } from './session.ts';

interface LsOptions extends ConnectionOptions {
  readonly long?: boolean;
  readonly all?: boolean;
  readonly recursive?: boolean;
  readonly directory?: boolean;
}

interface Entry {
  readonly name: string;
  readonly stats: Stats | undefined;
  readonly link: string | undefined;
}

export function lsCommand(): Command {
  return addConnectionOptions(new Command('ls'))
    .description('list directories')
    .argument('[path...]', 'NID:/fsname/path', [':/'])
    .option('-l, --long', 'mode, links, owner, size and time too')
    .option('-a, --all', 'names that begin with a dot too')
    .option('-R, --recursive', 'subdirectories too')
    .option('-d, --directory', 'the directory itself, not what is in it')
    .addHelpText('after', '\nExample:\n  lustre ls -l 10.0.0.1@tcp:/lab/data')
    .action(async (texts: string[], options: LsOptions) => {
      const paths = texts.map(requireLustrePath);
      const listings: { path: string; entries: Entry[] }[] = [];
      await withMount(commonSpec(paths.map((p) => p.spec)), options, async (filesystem) => {
        for (const { path } of paths) await list(filesystem, path, options, listings);
      });
      if (options.json === true) printJson(listings.map(forMachines));
      else printListings(listings, options);
    });
}

async function list(
  filesystem: Filesystem,
  path: string,
  options: LsOptions,
  listings: { path: string; entries: Entry[] }[],
): Promise<void> {
  const stats = await filesystem.lstat(path);
  if (!stats.isDirectory() || options.directory === true) {
    listings.push({ path, entries: [await describe(filesystem, path, baseName(path), true)] });
    return;
  }
  const found = await filesystem.readdir(path, { withFileTypes: true });
  const shown = found.filter((entry) => options.all === true || !entry.name.startsWith('.'));
  shown.sort((a, b) => (a.name < b.name ? -1 : 1));
  const withStats = options.long === true || options.json === true;
  const entries = await Promise.all(
    shown.map((entry) => describe(filesystem, joinPaths(path, entry.name), entry.name, withStats)),
  );
  listings.push({ path, entries });
  if (options.recursive !== true) return;
  for (const entry of shown) {
    if (entry.isDirectory()) await list(filesystem, joinPaths(path, entry.name), options, listings);
  }
}

async function describe(
  filesystem: Filesystem,
  path: string,
  name: string,
  withStats: boolean,
): Promise<Entry> {
  if (!withStats) return { name, stats: undefined, link: undefined };
  const stats = await filesystem.lstat(path);
  return { name, stats, link: stats.isSymbolicLink() ? await filesystem.readlink(path) : undefined };
}

function printListings(listings: readonly { path: string; entries: Entry[] }[], options: LsOptions): void {
  listings.forEach((listing, i) => {
    if (listings.length > 1) process.stdout.write(`${i === 0 ? '' : '\n'}${listing.path}:\n`);
    if (options.long !== true) {
      for (const entry of listing.entries) process.stdout.write(`${entry.name}\n`);
      return;
    }
    const rows = listing.entries.map((e) => longRow(e, e.stats!));
    if (rows.length > 0) {
      process.stdout.write(
        `${formatTable(['mode', 'links', 'uid', 'gid', 'size', 'modified', 'name'], rows)}\n`,
      );
    }
  });
}

function longRow(entry: Entry, s: Stats): string[] {
  const name = entry.link === undefined ? entry.name : `${entry.name} -> ${entry.link}`;
  return [
    modeText(s.mode),
    `${s.nlink}`,
    `${s.uid}`,
    `${s.gid}`,
    `${s.size}`,
    s.mtime.toISOString().slice(0, 19).replace('T', ' '),
    name,
  ];
}

const typeLetters: Record<number, string> = { 1: 'p', 2: 'c', 4: 'd', 6: 'b', 8: '-', 10: 'l', 12: 's' };

/** 0o40755 -> `drwxr-xr-x`, as ls(1) writes it. */
export function modeText(mode: number): string {
  const bit = (mask: number, letter: string): string => ((mode & mask) === 0 ? '-' : letter);
  const execute = (mask: number, special: number, letter: string): string => {
    if ((mode & special) === 0) return bit(mask, 'x');
    return (mode & mask) === 0 ? letter.toUpperCase() : letter;
  };
  return [
    typeLetters[(mode >> 12) & 15] ?? '?',
    bit(0o400, 'r'),
    bit(0o200, 'w'),
    execute(0o100, 0o4000, 's'),
    bit(0o040, 'r'),
    bit(0o020, 'w'),
    execute(0o010, 0o2000, 's'),
    bit(0o004, 'r'),
    bit(0o002, 'w'),
    execute(0o001, 0o1000, 't'),
  ].join('');
}

function forMachines(listing: { path: string; entries: Entry[] }): object {
  return {
    path: listing.path,
    entries: listing.entries.map(({ name, stats, link }) => ({
      name,
      ...(link !== undefined && { link }),
      ...(stats !== undefined && {
        type: typeLetters[(stats.mode >> 12) & 15],
        mode: stats.mode & 0o7777,
        nlink: stats.nlink,
        uid: stats.uid,
        gid: stats.gid,
        size: stats.size,
        mtime: stats.mtime,
        ino: stats.ino,
      }),
    })),
  };
}
