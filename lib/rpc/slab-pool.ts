/**
 * Memory of requests and replies, used again last in, first out so that it stays in cache: in steady state an RPC
 * allocates no network memory (guide 04 §4.1 gives the sizes; buffers are powers of two).
 */
import type { Endpoint } from '../lnet/network.ts';
import { LustreError } from '../runtime/errors.ts';
import { Slab } from './slab.ts';

const SIZE_MIN_BITS = 12;
/** Free bytes kept per size; what is given back beyond it is released. */
const KEEP_BYTES_MAX = 4 << 20;
/** Small ones come many at a time out of one backing store: what encodes and decodes keeps its views of the few that it met
 * last (wire/struct.ts). */
const REGION = 256 << 10;
const SMALL_MAX_BITS = 15;

export class SlabPool {
  readonly #endpoint: Endpoint;
  /** By size, as a power of two. */
  readonly #free: Slab[][] = [];
  #closed = false;
  readonly #give = (slab: Slab): void => this.give(slab);

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  /** At least `size` bytes, a power of two, with whatever was in it before. */
  take(size: number): Slab {
    const bits = sizeBits(size);
    const slab = this.#free[bits]?.pop() ?? this.#make(bits);
    slab.taken = true;
    return slab;
  }

  /** Only after the last event of every descriptor that used it. */
  give(slab: Slab): void {
    // Two users of one slab would write into each other's messages.
    if (!slab.taken)
      throw new LustreError('ERR_LUSTRE_SLAB', `a slab of ${slab.bytes.length} bytes was given back twice`, {
        syscall: 'release',
        hint: 'This is a bug of whoever holds slabs: please report it with the stack',
      });
    slab.taken = false;
    const bits = sizeBits(slab.bytes.length);
    const list = this.#freeOf(bits);
    if (this.#closed || list.length << bits >= KEEP_BYTES_MAX) slab.memory.release();
    else list.push(slab);
  }

  close(): void {
    this.#closed = true;
    for (const list of this.#free) for (const slab of list?.splice(0) ?? []) slab.memory.release();
  }

  #freeOf(bits: number): Slab[] {
    let list = this.#free[bits];
    if (list === undefined) {
      list = [];
      this.#free[bits] = list;
    }
    return list;
  }

  #make(bits: number): Slab {
    const size = 2 ** bits;
    if (bits > SMALL_MAX_BITS) return new Slab(this.#endpoint.allocate(size), this.#give);
    const region = this.#endpoint.allocate(REGION);
    const list = this.#freeOf(bits);
    for (let at = REGION - size; at > 0; at -= size)
      list.push(new Slab(this.#endpoint.pin(region.bytes.subarray(at, at + size)), this.#give));
    const first = this.#endpoint.pin(region.bytes.subarray(0, size));
    // Each piece keeps the whole.
    region.release();
    return new Slab(first, this.#give);
  }
}

function sizeBits(size: number): number {
  return Math.max(SIZE_MIN_BITS, 32 - Math.clz32(Math.max(1, size) - 1));
}
