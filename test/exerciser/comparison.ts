/** What came, against what the model has: throws what differs. */
import type { Filesystem } from '../../lib/index.ts';
import type { Inode } from './model.ts';

/** What the model says: a value, or the code of an error. */
export function outcome<T>(model: () => T): { value: T } | { code: string } {
  try {
    return { value: model() };
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === undefined) throw error;
    return { code };
  }
}

export function same(real: unknown, wanted: unknown): void {
  const [a, b] = [JSON.stringify(real), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${a} came, ${b} was expected`);
}

export function sameBytes(real: Buffer, wanted: Buffer, start: number): void {
  if (real.equals(wanted)) return;
  if (real.length !== wanted.length)
    throw new Error(`${real.length} bytes came from ${start}, ${wanted.length} were expected`);
  const at = real.findIndex((byte, i) => byte !== wanted[i]);
  const differing = real.reduce((sum, byte, i) => sum + (byte === wanted[i] ? 0 : 1), 0);
  throw new Error(`byte ${start + at} is ${real[at]}, not ${wanted[at]}; ${differing} bytes differ`);
}

export function sameStat(real: Awaited<ReturnType<Filesystem['lstat']>>, inode: Inode): void {
  const kind = real.isDirectory() ? 'directory' : real.isSymbolicLink() ? 'symlink' : 'file';
  same(kind, inode.kind);
  inode.ino ??= real.ino;
  same(['ino', real.ino], ['ino', inode.ino]);
  if (inode.kind === 'directory') return;
  same(['nlink', real.nlink], ['nlink', inode.nlink]);
  if (inode.kind !== 'file') return;
  same(['mode', (real.mode & 0o7777).toString(8)], ['mode', inode.mode.toString(8)]);
  same(['size', real.size], ['size', inode.bytes.length]);
  if (inode.mtime !== undefined) same(['mtime', real.mtimeMs], ['mtime', inode.mtime * 1000]);
}
