/** `Dir` in the shape of node:fs: a directory that is read as it is iterated over. */
import { LustreError } from '../runtime/errors.ts';
import type { Engine, EntryValue } from './engine.ts';
import type { Operations, SignalOption } from './operations.ts';
import { Dirent } from './stats.ts';

export class Dir {
  readonly path: string;
  readonly #engine: Engine;
  readonly #operations: Operations;
  readonly #options: SignalOption;
  readonly #handle: number;
  #entries: readonly EntryValue[] = [];
  #at = 0;
  #ended = false;
  #closed = false;
  #reading: Promise<unknown> = Promise.resolve();

  constructor(engine: Engine, operations: Operations, handle: number, path: string, options: SignalOption) {
    this.#engine = engine;
    this.#operations = operations;
    this.#options = options;
    this.#handle = handle;
    this.path = path;
  }

  /** The next entry, null at the end. */
  read(): Promise<Dirent | null> {
    const next = this.#reading.then(() => this.#read());
    this.#reading = next.catch(() => undefined);
    return next;
  }

  async #read(): Promise<Dirent | null> {
    if (this.#closed) throw new LustreError('ERR_DIR_CLOSED', 'Directory handle was closed');
    if (this.#at === this.#entries.length && !this.#ended) {
      this.#entries = await this.#operations.run(this.#options, (op) =>
        this.#engine.readdir(this.#handle, op),
      );
      this.#at = 0;
      this.#ended = this.#entries.length === 0;
    }
    const entry = this.#entries[this.#at];
    if (entry === undefined) return null;
    this.#at++;
    return new Dirent(entry, this.path);
  }

  async close(): Promise<void> {
    if (this.#closed) throw new LustreError('ERR_DIR_CLOSED', 'Directory handle was closed');
    this.#closed = true;
    await this.#engine.close(this.#handle);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Dirent, void> {
    try {
      for (;;) {
        const entry = await this.read();
        if (entry === null) return;
        yield entry;
      }
    } finally {
      if (!this.#closed) await this.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) await this.close();
  }
}
