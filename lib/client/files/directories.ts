/** Reading directories (guide 10 §12.4): page by page in hash order, each entry once. */
import { formatFid } from '../../fid/fid.ts';
import { Errno, errnoError, type LustreError } from '../../runtime/errors.ts';
import type { EntryAttributes, EntryValue } from '../engine.ts';
import { DIRECTORY_PAGE_SIZE, type DirectoryEntry, type DirectoryPages, readpage } from '../mdc/readpage.ts';
import { isDirectory, S_IFMT } from '../namespace/attributes.ts';
import type { DirectoryPageCache } from '../namespace/directory-pages.ts';
import type { Inode } from '../namespace/inodes.ts';
import { options, type PathWalker, type WalkContext } from '../namespace/path-walk.ts';
import type { Slots } from '../osc/slots.ts';
import type { Session } from '../session.ts';
import type { Files } from './files.ts';
import type { OpenFile } from './open-file.ts';

/** Bytes asked at first, and when a directory turns out to be longer. */
const FIRST = 16 * DIRECTORY_PAGE_SIZE;
const MORE = 256 * DIRECTORY_PAGE_SIZE;

/** Entries whose attributes are got together. */
const STATS_BATCH = 512;

/** What reading needs of the mount. */
export interface DirectoryReader {
  readonly session: Session;
  readonly walker: PathWalker;
  readonly pages: DirectoryPageCache;
  /** Entries whose attributes are under way. */
  readonly slots: Slots;
}

/** One directory, or one shard of a striped one, read from its beginning on. */
class DirectoryCursor {
  readonly #inode: Inode;
  readonly #reader: DirectoryReader;
  #next: bigint | undefined = 0n;
  #bytes = FIRST;
  /** Names already given that have the hash where the next page begins (guide 09 §8: COLLIDE). */
  #given = new Set<string>();

  constructor(reader: DirectoryReader, inode: Inode) {
    this.#reader = reader;
    this.#inode = inode;
  }

  /** The next entries without `.` and `..`; empty at the end. */
  async read(context: WalkContext): Promise<readonly DirectoryEntry[]> {
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
      if (shown.length > 0) return shown;
    }
    return [];
  }

  /** From the cache, or from the server under a lock that lets them be kept. */
  async #pages(from: bigint, context: WalkContext): Promise<DirectoryPages> {
    const inode = this.#inode;
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

/** Several cursors as one, in the order of hashes, as a kernel client merges shards (guide 10 §7). */
class MergedCursor {
  readonly #shards: {
    readonly cursor: DirectoryCursor;
    entries: readonly DirectoryEntry[];
    ended: boolean;
  }[];

  constructor(cursors: readonly DirectoryCursor[]) {
    this.#shards = cursors.map((cursor) => ({ cursor, entries: [], ended: false }));
  }

  /** What is certain to come next: entries up to where the first shard has to be read on. */
  async read(context: WalkContext): Promise<readonly DirectoryEntry[]> {
    await Promise.all(
      this.#shards.map(async (shard) => {
        if (shard.entries.length > 0 || shard.ended) return;
        shard.entries = await shard.cursor.read(context);
        shard.ended = shard.entries.length === 0;
      }),
    );
    const ends = this.#shards.filter(({ ended }) => !ended).map(({ entries }) => entries.at(-1)!.hash);
    if (ends.length === 0) return [];
    let limit = ends[0]!;
    for (const end of ends) if (end < limit) limit = end;
    const merged: DirectoryEntry[] = [];
    for (const shard of this.#shards) {
      merged.push(...shard.entries.filter(({ hash }) => hash <= limit));
      shard.entries = shard.entries.filter(({ hash }) => hash > limit);
    }
    return merged.sort((a, b) => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0));
  }
}

export class OpenDirectory {
  readonly file: OpenFile;
  readonly #reader: DirectoryReader;
  #cursor: DirectoryCursor | MergedCursor | undefined;
  /** Read, but not given yet by readStats. */
  #waiting: readonly EntryValue[] = [];

  constructor(reader: DirectoryReader, file: OpenFile) {
    this.#reader = reader;
    this.file = file;
  }

  /** The next entries without `.` and `..`; empty at the end. */
  async read(context: WalkContext): Promise<readonly EntryValue[]> {
    this.#cursor ??= await this.#begin(context);
    const entries = await this.#cursor.read(context);
    return entries.map(({ name, type, fid }) => ({ name, type, fid: formatFid(fid) }));
  }

  /** The next entries with their attributes; empty at the end. */
  async readStats(sizes: boolean, files: Files, context: WalkContext): Promise<readonly EntryAttributes[]> {
    for (;;) {
      if (this.#waiting.length === 0) this.#waiting = await this.read(context);
      if (this.#waiting.length === 0) return [];
      const batch = this.#waiting.slice(0, STATS_BATCH);
      this.#waiting = this.#waiting.slice(STATS_BATCH);
      const found = await Promise.all(batch.map((entry) => this.#withStats(entry, sizes, files, context)));
      const there = found.filter((entry) => entry !== undefined);
      if (there.length > 0) return there;
    }
  }

  async #withStats(
    entry: EntryValue,
    sizes: boolean,
    files: Files,
    context: WalkContext,
  ): Promise<EntryAttributes | undefined> {
    const { walker, slots } = this.#reader;
    return slots.run(async () => {
      try {
        const inode = await walker.child(this.file.inode, entry.name, 'getattr', context, true);
        if (inode === undefined) return undefined;
        const attributes = await files.attributes(inode, context, sizes);
        return { ...entry, fid: attributes.fid, type: attributes.mode & S_IFMT, attributes };
      } catch (error) {
        const { code } = error as LustreError;
        if (code === 'ENOENT' || code === 'ESTALE') return undefined;
        throw error;
      }
    });
  }

  async #begin(context: WalkContext): Promise<DirectoryCursor | MergedCursor> {
    const { inode } = this.file;
    const { walker } = this.#reader;
    const striped =
      inode.directory !== undefined ? (await walker.current(inode, context)).directory : undefined;
    if (striped === undefined) return new DirectoryCursor(this.#reader, inode);
    const shards = await Promise.all(striped.shards.map((fid) => walker.shard(fid, context)));
    return new MergedCursor(shards.map((shard) => new DirectoryCursor(this.#reader, shard)));
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
