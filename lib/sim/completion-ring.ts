/** An endpoint's completion ring: events reach JavaScript in batches, in order, never inside the call that caused them. */
import type { SeededRandom } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';

export class CompletionRing {
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #guard: (deliver: () => void) => void;
  readonly #items: (() => void)[] = [];
  #draining = false;
  #dead = false;
  wakeups = 0;

  constructor(time: VirtualTime, random: SeededRandom, guard: (deliver: () => void) => void) {
    this.#time = time;
    this.#random = random;
    this.#guard = guard;
  }

  push(deliver: () => void): void {
    if (this.#dead) return;
    this.#items.push(deliver);
    if (this.#draining) return;
    this.#draining = true;
    this.#time.after(this.#random.between(0, 0.01), () => this.#drain());
  }

  /** Nothing is delivered any more. */
  kill(): void {
    this.#dead = true;
    this.#items.length = 0;
  }

  #drain(): void {
    this.#draining = false;
    this.wakeups++;
    for (const deliver of this.#items.splice(0)) {
      if (this.#dead) return;
      this.#guard(deliver);
    }
  }
}
