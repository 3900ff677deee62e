/**
 * Objects that an RPC needs and that are over: they rest, last in first out, until the next one begins, for an RPC to make none. As many
 * as were in use at once, up to a bound.
 */
export class Resting<T> {
  readonly #items: T[] = [];
  readonly #make: () => T;
  readonly #max: number;

  constructor(make: () => T, max = 256) {
    this.#make = make;
    this.#max = max;
  }

  take(): T {
    return this.#items.pop() ?? this.#make();
  }

  /** Only what nobody else has. */
  give(item: T): void {
    if (this.#items.length < this.#max) this.#items.push(item);
  }
}
