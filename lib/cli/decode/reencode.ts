/**
 * The way back: bytes out of the decoded values of a unit's parts. Values cannot say everything that bytes did (what a
 * kernel left behind a name's NUL, in a struct's hole or in padding): that is the remainder, kept as bytes of its own.
 */
import type { Struct, WireType } from '../../wire/struct.ts';
import { encodeText } from '../../wire/text.ts';
import type { AnyStruct, Part } from './dissection.ts';

export interface Reencoded {
  readonly bytes: Uint8Array;
  /** Bytes that no value carries and that are not zero, and where they may be. */
  readonly remainder: number;
  /** Offsets of the bytes that no value carries, zero ones in padding included. */
  readonly unsaid: ReadonlySet<number>;
  /** Offsets where a value did not give its bytes back; there must be none. */
  readonly unexplained: readonly number[];
}

/** Encodes the parts of `original` again and compares. */
export function reencode(original: Uint8Array, parts: readonly Part[]): Reencoded {
  const bytes = new Uint8Array(original.length);
  let remainder = 0;
  const unexplained: number[] = [];
  const unsaid = new Set<number>();
  for (const part of parts) {
    encodePart(bytes, part);
    if (part.kind === 'padding') {
      part.bytes.forEach((byte, i) => {
        if (byte !== 0) remainder++;
        unsaid.add(part.offset + i);
      });
      continue;
    }
    if (part.kind !== 'struct' && part.kind !== 'text' && part.kind !== 'numbers') continue;
    for (let i = 0; i < part.bytes.length; i++) {
      if (bytes[part.offset + i] === part.bytes[i]) continue;
      if (says(part, i)) unexplained.push(part.offset + i);
      else {
        remainder++;
        unsaid.add(part.offset + i);
      }
      bytes[part.offset + i] = part.bytes[i]!;
    }
  }
  return { bytes, remainder, unsaid, unexplained };
}

function encodePart(out: Uint8Array, part: Part): void {
  const { offset, littleEndian } = part;
  if (part.kind === 'struct') part.type!.encodeInto(out, offset, part.value, littleEndian);
  else if (part.kind === 'text') out.set(encodeText(part.value as string), offset);
  else if (part.kind === 'numbers') {
    const view = new DataView(out.buffer, offset, part.bytes.length);
    (part.value as (number | bigint)[]).forEach((value, i) => {
      if (part.width === 8) view.setBigUint64(8 * i, BigInt(value), littleEndian);
      else if (part.width === 4) view.setUint32(4 * i, Number(value), littleEndian);
      else view.setUint16(2 * i, Number(value), littleEndian);
    });
  } else out.set(part.bytes, offset);
}

/** Whether the value of a part says something about its byte `i`. */
function says(part: Part, i: number): boolean {
  if (part.kind === 'numbers') return true;
  if (part.kind === 'text') return !behindNul(part.bytes, 0, i);
  const { covered, texts } = shapeOf(part.type!);
  if (covered[i] === 0) return false;
  return !texts.some(([at, size]) => i >= at && i < at + size && behindNul(part.bytes, at, i));
}

const behindNul = (bytes: Uint8Array, from: number, i: number): boolean =>
  bytes.subarray(from, i).includes(0);

interface Shape {
  /** 1 for each byte that a field lies on. */
  readonly covered: Uint8Array;
  readonly texts: readonly (readonly [offset: number, size: number])[];
}

const shapes = new WeakMap<AnyStruct, Shape>();

function shapeOf(type: AnyStruct): Shape {
  let shape = shapes.get(type);
  if (shape === undefined) {
    const texts: [number, number][] = [];
    const covered = new Uint8Array(type.size);
    walk(type, 0, covered, texts);
    shape = { covered, texts };
    shapes.set(type, shape);
  }
  return shape;
}

function walk(
  type: WireType<unknown, unknown>,
  at: number,
  covered: Uint8Array,
  texts: [number, number][],
): void {
  const fields = 'fields' in type ? (type as Struct<unknown, unknown>).fields : undefined;
  if (fields !== undefined) {
    for (const [offset, inner] of Object.values(fields)) walk(inner, at + offset, covered, texts);
  } else if (type.element !== undefined && type.size > 0) {
    for (let i = 0; i < type.size; i += type.element.size) walk(type.element, at + i, covered, texts);
  } else {
    if (type.text === true) texts.push([at, type.size]);
    covered.fill(1, at, at + type.size);
  }
}
