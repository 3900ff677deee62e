/**
 * Which bytes of an open file will be wanted next: those behind a sequence of reads, or the next ones of a stride. One
 * of these belongs to an open file; ranges are of the file.
 */

/** Bytes read ahead at first; doubled as long as they are used. */
const WINDOW_MIN = 256 << 10;
/** Of larger reads so many at least. */
const READS_AHEAD = 4;
/** Reads in a row that make a sequence, and equal distances that make a stride. */
const SEQUENCE = 2;
const STRIDES = 3;
/** Pieces of a stride that are read ahead. */
const STRIDE_AHEAD = 8;

export interface Ahead {
  readonly start: number;
  readonly length: number;
}

export class ReadAhead {
  readonly #windowMax: number;
  #last = -1;
  #lastLength = 0;
  #next = 0;
  /** Where the last read that was begun ends: others of a sequence need not wait for it. */
  #begun = 0;
  #sequence = 0;
  #window = WINDOW_MIN;
  /** Up to here bytes have been asked for. */
  #asked = 0;
  #distance = 0;
  #strides = 0;
  #stridesAsked = 0;

  constructor(windowMax: number) {
    this.#windowMax = windowMax;
  }

  /** Begins a read. Gives whether it goes on where another ends, or begins the file. */
  begin(position: number, length: number): boolean {
    const follows = position === this.#begun || position === this.#next;
    this.#begun = position + length;
    return follows;
  }

  /** How much to read at once where bytes are missing that a read of a sequence wants. */
  window(length: number): number {
    return Math.min(Math.max(this.#window, READS_AHEAD * length), this.#windowMax);
  }

  /** After a read that went round the cache: what follows it may not. */
  passed(position: number, length: number): void {
    this.#sequence = position === this.#next ? this.#sequence + 1 : 0;
    this.#strides = 0;
    this.#last = position;
    this.#lastLength = length;
    this.#next = position + length;
    this.#asked = this.#next;
  }

  /** After a read: what to read ahead now. Where a window holds them it ends at a multiple of `unit`, the bytes of the file
   * that fill an RPC to each of its objects. */
  read(position: number, length: number, unit = 1): readonly Ahead[] {
    if (length === 0) return [];
    const sequential = position === this.#next;
    const distance = this.#last < 0 ? 0 : position - this.#last;
    const strided =
      !sequential && distance > length && distance === this.#distance && length === this.#lastLength;
    this.#strides = strided ? this.#strides + 1 : 0;
    if (!strided) this.#stridesAsked = 0;
    this.#sequence = sequential ? this.#sequence + 1 : 0;
    this.#distance = distance;
    this.#last = position;
    this.#lastLength = length;
    this.#next = position + length;
    if (sequential) return this.#inSequence(length, unit);
    this.#window = WINDOW_MIN;
    this.#asked = this.#next;
    return this.#strides >= STRIDES ? this.#inStrides(position, distance, length) : [];
  }

  #inSequence(length: number, unit: number): readonly Ahead[] {
    if (this.#sequence < SEQUENCE) return [];
    this.#window = this.window(length);
    this.#asked = Math.max(this.#asked, this.#next);
    // Half a window is left: time enough to bring the next.
    if (this.#asked - this.#next > this.#window / 2) return [];
    const start = this.#asked;
    // While one half is used the other comes.
    this.#asked = endOfWindow(start, this.#next + this.#window, Math.min(unit, this.#windowMax / 2));
    this.#window = Math.min(this.#window * 2, this.#windowMax);
    return this.#asked > start ? [{ start, length: this.#asked - start }] : [];
  }

  #inStrides(position: number, distance: number, length: number): readonly Ahead[] {
    const from = Math.max(position, this.#stridesAsked);
    const ahead: Ahead[] = [];
    for (let i = 1; i <= STRIDE_AHEAD; i++) {
      const start = position + i * distance;
      if (start > from) ahead.push({ start, length });
    }
    // Half of what was asked for is left: not yet.
    if (ahead.length < STRIDE_AHEAD / 2) return [];
    this.#stridesAsked = position + STRIDE_AHEAD * distance;
    return ahead;
  }
}

/** Where a window from `start` to `end` should end: where an RPC does, or what follows would begin with the rest of one. */
export function endOfWindow(start: number, end: number, unit: number): number {
  const whole = end - (end % unit);
  return whole > start ? whole : end;
}
