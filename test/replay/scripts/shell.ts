/** What the notes' commands do, with our client. */
import { createHash } from 'node:crypto';
import type { Filesystem } from '../../../lib/client/filesystem.ts';
import type { StripingOptions } from '../../../lib/layout/striping.ts';
import type { Replay } from '../replay.ts';

export const KIB = 1024;
export const MIB = 1 << 20;

export const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

/** The files that the notes copy: numbers in lines of 16 bytes, `size` bytes of them. */
export const lines = (size: number): Buffer =>
  Buffer.concat(Array.from({ length: size / 16 }, (_, i) => Buffer.from(`${String(i).padStart(15, '0')}\n`)));

/** As `cat` does: open, read to the end, close. */
export async function cat(fs: Filesystem, path: string): Promise<string> {
  await using file = await fs.open(path, 'r');
  const { bytesRead, buffer } = await file.read(Buffer.alloc(65536), 0, 65536, 0);
  return buffer.toString('utf8', 0, bytesRead);
}

/** The code of the error that it ends with; undefined where it does not. */
export const refused = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: { code: string }) => error.code,
  );

/** As `stat -c "%s %b"` does. */
export async function sizes(fs: Filesystem, path: string): Promise<[number, number]> {
  const { size, blocks } = await fs.stat(path);
  return [size, blocks];
}

/** The sum of a file that is read up to each of `ends` in turn, past the cache: what the kernel's read-ahead asked for. */
export async function md5sum(fs: Filesystem, path: string, ...ends: number[]): Promise<string> {
  await using file = await fs.open(path, 'r', 0, { direct: true });
  const hash = createHash('md5');
  let at = 0;
  for (const end of ends) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(end - at), { position: at });
    hash.update(buffer.subarray(0, bytesRead));
    at = end;
  }
  return hash.digest('hex');
}

/** `lfs setstripe` makes a file without a layout, then sets it; ours makes it with one, and the answer to that has none yet:
 * what it is is seen at the next step. */
export async function setstripe(
  { filesystem, dropLocks }: Pick<Replay, 'filesystem' | 'dropLocks'>,
  path: string,
  layout: StripingOptions,
): Promise<void> {
  await (await filesystem.open(path, 'wx', 0o644, layout)).close();
  await dropLocks();
}
