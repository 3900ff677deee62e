/** Decoded values as text: FIDs, NIDs, names that may hold anything, and every field of a struct. */
import { nidFromBits } from '../../lnet/nid.ts';
import { LuFid } from '../../wire/fid-structs.ts';
import type { AnyStruct } from './dissection.ts';

interface Fid {
  f_seq: bigint;
  f_oid: number;
  f_ver: number;
}

/** `[0x200000401:0x1:0x0]`, as Lustre's tools write it. */
export function fidText({ f_seq, f_oid, f_ver }: Fid): string {
  return `[0x${f_seq.toString(16)}:0x${f_oid.toString(16)}:0x${f_ver.toString(16)}]`;
}

export function isFid(value: unknown): value is Fid {
  return (
    typeof value === 'object' && value !== null && 'f_seq' in value && 'f_oid' in value && 'f_ver' in value
  );
}

export const isZeroFid = ({ f_seq, f_oid, f_ver }: Fid): boolean =>
  f_seq === 0n && f_oid === 0 && f_ver === 0;

/** A name for a terminal: quoted, with nothing that a terminal acts on; bytes that are no UTF-8 as `\xNN`. */
export function nameText(name: string): string {
  const safe = name.replace(/[\p{C}\\"]/gu, (character) => {
    const code = character.codePointAt(0)!;
    if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
    if (character === '\\' || character === '"') return `\\${character}`;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
  return `"${safe}"`;
}

/** Bytes as hexadecimal digits, cut after `most`. */
export function bytesText(bytes: Uint8Array, most = 32): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, most)).toString('hex');
  return bytes.length > most ? `${hex}… (${bytes.length} bytes)` : hex;
}

/** One value in a line. */
export function valueText(value: unknown): string {
  if (typeof value === 'bigint') return value > 0xffffn ? `0x${value.toString(16)}` : value.toString();
  if (typeof value === 'number') return value > 0xffff ? `${value} (0x${value.toString(16)})` : String(value);
  if (typeof value === 'string') return nameText(value);
  if (value instanceof Uint8Array) return bytesText(value);
  if (Array.isArray(value))
    return `[${value.slice(0, 64).map(valueText).join(' ')}${value.length > 64 ? ' …' : ''}]`;
  if (isFid(value)) return fidText(value);
  return String(value);
}

/** Every field of a value, nested ones by their path: `[name, text]`. */
export function* fieldsOf(value: unknown, prefix = ''): Generator<readonly [string, string]> {
  if (typeof value === 'bigint' && /nid$/.test(prefix)) {
    yield [prefix, nidFromBits(value)];
    return;
  }
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || isFid(value)) {
    yield [prefix, valueText(value)];
    return;
  }
  if (Array.isArray(value) && (value.length === 0 || typeof value[0] !== 'object')) {
    yield [prefix, valueText(value)];
    return;
  }
  for (const [name, inner] of Object.entries(value))
    yield* fieldsOf(inner, prefix === '' ? name : `${prefix}.${name}`);
}

/** A value for JSON: whole numbers beyond 2^53 and all 64-bit ones as decimal strings, bytes as hexadecimal digits. */
export function jsonValue(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex');
  if (Array.isArray(value)) return value.map(jsonValue);
  if (isFid(value)) return fidText(value);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, jsonValue(inner)]));
  }
  return value;
}

/** The FIDs in a struct's value, in the order of its fields; the second view of an object id is left out. */
export function* fidsIn(type: AnyStruct, value: unknown): Generator<Fid> {
  if (type === (LuFid as AnyStruct)) {
    yield value as Fid;
    return;
  }
  for (const [name, [, inner]] of Object.entries(type.fields)) {
    const item = (value as { [name: string]: unknown })[name];
    if ('fields' in inner) yield* fidsIn(inner as AnyStruct, item);
    else if (inner.element !== undefined && 'fields' in inner.element) {
      for (const element of item as unknown[]) yield* fidsIn(inner.element as AnyStruct, element);
    }
  }
}
