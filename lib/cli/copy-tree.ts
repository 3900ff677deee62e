/** Trees in and out of Lustre: directories first, then files side by side. What `lustre cp -r` and `lustre demo` stand on. */
import { lstat, mkdir, readdir, readlink, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Filesystem } from '../index.ts';
import { joinPaths } from './paths.ts';
import type { Progress } from './progress.ts';

export interface TreeEntry {
  readonly kind: 'directory' | 'file' | 'symlink';
  /** Under the tree's root; '' is the root itself. */
  readonly relative: string;
  readonly size: number;
  readonly mode: number;
  readonly link?: string;
}

/** Files that are copied at the same time. */
const PARALLEL = 16;

/** Everything under a local path, parents before children. Sockets, devices and pipes are passed over. */
export async function scanLocal(root: string): Promise<TreeEntry[]> {
  const entries: TreeEntry[] = [];
  const visit = async (relative: string): Promise<void> => {
    const path = join(root, relative);
    const s = await lstat(path);
    const base = { relative, mode: s.mode & 0o7777 };
    if (s.isSymbolicLink()) entries.push({ ...base, kind: 'symlink', size: 0, link: await readlink(path) });
    else if (s.isFile()) entries.push({ ...base, kind: 'file', size: s.size });
    else if (s.isDirectory()) {
      entries.push({ ...base, kind: 'directory', size: 0 });
      for (const name of (await readdir(path)).sort()) await visit(join(relative, name));
    }
  };
  await visit('');
  return entries;
}

/** The same of a path on Lustre. */
export async function scanLustre(filesystem: Filesystem, root: string): Promise<TreeEntry[]> {
  const entries: TreeEntry[] = [];
  const visit = async (relative: string): Promise<void> => {
    const path = joinPaths(root, relative);
    const s = await filesystem.lstat(path);
    const base = { relative, mode: s.mode & 0o7777 };
    if (s.isSymbolicLink())
      entries.push({ ...base, kind: 'symlink', size: 0, link: await filesystem.readlink(path) });
    else if (s.isFile()) entries.push({ ...base, kind: 'file', size: Number(s.size) });
    else if (s.isDirectory()) {
      entries.push({ ...base, kind: 'directory', size: 0 });
      for (const name of (await filesystem.readdir(path)).sort())
        await visit(relative === '' ? name : `${relative}/${name}`);
    }
  };
  await visit('');
  return entries;
}

export function totals(entries: readonly TreeEntry[]): { bytes: number; files: number } {
  return {
    bytes: entries.reduce((sum, e) => sum + e.size, 0),
    files: entries.filter((e) => e.kind !== 'directory').length,
  };
}

/** What a tree is made of where it is copied to; of each, its path under the tree's root. */
export interface TreeTarget {
  /** One that exists is merged into. */
  makeDirectory(relative: string, mode: number): Promise<unknown>;
  makeLink(relative: string, target: string): Promise<unknown>;
  copyFile(relative: string, mode: number): Promise<unknown>;
}

/** Makes all of a scanned tree: directories first, then all else side by side. */
export async function copyTree(
  entries: readonly TreeEntry[],
  target: TreeTarget,
  progress: Progress,
): Promise<void> {
  for (const { kind, relative, mode } of entries)
    if (kind === 'directory') await target.makeDirectory(relative, mode | 0o700);
  await forEachParallel(
    entries.filter(({ kind }) => kind !== 'directory'),
    async ({ kind, relative, mode, link = '' }) => {
      if (kind === 'symlink') await target.makeLink(relative, link);
      else await target.copyFile(relative, mode);
      progress.add(0, 1);
    },
  );
}

/** A tree on Lustre, of which each file is copied from somewhere else. */
export function lustreTree(
  filesystem: Filesystem,
  root: string,
  copyFile: (relative: string, to: string, mode: number) => Promise<unknown>,
): TreeTarget {
  const at = (relative: string): string => joinPaths(root, relative);
  return {
    makeDirectory: (relative, mode) => filesystem.mkdir(at(relative), { recursive: true, mode }),
    makeLink: (relative, link) => filesystem.symlink(link, at(relative)),
    copyFile: (relative, mode) => copyFile(relative, at(relative), mode),
  };
}

/** Copies a scanned local tree to `target`. */
export function copyTreeIn(
  filesystem: Filesystem,
  source: string,
  entries: readonly TreeEntry[],
  target: string,
  progress: Progress,
): Promise<void> {
  const onProgress = (bytes: number): void => progress.add(bytes, 0);
  const tree = lustreTree(filesystem, target, (relative, to, mode) =>
    filesystem.copyIn(join(source, relative), to, { mode, onProgress }),
  );
  return copyTree(entries, tree, progress);
}

/** Copies a scanned Lustre tree to a local directory. */
export function copyTreeOut(
  filesystem: Filesystem,
  source: string,
  entries: readonly TreeEntry[],
  target: string,
  progress: Progress,
): Promise<void> {
  const onProgress = (bytes: number): void => progress.add(bytes, 0);
  const tree: TreeTarget = {
    makeDirectory: (relative, mode) => mkdir(join(target, relative), { recursive: true, mode }),
    makeLink: (relative, link) => symlink(link, join(target, relative)),
    copyFile: (relative, mode) =>
      filesystem.copyOut(joinPaths(source, relative), join(target, relative), { mode, onProgress }),
  };
  return copyTree(entries, tree, progress);
}

/** Runs `work` on all items, PARALLEL at a time; the first failure stops the rest from starting. */
export async function forEachParallel<T>(
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    while (!failed && next < items.length) {
      const item = items[next++] as T;
      try {
        await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, items.length) }, lane));
}
