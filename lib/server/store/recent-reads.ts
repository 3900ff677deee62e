/**
 * What was last read of one table on disk. Whoever makes many files in a directory asks for that directory's attributes and
 * those that it does not have with each of them, and for a name that is not there three times over: each is a search of
 * LMDB's tree otherwise.
 */

/** In each half, and the largest value that is kept, bytes. */
const HALF_MAX = 512;
const VALUE_MAX = 1024;

/** Two halves: what is found in the older one moves to the newer, and what nobody asked for goes with the older. */
export class RecentReads {
  #newer = new Map<string, Uint8Array | null>();
  #older = new Map<string, Uint8Array | null>();

  /** null: nothing is there; undefined: not known. */
  get(key: string): Uint8Array | null | undefined {
    const value = this.#newer.get(key);
    if (value !== undefined) return value;
    const before = this.#older.get(key);
    if (before !== undefined) this.add(key, before);
    return before;
  }

  add(key: string, value: Uint8Array | null): void {
    if (value !== null && value.length > VALUE_MAX) return;
    if (this.#newer.size >= HALF_MAX) {
      this.#older = this.#newer;
      this.#newer = new Map();
    }
    this.#newer.set(key, value);
  }

  /** The disk has other values of these by now. */
  forget(written: { has(key: string): boolean }): void {
    for (const half of [this.#newer, this.#older])
      for (const key of half.keys()) if (written.has(key)) half.delete(key);
  }
}
