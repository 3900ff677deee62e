/** The virtual clock and everything that waits for it: a heap of timers, fired one at a time in the order of their times. */
import type { Timer } from '../runtime/runtime.ts';

interface Entry extends Timer {
  readonly at: number;
  /** Among equal times, first set is first fired. */
  readonly order: number;
  fire: (() => void) | undefined;
}

export class VirtualTime {
  #now = 0;
  #order = 0;
  #cancelled = 0;
  readonly #heap: Entry[] = [];

  /** Virtual milliseconds since the start, with fractions. */
  get now(): number {
    return this.#now;
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#heap.length - this.#cancelled;
  }

  /** When the next timer fires, or undefined when none waits. */
  get nextAt(): number | undefined {
    this.#dropCancelled();
    return this.#heap[0]?.at;
  }

  after(ms: number, fire: () => void): Timer {
    return this.at(this.#now + Math.max(0, ms), fire);
  }

  at(time: number, fire: () => void): Timer {
    const entry: Entry = {
      at: Math.max(time, this.#now),
      order: this.#order++,
      fire,
      cancel: () => {
        if (entry.fire === undefined) return;
        entry.fire = undefined;
        this.#cancelled++;
      },
    };
    this.#push(entry);
    return entry;
  }

  /** Advances to the next timer and fires it. False when none waits. */
  step(): boolean {
    this.#dropCancelled();
    const entry = this.#pop();
    if (entry === undefined) return false;
    this.#now = entry.at;
    const fire = entry.fire;
    entry.fire = undefined;
    fire?.();
    return true;
  }

  /** Moves the clock without firing; never past the next timer. */
  advanceTo(time: number): void {
    this.#now = Math.max(this.#now, Math.min(time, this.nextAt ?? time));
  }

  #dropCancelled(): void {
    while (this.#heap.length > 0 && this.#heap[0]!.fire === undefined) {
      this.#pop();
      this.#cancelled--;
    }
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(entry, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
