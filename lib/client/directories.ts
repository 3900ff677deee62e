/** Reading directories (guide 10 §12.4): page by page in hash order, each entry once. */
import { formatFid } from '../fid/fid.ts';
import { Errno, errnoError } from '../runtime/errors.ts';
import { isDirectory } from './attributes.ts';
import type { EntryValue } from './engine.ts';
import type { Files } from './files.ts';
import { DIRECTORY_PAGE_SIZE, readpage } from './mdc/readpage.ts';
import type { OpenFile } from './open-file.ts';
import { options, type WalkContext } from './path-walk.ts';
import type { Session } from './session.ts';

/** Bytes asked at first, and when a directory turns out to be longer. */
const FIRST = 16 * DIRECTORY_PAGE_SIZE;
const MORE = 256 * DIRECTORY_PAGE_SIZE;

export class OpenDirectory {
  readonly file: OpenFile;
  readonly #session: Session;
  #next: bigint | undefined = 0n;
  #bytes = FIRST;
  /** Names already given that have the hash where the next page begins (guide 09 §8: COLLIDE). */
  #given = new Set<string>();

  constructor(session: Session, file: OpenFile) {
    this.#session = session;
    this.file = file;
  }

  /** The next entries without `.` and `..`; empty at the end. */
  async read(context: WalkContext): Promise<readonly EntryValue[]> {
    while (this.#next !== undefined) {
      const from = this.#next;
      const { inode } = this.file;
      const { entries, next } = await readpage(
        inode.mdt,
        this.#session.endpoint,
        inode.fid,
        from,
        this.#bytes,
        this.#session.who,
        options(context),
      );
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
}

/** Opens a directory for reading. Rejects with ENOTDIR for anything else. */
export async function openDirectory(
  session: Session,
  files: Files,
  flags: number,
  context: WalkContext,
): Promise<OpenDirectory> {
  const file = await files.open(flags, 0, {}, context);
  if (!isDirectory(file.inode.body.mbo_mode)) {
    await files.close(file);
    throw errnoError(Errno.ENOTDIR, options(context).context);
  }
  return new OpenDirectory(session, file);
}
