/**
 * Locks that nobody uses, kept for the next user: bounded in number, in age, and by what the server says that it has room
 * for (guide 08 §9). What goes back for the number's sake goes in batches, so that not every enqueue costs a cancel.
 */
import type { Runtime, Timer } from '../runtime/runtime.ts';
import type { ClientLock } from './client-lock.ts';

const CHECK_MS = 10_000;
/** Of the most that may be kept, what goes back at a time. */
const BATCH_SHARE = 1 / 16;
/** Most unused locks where a server tells a volume, and where none does. */
const COUNT_MAX = 100_000;
const FIXED_COUNT = 1600;

export interface LruOptions {
  /** Most unused locks; default 1600, or 100,000 where the server tells how much room it has. */
  readonly maxCount?: number;
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
  readonly #maxCount: number | undefined;
  readonly #maxAgeMs: number;
  readonly #cancel: (lock: ClientLock) => void;
  readonly #volume: () => ServerVolume | undefined;
  /** Least recently used first. */
  readonly #unused = new Set<ClientLock>();
  #timer: Timer | undefined;
  #stopped = false;

  constructor(
    runtime: Runtime,
    options: LruOptions,
    cancel: (lock: ClientLock) => void,
    volume: () => ServerVolume | undefined = () => undefined,
  ) {
    this.#runtime = runtime;
    this.#maxCount = options.maxCount;
    this.#maxAgeMs = options.maxAgeMs ?? 3_900_000;
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

  /** Ends the timer; the locks stay. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #most(): number {
    if (this.#maxCount !== undefined) return this.#maxCount;
    const limit = this.#volume()?.limit ?? 0;
    return limit === 0 ? FIXED_COUNT : Math.min(limit, COUNT_MAX);
  }

  /** The oldest go until so many are left. */
  #keep(count: number): void {
    for (const oldest of this.#unused) {
      if (this.#unused.size <= count) break;
      this.#drop(oldest);
    }
  }

  #drop(lock: ClientLock): void {
    this.#unused.delete(lock);
    this.#cancel(lock);
  }

  #arm(): void {
    if (this.#stopped) return;
    this.#timer ??= this.#runtime.after(Math.min(CHECK_MS, this.#maxAgeMs), () => this.#dropOld());
  }

  #dropOld(): void {
    this.#timer = undefined;
    const now = this.#runtime.now();
    for (const lock of this.#unused) {
      const age = now - lock.lastUsed;
      if (age < this.#maxAgeMs && !this.#isBeyondVolume(age)) break;
      this.#drop(lock);
    }
    if (this.#unused.size > 0) this.#arm();
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
