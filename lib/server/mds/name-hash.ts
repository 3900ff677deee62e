/**
 * Names, and the 63-bit hash whose order is the order of a listing and whose value is the cookie of a place in it
 * (guide 09 §8). The hash is ours to choose, and to keep: it is in the keys of every directory on disk. Two 32-bit
 * lanes of multiply-and-rotate (after MurmurHash3), so that no bigint is touched but at the end.
 */
import { errnoError } from '../../runtime/errors.ts';

export const NAME_MAX = 255;
export const DOT = Buffer.from('.');
export const DOT_DOT = Buffer.from('..');
/** '.' and '..' come first; no other name has a hash below 3. */
const DOT_HASH = 1n;
const DOT_DOT_HASH = 2n;

export function isDot(name: Uint8Array): boolean {
  return name.length === 1 && name[0] === 0x2e;
}

export function isDotDot(name: Uint8Array): boolean {
  return name.length === 2 && name[0] === 0x2e && name[1] === 0x2e;
}

/** Throws EINVAL for an empty name or one with a slash or NUL, ENAMETOOLONG for one of more than 255 bytes. */
export function checkName(name: Uint8Array): void {
  if (name.length > NAME_MAX) throw errnoError(36, { syscall: 'name' });
  if (name.length === 0 || name.includes(0x2f) || name.includes(0)) throw errnoError(22, { syscall: 'name' });
}

const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

function finish(x: number): number {
  let h = x;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export function nameHash(name: Uint8Array): bigint {
  if (isDot(name)) return DOT_HASH;
  if (isDotDot(name)) return DOT_DOT_HASH;
  let a = 0x9e3779b9;
  let b = 0x243f6a88;
  for (const byte of name) {
    a = Math.imul(rotate(a ^ Math.imul(byte + 1, 0xcc9e2d51), 13), 5) + 0xe6546b64;
    b = Math.imul(rotate(b ^ Math.imul(byte + 1, 0x1b873593), 17), 9) + 0x561ccd1b;
  }
  const high = finish(a ^ name.length) & 0x7fffffff;
  const low = finish(b ^ rotate(a, 7));
  const hash = (BigInt(high) << 32n) | BigInt(low);
  return hash < 3n ? hash + 3n : hash;
}
