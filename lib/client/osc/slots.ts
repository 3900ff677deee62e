/** Limits how many RPCs are under way; waiters go in order. */

export class Slots {
  #count: number;
  /** Negative while more are in use than there should be. */
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#count = count;
    this.#free = count;
  }

  get count(): number {
    return this.#count;
  }

  get inUse(): number {
    return this.#count - this.#free;
  }

  /** Runs `work` when a slot is free. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      this.#free++;
      this.#handOn();
    }
  }

  resize(count: number): void {
    this.#free += count - this.#count;
    this.#count = count;
    this.#handOn();
  }

  #handOn(): void {
    while (this.#free > 0) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#free--;
      next();
    }
  }
}
