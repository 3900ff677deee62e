/** Directory pages (guide 10 §1, §12.4): kept under the directory's UPDATE lock, in hash order, within a bound for the mount. */
import type { ClientLock } from '../../ldlm/client-lock.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import type { DirectoryPages } from '../mdc/readpage.ts';
import { holds, type Inode } from './inodes.ts';

/** Entries kept in all; one takes some 200 bytes. */
const ENTRIES_MAX = 100_000;
/** Of the directory that was read last: who lists a large one will ask for what is in it. */
const ENTRIES_OF_LAST_MAX = 1_000_000;

interface Pages {
  readonly lock: ClientLock;
  /** By the hash that was asked for. */
  readonly byHash: Map<bigint, DirectoryPages>;
  entries: number;
  /** Worked out when asked for. */
  names?: readonly string[];
}

export class DirectoryPageCache {
  /** Least recently used first. */
  readonly #directories = new Map<string, Pages>();
  #entries = 0;

  get isEmpty(): boolean {
    return this.#directories.size === 0;
  }

  /** What was read from `hash` on, if nothing has changed. */
  get(directory: Pick<Inode, 'key'>, hash: bigint): DirectoryPages | undefined {
    const pages = this.#directories.get(directory.key);
    if (pages === undefined) return undefined;
    if (!holds(pages.lock, InodeBit.MDS_INODELOCK_UPDATE)) {
      this.#drop(directory.key);
      return undefined;
    }
    const found = pages.byHash.get(hash);
    if (found !== undefined) {
      this.#directories.delete(directory.key);
      this.#directories.set(directory.key, pages);
    }
    return found;
  }

  /** `lock` protected the directory before the pages were asked for. */
  put(directory: Pick<Inode, 'key'>, hash: bigint, read: DirectoryPages, lock: ClientLock): void {
    if (!holds(lock, InodeBit.MDS_INODELOCK_UPDATE)) return;
    let pages = this.#directories.get(directory.key);
    if (pages !== undefined && pages.lock !== lock && !holds(pages.lock, InodeBit.MDS_INODELOCK_UPDATE)) {
      this.#drop(directory.key);
      pages = undefined;
    }
    if (pages === undefined) {
      pages = { lock, byHash: new Map(), entries: 0 };
      this.#directories.set(directory.key, pages);
    }
    const old = pages.byHash.get(hash)?.entries.length ?? 0;
    pages.byHash.set(hash, read);
    pages.entries += read.entries.length - old;
    this.#entries += read.entries.length - old;
    for (const key of this.#directories.keys()) {
      if (this.#entries <= ENTRIES_MAX) break;
      if (key !== directory.key) this.#drop(key);
    }
    if (pages.entries > ENTRIES_OF_LAST_MAX) this.#drop(directory.key);
  }

  /** The names of a directory that was read to its end and has not changed, the same list each time; else undefined. */
  names(directory: Pick<Inode, 'key'>): readonly string[] | undefined {
    const pages = this.#directories.get(directory.key);
    if (pages === undefined || !holds(pages.lock, InodeBit.MDS_INODELOCK_UPDATE)) return undefined;
    if (pages.names !== undefined) return pages.names;
    const names: string[] = [];
    for (let hash: bigint | undefined = 0n, last = -1n; hash !== undefined && hash > last; ) {
      const read: DirectoryPages | undefined = pages.byHash.get(hash);
      if (read === undefined) return undefined;
      for (const { name } of read.entries) if (name !== '.' && name !== '..') names.push(name);
      last = hash;
      hash = read.next;
    }
    pages.names = names;
    return names;
  }

  #drop(key: string): void {
    this.#entries -= this.#directories.get(key)?.entries ?? 0;
    this.#directories.delete(key);
  }
}
