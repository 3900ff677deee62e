/**
 * Locks, and open files, by handles of our own choosing (guide 08 §1). A handle says where in the table what it stands for is, so that one is found
 * among millions as fast as among few, and what the rest of it is tells it from those that had the place before.
 */
import type { Runtime } from '../runtime/runtime.ts';

/** Of a handle's 64 bits those that are the place: 16 million locks. */
const PLACE_BITS = 24;

export class HandleTable<L extends { readonly handle: bigint }> {
  readonly #locks: (L | undefined)[] = [];
  readonly #free: number[] = [];
  /** The other bits of the next handle: a handle that was given back is not given out again for years. */
  #next: bigint;
  #size = 0;

  constructor(runtime: Runtime) {
    const random = runtime.random(8);
    this.#next = new DataView(random.buffer, random.byteOffset).getBigUint64(0);
  }

  get size(): number {
    return this.#size;
  }

  /** A handle for the lock that is added next. */
  issue(): bigint {
    const place = this.#free.pop() ?? this.#locks.push(undefined) - 1;
    for (;;) {
      const handle = BigInt.asUintN(64, (this.#next++ << BigInt(PLACE_BITS)) | BigInt(place));
      if (handle !== 0n) return handle;
    }
  }

  add(lock: L): void {
    this.#locks[placeOf(lock.handle)] = lock;
    this.#size++;
  }

  get(handle: bigint): L | undefined {
    const lock = this.#locks[placeOf(handle)];
    return lock?.handle === handle ? lock : undefined;
  }

  delete(lock: L): void {
    const place = placeOf(lock.handle);
    if (this.#locks[place] !== lock) return;
    this.#locks[place] = undefined;
    this.#free.push(place);
    this.#size--;
  }

  *all(): Iterable<L> {
    for (const lock of this.#locks) if (lock !== undefined) yield lock;
  }
}

const placeOf = (handle: bigint): number => Number(BigInt.asUintN(PLACE_BITS, handle));
