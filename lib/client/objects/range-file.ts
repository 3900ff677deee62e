/** A range of a local file as one run of bytes for the network, as RangeMemory is of memory. */
import { zeroFile } from '../../lnet/native-storage.ts';
import type { FileSegment } from '../../lnet/network.ts';
import type { RangeBytes } from './direct-io.ts';

export class RangeFile implements RangeBytes {
  readonly #range: FileSegment;

  constructor(range: FileSegment) {
    this.#range = range;
  }

  segments(offset: number, length: number): FileSegment[] {
    return [this.#segment(offset, length)];
  }

  zero(offset: number, length: number): Promise<void> {
    return zeroFile(this.#segment(offset, length));
  }

  #segment(offset: number, length: number): FileSegment {
    return { file: this.#range.file, offset: this.#range.offset + offset, length };
  }
}
