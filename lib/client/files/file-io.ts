/**
 * Reads and writes of regular files (guide 11 §5): small ones, and larger ones of a sequence that together fill RPCs,
 * through the data cache; large ones and those of files opened with `direct` straight between the caller's memory and the
 * objects. Both under extent locks, and in step with each other.
 */
import type { ObjectRun } from '../../layout/raid0.ts';
import { allocateLarge } from '../../lnet/large-buffer.ts';
import type { FileSegment } from '../../lnet/network.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { BLOCK_SIZE } from '../data-cache/cache-memory.ts';
import type { DataCache } from '../data-cache/data-cache.ts';
import { type RangeBytes, readDirectly, settle, writeDirectly } from '../objects/direct-io.ts';
import type { DirtyObjects } from '../objects/dirty-objects.ts';
import {
  type HeldLock,
  type LockOptions,
  lockAll,
  objectAttributes,
  unlock,
} from '../objects/extent-locks.ts';
import type { Stripe } from '../objects/file-objects.ts';
import { RangeFile } from '../objects/range-file.ts';
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
import { NotStraight, rpcSize } from '../osc/brw.ts';
import { punch } from '../osc/punch.ts';
import { setattr } from '../osc/setattr.ts';
import type { ObjectTimes } from '../osc/stripe-object.ts';
import { sync } from '../osc/sync.ts';
import type { ObjectTarget } from '../osc/target.ts';
import { type RequestOptions, untilAborted } from '../request-options.ts';
import type { Session } from '../session.ts';
import { type OtherEnd, totalLength, zero } from './buffer-pieces.ts';
import { CachedIo } from './cached-io.ts';
import type { LayoutInUse } from './file-layouts.ts';
import { LocklessIo } from './lockless-io.ts';
import type { OpenFile } from './open-file.ts';
import { areManySmall, fill } from './small-buffers.ts';

/** Largest offset that a number holds exactly. */
const OFFSET_MAX = Number.MAX_SAFE_INTEGER;
/** From this size on a read or write that stands alone goes without a copy, bytes. */
export const DIRECT_MIN = 1 << 20;
/** From this size on one of a sequence does, too, whatever an RPC may carry: the copy costs more than RPCs saved. */
const GATHER_MAX = 4 << 20;

export class FileIo {
  readonly #session: Session;
  readonly #cache: DataCache;
  readonly #dirty: DirtyObjects;
  readonly #lockless: LocklessIo;
  readonly #cached: CachedIo;

  constructor(session: Session, cache: DataCache, dirty: DirtyObjects) {
    this.#session = session;
    this.#cache = cache;
    this.#dirty = dirty;
    this.#lockless = new LocklessIo(session, dirty);
    this.#cached = new CachedIo(session, cache, dirty);
  }

  #seconds(): number {
    return Math.floor(this.#session.runtime.wallTime() / 1000);
  }

  /** Reads from `position` into the buffers, or straight into a local file; resolves with the bytes that the file has there. */
  read(
    file: OpenFile,
    objects: LayoutInUse,
    into: OtherEnd,
    position: number,
    options: RequestOptions = {},
  ): Promise<number> {
    const length = totalLength(into);
    if (length === 0) return Promise.resolve(0);
    if (position + length > OFFSET_MAX) throw errnoError(Errno.EFBIG, options.context);
    if ('file' in into) return this.#readLocked(file, objects, into, position, options);
    if (areManySmall(into)) return this.#readJoined(file, objects, into, position, options);
    const lone = this.#lockless.candidate(file, objects, 'read', position, length);
    if (lone === undefined) return this.#readLocked(file, objects, into, position, options);
    return this.#lockless.choose(
      lone,
      (yields) => this.#readLocked(file, objects, into, position, { ...options, yields }),
      () => this.#lockless.read(objects, lone, into, position, options),
    );
  }

  async #readJoined(
    file: OpenFile,
    objects: LayoutInUse,
    into: readonly Uint8Array[],
    position: number,
    options: RequestOptions,
  ): Promise<number> {
    const joined = allocateLarge(totalLength(into));
    const count = await this.read(file, objects, [joined], position, options);
    fill(into, joined.subarray(0, count));
    return count;
  }

  async #readLocked(
    file: OpenFile,
    objects: LayoutInUse,
    into: OtherEnd,
    position: number,
    options: LockOptions,
  ): Promise<number> {
    const length = totalLength(into);
    let runs = objects.map.runs(position, length);
    const ahead = file.readAhead(this.#cache);
    const follows = ahead.begin(position, length);
    const held: HeldLock[] = [];
    try {
      const locks = await lockRuns(held, objects, runs, 'read', { ...options, group: file.group });
      objects.check();
      const count = await bytesAt(objects, held, runs, position, length, options);
      if (count === 0) return 0;
      if (count < length) runs = objects.map.runs(position, count);
      if ('file' in into) {
        const local = this.#localFile(into);
        if (bytesOf(runs) < count) await local.zero(0, count);
        await this.#readDirectly(locks, runs, local, file, options);
        ahead.passed(position, count);
        return count;
      }
      // Where the file has no objects it has zeroes.
      if (bytesOf(runs) < count) zero(into, count);
      const direct = file.direct || held.some(({ stripe }) => isUncached(stripe));
      const gathers =
        count < DIRECT_MIN ||
        (follows && position > 0 && held.every(({ stripe }) => this.#isPart(stripe.ost, count)));
      if (direct || !(gathers || this.#isCached(locks, runs, file))) {
        await this.#inMemory(into, (memory) => this.#readDirectly(locks, runs, memory, file, options));
        ahead.passed(position, count);
      } else {
        const width = Math.max(1, held[0]?.stripe.object.stripeCount ?? 1);
        const window = follows ? ahead.window(count) / width : 0;
        await settle(
          runs.map((run) => this.#cached.read(lockOf(locks, run), run, into, window, file, options)),
        );
        const unit = width * (held[0] === undefined ? 1 : rpcSize(held[0].stripe.ost.granted));
        for (const next of ahead.read(position, count, unit)) this.#cached.readAhead(file, objects, next);
      }
      return count;
    } finally {
      unlock(held);
    }
  }

  /** Everything is here already: copying it is faster than asking for it. */
  #isCached(locks: RunLocks, runs: readonly ObjectRun[], file: OpenFile): boolean {
    return runs.every((run) => {
      const { stripe } = lockOf(locks, run);
      const object = this.#cache.hold(stripe, file.inode.key);
      const end = Math.min(run.objectOffset + run.length, sizeOf(stripe));
      const has = object.holds(run.objectOffset, end);
      this.#cache.letGo(object);
      return has;
    });
  }

  /** Runs `work` with the caller's buffers, of which nothing is used any more when it resolves. */
  async #inMemory(
    buffers: readonly Uint8Array[],
    work: (memory: RangeMemory) => Promise<void>,
  ): Promise<void> {
    const memory = new RangeMemory(this.#session.endpoint, buffers);
    try {
      await work(memory);
    } finally {
      memory.release();
    }
  }

  /** A local file between which and the objects bytes can go straight. Throws NotStraight on networks that move no files. */
  #localFile(range: FileSegment): RangeFile {
    if (this.#session.endpoint.movesFiles) return new RangeFile(range);
    throw new NotStraight('this network moves no files');
  }

  async #readDirectly(
    locks: RunLocks,
    runs: readonly ObjectRun[],
    bytes: RangeBytes,
    file: OpenFile,
    options: RequestOptions,
  ): Promise<void> {
    await settle(
      runs.map(async (run) => {
        const { stripe, lock } = lockOf(locks, run);
        await this.#cached.with(stripe, file, async (object) => {
          await object.untilQuiet(run.objectOffset, run.objectOffset + run.length);
          await object.flush(run.objectOffset, run.objectOffset + run.length);
          await readDirectly(this.#session, bytes, { stripe, lock }, run, sizeOf(stripe), options);
        });
      }),
    );
  }

  /** Writes the buffers, or straight what is in a local file, at `position`, where the map has objects for all of them; resolves with their bytes. `locked`: whole objects, by index. */
  write(
    file: OpenFile,
    objects: LayoutInUse,
    from: OtherEnd,
    position: number,
    how: RequestOptions & { readonly locked?: readonly HeldLock[] } = {},
  ): Promise<number> {
    const length = totalLength(from);
    if (position + length > OFFSET_MAX) throw errnoError(Errno.EFBIG, how.context);
    if (length === 0) return Promise.resolve(0);
    if ('file' in from) return this.#writeLocked(file, objects, from, position, how);
    if (areManySmall(from)) return this.write(file, objects, [Buffer.concat(from)], position, how);
    const lone =
      how.locked === undefined
        ? this.#lockless.candidate(file, objects, 'write', position, length)
        : undefined;
    if (lone === undefined) return this.#writeLocked(file, objects, from, position, how);
    return this.#lockless.choose(
      lone,
      (yields) => this.#writeLocked(file, objects, from, position, { ...how, yields }),
      () => this.#lockless.write(file, objects, lone, from, how),
    );
  }

  async #writeLocked(
    file: OpenFile,
    objects: LayoutInUse,
    from: OtherEnd,
    position: number,
    how: LockOptions & { readonly locked?: readonly HeldLock[] },
  ): Promise<number> {
    const { locked, ...options } = how;
    const length = totalLength(from);
    const follows = file.writes(position, length);
    const held: HeldLock[] = [];
    try {
      const runs = objects.map.runs(position, length);
      if (bytesOf(runs) < length) throw errnoError(Errno.ENODATA, options.context);
      const locks =
        locked === undefined
          ? await lockRuns(held, objects, runs, 'write', { ...options, group: file.group })
          : new Map(runs.map((run) => [runKey(run), locked[run.stripe]!]));
      objects.check();
      const stripes = runs.map((run) => lockOf(locks, run).stripe);
      const alone = length >= DIRECT_MIN && !(follows && this.#gathers(stripes, length));
      if ('file' in from) await this.#writeDirectly(locks, runs, this.#localFile(from), file, options);
      else if (file.direct || alone || stripes.some(isUncached))
        await this.#inMemory(from, (memory) => this.#writeDirectly(locks, runs, memory, file, options));
      else await settle(runs.map((run) => this.#cached.write(lockOf(locks, run), run, from, file, options)));
      return length;
    } finally {
      unlock(held);
    }
  }

  /** A write of a sequence waits for others that go into the same RPC, where servers let it. */
  #gathers(stripes: readonly Stripe[], length: number): boolean {
    return stripes.every(({ ost, object }) => {
      if (!this.#isPart(ost, length) || ost.quota.concern(object, this.#session.owner)) return false;
      return ost.grant.covers(length, BLOCK_SIZE);
    });
  }

  /** Several reads or writes of `length` bytes fit into an RPC, and into memory. */
  #isPart({ granted }: ObjectTarget, length: number): boolean {
    return length < Math.min(rpcSize(granted), GATHER_MAX, this.#cache.memory.limit / 8);
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
    bytes: RangeBytes,
    file: OpenFile,
    options: RequestOptions,
  ): Promise<void> {
    const how = { ...options, fileKey: file.inode.key, dirty: this.#dirty };
    await settle(
      runs.map((run) => {
        const lock = lockOf(locks, run);
        const work = (): Promise<void> => writeDirectly(this.#session, bytes, lock, run, how);
        return this.#cached.with(lock.stripe, file, (object) =>
          object.around(run.objectOffset, run.objectOffset + run.length, work),
        );
      }),
    );
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
          const takeBack = ost.known.timing(key, times);
          try {
            await setattr(ost, object, times, options);
          } catch (error) {
            takeBack();
            throw error;
          }
          // What was asked before may have been answered, with what was there then.
          ost.known.timing(key, times);
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
