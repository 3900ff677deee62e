/**
 * Memory of all cached data of a mount: one limit, kept by forgetting what was used longest ago and by writing out what
 * has waited longest. Memory is taken before it is filled, so that the limit holds at every moment.
 */

import type { ClientLock } from '../../ldlm/client-lock.ts';
import type { Endpoint, Memory } from '../../lnet/network.ts';
import type { Runtime, Timer } from '../../runtime/runtime.ts';
import { RangeSet } from './range-set.ts';

/** Bytes of an object that are kept together. */
export const BLOCK_SIZE = 65536;
const PAGE = 4096;
/** Whole blocks whose memory is kept for the next ones however long that takes. */
const SPARE_MIN = 64;
/** More, up to the limit, are kept as long as they are used: mapping memory anew costs several times what copying into it
 * does. What was not used for so long goes back, milliseconds. */
const SPARE_AGE_MS = 5000;

/** What a block needs of the object that it is part of. */
export interface BlockOwner {
  /** Forgets a clean block. */
  evict(block: Block): void;
  /** Begins to write a block, and what goes into the same RPC. */
  startWriting(block: Block): void;
}

/** Where a block's bytes are. While something is written from it, it may not change. */
export interface Room {
  readonly memory: Memory;
  writing: number;
}

/** A piece of an object: some of its bytes are valid, some of those not yet written. Offsets are within the block. */
export class Block {
  readonly owner: BlockOwner;
  readonly index: number;
  room: Room;
  readonly valid = new RangeSet();
  readonly dirty = new RangeSet();
  /** Grant set aside for what is dirty, bytes. */
  reserved = 0;
  /** Under which what is dirty was written. */
  lock: ClientLock | undefined;
  /** Runtime's milliseconds when it became dirty. */
  dirtySince = 0;

  constructor(owner: BlockOwner, index: number, memory: Memory) {
    this.owner = owner;
    this.index = index;
    this.room = { memory, writing: 0 };
  }

  get bytes(): Uint8Array {
    return this.room.memory.bytes;
  }

  get start(): number {
    return this.index * BLOCK_SIZE;
  }
}

/** The memory that a block needs for its first `end` bytes: small files take little. */
export function blockCapacity(end: number): number {
  let size = PAGE;
  while (size < end) size *= 2;
  return size;
}

export class CacheMemory {
  readonly #limit: () => number;
  readonly #endpoint: Endpoint;
  readonly #runtime: Runtime;
  readonly #spare: Memory[] = [];
  /** Least recently used first. */
  readonly #clean = new Set<Block>();
  /** Longest dirty first. */
  readonly #dirty = new Set<Block>();
  readonly #waiting: (() => void)[] = [];
  /** Bytes of memory that are given out; of what is taken some is not yet. */
  #given = 0;
  /** The fewest spare blocks since the timer was set. */
  #unusedSpare = 0;
  #timer: Timer | undefined;
  #used = 0;
  /** Bytes that are being written. */
  #underWay = 0;
  #last: Block | undefined;

  readonly #onDirty: () => void;
  /** Bytes that servers may still lose. */
  #kept = 0;

  /** `onDirty` is called when there is something to be written. */
  constructor(endpoint: Endpoint, runtime: Runtime, limit: () => number, onDirty: () => void) {
    this.#endpoint = endpoint;
    this.#runtime = runtime;
    this.#limit = limit;
    this.#onDirty = onDirty;
  }

  /** Most bytes; it may change. */
  get limit(): number {
    return this.#limit();
  }

  /** Bytes taken. */
  get used(): number {
    return this.#used;
  }

  /** Blocks with bytes to be written, the longest dirty first. */
  get dirtyBlocks(): ReadonlySet<Block> {
    return this.#dirty;
  }

  /** Takes `bytes` of the limit at once, or says that there are none. */
  tryTake(bytes: number): boolean {
    while (this.#used + bytes > this.limit) {
      const oldest = this.#clean.values().next().value;
      if (oldest === undefined) break;
      oldest.owner.evict(oldest);
    }
    // One user may always have what it needs, or a limit below one RPC would stop everything.
    if (this.#used + bytes > this.limit && this.#used > 0) return false;
    this.#used += bytes;
    return true;
  }

  /** Takes it whatever the limit says: for a block's worth when the caller has made room before. */
  takeAnyway(bytes: number): void {
    if (!this.tryTake(bytes)) this.#used += bytes;
  }

  /** The same as tryTake, but waits until other data has been written. */
  async take(bytes: number): Promise<void> {
    while (!this.tryTake(bytes)) {
      // What is on its way frees enough: what waits for its RPC to be full can go on to.
      if (this.#underWay < bytes) this.writeOldest(bytes);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** There is memory for `bytes`, perhaps after forgetting what was used longest ago. */
  hasRoom(bytes: number): boolean {
    if (!this.tryTake(bytes)) return false;
    this.#used -= bytes;
    return true;
  }

  async makeRoom(bytes: number): Promise<void> {
    await this.take(bytes);
    this.give(bytes);
  }

  /** Half of all memory waits to be written: time to begin. */
  get isDirty(): boolean {
    return this.#dirty.size * BLOCK_SIZE > this.limit / 2;
  }

  /** Begins to write the blocks that have waited longest, at least `bytes` of them. */
  writeOldest(bytes: number): void {
    let started = 0;
    for (const block of [...this.#dirty]) {
      if (started >= bytes) break;
      if (block.dirty.isEmpty) continue;
      started += BLOCK_SIZE;
      block.owner.startWriting(block);
    }
  }

  /** Begins to write what has been dirty for longer than `ageMs`. */
  writeOlderThan(ageMs: number): void {
    const limit = this.#runtime.now() - ageMs;
    for (const block of [...this.#dirty]) {
      if (block.dirtySince > limit) break;
      if (!block.dirty.isEmpty) block.owner.startWriting(block);
    }
  }

  give(bytes: number): void {
    this.#used -= bytes;
    this.#wake();
  }

  /** Memory for what was taken. */
  allocate(size: number): Memory {
    const spare = size === BLOCK_SIZE ? this.#spare.pop() : undefined;
    this.#unusedSpare = Math.min(this.#unusedSpare, this.#spare.length);
    this.#given += size;
    return spare ?? this.#endpoint.allocate(size);
  }

  /** A write from the cache has begun, or has ended with -bytes. */
  writing(bytes: number): void {
    this.#underWay += bytes;
    // Whoever waited for it may have to write more.
    if (bytes < 0) this.#wake();
  }

  /** There is enough left for others when so many bytes more are kept, without asking servers for commits, which each would do for
   * all of its clients. */
  mayKeep(bytes: number): boolean {
    return this.#kept + bytes <= this.limit / 2;
  }

  /** So many bytes more, or fewer, are kept as they are until a server has them on disk. */
  keeping(bytes: number): void {
    this.#kept += bytes;
  }

  /** Gives memory back that nothing uses any more. */
  free(memory: Memory): void {
    const size = memory.bytes.length;
    this.#given -= size;
    const kept = Math.max(SPARE_MIN, Math.floor((this.limit - this.#given) / BLOCK_SIZE));
    if (size === BLOCK_SIZE && this.#spare.length < kept) this.#spare.push(memory);
    else memory.release();
    while (this.#spare.length > kept) this.#spare.pop()!.release();
    if (this.#spare.length > SPARE_MIN) this.#timer ??= this.#startTimer();
    this.give(size);
  }

  /** Says what a block is now: dirty, being written, or clean and used just now. */
  settle(block: Block): void {
    if (!block.dirty.isEmpty || block.room.writing > 0) {
      this.#clean.delete(block);
      if (!block.dirty.isEmpty && !this.#dirty.has(block)) {
        block.dirtySince = this.#runtime.now();
        this.#dirty.add(block);
        this.#onDirty();
      } else if (block.dirty.isEmpty) this.#dirty.delete(block);
      return;
    }
    this.#dirty.delete(block);
    this.touch(block);
    this.#wake();
  }

  /** A clean block was used. */
  touch(block: Block): void {
    if (this.#last === block && this.#clean.has(block)) return;
    if (!block.dirty.isEmpty || block.room.writing > 0) return;
    this.#last = block;
    this.#clean.delete(block);
    this.#clean.add(block);
  }

  /** It is not to be forgotten until `settle`. */
  keep(block: Block): void {
    this.#clean.delete(block);
  }

  forget(block: Block): void {
    this.#clean.delete(block);
    this.#dirty.delete(block);
    this.free(block.room.memory);
  }

  #startTimer(): Timer {
    this.#unusedSpare = this.#spare.length;
    return this.#runtime.after(SPARE_AGE_MS, () => {
      this.#timer = undefined;
      const kept = Math.max(SPARE_MIN, this.#spare.length - this.#unusedSpare);
      for (const memory of this.#spare.splice(kept)) memory.release();
      if (this.#spare.length > SPARE_MIN) this.#timer = this.#startTimer();
    });
  }

  /** At the end of the mount. */
  close(): void {
    this.#timer?.cancel();
    for (const memory of this.#spare.splice(0)) memory.release();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
