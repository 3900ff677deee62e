/** Bytes that may be in use at once; who wants more waits, in order. */
export class ByteBudget {
  readonly #limit: number;
  #used = 0;
  readonly #waiting: { readonly bytes: number; readonly begin: () => void }[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Takes them if they are there and nobody waits. */
  tryTake(bytes: number): boolean {
    if (this.#waiting.length > 0 || !this.#has(bytes)) return false;
    this.#used += bytes;
    return true;
  }

  /** Gives back what was taken. */
  give(bytes: number): void {
    this.#used -= bytes;
    for (let next = this.#waiting[0]; next !== undefined && this.#has(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#used += next.bytes;
      next.begin();
    }
  }

  /** Runs `work` when they are there. More than there are at all go alone. */
  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    if (!this.tryTake(bytes)) await new Promise<void>((begin) => this.#waiting.push({ bytes, begin }));
    try {
      return await work();
    } finally {
      this.give(bytes);
    }
  }

  #has(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#limit;
  }
}
