/**
 * 64 bits of the wire that are looked at for every RPC (XIDs, match bits): a number below 2^53, as file sizes are in node:fs,
 * and a bigint above. A bigint is an object, and another one after each operation. Two that are equal are `===`, and `<` orders
 * any two of them.
 */
export type Bits64 = number | bigint;

const WORD = 0x1_0000_0000;
/** High words below this make a number. */
const HIGH_MAX = 0x20_0000;

/** Of two words, of whichever sign. */
export function bits64(low: number, high: number): Bits64 {
  const upper = high >>> 0;
  if (upper < HIGH_MAX) return upper * WORD + (low >>> 0);
  return (BigInt(upper) << 32n) | BigInt(low >>> 0);
}

/** Of a whole number that is not negative and has at most 64 bits. */
export function toBits64(value: bigint): Bits64 {
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

/** The low word, signed: a larger number would be an object, too. */
export function lowWord(value: Bits64): number {
  return typeof value === 'number' ? value | 0 : Number(BigInt.asIntN(32, value));
}

/** The high word, signed. */
export function highWord(value: Bits64): number {
  return typeof value === 'number' ? (value / WORD) | 0 : Number(BigInt.asIntN(32, value >> 32n));
}

/** With `more` added, which may be negative. */
export function addBits64(value: Bits64, more: number): Bits64 {
  if (typeof value === 'number') {
    const sum = value + more;
    if (sum >= 0 && sum <= Number.MAX_SAFE_INTEGER) return sum;
  }
  return toBits64(BigInt.asUintN(64, BigInt(value) + BigInt(more)));
}
