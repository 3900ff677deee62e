/**
 * Memory of requests and replies, used again last in, first out so that it stays in cache: in steady state an RPC
 * allocates no network memory (guide 04 §4.1 gives the sizes; buffers are powers of two).
 */
import type { Endpoint, Memory } from '../lnet/network.ts';

const SIZE_MIN_BITS = 12;
/** Free bytes kept per size; what is given back beyond it is released. */
const KEEP_BYTES_MAX = 4 << 20;

export class SlabPool {
  readonly #endpoint: Endpoint;
  readonly #free: Memory[][] = [];
  /** Whether it is taken; of all that there are. */
  readonly #taken = new Map<Memory, boolean>();
  #closed = false;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** At least `size` bytes, a power of two, with whatever was in it before. */
  take(size: number): Memory {
    const bits = sizeBits(size);
    const memory = this.#free[bits]?.pop() ?? this.#endpoint.allocate(2 ** bits);
    this.#taken.set(memory, true);
    return memory;
  }

  /** Only after the last event of every descriptor that used it. */
  give(memory: Memory): void {
    // Two users of one slab would write into each other's messages.
    if (this.#taken.get(memory) !== true) throw new Error('slab given back twice');
    const bits = sizeBits(memory.bytes.length);
    let list = this.#free[bits];
    if (list === undefined) {
      list = [];
      this.#free[bits] = list;
    }
    if (this.#closed || list.length << bits >= KEEP_BYTES_MAX) {
      this.#release(memory);
      return;
    }
    this.#taken.set(memory, false);
    list.push(memory);
  }

  close(): void {
    this.#closed = true;
    for (const list of this.#free) for (const memory of list?.splice(0) ?? []) this.#release(memory);
  }

  #release(memory: Memory): void {
    this.#taken.delete(memory);
    memory.release();
  }
}

function sizeBits(size: number): number {
  return Math.max(SIZE_MIN_BITS, 32 - Math.clz32(Math.max(1, size) - 1));
}
