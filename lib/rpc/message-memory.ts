/**
 * Memory for the requests that a service has taken in (guide 04 §5), used again when they are done, last in first out: in steady
 * state a request allocates none, where an array of its own each time costs the allocator and the collector more than
 * all the decoding.
 */

/** Powers of two; a longer message gets an array of its own. */
const SMALLEST_BITS = 9;
const LARGEST_BITS = 13;
/** What small pieces are cut from: codecs keep their views of the last few backing stores. */
const REGION = 256 << 10;

export class MessageMemory {
  /** By size. They stay: no more than were in work at once. */
  readonly #free: Uint8Array[][] = [];

  /** At least `size` bytes, with whatever was in them before. */
  take(size: number): Uint8Array {
    const bits = Math.max(SMALLEST_BITS, 32 - Math.clz32(Math.max(1, size) - 1));
    if (bits > LARGEST_BITS) return new Uint8Array(size);
    return this.#of(bits).pop() ?? this.#make(bits);
  }

  /** Nobody reads it any more. */
  give(memory: Uint8Array): void {
    if (memory.length <= 1 << LARGEST_BITS) this.#of(31 - Math.clz32(memory.length)).push(memory);
  }

  #of(bits: number): Uint8Array[] {
    let list = this.#free[bits];
    if (list === undefined) {
      list = [];
      while (this.#free.length < bits) this.#free.push([]);
      this.#free[bits] = list;
    }
    return list;
  }

  #make(bits: number): Uint8Array {
    const size = 1 << bits;
    const region = new ArrayBuffer(REGION);
    const list = this.#of(bits);
    for (let at = REGION - size; at > 0; at -= size) list.push(new Uint8Array(region, at, size));
    return new Uint8Array(region, 0, size);
  }
}
