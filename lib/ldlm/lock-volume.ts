/**
 * How many locks clients may keep (guide 08 §9): the server lock volume that replies tell them, which falls while they take
 * locks faster than the server has room for, and the most that all and each of them may have.
 */
import type { Runtime } from '../runtime/runtime.ts';

/** The volume is recalculated once in this time, and grows or falls with what of the step's grant plan was used. */
const STEP_MS = 1000;
/** Of the room that is left, a step's plan. */
const PLAN_SHARE = 0.01;
/** A client that keeps one lock may keep it for so long, seconds, while there is room. */
const AGE_MAX_S = 36_000;
/** Steps that are made up for when nobody asked meanwhile; by then the volume is at its end. */
const STEPS_MAX = 2000;

export interface LockVolume {
  /** pb_slv: locks times seconds. */
  readonly slv: bigint;
  /** pb_limit: locks. */
  readonly limit: number;
}

export class LockPool {
  readonly limit: number;
  readonly #runtime: Runtime;
  readonly #locks: () => number;
  #volume: number;
  #plan: number;
  #steppedAt: number;
  #told: LockVolume | undefined;

  /** `locks`: how many there are now. */
  constructor(runtime: Runtime, limit: number, locks: () => number) {
    this.#runtime = runtime;
    this.limit = limit;
    this.#locks = locks;
    this.#volume = limit * AGE_MAX_S;
    this.#plan = this.#nextPlan();
    this.#steppedAt = runtime.now();
  }

  get volume(): LockVolume {
    const steps = Math.floor((this.#runtime.now() - this.#steppedAt) / STEP_MS);
    if (steps > 0 || this.#told === undefined) {
      this.#steppedAt += steps * STEP_MS;
      for (let i = 0; i < Math.min(steps, STEPS_MAX); i++) this.#step();
      this.#told = { slv: BigInt(Math.round(this.#volume)), limit: this.limit };
    }
    return this.#told;
  }

  #nextPlan(): number {
    const locks = this.#locks();
    return locks + (this.limit - locks) * PLAN_SHARE;
  }

  #step(): void {
    const { limit } = this;
    const unused = Math.max(limit + this.#plan - this.#locks(), 1);
    this.#volume = Math.min(Math.max((this.#volume * unused) / limit, 1), limit * AGE_MAX_S);
    this.#plan = this.#nextPlan();
  }
}
