/**
 * Copies of small arrays, side by side in one backing store: one of its own for each costs the allocator and the collector
 * more than all the rest that is done with it.
 */
export class SideBySide {
  readonly #size: number;
  #chunk: ArrayBuffer;
  #used = 0;

  /** A copy that is kept keeps its whole chunk of `size` bytes, so chunks are small; what is larger than a fourth gets its own. */
  constructor(size: number) {
    this.#size = size;
    this.#chunk = new ArrayBuffer(size);
  }

  /** A copy of its own, which nobody else's bytes overlap. */
  copy(bytes: Uint8Array): Uint8Array {
    const { length } = bytes;
    if (length > this.#size / 4) return new Uint8Array(bytes);
    if (this.#used + length > this.#size) {
      this.#chunk = new ArrayBuffer(this.#size);
      this.#used = 0;
    }
    const copy = new Uint8Array(this.#chunk, this.#used, length);
    copy.set(bytes);
    this.#used = (this.#used + length + 7) & ~7;
    return copy;
  }
}
