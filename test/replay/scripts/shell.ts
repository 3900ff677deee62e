/** What the notes' commands do, with our client. */
import type { Filesystem } from '../../../lib/client/filesystem.ts';

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
