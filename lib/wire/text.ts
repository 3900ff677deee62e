/**
 * Names as bytes. A name on the wire is bytes without NUL and without a declared encoding; nearly always it is UTF-8.
 * Bytes that are not become lone surrogates U+DC80..U+DCFF (as Python's PEP 383 does), so that any name survives
 * decode and encode, and ordinary ones read as what they are.
 */
import { isUtf8 } from 'node:buffer';
import { WireError } from './wire-error.ts';

/** Longest text that is tried character by character before the UTF-8 decoder is called. */
const SHORT = 48;
const loneSurrogate = /\p{Surrogate}/u;

/** Bytes to text; every byte sequence has exactly one text and `encodeText` gives the bytes back. */
export function decodeText(bytes: Uint8Array): string {
  if (bytes.length <= SHORT) {
    let text = '';
    let i = 0;
    for (; i < bytes.length && bytes[i]! < 0x80; i++) text += String.fromCharCode(bytes[i]!);
    if (i === bytes.length) return text;
  }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return isUtf8(buffer) ? buffer.toString('utf8') : decodeEscaped(bytes);
}

/** Text to bytes, the inverse of `decodeText`. Throws WireError for a lone surrogate that is no escaped byte. */
export function encodeText(text: string): Uint8Array {
  if (!loneSurrogate.test(text)) return Buffer.from(text, 'utf8');
  const out: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code >= 0xdc80 && code <= 0xdcff) out.push(code - 0xdc00);
    else if (code >= 0xd800 && code <= 0xdfff)
      throw new WireError('text', `has the lone surrogate U+${code.toString(16)}, which stands for no byte`);
    else out.push(...Buffer.from(character, 'utf8'));
  }
  return Uint8Array.from(out);
}

/** Length of `encodeText(text)` in bytes. */
export function textByteLength(text: string): number {
  return loneSurrogate.test(text) ? encodeText(text).length : Buffer.byteLength(text);
}

function decodeEscaped(bytes: Uint8Array): string {
  let text = '';
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length === 0) {
      text += String.fromCharCode(0xdc00 + bytes[at]!);
      at++;
    } else {
      text += String.fromCodePoint(codePoint(bytes, at, length));
      at += length;
    }
  }
  return text;
}

/** Length of the valid UTF-8 sequence at `at` (Unicode 15, table 3-7); 0 where there is none. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const second = bytes[at + 1] ?? 0;
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  const length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  for (let i = 2; i < length; i++) {
    if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  return length;
}

function codePoint(bytes: Uint8Array, at: number, length: number): number {
  if (length === 1) return bytes[at]!;
  let code = bytes[at]! & (0xff >> (length + 1));
  for (let i = 1; i < length; i++) code = (code << 6) | (bytes[at + i]! & 0x3f);
  return code;
}
