/** When an import that is FULL pings (guide 05 §10) and when it has been idle for long enough to disconnect (§9). */
import type { Runtime, Timer } from '../runtime/runtime.ts';

/** While the server has not committed all that it answered, its last_committed is asked for this often. */
const COMMIT_PING_MS = 7000;

export interface KeepAliveOptions {
  readonly runtime: Runtime;
  readonly pingIntervalMs: number;
  readonly idleTimeoutMs: number | undefined;
  /** Calls under way. */
  readonly calls: () => number;
  readonly mayIdle: (() => boolean) | undefined;
  readonly ping: () => void;
  readonly idle: () => void;
}

export class KeepAlive {
  readonly #options: KeepAliveOptions;
  readonly #runtime: Runtime;
  #running = false;
  #uncommitted = false;
  #lastSentAt = 0;
  #lastWorkAt = 0;
  #pingTimer: Timer | undefined;
  #idleTimer: Timer | undefined;

  constructor(options: KeepAliveOptions) {
    this.#options = options;
    this.#runtime = options.runtime;
  }

  start(): void {
    this.#running = true;
    this.#lastWorkAt = this.#runtime.now();
    this.#armPing();
    this.#armIdle();
  }

  stop(): void {
    this.#running = false;
    this.#pingTimer?.cancel();
    this.#idleTimer?.cancel();
  }

  /** Any request counts as a ping. */
  sent(): void {
    this.#lastSentAt = this.#runtime.now();
  }

  /** A call other than a ping has ended. */
  worked(): void {
    this.#lastWorkAt = this.#runtime.now();
  }

  /** Whether there are answered requests that the server may still lose. */
  uncommitted(are: boolean): void {
    if (are === this.#uncommitted) return;
    this.#uncommitted = are;
    if (this.#running) this.#armPing();
  }

  #armPing(): void {
    const { pingIntervalMs, ping } = this.#options;
    const interval = this.#uncommitted ? Math.min(COMMIT_PING_MS, pingIntervalMs) : pingIntervalMs;
    this.#pingTimer?.cancel();
    const due = Math.max(this.#lastSentAt + interval - this.#runtime.now(), 1);
    this.#pingTimer = this.#runtime.after(due, () => {
      if (!this.#running) return;
      if (this.#runtime.now() - this.#lastSentAt >= interval - 1) ping();
      this.#armPing();
    });
  }

  #armIdle(): void {
    const { idleTimeoutMs, mayIdle, calls, idle } = this.#options;
    this.#idleTimer?.cancel();
    if (idleTimeoutMs === undefined) return;
    const due = Math.max(this.#lastWorkAt + idleTimeoutMs - this.#runtime.now(), 1);
    this.#idleTimer = this.#runtime.after(due, () => {
      if (!this.#running) return;
      const quiet = this.#runtime.now() - this.#lastWorkAt >= idleTimeoutMs - 1;
      if (quiet && calls() === 0 && mayIdle?.() !== false) {
        idle();
        return;
      }
      if (quiet) this.worked();
      this.#armIdle();
    });
  }
}
