/**
 * Copies of small arrays, side by side in one backing store: one of its own for each costs the allocator and the collector
 * more than all the rest that is done with it.
 */
export class SideBySide {
  readonly #size: number;
  readonly #make: () => ArrayBuffer | undefined;
  #chunk: ArrayBuffer | undefined;
  #used = 0;

  /** A copy that is kept keeps its whole chunk of `size` bytes, so chunks are small; what is larger than a fourth gets its own.
   * `make`: where there may be chunks of another size that cost less. */
  constructor(size: number, make: () => ArrayBuffer | undefined = () => undefined) {
    this.#size = size;
    this.#make = make;
  }

  /** A copy of its own, which nobody else's bytes overlap. */
  copy(bytes: Uint8Array): Uint8Array {
    const { length } = bytes;
    if (length > this.#size / 4) return new Uint8Array(bytes);
    let chunk = this.#chunk;
    if (chunk === undefined || this.#used + length > chunk.byteLength) {
      chunk = this.#make() ?? new ArrayBuffer(this.#size);
      this.#chunk = chunk;
      this.#used = 0;
    }
    const copy = new Uint8Array(chunk, this.#used, length);
    copy.set(bytes);
    this.#used = (this.#used + length + 7) & ~7;
    return copy;
  }
}
