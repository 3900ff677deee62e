/** Reading directories (guide 10 §12.4): page by page in hash order, each entry once. */
import { formatFid } from '../fid/fid.ts';
import { Errno, errnoError } from '../runtime/errors.ts';
import { isDirectory } from './attributes.ts';
import type { DirectoryPageCache } from './directory-pages.ts';
import type { EntryValue } from './engine.ts';
import type { Files } from './files.ts';
import { DIRECTORY_PAGE_SIZE, type DirectoryPages, readpage } from './mdc/readpage.ts';
import type { OpenFile } from './open-file.ts';
import { options, type PathWalker, type WalkContext } from './path-walk.ts';
import type { Session } from './session.ts';

/** Bytes asked at first, and when a directory turns out to be longer. */
const FIRST = 16 * DIRECTORY_PAGE_SIZE;
const MORE = 256 * DIRECTORY_PAGE_SIZE;

/** What reading needs of the mount. */
export interface DirectoryReader {
  readonly session: Session;
  readonly walker: PathWalker;
  readonly pages: DirectoryPageCache;
}

export class OpenDirectory {
  readonly file: OpenFile;
  readonly #reader: DirectoryReader;
  #next: bigint | undefined = 0n;
  #bytes = FIRST;
  /** Names already given that have the hash where the next page begins (guide 09 §8: COLLIDE). */
  #given = new Set<string>();

  constructor(reader: DirectoryReader, file: OpenFile) {
    this.#reader = reader;
    this.file = file;
  }

  /** The next entries without `.` and `..`; empty at the end. */
  async read(context: WalkContext): Promise<readonly EntryValue[]> {
    while (this.#next !== undefined) {
      const from = this.#next;
      const { entries, next } = await this.#pages(from, context);
      this.#bytes = MORE;
      if (next !== undefined && next < from) throw errnoError(Errno.EIO, options(context).context);
      const fresh = entries.filter(
        (entry) => entry.hash > from || (entry.hash === from && !this.#given.has(entry.name)),
      );
      const last = entries.filter((entry) => entry.hash === next).map((entry) => entry.name);
      this.#given = new Set(next === from ? [...this.#given, ...last] : last);
      // The same page twice without anything new would never end.
      this.#next = next === from && fresh.length === 0 ? undefined : next;
      const shown = fresh.filter(({ name }) => name !== '.' && name !== '..');
      if (shown.length > 0) return shown.map(({ name, type, fid }) => ({ name, type, fid: formatFid(fid) }));
    }
    return [];
  }

  /** From the cache, or from the server under a lock that lets them be kept. */
  async #pages(from: bigint, context: WalkContext): Promise<DirectoryPages> {
    const { inode } = this.file;
    const { pages, walker } = this.#reader;
    const cached = pages.get(inode, from);
    if (cached !== undefined) return cached;
    if (inode.updateLock === undefined) await walker.current(inode, context);
    const lock = inode.updateLock;
    const { endpoint, who } = this.#reader.session;
    const read = await readpage(inode.mdt, endpoint, inode.fid, from, this.#bytes, who, options(context));
    if (lock !== undefined) pages.put(inode, from, read, lock);
    return read;
  }
}

/** Opens a directory for reading. Rejects with ENOTDIR for anything else. */
export async function openDirectory(
  reader: DirectoryReader,
  files: Files,
  flags: number,
  context: WalkContext,
): Promise<OpenDirectory> {
  const file = await files.open(flags, 0, {}, context);
  if (!isDirectory(file.inode.body.mbo_mode)) {
    await files.close(file);
    throw errnoError(Errno.ENOTDIR, options(context).context);
  }
  return new OpenDirectory(reader, file);
}
