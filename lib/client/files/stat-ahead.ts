/**
 * Stat-ahead (guide 10 §11): a program that has read a directory and then asks for the attributes of its entries one by
 * one is likely to ask for all. The next ones are got meanwhile, under locks, so that they are there when it asks.
 */
import type { LustreError } from '../../runtime/errors.ts';
import type { DirectoryPageCache } from '../namespace/directory-pages.ts';
import type { Inode } from '../namespace/inodes.ts';
import type { PathWalker, WalkContext } from '../namespace/path-walk.ts';
import type { Files } from './files.ts';

/** Questions about one directory before anything is got ahead. */
const FIRST = 2;
/** Most entries that are ahead of the questions, and under way at a time. */
export const AHEAD_MAX = 256;
const PARALLEL = 96;
/** Directories followed. */
const DIRECTORIES_MAX = 16;

interface Progress {
  readonly names: readonly string[];
  /** Questions so far that what was known before could not answer. */
  asked: number;
  /** What was got ahead and not yet asked for. */
  readonly ahead: Set<string>;
  /** The next name to get. */
  next: number;
}

export class StatAhead {
  readonly #pages: DirectoryPageCache;
  readonly #walker: PathWalker;
  readonly #files: Files;
  readonly #settings: { readonly statAheadMax: number };
  readonly #progress = new Map<string, Progress>();
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(
    pages: DirectoryPageCache,
    walker: PathWalker,
    files: Files,
    settings: { readonly statAheadMax: number },
  ) {
    this.#pages = pages;
    this.#walker = walker;
    this.#files = files;
    this.#settings = settings;
  }

  /** Before the attributes at a path are looked up: waits for them if they are on their way, and gets others ahead. */
  async before(path: string, context: WalkContext): Promise<void> {
    if (this.#pages.isEmpty || this.#settings.statAheadMax === 0) return;
    // The root, or something that the look-up itself will complain of.
    const place = await this.#walker.place(path, context).catch(() => undefined);
    if (place === undefined) return;
    this.#noted(place.parent, place.name, context);
    await this.#underWay.get(`${place.parent.key}/${place.name}`);
  }

  #noted(directory: Inode, name: string, context: WalkContext): void {
    const names = this.#pages.names(directory);
    if (names === undefined) return;
    let progress = this.#progress.get(directory.key);
    if (progress === undefined || progress.names !== names) {
      progress = { names, asked: 0, ahead: new Set(), next: 0 };
      this.#progress.delete(directory.key);
      this.#progress.set(directory.key, progress);
      const oldest = this.#progress.keys().next().value;
      if (this.#progress.size > DIRECTORIES_MAX && oldest !== undefined) this.#progress.delete(oldest);
    }
    // Who asks for what is known wants no more of the directory.
    if (!progress.ahead.delete(name) && this.#isKnown(directory, name)) return;
    progress.asked++;
    if (progress.asked < FIRST) return;
    const ahead = Math.min(this.#settings.statAheadMax, 2 ** Math.min(progress.asked, 8));
    const until = Math.min(names.length, progress.asked + ahead);
    while (progress.next < until && this.#underWay.size < PARALLEL) {
      const next = names[progress.next++]!;
      if (this.#isKnown(directory, next)) continue;
      if (next !== name) progress.ahead.add(next);
      this.#get(directory, next, context);
    }
  }

  #isKnown(directory: Inode, name: string): boolean {
    const known = this.#walker.cache.lookup(directory, name);
    return known === null || known?.attributesValid === true;
  }

  #get(directory: Inode, name: string, { syscall, path }: WalkContext): void {
    const context = { syscall, path };
    const key = `${directory.key}/${name}`;
    const work = async (): Promise<void> => {
      const inode = await this.#walker.child(directory, name, 'getattr', context, true);
      if (inode !== undefined) await this.#files.attributes(inode, context);
    };
    // Whoever asks for it will be told.
    const done = work()
      .catch((_error: LustreError) => undefined)
      .finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, done);
  }
}
