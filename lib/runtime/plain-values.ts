/**
 * Plain values as bytes, for memory that two threads of a process share: what a structured clone does with them, at a part of its
 * price. Names of properties cross once and are numbers after that, so one writer's bytes are for one reader, all of them in
 * order.
 */

import { SideBySide } from './side-by-side.ts';

/** Property names that a writer numbers; values with more are refused. */
const NAMES_MAX = 4096;
const DEPTH_MAX = 16;

const Tag = {
  UNDEFINED: 0,
  NULL: 1,
  TRUE: 2,
  FALSE: 3,
  INT32: 4,
  DOUBLE: 5,
  INT64: 6,
  UINT64: 7,
  LATIN1: 8,
  UTF16: 9,
  ARRAY: 10,
  OBJECT: 11,
  BYTES: 12,
} as const;

export class PlainWriter {
  /** What was encoded last is at its beginning. */
  readonly bytes: Buffer;
  readonly #view: DataView;
  readonly #numbers = new Map<string, number>();
  readonly #names: string[] = [];
  /** Names before the value that was encoded last. */
  #known = 0;
  #at = 0;

  constructor(size: number) {
    this.bytes = Buffer.alloc(size);
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset, size);
  }

  /** Its length; 0 when it is too long or not plain: nothing has been encoded then. */
  encode(value: unknown): number {
    this.#at = 0;
    this.#known = this.#names.length;
    if (this.#value(value, 0)) return this.#at;
    this.takeBack();
    return 0;
  }

  /** What was encoded last does not go to the reader. */
  takeBack(): void {
    for (const name of this.#names.splice(this.#known)) this.#numbers.delete(name);
  }

  #value(value: unknown, depth: number): boolean {
    switch (typeof value) {
      case 'undefined':
        return this.#tag(Tag.UNDEFINED);
      case 'boolean':
        return this.#tag(value ? Tag.TRUE : Tag.FALSE);
      case 'number':
        return this.#number(value);
      case 'bigint':
        return this.#bigint(value);
      case 'string':
        return this.#string(value);
      case 'object':
        return value === null ? this.#tag(Tag.NULL) : depth < DEPTH_MAX && this.#object(value, depth + 1);
      default:
        return false;
    }
  }

  #tag(tag: number): boolean {
    if (this.#at + 16 > this.bytes.length) return false;
    this.bytes[this.#at++] = tag;
    return true;
  }

  #number(value: number): boolean {
    const whole = (value | 0) === value && !Object.is(value, -0);
    if (!this.#tag(whole ? Tag.INT32 : Tag.DOUBLE)) return false;
    if (whole) this.#view.setInt32(this.#at, value, true);
    else this.#view.setFloat64(this.#at, value, true);
    this.#at += whole ? 4 : 8;
    return true;
  }

  #bigint(value: bigint): boolean {
    const signed = BigInt.asIntN(64, value) === value;
    if (!signed && BigInt.asUintN(64, value) !== value) return false;
    if (!this.#tag(signed ? Tag.INT64 : Tag.UINT64)) return false;
    this.#view.setBigUint64(this.#at, BigInt.asUintN(64, value), true);
    this.#at += 8;
    return true;
  }

  #count(tag: number, count: number): boolean {
    if (!this.#tag(tag)) return false;
    this.#view.setUint32(this.#at, count, true);
    this.#at += 4;
    return true;
  }

  #string(text: string): boolean {
    const from = this.#at;
    const { bytes } = this;
    const { length } = text;
    if (from + 16 + 2 * length > bytes.length || !this.#count(Tag.LATIN1, length)) return false;
    let at = this.#at;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0xff) {
        bytes[from] = Tag.UTF16;
        this.#at += bytes.write(text, this.#at, 'utf16le');
        return true;
      }
      bytes[at++] = code;
    }
    this.#at = at;
    return true;
  }

  #object(value: object, depth: number): boolean {
    if (Array.isArray(value)) {
      if (!this.#count(Tag.ARRAY, value.length)) return false;
      for (let i = 0; i < value.length; i++) if (!this.#value(value[i], depth)) return false;
      return true;
    }
    if (value instanceof Uint8Array) return this.#bytes(value);
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) return false;
    const names = Object.keys(value);
    if (!this.#count(Tag.OBJECT, names.length)) return false;
    for (const name of names) {
      const known = this.#name(name) && this.#value((value as Record<string, unknown>)[name], depth);
      if (!known) return false;
    }
    return true;
  }

  #bytes(value: Uint8Array): boolean {
    if (this.#at + 16 + value.length > this.bytes.length || !this.#count(Tag.BYTES, value.length))
      return false;
    this.bytes.set(value, this.#at);
    this.#at += value.length;
    return true;
  }

  /** Its number, and where that is new, the name. */
  #name(name: string): boolean {
    const number = this.#numbers.get(name) ?? this.#names.length;
    if (this.#at + 16 > this.bytes.length || number === NAMES_MAX) return false;
    this.#view.setUint16(this.#at, number, true);
    this.#at += 2;
    if (number < this.#names.length) return true;
    this.#names.push(name);
    this.#numbers.set(name, number);
    return this.#string(name);
  }
}

export class PlainReader {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #names: string[] = [];
  #at = 0;

  constructor(memory: ArrayBufferLike, offset: number, length: number) {
    this.#bytes = Buffer.from(memory, offset, length);
    this.#view = new DataView(memory, offset, length);
  }

  /** The value at an offset, which has nothing of the memory. */
  decode(at: number): unknown {
    this.#at = at;
    return this.#value();
  }

  #value(): unknown {
    const view = this.#view;
    const tag = this.#bytes[this.#at++];
    switch (tag) {
      case Tag.NULL:
        return null;
      case Tag.TRUE:
        return true;
      case Tag.FALSE:
        return false;
      case Tag.INT32:
        this.#at += 4;
        return view.getInt32(this.#at - 4, true);
      case Tag.DOUBLE:
        this.#at += 8;
        return view.getFloat64(this.#at - 8, true);
      case Tag.INT64:
        this.#at += 8;
        return view.getBigInt64(this.#at - 8, true);
      case Tag.UINT64:
        this.#at += 8;
        return view.getBigUint64(this.#at - 8, true);
      case Tag.LATIN1:
        return this.#text('latin1', this.#count());
      case Tag.UTF16:
        return this.#text('utf16le', 2 * this.#count());
      case Tag.ARRAY:
        return this.#array(this.#count());
      case Tag.OBJECT:
        return this.#object(this.#count());
      case Tag.BYTES:
        return this.#copy(this.#count());
      default:
        return undefined;
    }
  }

  #count(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  #text(encoding: 'latin1' | 'utf16le', bytes: number): string {
    const from = this.#at;
    this.#at += bytes;
    return this.#bytes.toString(encoding, from, this.#at);
  }

  #array(length: number): unknown[] {
    const array: unknown[] = [];
    for (let i = 0; i < length; i++) array.push(this.#value());
    return array;
  }

  #object(count: number): object {
    const object: Record<string, unknown> = {};
    for (let i = 0; i < count; i++) {
      const number = this.#view.getUint16(this.#at, true);
      this.#at += 2;
      if (number === this.#names.length) this.#names.push(this.#value() as string);
      const name = this.#names[number]!;
      // Assigned, it would set the prototype.
      if (name === '__proto__') Object.defineProperty(object, name, { value: this.#value(), ...own });
      else object[name] = this.#value();
    }
    return object;
  }

  #copy(length: number): Uint8Array {
    const from = this.#at;
    this.#at += length;
    return copies.copy(this.#bytes.subarray(from, this.#at));
  }
}

/** Four pages to a chunk. */
const copies = new SideBySide(17 << 10);
const own = { writable: true, enumerable: true, configurable: true };
