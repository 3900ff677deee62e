/**
 * Reads and writes through the data cache (guide 11 §5): bytes go between the caller's buffers and the cache, and between
 * the cache and the servers in full RPCs: those that are missing, those that will be wanted next, and what is dirty.
 */
import type { ObjectRun } from '../../layout/raid0.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { BLOCK_SIZE } from '../data-cache/cache-memory.ts';
import type { CachedObject } from '../data-cache/cached-object.ts';
import { type DataCache, rangeOf } from '../data-cache/data-cache.ts';
import { type Ahead, endOfWindow } from '../data-cache/read-ahead.ts';
import { readDirectly, writeDirectly } from '../objects/direct-io.ts';
import type { DirtyObjects } from '../objects/dirty-objects.ts';
import { type HeldLock, lockIfHeld, unlock } from '../objects/extent-locks.ts';
import type { Stripe } from '../objects/file-objects.ts';
import { RangeMemory } from '../objects/range-memory.ts';
import { isUncached, sizeOf } from '../objects/run-locks.ts';
import { rpcSize } from '../osc/brw.ts';
import { type RequestOptions, untilAborted } from '../request-options.ts';
import type { Session } from '../session.ts';
import { chunks, scatter } from './buffer-pieces.ts';
import type { LayoutInUse } from './file-layouts.ts';
import type { OpenFile } from './open-file.ts';

/** How often bytes may be forgotten between their coming and their use before they are read without the cache. */
const FILLS_MAX = 8;
/** Replies that a write waits for, for grant, before it goes without. */
const WAITS_MAX = 4;

export class CachedIo {
  readonly #session: Session;
  readonly #cache: DataCache;
  readonly #dirty: DirtyObjects;

  constructor(session: Session, cache: DataCache, dirty: DirtyObjects) {
    this.#session = session;
    this.#cache = cache;
    this.#dirty = dirty;
  }

  /** Runs `work` with the cached data of an object. */
  async with<T>(stripe: Stripe, file: OpenFile, work: (object: CachedObject) => Promise<T>): Promise<T> {
    const object = this.#cache.hold(stripe, file.inode.key);
    try {
      return await work(object);
    } finally {
      this.#cache.letGo(object);
    }
  }

  /** Reads a run of an object into the buffers. `window`: how much is brought at once where bytes are missing. */
  read(
    { stripe, lock }: HeldLock,
    run: ObjectRun,
    buffers: readonly Uint8Array[],
    window: number,
    file: OpenFile,
    options: RequestOptions,
  ): Promise<void> {
    return this.with(stripe, file, async (object) => {
      const size = sizeOf(stripe);
      const end = run.objectOffset + run.length;
      const there = Math.min(Math.max(size, run.objectOffset), end);
      const into = (at: number, bytes: Uint8Array): void => scatter(run, at, bytes, buffers);
      const full = rpcSize(stripe.ost.granted);
      const limit = Math.min(size, rangeOf(lock).end);
      let at = run.objectOffset;
      for (let tries = 0; ; tries++) {
        at = object.copy(at, there, into);
        if (at >= there) break;
        options.signal?.throwIfAborted();
        if (!lock.isHeld) throw errnoError(Errno.EIO, { ...options.context, target: stripe.ost.name });
        if (tries === FILLS_MAX) {
          await this.#readRest({ stripe, lock }, at, there, object, into, options);
          break;
        }
        const want = Math.max(there, Math.min(limit, endOfWindow(at, at + window, full)));
        await untilAborted(object.fill(at, want, size, lock), options.signal);
      }
      if (there < end) into(there, new Uint8Array(end - there));
    });
  }

  /** Without the cache: memory is so short, or others are so busy, that bytes do not stay until they are copied. */
  async #readRest(
    held: HeldLock,
    at: number,
    end: number,
    object: CachedObject,
    into: (at: number, bytes: Uint8Array) => void,
    options: RequestOptions,
  ): Promise<void> {
    const bytes = new Uint8Array(end - at);
    const memory = new RangeMemory(this.#session.endpoint, [bytes]);
    try {
      await object.untilQuiet(at, end);
      await object.flush(at, end);
      const piece = { stripe: held.stripe.object.stripe, objectOffset: at, rangeOffset: 0, length: end - at };
      await readDirectly(this.#session, memory, held, { ...piece, pieces: [piece] }, end, options);
    } finally {
      memory.release();
    }
    into(at, bytes);
  }

  /** In the background, and only under locks that are here. */
  readAhead(file: OpenFile, { map, stripes }: LayoutInUse, ahead: Ahead): void {
    for (const run of map.runs(ahead.start, ahead.length)) {
      const stripe = stripes[run.stripe]!;
      if (stripe.lost) continue;
      const size = sizeOf(stripe);
      if (run.objectOffset >= size || isUncached(stripe)) continue;
      const held = lockIfHeld(stripe, run.objectOffset, Math.min(run.objectOffset + run.length, size));
      if (held === undefined) continue;
      const end = Math.min(run.objectOffset + run.length, size, rangeOf(held.lock).end);
      void this.with(stripe, file, (object) => object.fill(run.objectOffset, end, size, held.lock))
        // Whoever reads it will see the error.
        .catch(() => undefined)
        .finally(() => unlock([held]));
    }
  }

  /** Writes a run of an object: into the cache, and from there as soon as an RPC is full. */
  write(
    held: HeldLock,
    run: ObjectRun,
    buffers: readonly Uint8Array[],
    file: OpenFile,
    options: RequestOptions,
  ): Promise<void> {
    return this.with(held.stripe, file, async (object) => {
      for (const piece of run.pieces) {
        for (const { at, bytes } of chunks(buffers, piece.rangeOffset, piece.length, piece.objectOffset)) {
          options.signal?.throwIfAborted();
          await this.#put(held, object, at, bytes, options);
        }
      }
    });
  }

  /** At most a block: into the cache, or without grant to the server at once. */
  async #put(
    { stripe, lock }: HeldLock,
    object: CachedObject,
    at: number,
    bytes: Uint8Array,
    options: RequestOptions,
  ): Promise<void> {
    const end = at + bytes.length;
    const { ost, key } = stripe;
    const { memory } = this.#cache;
    for (let tries = 0; ; tries++) {
      if (object.isChanging(at, end)) await object.untilQuiet(at, end);
      if (!memory.hasRoom(BLOCK_SIZE)) await untilAborted(memory.makeRoom(BLOCK_SIZE), options.signal);
      if (!lock.isHeld) throw errnoError(Errno.EIO, { ...options.context, target: ost.name });
      const asks = ost.quota.concern(stripe.object, this.#session.owner);
      if (!asks && !object.isChanging(at, end) && object.reserve(at, end)) break;
      // Replies of writes that are on their way bring more grant.
      const more = asks || tries === WAITS_MAX ? undefined : ost.grant.nextReply();
      if (more === undefined) return this.#putThrough({ stripe, lock }, object, at, bytes, options);
      await untilAborted(more, options.signal);
    }
    object.put(at, bytes, lock);
    const blocks = Math.max(1, ost.known.get(key)?.blocks ?? 0);
    ost.known.wrote(key, end, Math.floor(this.#session.runtime.wallTime() / 1000), blocks);
    const size = rpcSize(ost.granted);
    // The bytes of an RPC are complete, or as good as that: no reason to wait.
    const full = end - (end % size);
    if (full > at) object.writeOut(full - size, full);
    else if (memory.isDirty) memory.writeOldest(size);
  }

  async #putThrough(
    held: HeldLock,
    object: CachedObject,
    at: number,
    bytes: Uint8Array,
    options: RequestOptions,
  ): Promise<void> {
    const piece = {
      stripe: held.stripe.object.stripe,
      objectOffset: at,
      rangeOffset: 0,
      length: bytes.length,
    };
    const memory = new RangeMemory(this.#session.endpoint, [bytes]);
    const how = { ...options, fileKey: object.fileKey, dirty: this.#dirty };
    try {
      // What waits for space gives some back when it is written.
      await object.flush(0, Number.POSITIVE_INFINITY);
      await object.around(at, at + bytes.length, () =>
        writeDirectly(this.#session, memory, held, { ...piece, pieces: [piece] }, how),
      );
    } finally {
      memory.release();
    }
  }
}
