/**
 * Memory of requests and replies, used again last in, first out so that it stays in cache: in steady state an RPC
 * allocates no network memory (guide 04 §4.1 gives the sizes; buffers are powers of two).
 */
import type { Endpoint, LnetHandler, Memory, Segment } from '../lnet/network.ts';
import { LustreError } from '../runtime/errors.ts';

const SIZE_MIN_BITS = 12;
/** Free bytes kept per size; what is given back beyond it is released. */
const KEEP_BYTES_MAX = 4 << 20;
/** Small ones come many at a time out of one backing store: what encodes and decodes keeps its views of the few that it met
 * last (wire/struct.ts). */
const REGION = 256 << 10;
const SMALL_MAX_BITS = 15;

interface Slab {
  taken: boolean;
  /** Made once, or every message would have one of its own. */
  readonly onEvent: LnetHandler;
  readonly whole: readonly Segment[];
}

export class SlabPool {
  readonly #endpoint: Endpoint;
  readonly #free: Memory[][] = [];
  /** Of all that there are. */
  readonly #slabs = new Map<Memory, Slab>();
  #closed = false;

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** At least `size` bytes, a power of two, with whatever was in it before. */
  take(size: number): Memory {
    const bits = sizeBits(size);
    const memory = this.#free[bits]?.pop() ?? this.#make(bits);
    this.#slabs.get(memory)!.taken = true;
    return memory;
  }

  /** Only after the last event of every descriptor that used it. */
  give(memory: Memory): void {
    const slab = this.#slabs.get(memory);
    // Two users of one slab would write into each other's messages.
    if (slab?.taken !== true)
      throw new LustreError(
        'ERR_LUSTRE_SLAB',
        `a slab of ${memory.bytes.length} bytes was given back twice`,
        {
          syscall: 'release',
          hint: 'This is a bug of whoever holds slabs: please report it with the stack',
        },
      );
    const bits = sizeBits(memory.bytes.length);
    const list = this.#freeOf(bits);
    if (this.#closed || list.length << bits >= KEEP_BYTES_MAX) {
      this.#release(memory);
      return;
    }
    slab.taken = false;
    list.push(memory);
  }

  /** Gives it back with the last event of the one descriptor that uses it. */
  givesBack(memory: Memory): LnetHandler {
    return this.#slabs.get(memory)!.onEvent;
  }

  /** All of it, for a descriptor. */
  whole(memory: Memory): readonly Segment[] {
    return this.#slabs.get(memory)!.whole;
  }

  close(): void {
    this.#closed = true;
    for (const list of this.#free) for (const memory of list?.splice(0) ?? []) this.#release(memory);
  }

  #freeOf(bits: number): Memory[] {
    let list = this.#free[bits];
    if (list === undefined) {
      list = [];
      this.#free[bits] = list;
    }
    return list;
  }

  #make(bits: number): Memory {
    const size = 2 ** bits;
    if (bits > SMALL_MAX_BITS) return this.#known(this.#endpoint.allocate(size));
    const region = this.#endpoint.allocate(REGION);
    const list = this.#freeOf(bits);
    for (let at = REGION - size; at > 0; at -= size) {
      list.push(this.#known(this.#endpoint.pin(region.bytes.subarray(at, at + size))));
    }
    const first = this.#endpoint.pin(region.bytes.subarray(0, size));
    // Each piece keeps the whole.
    region.release();
    return this.#known(first);
  }

  #known(memory: Memory): Memory {
    const onEvent: LnetHandler = (event) => {
      if (event.unlinked) this.give(memory);
    };
    const whole = [{ memory, offset: 0, length: memory.bytes.length }];
    this.#slabs.set(memory, { taken: false, onEvent, whole });
    return memory;
  }

  #release(memory: Memory): void {
    this.#slabs.delete(memory);
    memory.release();
  }
}

function sizeBits(size: number): number {
  return Math.max(SIZE_MIN_BITS, 32 - Math.clz32(Math.max(1, size) - 1));
}
