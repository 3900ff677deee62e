/** The caller's buffers as one run of bytes, and the pieces of it that an object has. */
import type { ObjectRun } from '../../layout/raid0.ts';
import type { FileSegment } from '../../lnet/network.ts';
import { BLOCK_SIZE } from '../data-cache/cache-memory.ts';

/** Where bytes of a file come from or go to: a program's buffers, or a local file. */
export type OtherEnd = readonly Uint8Array[] | FileSegment;

/** Fills the first `count` bytes with zeroes. */
export function zero(buffers: readonly Uint8Array[], count: number): void {
  let left = count;
  for (const buffer of buffers) {
    buffer.fill(0, 0, Math.min(left, buffer.length));
    left -= Math.min(left, buffer.length);
  }
}

export function totalLength(other: OtherEnd): number {
  if ('file' in other) return other.length;
  return other.length === 1 ? other[0]!.length : other.reduce((sum, bytes) => sum + bytes.length, 0);
}

/** Puts bytes of an object, from `at` on, where the caller wants them. */
export function scatter(run: ObjectRun, at: number, bytes: Uint8Array, buffers: readonly Uint8Array[]): void {
  for (const piece of run.pieces) {
    const from = Math.max(at, piece.objectOffset);
    const to = Math.min(at + bytes.length, piece.objectOffset + piece.length);
    if (from >= to) continue;
    const target = piece.rangeOffset + from - piece.objectOffset;
    for (const chunk of chunks(buffers, target, to - from, from))
      chunk.bytes.set(bytes.subarray(chunk.at - at, chunk.at - at + chunk.bytes.length));
  }
}

/** `length` bytes of the buffers' concatenation from `offset` on, cut where buffers and blocks end; the first of them is
 * byte `at` of the object. */
export function* chunks(
  buffers: readonly Uint8Array[],
  offset: number,
  length: number,
  at: number,
): Generator<{ readonly at: number; readonly bytes: Uint8Array }> {
  let start = 0;
  for (const buffer of buffers) {
    for (;;) {
      const from = Math.max(offset - start, 0);
      const room = BLOCK_SIZE - (at % BLOCK_SIZE);
      const take = Math.min(buffer.length - from, length, room);
      if (length === 0) return;
      if (take <= 0) break;
      yield { at, bytes: buffer.subarray(from, from + take) };
      offset += take;
      at += take;
      length -= take;
    }
    start += buffer.length;
  }
}
