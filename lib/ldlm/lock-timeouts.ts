/**
 * How long a client has to give a lock back (guide 08 §4.4): half as long again as it took at worst in the last ten minutes,
 * and never less than ldlm_enqueue_min.
 */
import type { Export } from '../connection/target.ts';
import { defaultTimeouts, Estimator } from '../rpc/adaptive-timeout.ts';
import type { ServerLock } from './server-lock.ts';

/** ldlm_enqueue_min. */
const MINIMUM_MS = 100_000;
/** Nobody can tell yet how often a lock was too late: more than usually. */
const MARGIN = 1.5;

export class LockTimeouts {
  readonly #minimumMs: number;
  readonly #estimates = new WeakMap<Export, Estimator>();

  constructor(minimumMs = MINIMUM_MS) {
    this.#minimumMs = minimumMs;
  }

  /** Milliseconds; before anything was measured the minimum. */
  of(client: Export): number {
    const estimate = this.#estimates.get(client)?.current ?? 0;
    return Math.max(MARGIN * 1000 * estimate, this.#minimumMs);
  }

  /** A lock came back so long after it was asked for. `nowMs` is Runtime.now(). */
  measure(client: Export, elapsedMs: number, nowMs: number): void {
    let estimate = this.#estimates.get(client);
    if (estimate === undefined) {
      estimate = new Estimator(defaultTimeouts, 0, 0);
      this.#estimates.set(client, estimate);
    }
    estimate.measure(elapsedMs / 1000, nowMs);
  }
}

/** Locks under which reads or writes of their holders are at work. */
export class BusyLocks {
  readonly #count = new Map<ServerLock, number>();

  has(lock: ServerLock): boolean {
    return this.#count.has(lock);
  }

  async during<T>(locks: readonly ServerLock[], work: () => Promise<T>): Promise<T> {
    for (const lock of locks) this.#count.set(lock, (this.#count.get(lock) ?? 0) + 1);
    try {
      return await work();
    } finally {
      for (const lock of locks) {
        const left = (this.#count.get(lock) ?? 1) - 1;
        if (left === 0) this.#count.delete(lock);
        else this.#count.set(lock, left);
      }
    }
  }
}
