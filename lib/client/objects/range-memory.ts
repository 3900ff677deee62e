/** The caller's buffers as one run of bytes for the network: pinned, and cut into segments wherever stripes end. */
import type { Endpoint, Memory, Segment } from '../../lnet/network.ts';
import type { RangeBytes } from './direct-io.ts';

export class RangeMemory implements RangeBytes {
  readonly length: number;
  readonly #parts: { readonly memory: Memory; readonly start: number }[] = [];

  /** Pins the buffers; `release` must follow. */
  constructor(endpoint: Endpoint, buffers: readonly Uint8Array[]) {
    let start = 0;
    for (const bytes of buffers) {
      if (bytes.length === 0) continue;
      this.#parts.push({ memory: endpoint.pin(bytes), start });
      start += bytes.length;
    }
    this.length = start;
  }

  /** Segments for `[offset, offset + length)` of the run. */
  segments(offset: number, length: number): Segment[] {
    const found: Segment[] = [];
    for (const { memory, start } of this.#parts) {
      const from = Math.max(offset, start);
      const to = Math.min(offset + length, start + memory.bytes.length);
      if (from < to) found.push({ memory, offset: from - start, length: to - from });
    }
    return found;
  }

  /** Writes zeroes: what a hole reads as. */
  zero(offset: number, length: number): void {
    for (const segment of this.segments(offset, length))
      segment.memory.bytes.fill(0, segment.offset, segment.offset + segment.length);
  }

  release(): void {
    for (const { memory } of this.#parts) memory.release();
  }
}
