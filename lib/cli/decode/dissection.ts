/**
 * A run of bytes taken apart into parts that lie one behind the other: every byte belongs to exactly one part, because
 * parts are only ever taken from a cursor that moves forward. What is shown, counted and encoded again is the parts.
 */
import { type Struct, type StructValue, WireError } from '../../wire/struct.ts';
import { decodeText } from '../../wire/text.ts';

/**
 * What a part's bytes are:
 *  - `struct`: a struct's fields; `numbers`: a row of equal numbers; `text`: a name, its NUL and what is behind that;
 *  - `value`: content of a field that has no structure of its own (an extended attribute's value, a key);
 *  - `padding`: bytes that mean nothing;
 *  - `bulk`: file data; `opaque`: tokens and checksums of security mechanisms;
 *  - `undecoded`: bytes that could not be told what they are.
 */
export type PartKind = 'struct' | 'numbers' | 'text' | 'value' | 'padding' | 'bulk' | 'opaque' | 'undecoded';

export type AnyStruct = Struct<unknown, unknown>;

export interface Part {
  readonly kind: PartKind;
  readonly name: string;
  /** Groups that it lies in, outermost first. */
  readonly path: readonly string[];
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly littleEndian: boolean;
  /** Of a struct: its type and value. Of numbers: their width is `width`. Of text: the string. */
  readonly type?: AnyStruct;
  readonly width?: number;
  readonly value?: unknown;
}

export class Dissection {
  readonly bytes: Uint8Array;
  readonly parts: Part[] = [];
  /** What was found wrong, for people. */
  readonly problems: string[] = [];
  littleEndian: boolean;
  private cursor = 0;
  private limit: number;
  private path: readonly string[] = [];

  constructor(bytes: Uint8Array, littleEndian = true) {
    this.bytes = bytes;
    this.limit = bytes.length;
    this.littleEndian = littleEndian;
  }

  get left(): number {
    return this.limit - this.cursor;
  }

  get at(): number {
    return this.cursor;
  }

  /** The bytes to come, not taken. */
  peek(size = this.left): Uint8Array {
    this.need('peek', size);
    return this.bytes.subarray(this.cursor, this.cursor + size);
  }

  /** The 32-bit word `offset` bytes further on, not taken. */
  word(offset = 0, littleEndian = this.littleEndian): number {
    this.need('word', offset + 4);
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + this.cursor).getUint32(
      offset,
      littleEndian,
    );
  }

  /** A struct at the cursor. Throws WireError when it does not fit. */
  struct<T, In>(
    name: string,
    type: Struct<T, In>,
    littleEndian = this.littleEndian,
  ): StructValue<Struct<T, In>> {
    this.need(name, type.size);
    const value = type.decode(this.peek(type.size), 0, littleEndian);
    this.add('struct', name, type.size, { type: type as AnyStruct, value, littleEndian });
    return value as StructValue<Struct<T, In>>;
  }

  structs<T, In>(name: string, type: Struct<T, In>, count: number, littleEndian = this.littleEndian): T[] {
    this.need(name, type.size * count);
    return Array.from({ length: count }, (_, i) => this.struct(`${name}[${i}]`, type, littleEndian) as T);
  }

  /** A row of `count` numbers of 2, 4 or 8 bytes. */
  numbers(
    name: string,
    width: 2 | 4 | 8,
    count: number,
    littleEndian = this.littleEndian,
  ): (number | bigint)[] {
    this.need(name, width * count);
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset + this.cursor, width * count);
    const value = Array.from({ length: count }, (_, i) =>
      width === 8
        ? view.getBigUint64(8 * i, littleEndian)
        : width === 4
          ? view.getUint32(4 * i, littleEndian)
          : view.getUint16(2 * i, littleEndian),
    );
    if (count > 0) this.add('numbers', name, width * count, { value, width, littleEndian });
    return value;
  }

  /** Text in a field of `size` bytes: up to its first NUL, or all of it. */
  text(name: string, size: number): string {
    this.need(name, size);
    const bytes = this.peek(size);
    const nul = bytes.indexOf(0);
    const value = decodeText(nul === -1 ? bytes : bytes.subarray(0, nul));
    this.add('text', name, size, { value });
    return value;
  }

  /** Bytes without structure of their own. */
  raw(
    kind: 'value' | 'padding' | 'bulk' | 'opaque' | 'undecoded',
    name: string,
    size = this.left,
  ): Uint8Array {
    this.need(name, size);
    const bytes = this.peek(size);
    if (size > 0) this.add(kind, name, size, {});
    return bytes;
  }

  /** Padding up to a multiple of `size` counted from `from`; shorter where the bytes end. */
  align(size: number, from = 0): void {
    const padding = (size - ((this.cursor - from) % size)) % size;
    if (padding > 0) this.raw('padding', 'padding', Math.min(padding, this.left));
  }

  /**
   * Takes the next `size` bytes apart by `inner`. What it leaves is undecoded; where it throws WireError its parts are
   * dropped, all of the bytes are undecoded and the reason is noted. Gives whether it went well.
   */
  within(name: string, size: number, inner: (d: Dissection) => void): boolean {
    this.need(name, size);
    const { limit, path, littleEndian } = this;
    const start = this.cursor;
    const count = this.parts.length;
    this.limit = start + size;
    this.path = [...path, name];
    let well = true;
    try {
      inner(this);
      if (this.left > 0) {
        this.problems.push(`${this.path.join('.')}: ${this.left} bytes too many`);
        this.raw('undecoded', 'rest');
        well = false;
      }
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.problems.push(`${this.path.join('.')}: ${error.message}`);
      this.parts.length = count;
      this.cursor = start;
      this.raw('undecoded', name, size);
      well = false;
    } finally {
      this.limit = limit;
      this.path = path;
      this.littleEndian = littleEndian;
    }
    return well;
  }

  private need(name: string, size: number): void {
    if (size < 0 || size > this.left)
      throw new WireError(name, `needs ${size} bytes, has ${this.left}`, size, this.left);
  }

  private add(kind: PartKind, name: string, size: number, more: Partial<Part>): void {
    const bytes = this.bytes.subarray(this.cursor, this.cursor + size);
    this.parts.push({
      kind,
      name,
      path: this.path,
      offset: this.cursor,
      bytes,
      littleEndian: this.littleEndian,
      ...more,
    });
    this.cursor += size;
  }
}
