/** A set of bytes as sorted ranges `[start, end)` that neither overlap nor touch. Mostly there is one, or none. */

export class RangeSet {
  /** start, end, start, end ... */
  readonly #bounds: number[] = [];

  get isEmpty(): boolean {
    return this.#bounds.length === 0;
  }

  /** Bytes in the set. */
  get size(): number {
    let size = 0;
    for (let i = 0; i < this.#bounds.length; i += 2) size += this.#bounds[i + 1]! - this.#bounds[i]!;
    return size;
  }

  *[Symbol.iterator](): Generator<readonly [number, number]> {
    for (let i = 0; i < this.#bounds.length; i += 2) yield [this.#bounds[i]!, this.#bounds[i + 1]!];
  }

  add(start: number, end: number): void {
    if (start >= end) return;
    const b = this.#bounds;
    // Most additions go on where the last one ended.
    if (b.length > 0 && start >= b[b.length - 2]! && start <= b[b.length - 1]!) {
      if (end > b[b.length - 1]!) b[b.length - 1] = end;
      return;
    }
    let first = 0;
    while (first < b.length && b[first + 1]! < start) first += 2;
    let next = first;
    while (next < b.length && b[next]! <= end) next += 2;
    const from = next > first ? Math.min(start, b[first]!) : start;
    const to = next > first ? Math.max(end, b[next - 1]!) : end;
    b.splice(first, next - first, from, to);
  }

  remove(start: number, end: number): void {
    if (start >= end) return;
    const b = this.#bounds;
    for (let i = 0; i < b.length; ) {
      const [from, to] = [b[i]!, b[i + 1]!];
      if (to <= start || from >= end) {
        i += 2;
        continue;
      }
      const rest = [...(from < start ? [from, start] : []), ...(to > end ? [end, to] : [])];
      b.splice(i, 2, ...rest);
      i += rest.length;
    }
  }

  clear(): void {
    this.#bounds.length = 0;
  }

  /** The end of the range that holds `at`; `at` itself where none does. */
  reach(at: number): number {
    const b = this.#bounds;
    for (let i = 0; i < b.length; i += 2) {
      if (at < b[i]!) return at;
      if (at < b[i + 1]!) return b[i + 1]!;
    }
    return at;
  }

  /** Where the next range at or after `at` begins, or `limit`. */
  nextStart(at: number, limit: number): number {
    const b = this.#bounds;
    for (let i = 0; i < b.length; i += 2) {
      if (b[i + 1]! > at) return Math.min(Math.max(b[i]!, at), limit);
    }
    return limit;
  }

  /** The parts of `[start, end)` that are in the set. */
  *within(start: number, end: number): Generator<readonly [number, number]> {
    for (const [from, to] of this) {
      if (from < end && to > start) yield [Math.max(from, start), Math.min(to, end)];
    }
  }

  /** The parts of `[start, end)` that are not. */
  *gaps(start: number, end: number): Generator<readonly [number, number]> {
    let at = start;
    for (const [from, to] of this.within(start, end)) {
      if (from > at) yield [at, from];
      at = to;
    }
    if (at < end) yield [at, end];
  }
}
