/**
 * Adaptive timeouts (guide 04 §8): an estimate of service time that remembers the worst of the last ten minutes,
 * and the time that a request is given because of it. Seconds, whole numbers, as they go over the wire.
 */

/** The tunables, under the reference's names; all in seconds. */
export interface TimeoutSettings {
  readonly obdTimeout: number;
  readonly atMin: number;
  readonly atMax: number;
  readonly atHistory: number;
  /** What an early reply adds at least. */
  readonly atExtra: number;
  /** How long before the deadline an early reply is sent. */
  readonly atEarlyMargin: number;
  /** Longest wait of a server for bulk. */
  readonly bulkTimeout: number;
  /** First estimates, before anything was measured. */
  readonly initialClientEstimate: number;
  readonly initialServerEstimate: number;
}

export const defaultTimeouts: TimeoutSettings = {
  obdTimeout: 100,
  atMin: 5,
  atMax: 600,
  atHistory: 600,
  atExtra: 30,
  atEarlyMargin: 5,
  bulkTimeout: 100,
  initialClientEstimate: 5,
  initialServerEstimate: 10,
};

const BINS = 4;

/** The largest value measured within the history, kept in four bins. */
export class Estimator {
  /** Read each time: they may change. */
  readonly #settings: TimeoutSettings;
  readonly #min: number | undefined;
  readonly #bins = new Array<number>(BINS).fill(0);
  #current: number;
  #binStart: number | undefined;

  /** `min`: default atMin. */
  constructor(settings: TimeoutSettings, initial: number, min?: number) {
    this.#settings = settings;
    this.#min = min;
    this.#current = initial;
  }

  /** Seconds. */
  get current(): number {
    const { atMin, atMax } = this.#settings;
    return Math.min(Math.max(this.#current, this.#min ?? atMin), atMax);
  }

  /** Takes in one measurement (seconds, rounded up; zero says nothing). `nowMs` is Runtime.now(). */
  measure(seconds: number, nowMs: number): void {
    const value = Math.min(Math.ceil(seconds), this.#settings.atMax);
    if (value <= 0) return;
    if (this.#binStart === undefined) {
      this.#binStart = nowMs;
      this.#bins[0] = value;
      this.#current = value;
      return;
    }
    const binMs = (this.#settings.atHistory * 1000) / BINS;
    const shift = Math.floor((nowMs - this.#binStart) / binMs);
    if (shift > 0) {
      for (let i = BINS - 1; i >= 0; i--) this.#bins[i] = i >= shift ? this.#bins[i - shift]! : 0;
      this.#binStart += shift * binMs;
    }
    this.#bins[0] = Math.max(this.#bins[0]!, value);
    this.#current = Math.max(...this.#bins);
  }
}

/** pb_timeout of a request for an estimate: 1.25 times it and five seconds. */
export function requestTimeout(estimate: number): number {
  return estimate + Math.floor(estimate / 4) + 5;
}

/** Milliseconds of silence after which a server gives a client up (guide 04 §11). */
export function silenceLimitMs(settings: TimeoutSettings, estimate: number, latency: number): number {
  const pingInterval = settings.obdTimeout / 4;
  return 1062.5 * (2 * pingInterval + 1.25 * estimate + 5 + 2 * latency + 5);
}
