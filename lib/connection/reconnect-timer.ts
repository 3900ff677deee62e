/** When an import that has lost its server tries again (guide 05 §3). */
import type { Runtime, Timer } from '../runtime/runtime.ts';

const RETRY_MAX_MS = 5000;

export class ReconnectTimer {
  readonly #runtime: Runtime;
  readonly #fire: () => void;
  #timer: Timer | undefined;
  /** Rounds through all NIDs that have failed, one after the other. */
  #failedRounds = 0;

  constructor(runtime: Runtime, fire: () => void) {
    this.#runtime = runtime;
    this.#fire = fire;
  }

  after(ms: number): void {
    this.cancel();
    this.#timer = this.#runtime.after(ms, this.#fire);
  }

  /** All NIDs have failed: later each time. */
  afterRound(): void {
    const delay = Math.min(1000 * 2 ** this.#failedRounds, RETRY_MAX_MS);
    this.#failedRounds = Math.min(this.#failedRounds + 1, 8);
    // Spread, so that the clients of a restarted server do not all come at once.
    this.after(delay * (1 + this.#runtime.random(1)[0]! / 1024));
  }

  connected(): void {
    this.#failedRounds = 0;
  }

  cancel(): void {
    this.#timer?.cancel();
  }
}
