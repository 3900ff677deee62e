/**
 * RAID0 arithmetic (guide 13 §3): file offsets to stripes and object offsets and back, file size from object sizes,
 * and the cut of a range into runs per object. Offsets are absolute file offsets in numbers up to 2^53.
 */

export interface StripeGeometry {
  /** Bytes on one object before the next. */
  readonly stripeSize: number;
  /** Objects. */
  readonly stripeCount: number;
}

export interface ObjectPosition {
  readonly stripe: number;
  readonly offset: number;
}

/** A part of a file range that lies in one piece in one object. */
export interface StripePiece {
  readonly stripe: number;
  readonly objectOffset: number;
  /** Where it begins in the range. */
  readonly rangeOffset: number;
  readonly length: number;
}

/** What one object holds of a file range: contiguous in the object, made of `pieces` of the range. */
export interface ObjectRun {
  readonly stripe: number;
  readonly objectOffset: number;
  readonly length: number;
  readonly pieces: readonly StripePiece[];
}

/** Which stripe holds the byte at file offset `x`, and where. */
export function toObject({ stripeSize, stripeCount }: StripeGeometry, x: number): ObjectPosition {
  const width = stripeSize * stripeCount;
  const inRow = x % width;
  return {
    stripe: Math.floor(inRow / stripeSize),
    offset: Math.floor(x / width) * stripeSize + (inRow % stripeSize),
  };
}

/** The file offset of the byte at `offset` of an object. */
export function toFile({ stripeSize, stripeCount }: StripeGeometry, stripe: number, offset: number): number {
  return (
    Math.floor(offset / stripeSize) * stripeSize * stripeCount + stripe * stripeSize + (offset % stripeSize)
  );
}

/** The file size that an object of `objectSize` bytes shows: one past its last byte; 0 for an empty object. */
export function fileSizeOfObject(geometry: StripeGeometry, stripe: number, objectSize: number): number {
  return objectSize === 0 ? 0 : toFile(geometry, stripe, objectSize - 1) + 1;
}

/** The size of a file whose objects have these sizes, in stripe order. */
export function fileSize(geometry: StripeGeometry, objectSizes: readonly number[]): number {
  return objectSizes.reduce((size, objectSize, stripe) => {
    return Math.max(size, fileSizeOfObject(geometry, stripe, objectSize));
  }, 0);
}

/** The size of object `stripe` in a file without holes of `size` bytes: where a truncation cuts it. */
export function objectSizeAt(geometry: StripeGeometry, stripe: number, size: number): number {
  const { stripeSize, stripeCount } = geometry;
  const width = stripeSize * stripeCount;
  const rows = Math.floor(size / width);
  const inLastRow = (size % width) - stripe * stripeSize;
  return rows * stripeSize + Math.min(Math.max(inLastRow, 0), stripeSize);
}

/** Cuts `[offset, offset + length)` at stripe boundaries, in file order. */
export function* pieces(geometry: StripeGeometry, offset: number, length: number): Generator<StripePiece> {
  for (let done = 0; done < length; ) {
    const { stripe, offset: objectOffset } = toObject(geometry, offset + done);
    const room = geometry.stripeSize - (objectOffset % geometry.stripeSize);
    const take = Math.min(room, length - done);
    yield { stripe, objectOffset, rangeOffset: done, length: take };
    done += take;
  }
}

/** What each object holds of `[offset, offset + length)`; objects that hold nothing are left out. A file range is one
 * contiguous range in every object that it touches. */
export function objectRuns(geometry: StripeGeometry, offset: number, length: number): ObjectRun[] {
  const runs: (ObjectRun & { length: number; readonly pieces: StripePiece[] })[] = [];
  let count = 0;
  // Stripes take turns.
  for (const piece of pieces(geometry, offset, length)) {
    const run = runs[count++ % geometry.stripeCount];
    if (run === undefined) {
      const { stripe, objectOffset } = piece;
      runs.push({ stripe, objectOffset, length: piece.length, pieces: [piece] });
    } else {
      run.length += piece.length;
      run.pieces.push(piece);
    }
  }
  return runs;
}
