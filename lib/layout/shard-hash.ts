/**
 * Which shard of a striped directory a name lies in (guide 09 §10.1, guide 13 §12). Clients and servers must agree to the
 * bit, the oddities of telling temporary names included: they are part of the protocol.
 */
import { LmvConstant } from '../wire/layout-constants.ts';
import { encodeText } from '../wire/text.ts';

const { LMV_HASH_TYPE_ALL_CHARS, LMV_HASH_TYPE_FNV_1A_64, LMV_HASH_TYPE_CRUSH, LMV_HASH_TYPE_CRUSH2 } =
  LmvConstant;
const FNV_BASIS = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/** The shard, 0 to `count` - 1; undefined for a hash that we do not know. */
export function shardOfName(hash: number, count: number, name: string): number | undefined {
  const bytes = encodeText(name);
  switch (hash) {
    case LMV_HASH_TYPE_ALL_CHARS:
      return bytes.reduce((sum, byte) => sum + byte, 0) % count;
    case LMV_HASH_TYPE_FNV_1A_64:
      return Number(fnv1a64(bytes) % BigInt(count));
    case LMV_HASH_TYPE_CRUSH:
    case LMV_HASH_TYPE_CRUSH2:
      return crush(stem(bytes, hash === LMV_HASH_TYPE_CRUSH2), count);
    default:
      return undefined;
  }
}

export function fnv1a64(bytes: Uint8Array): bigint {
  let hash = FNV_BASIS;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  return hash;
}

/** The straw that is longest wins, the first of equals. */
function crush(bytes: Uint8Array, count: number): number {
  const group = Number(fnv1a64(bytes) % BigInt(LmvConstant.LMV_CRUSH_PG_COUNT));
  let longest = 0;
  let shard = 0;
  for (let i = 0; i < count; i++) {
    const straw = straws(group, i);
    if (straw > longest) {
      longest = straw;
      shard = i;
    }
  }
  return shard;
}

export function straws(a: number, b: number): number {
  const words = new Uint32Array([a, b, 1315423911 ^ a ^ b, 231232, 1232]);
  mix(words, 0, 1, 2);
  mix(words, 3, 0, 2);
  mix(words, 1, 4, 2);
  return words[2]!;
}

const SHIFTS = [-13, 8, -13, -12, 16, -5, -3, 10, -15] as const;

/** Nine steps, each on the three words in turn: minus the next, minus the one behind it, xor that one shifted. */
function mix(words: Uint32Array, p: number, q: number, r: number): void {
  SHIFTS.forEach((shift, i) => {
    const [x, y, z] = i % 3 === 0 ? [p, q, r] : i % 3 === 1 ? [q, r, p] : [r, p, q];
    const third = words[z]!;
    words[x] = (words[x]! - words[y]! - third) ^ (shift < 0 ? third >>> -shift : third << shift);
  });
}

const DOT = 0x2e;
const TILDE = 0x7e;

/** A name without what marks it as a temporary or backup of another: that one's shard is its own. */
function stem(name: Uint8Array, second: boolean): Uint8Array {
  if (name[0] === DOT && isTemporary(name, 6, 1, second)) return name.subarray(1, name.length - 7);
  if (isTemporary(name, 8, 0, second)) return name.subarray(0, name.length - 9);
  const length = backupSuffix(name);
  return name.length > length ? name.subarray(0, name.length - length) : name;
}

function backupSuffix(name: Uint8Array): number {
  const text = new TextDecoder('latin1').decode(name.subarray(-5)).toLowerCase();
  if (name[name.length - 1] === TILDE && name[name.length - 2] !== DOT) return 1;
  if (text.endsWith('.bak') || text.endsWith('.sav')) return 4;
  return text.endsWith('.orig') ? 5 : 0;
}

/** NAME.XXXXXX: whether the characters behind the last dot look like those that a program makes up. */
function isTemporary(name: Uint8Array, length: number, dots: number, second: boolean): boolean {
  if (name.length < length + 2 + dots || name[name.length - length - 1] !== DOT) return false;
  const suffix = [...name.subarray(name.length - length)];
  const between = (low: string, high: string) => (byte: number) =>
    byte >= low.charCodeAt(0) && byte <= high.charCodeAt(0);
  const [lower, upper, digits] = (
    [
      ['a', 'z'],
      ['A', 'Z'],
      ['0', '9'],
    ] as const
  ).map(([low, high]) => suffix.filter(between(low, high)).length) as [number, number, number];
  if (lower === length || upper === length) return false;
  if (second && lower + upper + digits !== length) return false;
  if (digits < length - 1) return true;
  const firstIsDigit = between('0', '9')(suffix[0]!);
  return second ? !firstIsDigit : firstIsDigit;
}
