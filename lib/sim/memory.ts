/** Memory and segments of the virtual network: plain byte arrays, with the same checks that pinned memory gets. */
import type { Memory, Segment } from '../lnet/network.ts';
import { LustreError } from '../runtime/errors.ts';

/** Most pieces one payload may have (guide 01 §5). */
const SEGMENTS_MAX = 256;
/** LNET_MTU: most bytes of one PUT or GET. */
export const LNET_MTU = 1 << 20;

export class SimMemory implements Memory {
  readonly bytes: Uint8Array;
  #released = false;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get released(): boolean {
    return this.#released;
  }

  release(): void {
    this.#released = true;
  }
}

/** The total length of segments that are in order. Throws EINVAL for those that are not. */
export function checkSegments(
  what: string,
  segments: readonly Segment[],
  limit = Number.POSITIVE_INFINITY,
): number {
  if (segments.length > SEGMENTS_MAX)
    throw badSegments(`${what} has ${segments.length} pieces, the most is ${SEGMENTS_MAX}`);
  let total = 0;
  for (const { memory, offset, length } of segments) {
    if (!(memory instanceof SimMemory)) throw badSegments(`${what} names memory of another network`);
    if (memory.released) throw badSegments(`${what} names memory that was released`);
    const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
    if (!whole || offset < 0 || length < 0 || offset + length > memory.bytes.length)
      throw badSegments(`${what}: [${offset}, +${length}) is outside its ${memory.bytes.length} bytes`);
    total += length;
  }
  if (total > limit) throw badSegments(`${what} is ${total} bytes, the most is ${limit}`);
  return total;
}

/** A copy of the segments as one run of bytes. */
export function gather(
  segments: readonly Segment[],
  from = 0,
  length = Number.POSITIVE_INFINITY,
): Uint8Array {
  const views = slices(segments, from, length);
  const out = new Uint8Array(views.reduce((sum, view) => sum + view.length, 0));
  let at = 0;
  for (const view of views) {
    out.set(view, at);
    at += view.length;
  }
  return out;
}

/** Writes `bytes` into the segments from their byte `from` on. */
export function scatter(segments: readonly Segment[], from: number, bytes: Uint8Array): void {
  let at = 0;
  for (const view of slices(segments, from, bytes.length)) {
    view.set(bytes.subarray(at, at + view.length));
    at += view.length;
  }
}

/** Views of [from, from + length) of the segments' concatenation. */
function slices(segments: readonly Segment[], from: number, length: number): Uint8Array[] {
  const views: Uint8Array[] = [];
  let skip = from;
  let left = length;
  for (const { memory, offset, length: size } of segments) {
    const start = Math.min(skip, size);
    const take = Math.min(size - start, left);
    if (take > 0) views.push(memory.bytes.subarray(offset + start, offset + start + take));
    skip -= start;
    left -= take;
  }
  return views;
}

function badSegments(message: string): LustreError {
  return new LustreError('EINVAL', message, {}, -22);
}
