/** Recursive walks: several directories at a time, with bounded memory however wide and deep the tree is. */
import type { LustreError } from '../runtime/errors.ts';
import type { Attributes, Engine, EntryValue } from './engine.ts';
import type { Operations, SignalOption } from './operations.ts';
import { Dirent, Stats } from './stats.ts';

export interface WalkOptions extends SignalOption {
  /** `all`: Stats of each entry. `mdt`: the same, but sizes, blocks and times of regular files are what the MDT knows of
   * them (cheaper: data objects are not asked). Default: none. */
  readonly stats?: 'all' | 'mdt';
  /** How deep: 1 for the directory's own entries. */
  readonly maxDepth?: number;
  /** Directories read at the same time; default 8. */
  readonly concurrency?: number;
  /** Told of directories that cannot be read; default: the walk fails. */
  readonly onError?: (error: LustreError, path: string) => void;
}

export interface WalkEntry {
  /** Joined from the walk's own path. */
  readonly path: string;
  readonly name: string;
  /** Directories between it and the walk's own path, itself included: 1 for that one's entries. */
  readonly depth: number;
  readonly dirent: Dirent;
  readonly stats: Stats | undefined;
}

/** Lists of entries that may wait for the consumer. */
const BATCHES_MAX = 16;

interface Directory {
  readonly path: string;
  readonly depth: number;
}

class Walk {
  readonly #engine: Engine;
  readonly #operations: Operations;
  readonly #options: WalkOptions;
  /** Not read yet. The last found is read first, so that their number does not grow with the tree. */
  readonly #directories: Directory[];
  readonly #batches: WalkEntry[][] = [];
  #reading = 0;
  #failure: { readonly error: unknown } | undefined;
  #ended = false;
  #waiting: (() => void)[] = [];

  constructor(engine: Engine, operations: Operations, path: string, options: WalkOptions) {
    this.#engine = engine;
    this.#operations = operations;
    this.#options = options;
    this.#directories = [{ path, depth: 1 }];
  }

  async *entries(): AsyncGenerator<WalkEntry, void> {
    try {
      for (;;) {
        this.#start();
        const batch = this.#batches.shift();
        if (batch !== undefined) {
          this.#wake();
          yield* batch;
        } else if (this.#failure !== undefined) throw this.#failure.error;
        else if (this.#reading === 0 && this.#directories.length === 0) return;
        else await this.#changed();
      }
    } finally {
      this.#ended = true;
      this.#wake();
    }
  }

  #start(): void {
    const limit = this.#options.concurrency ?? 8;
    while (this.#reading < limit && this.#failure === undefined) {
      const directory = this.#directories.pop();
      if (directory === undefined) return;
      this.#reading++;
      void this.#read(directory).finally(() => {
        this.#reading--;
        this.#wake();
      });
    }
  }

  async #read(directory: Directory): Promise<void> {
    try {
      await this.#readAll(directory);
    } catch (error) {
      // What went away while its name was on the list is none of the tree any more.
      if ((error as LustreError).code === 'ENOENT' && directory.depth > 1) return;
      const { onError } = this.#options;
      if (onError === undefined || this.#options.signal?.aborted === true) this.#failure ??= { error };
      else onError(error as LustreError, directory.path);
    }
  }

  async #readAll({ path, depth }: Directory): Promise<void> {
    const { stats, maxDepth = Number.POSITIVE_INFINITY } = this.#options;
    const call = <T>(work: (op: number | undefined) => Promise<T>): Promise<T> =>
      this.#operations.run(this.#options, work);
    const handle = await call((op) => this.#engine.opendir(path, op));
    try {
      while (!this.#ended) {
        const found: readonly (EntryValue & { readonly attributes?: Attributes })[] = await call((op) =>
          stats === undefined
            ? this.#engine.readdir(handle, op)
            : this.#engine.readdirStats(handle, stats === 'all', op),
        );
        if (found.length === 0) return;
        const batch = found.map((entry) => toEntry(path, depth, entry));
        if (depth < maxDepth)
          for (const entry of batch)
            if (entry.dirent.isDirectory()) this.#directories.push({ path: entry.path, depth: depth + 1 });
        this.#batches.push(batch);
        this.#wake();
        while (this.#batches.length > BATCHES_MAX && !this.#ended) await this.#changed();
      }
    } finally {
      await this.#engine.close(handle).catch(() => undefined);
    }
  }

  #changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

function toEntry(
  directory: string,
  depth: number,
  entry: EntryValue & { readonly attributes?: Attributes },
): WalkEntry {
  const { name, attributes } = entry;
  const path = directory.endsWith('/') ? `${directory}${name}` : `${directory}/${name}`;
  const stats = attributes === undefined ? undefined : new Stats(attributes);
  return { path, name, depth, dirent: new Dirent(entry, directory), stats };
}

export function walkTree(
  engine: Engine,
  operations: Operations,
  path: string,
  options: WalkOptions,
): AsyncGenerator<WalkEntry, void> {
  return new Walk(engine, operations, path, options).entries();
}
