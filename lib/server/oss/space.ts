/** Free space of an OST's store, asked for at most once a second; STATFS and grants live by it (guide 12 §4.8, §7). */
import type { Runtime } from '../../runtime/runtime.ts';
import type { ObjectStatfs, ObjectStore } from '../store/object-store.ts';

const FRESH_MS = 1000;

export class SpaceGauge {
  readonly #runtime: Runtime;
  readonly #store: ObjectStore;
  #last: ObjectStatfs;
  #at: number;
  #asking: Promise<void> | undefined;
  /** Written since then: not yet in what the store said. */
  #writtenSince = 0;

  static async open(runtime: Runtime, store: ObjectStore): Promise<SpaceGauge> {
    return new SpaceGauge(runtime, store, await store.statfs());
  }

  private constructor(runtime: Runtime, store: ObjectStore, first: ObjectStatfs) {
    this.#runtime = runtime;
    this.#store = store;
    this.#last = first;
    this.#at = runtime.now();
  }

  /** Bytes that could be written now, as far as known: at most a second old. */
  get availableBytes(): number {
    if (this.#runtime.now() - this.#at > FRESH_MS) void this.#ask().catch(() => undefined);
    return Math.max(0, Number(this.#last.available) * this.#last.blockSize - this.#writtenSince);
  }

  wrote(bytes: number): void {
    this.#writtenSince += bytes;
  }

  async statfs(): Promise<ObjectStatfs> {
    if (this.#runtime.now() - this.#at > FRESH_MS) await this.#ask();
    return this.#last;
  }

  #ask(): Promise<void> {
    this.#asking ??= this.#refresh().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  async #refresh(): Promise<void> {
    this.#writtenSince = 0;
    this.#last = await this.#store.statfs();
    this.#at = this.#runtime.now();
  }
}
