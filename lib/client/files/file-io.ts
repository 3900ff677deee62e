/**
 * Reads and writes of regular files (guide 11 §5): small ones through the data cache, large ones and those of files
 * opened with `direct` straight between the caller's memory and the objects. Both under extent locks, and in step with
 * each other.
 */
import type { ObjectRun } from '../../layout/raid0.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { BLOCK_SIZE } from '../data-cache/cache-memory.ts';
import type { CachedObject } from '../data-cache/cached-object.ts';
import { type DataCache, rangeOf } from '../data-cache/data-cache.ts';
import type { Ahead } from '../data-cache/read-ahead.ts';
import { readDirectly, settle, writeDirectly } from '../objects/direct-io.ts';
import {
  type HeldLock,
  type LockOptions,
  lockAll,
  lockIfHeld,
  objectAttributes,
  unlock,
} from '../objects/extent-locks.ts';
import type { Stripe } from '../objects/file-objects.ts';
import { RangeMemory } from '../objects/range-memory.ts';
import {
  bytesAt,
  bytesOf,
  isUncached,
  lockOf,
  lockRuns,
  type RunLocks,
  runKey,
  sizeOf,
} from '../objects/run-locks.ts';
import { rpcSize } from '../osc/brw.ts';
import { punch } from '../osc/punch.ts';
import { setattr } from '../osc/setattr.ts';
import type { ObjectTimes } from '../osc/stripe-object.ts';
import { sync } from '../osc/sync.ts';
import type { RequestOptions } from '../request-options.ts';
import type { Session } from '../session.ts';
import { chunks, scatter, totalLength, zero } from './buffer-pieces.ts';
import type { LayoutInUse } from './file-layouts.ts';
import { LocklessIo } from './lockless-io.ts';
import type { OpenFile } from './open-file.ts';

/** Largest offset that a number holds exactly. */
const OFFSET_MAX = Number.MAX_SAFE_INTEGER;
/** From this size on a read or write that would go to the servers anyway does so without a copy, bytes. */
export const DIRECT_MIN = 1 << 20;
/** How often bytes may be forgotten between their coming and their use before they are read without the cache. */
const FILLS_MAX = 8;

export class FileIo {
  readonly #session: Session;
  readonly #cache: DataCache;
  readonly #onWritten: (stripe: Stripe, transno: bigint) => void;
  readonly #lockless: LocklessIo;

  constructor(session: Session, cache: DataCache, onWritten: (stripe: Stripe, transno: bigint) => void) {
    this.#session = session;
    this.#cache = cache;
    this.#onWritten = onWritten;
    this.#lockless = new LocklessIo(session, onWritten);
  }

  #seconds(): number {
    return Math.floor(this.#session.runtime.wallTime() / 1000);
  }

  /** Reads from `position` into the buffers; resolves with the bytes that the file has there. */
  read(
    file: OpenFile,
    objects: LayoutInUse,
    buffers: readonly Uint8Array[],
    position: number,
    options: RequestOptions = {},
  ): Promise<number> {
    const length = totalLength(buffers);
    if (length === 0) return Promise.resolve(0);
    if (position + length > OFFSET_MAX) throw errnoError(Errno.EFBIG, options.context);
    const lone = this.#lockless.candidate(file, objects, 'read', position, length);
    if (lone === undefined) return this.#readLocked(file, objects, buffers, position, options);
    return this.#lockless.choose(
      lone,
      (yields) => this.#readLocked(file, objects, buffers, position, { ...options, yields }),
      () => this.#lockless.read(objects, lone, buffers, position, options),
    );
  }

  async #readLocked(
    file: OpenFile,
    objects: LayoutInUse,
    buffers: readonly Uint8Array[],
    position: number,
    options: LockOptions,
  ): Promise<number> {
    const length = totalLength(buffers);
    let runs = objects.map.runs(position, length);
    const held: HeldLock[] = [];
    try {
      const locks = await lockRuns(held, objects, runs, 'read', { ...options, group: file.group });
      objects.check();
      const count = await bytesAt(objects, held, runs, position, length, options);
      if (count === 0) return 0;
      if (count < length) runs = objects.map.runs(position, count);
      // Where the file has no objects it has zeroes.
      if (bytesOf(runs) < count) zero(buffers, count);
      const direct = file.direct || held.some(({ stripe }) => isUncached(stripe));
      if (direct || (count >= DIRECT_MIN && !this.#cached(locks, runs, file)))
        await this.#readDirectly(locks, runs, buffers, file, options);
      else {
        await settle(
          runs.map((run) => this.#readCached(lockOf(locks, run), run, buffers, position, file, options)),
        );
        for (const ahead of file.readAhead(this.#cache).read(position, count))
          this.#readAhead(file, objects, ahead);
      }
      return count;
    } finally {
      unlock(held);
    }
  }

  /** Everything is here already: copying it is faster than asking for it. */
  #cached(locks: RunLocks, runs: readonly ObjectRun[], file: OpenFile): boolean {
    return runs.every((run) => {
      const { stripe } = lockOf(locks, run);
      const object = this.#cache.hold(stripe, file.inode.key);
      const end = Math.min(run.objectOffset + run.length, sizeOf(stripe));
      const has = object.holds(run.objectOffset, end);
      this.#cache.letGo(object);
      return has;
    });
  }

  async #readDirectly(
    locks: RunLocks,
    runs: readonly ObjectRun[],
    buffers: readonly Uint8Array[],
    file: OpenFile,
    options: RequestOptions,
  ): Promise<void> {
    const memory = new RangeMemory(this.#session.endpoint, buffers);
    try {
      await settle(
        runs.map(async (run) => {
          const { stripe, lock } = lockOf(locks, run);
          await this.#with(stripe, file, async (object) => {
            await object.untilQuiet(run.objectOffset, run.objectOffset + run.length);
            await object.flush(run.objectOffset, run.objectOffset + run.length);
            await readDirectly(this.#session, memory, { stripe, lock }, run, sizeOf(stripe), options);
          });
        }),
      );
    } finally {
      memory.release();
    }
  }

  async #with<T>(stripe: Stripe, file: OpenFile, work: (object: CachedObject) => Promise<T>): Promise<T> {
    const object = this.#cache.hold(stripe, file.inode.key);
    try {
      return await work(object);
    } finally {
      this.#cache.letGo(object);
    }
  }

  #readCached(
    { stripe, lock }: HeldLock,
    run: ObjectRun,
    buffers: readonly Uint8Array[],
    position: number,
    file: OpenFile,
    options: RequestOptions,
  ): Promise<void> {
    return this.#with(stripe, file, async (object) => {
      const size = sizeOf(stripe);
      const end = run.objectOffset + run.length;
      const there = Math.min(Math.max(size, run.objectOffset), end);
      const into = (at: number, bytes: Uint8Array): void => scatter(run, at, bytes, buffers);
      const window = file.readAhead(this.#cache).missing(position);
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
        const want = Math.max(there, Math.min(limit, at + window));
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
  #readAhead(file: OpenFile, { map, stripes }: LayoutInUse, ahead: Ahead): void {
    for (const run of map.runs(ahead.start, ahead.length)) {
      const stripe = stripes[run.stripe]!;
      if (stripe.lost) continue;
      const size = sizeOf(stripe);
      if (run.objectOffset >= size || isUncached(stripe)) continue;
      const held = lockIfHeld(stripe, run.objectOffset, Math.min(run.objectOffset + run.length, size));
      if (held === undefined) continue;
      const end = Math.min(run.objectOffset + run.length, size, rangeOf(held.lock).end);
      void this.#with(stripe, file, (object) => object.fill(run.objectOffset, end, size, held.lock))
        // Whoever reads it will see the error.
        .catch(() => undefined)
        .finally(() => unlock([held]));
    }
  }

  /** Writes the buffers at `position`, where the map has objects for all of them; resolves with their bytes. `locked`: whole objects, by index. */
  write(
    file: OpenFile,
    objects: LayoutInUse,
    buffers: readonly Uint8Array[],
    position: number,
    how: RequestOptions & { readonly locked?: readonly HeldLock[] } = {},
  ): Promise<number> {
    const length = totalLength(buffers);
    if (position + length > OFFSET_MAX) throw errnoError(Errno.EFBIG, how.context);
    if (length === 0) return Promise.resolve(0);
    const lone =
      how.locked === undefined
        ? this.#lockless.candidate(file, objects, 'write', position, length)
        : undefined;
    if (lone === undefined) return this.#writeLocked(file, objects, buffers, position, how);
    return this.#lockless.choose(
      lone,
      (yields) => this.#writeLocked(file, objects, buffers, position, { ...how, yields }),
      () => this.#lockless.write(objects, lone, buffers, how),
    );
  }

  async #writeLocked(
    file: OpenFile,
    objects: LayoutInUse,
    buffers: readonly Uint8Array[],
    position: number,
    how: LockOptions & { readonly locked?: readonly HeldLock[] },
  ): Promise<number> {
    const { locked, ...options } = how;
    const length = totalLength(buffers);
    const held: HeldLock[] = [];
    try {
      const runs = objects.map.runs(position, length);
      if (bytesOf(runs) < length) throw errnoError(Errno.ENODATA, options.context);
      const locks =
        locked === undefined
          ? await lockRuns(held, objects, runs, 'write', { ...options, group: file.group })
          : new Map(runs.map((run) => [runKey(run), locked[run.stripe]!]));
      objects.check();
      const direct = file.direct || length >= DIRECT_MIN;
      if (direct || runs.some((run) => isUncached(lockOf(locks, run).stripe)))
        await this.#writeDirectly(locks, runs, buffers, file, options);
      else
        await settle(runs.map((run) => this.#writeCached(lockOf(locks, run), run, buffers, file, options)));
      return length;
    } finally {
      unlock(held);
    }
  }

  /** The end of the file, with all of its objects locked until `unlock`: where an append begins. */
  async lockEnd(
    { map, stripes }: LayoutInUse,
    options: LockOptions = {},
  ): Promise<{ readonly size: number; readonly locks: readonly HeldLock[]; unlock(): void }> {
    const locks = await lockAll(stripes, 'write', options);
    try {
      // Others of a group may have written since.
      const asked = options.group === undefined ? undefined : await objectAttributes({ stripes }, options);
      const sizes = stripes.map((stripe, i) => asked?.[i]?.size ?? sizeOf(stripe));
      return { size: map.fileSize(sizes), locks, unlock: () => unlock(locks) };
    } catch (error) {
      unlock(locks);
      throw error;
    }
  }

  async #writeDirectly(
    locks: RunLocks,
    runs: readonly ObjectRun[],
    buffers: readonly Uint8Array[],
    file: OpenFile,
    options: RequestOptions,
  ): Promise<void> {
    const memory = new RangeMemory(this.#session.endpoint, buffers);
    const how = { ...options, onWritten: this.#onWritten };
    try {
      await settle(
        runs.map((run) => {
          const lock = lockOf(locks, run);
          const work = (): Promise<void> => writeDirectly(this.#session, memory, lock, run, how);
          return this.#with(lock.stripe, file, (object) =>
            object.around(run.objectOffset, run.objectOffset + run.length, work),
          );
        }),
      );
    } finally {
      memory.release();
    }
  }

  #writeCached(
    held: HeldLock,
    run: ObjectRun,
    buffers: readonly Uint8Array[],
    file: OpenFile,
    options: RequestOptions,
  ): Promise<void> {
    return this.#with(held.stripe, file, async (object) => {
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
    if (object.isChanging(at, end)) await object.untilQuiet(at, end);
    if (!memory.hasRoom(BLOCK_SIZE)) await untilAborted(memory.makeRoom(BLOCK_SIZE), options.signal);
    if (!lock.isHeld) throw errnoError(Errno.EIO, { ...options.context, target: ost.name });
    const asks = ost.quota.concern(stripe.object, this.#session.owner);
    if (asks || object.isChanging(at, end) || !object.reserve(at, end)) {
      await this.#putThrough({ stripe, lock }, object, at, bytes, options);
      return;
    }
    object.put(at, bytes, lock);
    const blocks = Math.max(1, ost.known.get(key)?.blocks ?? 0);
    ost.known.wrote(key, end, this.#seconds(), blocks);
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
    const how = { ...options, onWritten: this.#onWritten };
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

  /** Cuts or grows all objects to what a file of `size` bytes has in them. The MDT has been told before (guide 11 §4). */
  async truncate(
    fileKey: string,
    objects: LayoutInUse,
    size: number,
    options: LockOptions = {},
  ): Promise<void> {
    const cuts = objects.map
      .cuts(size)
      .map(({ index, size: cut }) => ({ stripe: objects.stripes[index]!, cut }));
    const touched = cuts.map(({ stripe }) => stripe);
    const held = await lockAll(touched, 'write', { ...options, discard: size === 0 });
    try {
      objects.check();
      const time = this.#seconds();
      const { owner } = this.#session;
      await settle(
        cuts.map(async ({ stripe, cut }, i) => {
          const { object, ost, key, onMdt } = stripe;
          const how = onMdt ? { ...options, lockHandle: held[i]!.lock.serverHandle } : options;
          const cached = this.#cache.hold(stripe, fileKey);
          const work = async (): Promise<void> => {
            const takeBack = ost.known.truncating(key, cut);
            try {
              const oa = await punch(ost, object, cut, BigInt(time), owner, how);
              ost.known.truncated(key, cut, time, Number(oa.o_blocks));
            } catch (error) {
              takeBack();
              throw error;
            }
          };
          try {
            await cached.around(cut, Number.POSITIVE_INFINITY, work, 'cut');
          } finally {
            this.#cache.letGo(cached);
          }
        }),
      );
    } finally {
      unlock(held);
    }
  }

  /** Times on all objects. Into the past all clients must first have written what they hold (guide 11 §3). */
  async setTimes(
    fileKey: string,
    objects: LayoutInUse,
    times: ObjectTimes,
    options: LockOptions = {},
  ): Promise<void> {
    // Data on the MDT have the file's own times.
    const stripes = objects.stripes.filter(({ onMdt, lost }) => !onMdt && !lost);
    const past = [times.atime, times.mtime].some((time) => time !== undefined && time < times.ctime);
    const held = past ? await lockAll(stripes, 'write', options) : [];
    try {
      await this.#cache.flushFile(fileKey);
      await settle(
        stripes.map(async ({ object, ost, key }) => {
          await setattr(ost, object, times, options);
          ost.known.timed(key, times);
        }),
      );
    } finally {
      unlock(held);
    }
  }

  /** Makes the data of a file durable that OSTs have. */
  async sync(fileKey: string, { stripes }: LayoutInUse, options: RequestOptions = {}): Promise<void> {
    await untilAborted(this.#cache.flushFile(fileKey), options.signal);
    const onOsts = stripes.filter(({ onMdt, lost }) => !onMdt && !lost);
    await settle(onOsts.map(({ object, ost }) => sync(ost, object, options)));
  }
}

/** The same promise, which rejects as soon as the signal is aborted; the work goes on for others. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
    work.catch(() => undefined);
  }
}
