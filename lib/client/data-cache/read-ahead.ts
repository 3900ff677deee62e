/**
 * Which bytes of an open file will be wanted next: those behind a sequence of reads, or the next ones of a stride. One
 * of these belongs to an open file; ranges are of the file.
 */

/** Bytes read ahead at first; doubled as long as they are used. */
const WINDOW_MIN = 256 << 10;
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

  /** True when a read from `position` goes on where the last one ended, or begins the file. */
  isSequential(position: number): boolean {
    return position === this.#next;
  }

  /** How much to read at once where bytes from `position` on are missing. */
  missing(position: number): number {
    return this.isSequential(position) ? this.#window : 0;
  }

  /** After a read: what to read ahead now. */
  read(position: number, length: number): readonly Ahead[] {
    if (length === 0) return [];
    const sequential = this.isSequential(position);
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
    if (sequential) return this.#inSequence();
    this.#window = WINDOW_MIN;
    this.#asked = this.#next;
    return this.#strides >= STRIDES ? this.#inStrides(position, distance, length) : [];
  }

  #inSequence(): readonly Ahead[] {
    if (this.#sequence < SEQUENCE) return [];
    this.#asked = Math.max(this.#asked, this.#next);
    // Half a window is left: time enough to bring the next.
    if (this.#asked - this.#next > this.#window / 2) return [];
    const start = this.#asked;
    this.#asked = this.#next + this.#window;
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
