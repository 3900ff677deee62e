/** What a fill brings to which blocks, and what of it counts. */
import type { Segment } from '../../lnet/network.ts';
import { BLOCK_SIZE, type Block, blockCapacity } from './cache-memory.ts';

/** What a fill brings for one block. */
export interface FillPiece {
  readonly index: number;
  readonly from: number;
  readonly to: number;
  /** What was missing when it began. */
  readonly gaps: readonly (readonly [number, number])[];
  readonly capacity: number;
}

/** The pieces of `[start, end)` of an object. */
export function planFill(start: number, end: number, blocks: ReadonlyMap<number, Block>): FillPiece[] {
  const pieces: FillPiece[] = [];
  for (let at = start; at < end; ) {
    const index = Math.floor(at / BLOCK_SIZE);
    const from = at - index * BLOCK_SIZE;
    const to = Math.min(end - index * BLOCK_SIZE, BLOCK_SIZE);
    // What is valid now stays as it is: it may be newer than what comes, even if it is forgotten by then.
    const gaps = [...(blocks.get(index)?.valid.gaps(from, to) ?? [[from, to] as const])];
    pieces.push({ index, from, to, gaps, capacity: blockCapacity(to) });
    at = index * BLOCK_SIZE + to;
  }
  return pieces;
}

/** What lies behind the bytes that came reads as zeroes. */
export function zeroFrom(segments: readonly Segment[], count: number, length: number): void {
  let at = 0;
  for (const segment of segments) {
    const from = Math.max(count - at, 0);
    if (from < segment.length && at < length)
      segment.memory.bytes.fill(0, segment.offset + from, segment.offset + segment.length);
    at += segment.length;
  }
}
