/** The checksum of a run of bytes out of those of its parts: parts of a bulk are summed where they are sent. */
import { checksumTs } from './checksum.ts';
import type { ChecksumName } from './network.ts';

/** Reflected polynomials, as in checksum.ts. */
const polynomials = { crc32: 0xedb88320, crc32c: 0x82f63b78 } as const;
const ADLER_MODULUS = 65521;

/** A linear map of 32 bits, by the images of each. */
type BitMatrix = Int32Array;

function times(matrix: BitMatrix, vector: number): number {
  let product = 0;
  for (let bit = 0, left = vector >>> 0; left !== 0; bit++, left >>>= 1)
    if ((left & 1) !== 0) product ^= matrix[bit]!;
  return product;
}

const compose = (a: BitMatrix, b: BitMatrix): BitMatrix => a.map((_, bit) => times(a, b[bit]!));

/** What one zero bit does to a CRC's register. */
function zeroBit(polynomial: number): BitMatrix {
  return Int32Array.from({ length: 32 }, (_, bit) => (bit === 0 ? polynomial | 0 : 1 << (bit - 1)));
}

/** What `length` zero bytes do. */
function zeroBytes(polynomial: number, length: number): BitMatrix {
  let power = zeroBit(polynomial);
  for (let i = 0; i < 3; i++) power = compose(power, power);
  let result: BitMatrix = Int32Array.from({ length: 32 }, (_, bit) => 1 << bit);
  for (let left = length; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result = compose(power, result);
    power = compose(power, power);
  }
  return result;
}

/** Parts are whole MiB but for the ends of a file: a few lengths come again and again. */
const LENGTHS_MAX = 64;
const known = new Map<string, BitMatrix>();

function shift(type: keyof typeof polynomials, length: number): BitMatrix {
  const key = `${type} ${length}`;
  let matrix = known.get(key);
  if (matrix === undefined) {
    if (known.size >= LENGTHS_MAX) known.clear();
    matrix = zeroBytes(polynomials[type], length);
    known.set(key, matrix);
  }
  return matrix;
}

/** The checksum of A followed by B, from that of A, that of B, and the bytes of B. */
function combineChecksums(type: ChecksumName, a: number, b: number, lengthB: number): number {
  if (type === 'adler32') {
    const [lowA, highA] = [a & 0xffff, a >>> 16];
    const [lowB, highB] = [b & 0xffff, b >>> 16];
    const low = (lowA + lowB + ADLER_MODULUS - 1) % ADLER_MODULUS;
    const high = (highA + highB + (lengthB % ADLER_MODULUS) * (lowA + ADLER_MODULUS - 1)) % ADLER_MODULUS;
    return ((high << 16) | low) >>> 0;
  }
  // CRC32 goes over the wire without its final inversion; the arithmetic is that of inverted ones.
  const inversion = type === 'crc32' ? -1 : 0;
  return (times(shift(type, lengthB), a ^ inversion) ^ b) >>> 0;
}

/** The checksum of parts that follow each other. */
export function combineAll(
  type: ChecksumName,
  parts: readonly { readonly bytes: number; readonly checksum: number }[],
): number {
  return parts.reduce(
    (sum, { bytes, checksum }) => (bytes === 0 ? sum : combineChecksums(type, sum, checksum, bytes)),
    checksumTs(type, []),
  );
}
