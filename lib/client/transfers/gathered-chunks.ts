/** Chunks that a stream was given and that wait to be written, in order; they go in pieces, where a chunk may be cut. */

export interface GatheredPiece {
  readonly buffers: readonly Buffer[];
  readonly bytes: number;
  /** Chunks of all pieces so far that have ended with it. */
  readonly chunks: number;
}

/** Places of an array that may be unused before it is made shorter. */
const UNUSED_MAX = 1024;

export class GatheredChunks {
  #chunks: Buffer[] = [];
  /** The place of the first chunk, and its bytes that have gone. */
  #first = 0;
  #gone = 0;
  #bytes = 0;
  #added = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** Chunks that ever were added. */
  get added(): number {
    return this.#added;
  }

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#added++;
  }

  /** The first `most` bytes, and empty chunks behind them. */
  take(most: number): GatheredPiece {
    const buffers: Buffer[] = [];
    let bytes = 0;
    for (; this.#first < this.#chunks.length; this.#first++) {
      const chunk = this.#chunks[this.#first]!;
      const length = Math.min(chunk.length - this.#gone, most - bytes);
      if (length > 0) {
        buffers.push(chunk.subarray(this.#gone, this.#gone + length));
        bytes += length;
        this.#gone += length;
      }
      if (this.#gone < chunk.length) break;
      this.#gone = 0;
    }
    const chunks = this.#added - (this.#chunks.length - this.#first);
    this.#bytes -= bytes;
    if (this.#first > UNUSED_MAX || this.#first === this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#first);
      this.#first = 0;
    }
    return { buffers, bytes, chunks };
  }
}
