/**
 * The cached data of one object (guide 11 §5). Rules that keep it coherent:
 *  - bytes are valid only while a lock of ours has covered them since they came; a lock that goes takes them along
 *    (DataCache);
 *  - dirty bytes are valid, and have grant set aside;
 *  - a fill takes its own memory and never replaces what is valid; what was cut, dropped or written around it
 *    meanwhile makes it stale: it is used by nobody;
 *  - nothing is read from the server while a write of the same bytes is on its way there, and nothing else is written.
 */
import type { ClientLock } from '../../ldlm/client-lock.ts';
import type { Memory } from '../../lnet/network.ts';
import type { KeptBulk } from '../../rpc/rpc.ts';
import type { DirtyObjects } from '../objects/dirty-objects.ts';
import type { Stripe } from '../objects/file-objects.ts';
import { cutRun, type Part, rpcSize } from '../osc/brw.ts';
import { write } from '../osc/write.ts';
import { Activities, type Activity, Change, overlaps, type Range } from './activities.ts';
import { BLOCK_SIZE, Block, type BlockOwner, blockCapacity, type CacheMemory } from './cache-memory.ts';
import { type DirtyPiece, dirtyBlocks, dirtyRuns, forget, hold, roomBytes } from './dirty-runs.ts';
import { type FillPiece, planFill } from './fill-plan.ts';
import { readMissing } from './fill-read.ts';

const PAGE = 4096;

/** What happens to an object's bytes beyond the cache. */
export interface ObjectContext {
  readonly memory: CacheMemory;
  /** Seconds since the epoch. */
  now(): number;
  readonly owner: { readonly uid: number; readonly gid: number; readonly privileged: boolean };
  readonly dirty: DirtyObjects;
  /** Bytes of the file could not be written: whoever has it open for writing is told. */
  failed(fileKey: string, error: Error): void;
  /** The object holds nothing any more. */
  empty(object: CachedObject): void;
}

interface Fill extends Activity {
  stale: boolean;
}

export class CachedObject implements BlockOwner {
  readonly stripe: Stripe;
  /** The file that it belongs to. */
  readonly fileKey: string;
  readonly #context: ObjectContext;
  readonly #blocks = new Map<number, Block>();
  readonly #fills = new Activities<Fill>();
  readonly #writes = new Activities();
  /** Writes that go round the cache. */
  readonly #direct = new Activities();
  readonly #cuts = new Activities();
  /** Operations at work on it. */
  users = 0;

  constructor(stripe: Stripe, fileKey: string, context: ObjectContext) {
    this.stripe = stripe;
    this.fileKey = fileKey;
    this.#context = context;
  }

  get isEmpty(): boolean {
    return this.users === 0 && this.#blocks.size === 0 && this.isSettled;
  }

  get isDirty(): boolean {
    for (const block of this.#blocks.values()) if (!block.dirty.isEmpty) return true;
    return false;
  }

  /** All that it holds is at the server, and nothing is on its way from or to there. */
  get isSettled(): boolean {
    return this.#writes.size + this.#fills.size + this.#direct.size === 0 && !this.isDirty;
  }

  /** True when all of `[start, end)` can be had without a request. */
  holds(start: number, end: number): boolean {
    return this.#reach(start, end) >= end;
  }

  /** How far bytes are valid from `at` on. */
  #reach(at: number, end: number): number {
    for (let here = at; here < end; ) {
      const index = Math.floor(here / BLOCK_SIZE);
      const block = this.#blocks.get(index);
      if (block === undefined) return here;
      const reached = block.start + block.valid.reach(here - block.start);
      if (reached === here) return here;
      here = reached;
    }
    return end;
  }

  /**
   * Copies what is valid from `at` on, at most to `end`. Gives where it stopped. `into` takes bytes of the object: where
   * they begin, and the bytes.
   */
  copy(at: number, end: number, into: (at: number, bytes: Uint8Array) => void): number {
    for (let here = at; here < end; ) {
      const block = this.#blocks.get(Math.floor(here / BLOCK_SIZE));
      if (block === undefined) return here;
      const from = here - block.start;
      const to = Math.min(block.valid.reach(from), end - block.start);
      if (to === from) return here;
      into(here, block.bytes.subarray(from, to));
      this.#context.memory.touch(block);
      here = block.start + to;
    }
    return end;
  }

  /**
   * Brings what is missing of `[start, end)`, under `lock`, which is held. Bytes behind `size`, the object's end as it is
   * known under the lock, are zeroes. Rejects with the server's error.
   */
  async fill(start: number, end: number, size: number, lock: ClientLock): Promise<void> {
    const busy = [
      ...this.#writes.under(start, end),
      ...this.#direct.under(start, end),
      ...this.#fills.under(start, end),
    ];
    if (busy.length > 0) {
      await Promise.allSettled(busy);
      return;
    }
    const missing = this.#missing(start, end);
    if (missing.length === 0) return;
    await Promise.all(missing.map((range) => this.#fillGap(range, size, lock)));
  }

  /** Whole pages that have bytes missing; pieces of at most an RPC. */
  #missing(start: number, end: number): Range[] {
    const found: Range[] = [];
    const step = rpcSize(this.stripe.ost.granted);
    for (let at = start - (start % PAGE); at < end; ) {
      at = this.#reach(at, end);
      if (at >= end) break;
      let stop = at + PAGE - (at % PAGE);
      while (stop < end && this.#reach(stop, stop + 1) === stop) stop += PAGE;
      const first = at - (at % PAGE);
      for (let piece = first; piece < stop; ) {
        const next = Math.min(stop, piece + step - (piece % step));
        found.push({ start: piece, end: next });
        piece = next;
      }
      at = stop;
    }
    return found;
  }

  #fillGap({ start, end }: Range, size: number, lock: ClientLock): Promise<void> {
    const fill: Fill = {
      start,
      end,
      stale: false,
      done: Promise.resolve(),
    };
    const done = this.#runFill(fill, size, lock).finally(() => {
      this.#fills.delete(fill);
      this.#checkEmpty();
    });
    Object.assign(fill, { done });
    this.#fills.add(fill);
    return done;
  }

  async #runFill(fill: Fill, size: number, lock: ClientLock): Promise<void> {
    const { memory } = this.#context;
    const { ost } = this.stripe;
    const pieces = planFill(fill.start, fill.end, this.#blocks);
    const bytes = pieces.reduce((sum, { capacity }) => sum + capacity, 0);
    ost.locks.addReference(lock);
    let taken = 0;
    try {
      await memory.take(bytes);
      taken = bytes;
      const rooms = pieces.map((piece) => ({ ...piece, memory: memory.allocate(piece.capacity) }));
      taken = 0;
      try {
        const segments = rooms.map((room) => ({
          memory: room.memory,
          offset: room.from,
          length: room.to - room.from,
        }));
        await readMissing(this.stripe, { start: fill.start, segments, size, lock }, this.#context);
        for (const room of rooms.splice(0)) this.#adopt(room, fill, lock);
      } finally {
        for (const room of rooms) memory.free(room.memory);
      }
    } finally {
      if (taken > 0) memory.give(taken);
      ost.locks.release(lock);
    }
  }

  /** Bytes that have come become part of the object, if they are still what the object holds. */
  #adopt(piece: FillPiece & { readonly memory: Memory }, fill: Fill, lock: ClientLock): void {
    const { memory } = this.#context;
    if (fill.stale || !lock.isHeld) {
      memory.free(piece.memory);
      return;
    }
    const there = this.#blocks.get(piece.index);
    if (there === undefined) {
      const block = new Block(this, piece.index, piece.memory);
      for (const [from, to] of piece.gaps) block.valid.add(from, to);
      this.#blocks.set(piece.index, block);
      memory.settle(block);
      return;
    }
    this.#makeRoom(there, piece.to);
    for (const [from, to] of piece.gaps) {
      there.bytes.set(piece.memory.bytes.subarray(from, to), from);
      there.valid.add(from, to);
    }
    memory.free(piece.memory);
    memory.settle(there);
  }

  /** Memory for the first `end` bytes of a block, which nobody is writing from. */
  #makeRoom(block: Block, end: number): void {
    const old = block.room;
    if (old.writing === 0 && old.memory.bytes.length >= end) return;
    const { memory } = this.#context;
    // What grows goes on to grow: once is enough.
    const size = end > old.memory.bytes.length ? BLOCK_SIZE : old.memory.bytes.length;
    // What is forgotten to make room may be anything but the block itself.
    memory.keep(block);
    memory.takeAnyway(size);
    block.room = { memory: memory.allocate(size), writing: 0 };
    block.bytes.set(old.memory.bytes);
    // The last of the writes under way from it frees it.
    if (old.writing === 0) memory.free(old.memory);
  }

  // Writing.

  /** Bytes are set aside at the server for `[start, end)`; false when it has granted too little. */
  reserve(start: number, end: number): boolean {
    const { grant } = this.stripe.ost;
    for (let index = Math.floor(start / BLOCK_SIZE); index * BLOCK_SIZE < end; index++) {
      const block = this.#blocks.get(index);
      if (block !== undefined && block.reserved > 0) continue;
      const cost = grant.cost(index * BLOCK_SIZE, BLOCK_SIZE);
      if (!grant.reserve(cost)) {
        for (const other of this.#blocks.values()) if (other.valid.isEmpty) this.#tidy(other);
        return false;
      }
      this.#blockFor(index, Math.min(end - index * BLOCK_SIZE, BLOCK_SIZE)).reserved = cost;
    }
    return true;
  }

  #blockFor(index: number, end: number): Block {
    let block = this.#blocks.get(index);
    if (block === undefined) {
      const { memory } = this.#context;
      // Behind a block that is full the next one will be, too.
      const follows = this.#blocks.get(index - 1)?.valid.reach(BLOCK_SIZE - 1) === BLOCK_SIZE;
      const size = follows ? BLOCK_SIZE : blockCapacity(end);
      memory.takeAnyway(size);
      block = new Block(this, index, memory.allocate(size));
      this.#blocks.set(index, block);
    }
    return block;
  }

  /** New bytes, under a PW lock that is held, in blocks that were reserved in the same turn. */
  put(at: number, bytes: Uint8Array, lock: ClientLock): void {
    // A fill under way has older bytes for these.
    this.#spoilFills(at, at + bytes.length);
    for (let done = 0; done < bytes.length; ) {
      const here = at + done;
      const index = Math.floor(here / BLOCK_SIZE);
      const from = here - index * BLOCK_SIZE;
      const to = Math.min(BLOCK_SIZE, from + bytes.length - done);
      const block = this.#blockFor(index, to);
      this.#makeRoom(block, to);
      block.bytes.set(bytes.subarray(done, done + to - from), from);
      block.valid.add(from, to);
      block.dirty.add(from, to);
      block.lock = lock;
      this.#context.memory.settle(block);
      done += to - from;
    }
    this.stripe.ost.known.keep(this.stripe.key);
  }

  /** A write round the cache of the same bytes is under way. */
  isChanging(start: number, end: number): boolean {
    return this.#direct.under(start, end).length > 0;
  }

  /** Waits for writes round the cache of the same bytes. */
  async untilQuiet(start: number, end: number): Promise<void> {
    for (let busy = this.#direct.under(start, end); busy.length > 0; ) {
      await Promise.allSettled(busy);
      busy = this.#direct.under(start, end);
    }
  }

  startWriting(block: Block): void {
    const size = rpcSize(this.stripe.ost.granted);
    const start = block.start - (block.start % size);
    this.writeOut(start, start + size);
  }

  /** Begins to write all dirty bytes of the blocks that touch `[start, end)`, in as few RPCs as can be. */
  writeOut(start: number, end: number): void {
    const blocks = dirtyBlocks(this.#blocks, start, end);
    for (const run of dirtyRuns(blocks, rpcSize(this.stripe.ost.granted))) this.#send(run);
  }

  #send(pieces: readonly DirtyPiece[]): void {
    const start = pieces[0]!.block.start + pieces[0]!.from;
    const last = pieces[pieces.length - 1]!;
    const end = last.block.start + last.to;
    const blocks = new Set(pieces.map(({ block }) => block));
    const reserved = { bytes: 0 };
    const free = this.#hold(pieces);
    for (const block of blocks) {
      reserved.bytes += block.reserved;
      block.reserved = 0;
      this.#context.memory.settle(block);
    }
    this.#context.memory.writing(end - start);
    const done = this.#runWrite({ start, end }, pieces, reserved).finally(() => {
      this.#context.memory.writing(start - end);
      this.stripe.ost.grant.unreserve(reserved.bytes);
      this.#writes.delete(activity);
      free();
    });
    const activity = { start, end, done };
    this.#writes.add(activity);
  }

  /** For a write, and for as long as the server may lose it; blocks may have gone on to other rooms when that ends. */
  #hold(pieces: readonly DirtyPiece[]): () => void {
    const free = hold(pieces, (block, room) => {
      room.writing--;
      if (block.room === room) this.#tidy(block);
      else if (room.writing === 0) this.#context.memory.free(room.memory);
    });
    return () => {
      free();
      this.#checkEmpty();
    };
  }

  #keep(pieces: readonly DirtyPiece[], { segments }: Part): KeptBulk | undefined {
    const { memory } = this.#context;
    const bytes = roomBytes(pieces);
    if (!memory.mayKeep(bytes)) return undefined;
    const free = this.#hold(pieces);
    memory.keeping(bytes);
    return {
      segments,
      release: () => {
        free();
        memory.keeping(-bytes);
      },
    };
  }

  async #runWrite(range: Range, pieces: readonly DirtyPiece[], reserved: { bytes: number }): Promise<void> {
    const { ost, object, key } = this.stripe;
    const { owner } = this.#context;
    // The lock that it is written under, not a later one: once that is lost to an eviction the server refuses the bytes.
    const lockHandle = pieces[0]!.block.lock?.serverHandle ?? 0n;
    // Older bytes for the same place that are on their way could be overtaken.
    await Promise.allSettled(
      [this.#writes, this.#cuts].flatMap((some) => some.under(range.start, range.end)),
    );
    const segments = pieces.map(({ room, from, to }) => ({
      memory: room.memory,
      offset: from,
      length: to - from,
    }));
    const seconds = this.#context.now();
    const results = await Promise.allSettled(
      cutRun(range.start, segments, rpcSize(ost.granted)).map(async (part) => {
        const keep = (): KeptBulk | undefined => this.#keep(pieces, part);
        const lost = (): void => {
          this.#context.dirty.lost(this.fileKey, ost);
          forget(pieces);
        };
        const request = { object, part, lockHandle, owner, time: BigInt(seconds), reserved, keep, lost };
        const written = await write(ost, request);
        ost.known.wrote(key, part.offset + part.length, seconds, Number(written.oa.o_blocks));
        this.#context.dirty.add(this.fileKey, this.stripe, written);
      }),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed === undefined) return;
    forget(pieces);
    ost.runtime.log.error(
      { err: failed.reason, target: ost.name, start: range.start },
      'writing cached data failed; the bytes are lost',
    );
    this.#context.failed(this.fileKey, failed.reason as Error);
  }

  /** Resolves when what was dirty or under way in `[start, end)` has been written, or could not be. */
  async flush(start: number, end: number): Promise<void> {
    this.writeOut(start, end);
    await Promise.allSettled(this.#writes.under(start, end));
  }

  /** A change of `[start, end)` at the server itself: after what is cached, and before what comes later. With `cut` what is
   * cached goes unwritten: the object will end at `start`. See Change for the `pages` of what cuts or punches. */
  async around<T>(start: number, end: number, work: () => Promise<T>, how?: 'cut' | 'pages'): Promise<T> {
    const activity = new Change(start, end, how === undefined ? 1 : PAGE);
    const { start: first, end: last } = activity;
    await this.untilQuiet(first, last);
    this.#direct.add(activity);
    try {
      if (how === 'cut') await this.#cut(start, activity);
      else await this.flush(first, last);
      this.drop(start, end);
      return await work();
    } finally {
      this.#direct.delete(activity);
      this.#cuts.delete(activity);
      activity.finish();
      this.#checkEmpty();
    }
  }

  // Forgetting.

  /** Forgets clean bytes; what is dirty stays. */
  drop(start: number, end: number): void {
    this.#forget(start, end, false);
  }

  /** Forgets everything, written or not. Gives whether dirty bytes were among it. */
  discard(start: number, end: number): boolean {
    return this.#forget(start, end, true);
  }

  #forget(start: number, end: number, dirtyToo: boolean): boolean {
    let lost = false;
    this.#spoilFills(start, end);
    for (const block of [...this.#blocks.values()]) {
      const from = Math.max(0, start - block.start);
      const to = Math.min(BLOCK_SIZE, end - block.start);
      if (from >= to) continue;
      if (dirtyToo) {
        lost ||= [...block.dirty.within(from, to)].length > 0;
        block.dirty.remove(from, to);
      }
      const clean = [...block.dirty.gaps(from, to)];
      for (const [first, last] of clean) block.valid.remove(first, last);
      this.#tidy(block);
    }
    this.#checkEmpty();
    return lost;
  }

  #spoilFills(start: number, end: number): void {
    for (const fill of this.#fills) if (overlaps(fill, start, end)) fill.stale = true;
  }

  /** Forgets blocks in which nothing is left. */
  #tidy(block: Block): void {
    const { memory } = this.#context;
    if (block.dirty.isEmpty && block.reserved > 0) {
      this.stripe.ost.grant.unreserve(block.reserved);
      block.reserved = 0;
    }
    memory.settle(block);
    if (!block.valid.isEmpty || block.room.writing > 0) return;
    this.#blocks.delete(block.index);
    memory.forget(block);
  }

  /** Cuts the object: behind `size` nothing is left. Resolves when no earlier write can make it longer again. */
  async #cut(size: number, activity: Activity): Promise<void> {
    const busy = this.#writes.under(activity.start, activity.end);
    this.#cuts.add(activity);
    this.discard(size, Number.POSITIVE_INFINITY);
    await Promise.allSettled(busy);
    this.discard(size, Number.POSITIVE_INFINITY);
  }

  evict(block: Block): void {
    block.valid.clear();
    this.#tidy(block);
    this.#checkEmpty();
  }

  #checkEmpty(): void {
    if (this.#writes.size === 0 && !this.isDirty) this.stripe.ost.known.letGo(this.stripe.key);
    if (this.isEmpty) this.#context.empty(this);
  }
}
