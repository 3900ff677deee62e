/**
 * Bulk memory of an OST: slabs of 1 MiB from the network, last in first out so that they stay in the cache, bounded. An RPC
 * that finds none waits its turn, which is the server's back-pressure: clients have only so many RPCs in flight.
 */
import type { Endpoint, Memory, Segment } from '../../lnet/network.ts';

const SLAB = 1 << 20;

/** Slabs that one RPC holds. `segments` are `bytes` long in all; `release` exactly once. */
export interface BulkBuffer {
  readonly segments: readonly Segment[];
  release(): void;
}

export class BulkMemory {
  readonly #endpoint: Pick<Endpoint, 'allocate'>;
  readonly #limit: number;
  readonly #free: Memory[] = [];
  readonly #waiting: { slabs: number; wake: () => void }[] = [];
  #allocated = 0;
  #held = 0;
  #closed = false;

  /** `limitBytes`: at least one RPC's largest bulk. */
  constructor(endpoint: Pick<Endpoint, 'allocate'>, limitBytes: number) {
    this.#endpoint = endpoint;
    this.#limit = Math.max(1, Math.floor(limitBytes / SLAB));
  }

  /** Memory for `bytes`, at most the limit. Those who wait are served in order. */
  async take(bytes: number): Promise<BulkBuffer> {
    const slabs = Math.max(1, Math.ceil(bytes / SLAB));
    if (slabs > this.#limit) throw new RangeError(`${bytes} bytes of bulk exceed the pool`);
    if (this.#waiting.length > 0 || this.#held + slabs > this.#limit)
      await new Promise<void>((wake) => this.#waiting.push({ slabs, wake }));
    else this.#held += slabs;
    const memory = Array.from({ length: slabs }, () => this.#slab());
    let left = bytes;
    const segments = memory.map((slab): Segment => {
      const length = Math.min(left, SLAB);
      left -= length;
      return { memory: slab, offset: 0, length };
    });
    return { segments, release: () => this.#give(memory) };
  }

  #slab(): Memory {
    const slab = this.#free.pop();
    if (slab !== undefined) return slab;
    this.#allocated += 1;
    return this.#endpoint.allocate(SLAB);
  }

  #give(memory: readonly Memory[]): void {
    if (this.#closed) for (const slab of memory) slab.release();
    else this.#free.push(...memory);
    this.#held -= memory.length;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (this.#held + next.slabs > this.#limit) return;
      this.#held += next.slabs;
      this.#waiting.shift();
      next.wake();
    }
  }

  get allocatedBytes(): number {
    return this.#allocated * SLAB;
  }

  close(): void {
    this.#closed = true;
    for (const slab of this.#free.splice(0)) slab.release();
  }
}

/** The part [from, from + length) of segments seen as one run of bytes. */
export function sliceSegments(segments: readonly Segment[], from: number, length: number): Segment[] {
  const parts: Segment[] = [];
  let skip = from;
  let left = length;
  for (const segment of segments) {
    if (left === 0) break;
    if (skip >= segment.length) {
      skip -= segment.length;
      continue;
    }
    const take = Math.min(left, segment.length - skip);
    parts.push({ memory: segment.memory, offset: segment.offset + skip, length: take });
    left -= take;
    skip = 0;
  }
  return parts;
}
