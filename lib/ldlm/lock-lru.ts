/** Locks that nobody uses, kept for the next user: bounded in number and in age (guide 08 §9). */
import type { Runtime, Timer } from '../runtime/runtime.ts';
import type { ClientLock } from './client-lock.ts';

const CHECK_MS = 60_000;

export interface LruOptions {
  /** Most unused locks; default 1600. */
  readonly maxCount?: number;
  /** Longest time unused, milliseconds; default 3900 s (ns_max_age). */
  readonly maxAgeMs?: number;
}

export class LockLru {
  readonly #runtime: Runtime;
  readonly #maxCount: number;
  readonly #maxAgeMs: number;
  readonly #cancel: (lock: ClientLock) => void;
  /** Least recently used first. */
  readonly #unused = new Set<ClientLock>();
  #timer: Timer | undefined;

  constructor(runtime: Runtime, options: LruOptions, cancel: (lock: ClientLock) => void) {
    this.#runtime = runtime;
    this.#maxCount = options.maxCount ?? 1600;
    this.#maxAgeMs = options.maxAgeMs ?? 3_900_000;
    this.#cancel = cancel;
  }

  get size(): number {
    return this.#unused.size;
  }

  add(lock: ClientLock): void {
    lock.lastUsed = this.#runtime.now();
    this.#unused.delete(lock);
    this.#unused.add(lock);
    for (const oldest of this.#unused) {
      if (this.#unused.size <= this.#maxCount) break;
      this.#drop(oldest);
    }
    this.#timer ??= this.#runtime.after(Math.min(CHECK_MS, this.#maxAgeMs), () => this.#dropOld());
  }

  remove(lock: ClientLock): void {
    this.#unused.delete(lock);
  }

  /** Ends the timer; the locks stay. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #drop(lock: ClientLock): void {
    this.#unused.delete(lock);
    this.#cancel(lock);
  }

  #dropOld(): void {
    this.#timer = undefined;
    const limit = this.#runtime.now() - this.#maxAgeMs;
    for (const lock of this.#unused) {
      if (lock.lastUsed > limit) break;
      this.#drop(lock);
    }
    if (this.#unused.size > 0)
      this.#timer = this.#runtime.after(Math.min(CHECK_MS, this.#maxAgeMs), () => this.#dropOld());
  }
}
