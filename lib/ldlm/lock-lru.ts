/**
 * Locks that nobody uses, kept for the next user: bounded in number, in age, and by what the server says that it has room
 * for (guide 08 §9). What has to go goes with the next enqueues; what does not go that way, or finds none, in batches of
 * its own.
 */
import type { Runtime, Timer } from '../runtime/runtime.ts';
import type { ClientLock } from './client-lock.ts';

const CHECK_MS = 10_000;
/** Of the most that may be kept, what goes back at a time; so many before that end locks begin to go with enqueues. */
const BATCH_SHARE = 1 / 16;
/** Locks that an enqueue passes over for having work to do before they go. */
const PASSED_MAX = 32;
/** Most unused locks where a server tells a volume, and where none does. */
const COUNT_MAX = 150_000;
const FIXED_COUNT = 1600;
/** ns_max_age. */
const AGE_MAX_MS = 3_900_000;

/** Read each time: they may change. */
export interface LruOptions {
  /** Most unused locks; default 1600, or 150,000 where the server tells how much room it has. */
  readonly maxCount?: number | undefined;
  /** Longest time unused, milliseconds; default 3900 s (ns_max_age). */
  readonly maxAgeMs?: number;
}

/** What the server last said: locks times seconds, and locks; a limit of 0 for nothing. */
export interface ServerVolume {
  readonly slv: bigint;
  readonly limit: number;
}

export class LockLru {
  readonly #runtime: Runtime;
  readonly #options: LruOptions;
  readonly #cancel: (locks: readonly ClientLock[]) => void;
  readonly #volume: () => ServerVolume | undefined;
  /** Least recently used first. */
  readonly #unused = new Set<ClientLock>();
  #timer: Timer | undefined;
  #stopped = false;

  constructor(
    runtime: Runtime,
    options: LruOptions,
    cancel: (locks: readonly ClientLock[]) => void,
    volume: () => ServerVolume | undefined = () => undefined,
  ) {
    this.#runtime = runtime;
    this.#options = options;
    this.#cancel = cancel;
    this.#volume = volume;
  }

  get size(): number {
    return this.#unused.size;
  }

  add(lock: ClientLock): void {
    lock.lastUsed = this.#runtime.now();
    this.#unused.delete(lock);
    this.#unused.add(lock);
    const most = this.#most();
    if (this.#unused.size > most) this.#keep(Math.min(most, this.#unused.size - batchOf(most)));
    this.#arm();
  }

  remove(lock: ClientLock): void {
    this.#unused.delete(lock);
  }

  /**
   * The oldest that have to go, or soon will, and go without further ado as `mayGo` says: no more than `most`. They are
   * here no longer.
   */
  take(most: () => number, mayGo: (lock: ClientLock) => boolean): ClientLock[] {
    const taken: ClientLock[] = [];
    const limit = this.#most();
    const now = this.#runtime.now();
    let excess = this.#unused.size - (limit - batchOf(limit));
    let passed = 0;
    let room: number | undefined;
    for (const lock of this.#unused) {
      if (excess <= 0 && !this.#isOverdue(lock, now)) break;
      room ??= most();
      if (taken.length >= room || passed === PASSED_MAX) break;
      if (!mayGo(lock)) {
        passed++;
        continue;
      }
      this.#unused.delete(lock);
      taken.push(lock);
      excess--;
    }
    return taken;
  }

  /** Ends the timer; the locks stay. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #maxAgeMs(): number {
    return this.#options.maxAgeMs ?? AGE_MAX_MS;
  }

  #most(): number {
    if (this.#options.maxCount !== undefined) return this.#options.maxCount;
    const limit = this.#volume()?.limit ?? 0;
    return limit === 0 ? FIXED_COUNT : Math.min(limit, COUNT_MAX);
  }

  /** The oldest go until so many are left. */
  #keep(count: number): void {
    this.#dropWhile(() => this.#unused.size > count);
  }

  /** Gives back, together, the oldest as long as they have to go. */
  #dropWhile(hasToGo: (oldest: ClientLock) => boolean): void {
    const dropped: ClientLock[] = [];
    for (const lock of this.#unused) {
      if (!hasToGo(lock)) break;
      this.#unused.delete(lock);
      dropped.push(lock);
    }
    if (dropped.length > 0) this.#cancel(dropped);
  }

  #arm(): void {
    if (this.#stopped) return;
    this.#timer ??= this.#runtime.after(Math.min(CHECK_MS, this.#maxAgeMs()), () => this.#dropOld());
  }

  #dropOld(): void {
    this.#timer = undefined;
    const now = this.#runtime.now();
    this.#dropWhile((lock) => this.#isOverdue(lock, now));
    if (this.#unused.size > 0) this.#arm();
  }

  #isOverdue(lock: ClientLock, now: number): boolean {
    const age = now - lock.lastUsed;
    return age >= this.#maxAgeMs() || this.#isBeyondVolume(age);
  }

  /** The client's own volume, unused locks times the age of the oldest, against the server's. */
  #isBeyondVolume(ageMs: number): boolean {
    const volume = this.#volume();
    if (volume === undefined || volume.limit === 0) return false;
    return (ageMs / 1000) * this.#unused.size >= Number(volume.slv);
  }
}

function batchOf(most: number): number {
  return Math.max(1, Math.floor(most * BATCH_SHARE));
}
