/** What was written to one table and lies over what is below it: by key, and in order for those who want a range. */

/** Keys that are not sorted yet, up to which a range looks at each of them. */
const UNSORTED_MAX = 64;

/** null is a removal. */
export type Written = readonly [key: string, value: Uint8Array | null];

export const byKey = ([a]: Written, [b]: Written): number => (a < b ? -1 : a > b ? 1 : 0);

/** Keys are latin1 strings of their bytes, whose order is the order of the bytes. */
export class WrittenEntries {
  readonly #values = new Map<string, Uint8Array | null>();
  #sorted: string[] = [];
  #unsorted: string[] = [];

  has(key: string): boolean {
    return this.#values.has(key);
  }

  get(key: string): Uint8Array | null | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: Uint8Array | null): void {
    const before = this.#values.size;
    this.#values.set(key, value);
    if (this.#values.size > before) this.#unsorted.push(key);
  }

  /** In order. */
  between(start: string, end: string): Written[] {
    if (this.#unsorted.length > UNSORTED_MAX) this.#sort();
    const sorted = this.#sorted;
    const found: Written[] = [];
    for (let i = firstNotBelow(sorted, start); i < sorted.length && sorted[i]! < end; i++)
      found.push([sorted[i]!, this.#values.get(sorted[i]!) ?? null]);
    const inOrder = found.length;
    for (const key of this.#unsorted)
      if (key >= start && key < end) found.push([key, this.#values.get(key) ?? null]);
    return found.length > inOrder ? found.sort(byKey) : found;
  }

  /** Few new keys among many old ones, so nearly sorted, which costs little. */
  #sort(): void {
    this.#sorted = [...this.#sorted, ...this.#unsorted].sort();
    this.#unsorted = [];
  }
}

/** Where a key stands among sorted ones, or would. */
export function firstNotBelow(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
