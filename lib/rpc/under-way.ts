/**
 * Things under way, each in a place with a number, which is used again when the thing is over. A Set would do, but not at the rate of
 * RPCs: its table is made anew as members come and go, and a table that is garbage, once it has grown old, keeps the next one
 * and all members of that alive until the next full collection.
 */
export class UnderWay<T> implements Iterable<T> {
  readonly #places: (T | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#places.length - this.#free.length;
  }

  /** Its place: what `remove` takes. */
  add(item: T): number {
    const place = this.#free.pop();
    if (place === undefined) return this.#places.push(item) - 1;
    this.#places[place] = item;
    return place;
  }

  remove(place: number): void {
    if (this.#places[place] === undefined) return;
    this.#places[place] = undefined;
    this.#free.push(place);
  }

  /** Those that are there at the time when each is reached. */
  *[Symbol.iterator](): Iterator<T> {
    for (let place = 0; place < this.#places.length; place++) {
      const item = this.#places[place];
      if (item !== undefined) yield item;
    }
  }
}
