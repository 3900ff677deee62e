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

/** Copies a scanned local tree to `target`. Directories that exist are merged into. */
export async function copyTreeIn(
  filesystem: Filesystem,
  source: string,
  entries: readonly TreeEntry[],
  target: string,
  progress: Progress,
): Promise<void> {
  for (const e of entries) {
    if (e.kind === 'directory')
      await filesystem.mkdir(joinPaths(target, e.relative), { recursive: true, mode: e.mode | 0o700 });
  }
  await forEachParallel(
    entries.filter((e) => e.kind !== 'directory'),
    async (e) => {
      const path = joinPaths(target, e.relative);
      if (e.kind === 'symlink') await filesystem.symlink(e.link ?? '', path);
      else
        await filesystem.copyIn(join(source, e.relative), path, {
          mode: e.mode,
          onProgress: (n) => progress.add(n, 0),
        });
      progress.add(0, 1);
    },
  );
}

/** Copies a scanned Lustre tree to a local directory. */
export async function copyTreeOut(
  filesystem: Filesystem,
  source: string,
  entries: readonly TreeEntry[],
  target: string,
  progress: Progress,
): Promise<void> {
  for (const e of entries) {
    if (e.kind === 'directory')
      await mkdir(join(target, e.relative), { recursive: true, mode: e.mode | 0o700 });
  }
  await forEachParallel(
    entries.filter((e) => e.kind !== 'directory'),
    async (e) => {
      const path = join(target, e.relative);
      if (e.kind === 'symlink') await symlink(e.link ?? '', path);
      else
        await filesystem.copyOut(joinPaths(source, e.relative), path, {
          mode: e.mode,
          onProgress: (n) => progress.add(n, 0),
        });
      progress.add(0, 1);
    },
  );
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
