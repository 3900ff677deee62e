/**
 * The declarative struct codec. A struct is a table of fields, `name: [offset, type]`; the TypeScript type of its
 * values follows from the table, and so do a decoder and an encoder in straight-line code (a loop over
 * the table was measured 12 to 48 times slower: design/data-path-measurements.md §5). Offsets are Lustre's;
 * test/wire holds every one of them against the reference table.
 *
 * A decoder checks once that the whole struct lies inside its buffer and reads nothing outside it. An encoder
 * writes zero wherever the value says nothing, padding included, so that no old byte leaks.
 */
import type { Bits64 } from './bits64.ts';
import { decodeText, encodeText } from './text.ts';
import { WireError } from './wire-error.ts';

export { WireError } from './wire-error.ts';

/** How one field's bytes become a value and back. `T` is the value read, `In` what may be given to write. */
export interface WireType<T, In = T> {
  readonly size: number;
  /** Source text of an expression that reads the value at `at` (source text of an offset). */
  readonly readSource: (at: string, constants: unknown[]) => string;
  /** Eight bytes, unsigned. */
  readonly quad?: true;
  /** Source text of statements that write `value` (source text) at `at`. */
  readonly writeSource: (at: string, value: string, constants: unknown[]) => string;
  /** What it is made of, for those who show or check values: text, or equal elements one behind the other. */
  readonly text?: true;
  readonly element?: WireType<unknown, unknown>;
  /** Never set: they carry the two types, for inference. */
  readonly reads?: T;
  readonly writes?: In;
}

type Fields = { readonly [name: string]: readonly [offset: number, type: WireType<unknown, unknown>] };
type ReadOf<W> = W extends WireType<infer T, unknown> ? T : never;
type WriteOf<W> = W extends WireType<unknown, infer In> ? In : never;
type Flatten<T> = { [K in keyof T]: T[K] };

export type ValueOf<F extends Fields> = Flatten<{ -readonly [K in keyof F]: ReadOf<F[K][1]> }>;
export type InputOf<F extends Fields> = Flatten<{ readonly [K in keyof F]?: WriteOf<F[K][1]> | undefined }>;

/** A struct of the wire. `Struct<T, In>`: `T` is what decode gives, `In` what encode takes (all fields optional). */
export interface Struct<T, In> extends WireType<T, In> {
  readonly name: string;
  readonly fields: Fields;
  /** Decodes at `offset`. Throws WireError when the struct does not fit. `littleEndian` is the sender's order. */
  decode(bytes: Uint8Array, offset?: number, littleEndian?: boolean): T;
  /** The same, but each field is read when it is asked for: for structs of which few are. The bytes must stay as they are.
   * `again`: what an earlier call gave, which is of these bytes from now on. */
  view(bytes: Uint8Array, offset?: number, littleEndian?: boolean, again?: T): T;
  /** Writes all `size` bytes at `offset`, zero where `value` has no field. Throws WireError when it does not fit. */
  encodeInto(bytes: Uint8Array, offset: number, value: In, littleEndian?: boolean): void;
  /** A new array of `size` bytes. */
  encode(value: In, littleEndian?: boolean): Uint8Array;
}

/** The value type of a struct: `type MdtBody = StructValue<typeof MdtBody>`. */
export type StructValue<S> = ReadOf<S>;
export type StructInput<S> = WriteOf<S>;

/** `fits` is the source text of a test that `x` has a bit pattern of this width; 32-bit values may be given with either
 * sign, because that is what JavaScript's bit operators give. */
const number = (
  method: string,
  size: number,
  order: string,
  fits: (x: string) => string,
): WireType<number> => ({
  size,
  readSource: (at) => `v.get${method}(${at}${size === 1 ? '' : `,${order}`})`,
  writeSource: (at, x, constants) =>
    `if(!(${fits(x)}))c[${constants.push(outOfRange) - 1}](${x},${size * 8});v.set${method}(${at},${x}${size === 1 ? '' : `,${order}`});`,
});
/** Compared with both ends: taking it modulo 2^64 would make another bigint each time. */
const big = (method: 'BigInt64' | 'BigUint64', order: string): WireType<bigint> => {
  const signed = method === 'BigInt64';
  const [least, most] = signed
    ? ['-0x8000000000000000n', '0x7fffffffffffffffn']
    : ['0n', '0xffffffffffffffffn'];
  return {
    size: 8,
    ...(!signed && { quad: true }),
    readSource: (at) => `v.get${method}(${at},${order})`,
    writeSource: (at, x, constants) =>
      `if(${x}<${least}||${x}>${most})c[${constants.push(outOfRange) - 1}](${x},64);v.set${method}(${at},${x},${order});`,
  };
};
const word = (x: string): string => `(${x}|0)===${x}||${x}>>>0===${x}`;
const half = (x: string): string => `(${x}&0xffff)===${x}`;

export const u8: WireType<number> = number('Uint8', 1, '', (x) => `(${x}&0xff)===${x}`);
export const s8: WireType<number> = number('Int8', 1, '', (x) => `(${x}<<24>>24)===${x}`);
export const u16: WireType<number> = number('Uint16', 2, 'le', half);
export const u32: WireType<number> = number('Uint32', 4, 'le', word);
export const s32: WireType<number> = number('Int32', 4, 'le', word);
export const u64: WireType<bigint> = big('BigUint64', 'le');
export const s64: WireType<bigint> = big('BigInt64', 'le');
/** The same of which a number may be written too: XIDs and match bits (bits64.ts). */
export const bits64: WireType<bigint, Bits64> = {
  ...u64,
  writeSource: (at, x, constants) => {
    const wrong = constants.push(outOfRange) - 1;
    const low = `v.setUint32(${at}+(le?0:4),${x}>>>0,le);`;
    const high = `v.setUint32(${at}+(le?4:0),Math.floor(${x}/0x100000000),le);`;
    return `if(typeof ${x}==='number'){if(!(${x}>=0&&Number.isSafeInteger(${x})))c[${wrong}](${x},64);${low}${high}}else{${u64.writeSource(at, x, constants)}}`;
  },
};
/** A `struct lustre_handle`: an opaque cookie. */
export const handle: WireType<bigint> = u64;
export const le16: WireType<number> = number('Uint16', 2, 'true', half);
export const le32: WireType<number> = number('Uint32', 4, 'true', word);
export const le64: WireType<bigint> = big('BigUint64', 'true');
export const be16: WireType<number> = number('Uint16', 2, 'false', half);
export const be32: WireType<number> = number('Uint32', 4, 'false', word);
export const be64: WireType<bigint> = big('BigUint64', 'false');

/** `size` raw bytes; decoded as a view of the buffer, not a copy. Encoding fewer leaves zeroes, encoding more throws. */
export function bytes(size: number): WireType<Uint8Array> {
  return {
    size,
    readSource: (at) => `b.subarray(${at},${at}+${size})`,
    writeSource: (at, x, constants) =>
      `if(${x}.length>${size})c[${constants.push(tooLong) - 1}](${x}.length,${size});b.set(${x},${at});`,
  };
}

/** Text in `size` bytes, ended by a NUL where it is shorter. Encoding text that does not fit throws. */
export function text(size: number): WireType<string> {
  return {
    size,
    text: true,
    readSource: (at, constants) => `c[${constants.push(readText) - 1}](b,${at},${size})`,
    writeSource: (at, x, constants) => `c[${constants.push(writeText) - 1}](b,${at},${size},${x});`,
  };
}

/** `count` elements one after the other. Encoding a shorter list leaves the rest zero; a longer one throws. */
export function array<T, In>(type: WireType<T, In>, count: number): WireType<T[], readonly In[]> {
  return {
    size: type.size * count,
    element: type as WireType<unknown, unknown>,
    readSource: (at, constants) => {
      if (count <= 8) {
        const items = Array.from({ length: count }, (_, i) =>
          type.readSource(`${at}+${i * type.size}`, constants),
        );
        return `[${items.join(',')}]`;
      }
      const p = `p${constants.length}`;
      constants.push(null);
      return `(()=>{const r=new Array(${count});for(let i=0;i<${count};i++){const ${p}=${at}+i*${type.size};r[i]=${type.readSource(p, constants)};}return r;})()`;
    },
    writeSource: (at, x, constants) => {
      const n = constants.length;
      constants.push(tooMany);
      return `if(${x}.length>${count})c[${n}](${count},${x}.length);for(let i${n}=0;i${n}<${x}.length;i${n}++){const p${n}=${at}+i${n}*${type.size};const e${n}=${x}[i${n}];${type.writeSource(`p${n}`, `e${n}`, constants)}}`;
    },
  };
}

/** Defines a struct. `size` is the whole size with padding; the module fails to load if a field lies outside it. */
export function struct<const F extends Fields>(
  name: string,
  size: number,
  fields: F,
): Struct<ValueOf<F>, InputOf<F>> {
  for (const [field, [offset, type]] of Object.entries(fields)) {
    if (offset < 0 || offset + type.size > size)
      throw new WireError(name, `field ${field} lies outside the struct`);
  }
  const readSource = (at: string, constants: unknown[]): string =>
    `{${Object.entries(fields)
      .map(([field, [offset, type]]) => `${field}:${type.readSource(`${at}+${offset}`, constants)}`)
      .join(',')}}`;
  const overlapping = overlappingFields(fields);
  const writeOne = (field: string, at: string, value: string, constants: unknown[]): string => {
    const [offset, type] = fields[field]!;
    const x = `x${constants.length}`;
    constants.push(null);
    return `{const ${x}=${value}.${field};if(${x}!==undefined){${type.writeSource(`${at}+${offset}`, x, constants)}}}`;
  };
  const writeSource = (at: string, value: string, constants: unknown[]): string => {
    const all = Object.keys(fields).map((field) => writeOne(field, at, value, constants));
    if (overlapping.length === 0) return all.join('');
    // A view that is written again and changes something contradicts a later one.
    const n = constants.length;
    constants.push(disagree, sameBytes);
    const given = overlapping.map((field) => `(${value}.${field}!==undefined)`).join('+');
    const again = overlapping.map(
      (field) =>
        `${writeOne(field, at, value, constants)}if(!c[${n + 1}](s${n},b,${at}))c[${n}](${JSON.stringify(name)},${JSON.stringify(field)});`,
    );
    return `${all.join('')}if(${given}>1){const s${n}=b.slice(${at},${at}+${size});${again.join('')}}`;
  };
  type T = ValueOf<F>;
  type In = InputOf<F>;
  const check = (buffer: Uint8Array, offset: number): void => {
    if (offset >= 0 && buffer.length - offset >= size) return;
    const have = Math.max(0, buffer.length - offset);
    throw new WireError(name, `needs ${size} bytes, has ${have}`, size, buffer.length - offset);
  };
  let reader: Reader<T> | undefined;
  let viewer: Viewer<T> | undefined;
  let writer: Writer<In> | undefined;
  return {
    name,
    size,
    fields,
    readSource: (at, constants) => `(${readSource(at, constants)})`,
    writeSource,
    decode(buffer, offset = 0, littleEndian = true) {
      check(buffer, offset);
      reader ??= compile<Reader<T>>('v,b,o,le', 'return ', (constants) => `(${readSource('o', constants)})`);
      const { view, bytes } = facesOf(buffer.buffer);
      return reader(view, bytes, buffer.byteOffset + offset, littleEndian);
    },
    view(buffer, offset = 0, littleEndian = true, again?: T) {
      check(buffer, offset);
      viewer ??= compileView<T>(fields);
      const { view, bytes } = facesOf(buffer.buffer);
      return viewer(view, bytes, buffer.byteOffset + offset, littleEndian, again);
    },
    encodeInto(buffer, offset, value, littleEndian = true) {
      if (offset < 0 || buffer.length - offset < size) {
        throw new WireError(
          name,
          `needs ${size} bytes to write, has ${buffer.length - offset}`,
          size,
          buffer.length - offset,
        );
      }
      buffer.fill(0, offset, offset + size);
      writer ??= compile<Writer<In>>('v,b,o,le,x', '', (constants) => writeSource('o', 'x', constants));
      const { view, bytes } = facesOf(buffer.buffer);
      writer(view, bytes, buffer.byteOffset + offset, littleEndian, value);
    },
    encode(value, littleEndian = true) {
      const out = new Uint8Array(size);
      this.encodeInto(out, 0, value, littleEndian);
      return out;
    },
  };
}

/** A struct known by a C union's or base type's name whose alternatives overlay each other: all are decoded. Encode one of
 * them; several are taken when they agree, as those just decoded do, and otherwise throw WireError. The same holds
 * for overlapping fields of any struct. */
export const union = struct;

function overlappingFields(fields: Fields): string[] {
  const entries = Object.entries(fields);
  return entries
    .filter(([field, [offset, type]]) =>
      entries.some(
        ([other, [at, { size }]]) =>
          other !== field && type.size > 0 && size > 0 && at < offset + type.size && offset < at + size,
      ),
    )
    .map(([field]) => field);
}

function sameBytes(wanted: Uint8Array, b: Uint8Array, at: number): boolean {
  for (let i = 0; i < wanted.length; i++) if (wanted[i] !== b[at + i]) return false;
  return true;
}

// The source is made of the tables above alone, never of input; see the module's first lines for why it is compiled.
type Reader<T> = (v: DataView, b: Uint8Array, o: number, le: boolean) => T;
type Writer<In> = (v: DataView, b: Uint8Array, o: number, le: boolean, value: In) => void;
function compile<Fn>(parameters: string, head: string, body: (constants: unknown[]) => string): Fn {
  const constants: unknown[] = [];
  const source = body(constants);
  const make = new Function('c', `return function(${parameters}){${head}${source}}`) as (c: unknown[]) => Fn;
  return make(constants);
}

type Viewer<T> = (v: DataView, b: Uint8Array, o: number, le: boolean, again: T | undefined) => T;

/** A class with a getter for each field. What is 64 bits wide is mostly what it was last time (a handle, the last commit, 0): then
 * it is the bigint of last time. */
function compileView<T>(fields: Fields): Viewer<T> {
  const constants: unknown[] = [];
  const read = ([offset, type]: Fields[string]): string => {
    const source = type.readSource(`o+${offset}`, constants);
    if (type.quad !== true) return `return ${source};`;
    const last = `c[${constants.push({ first: 0, second: 0, le: true, value: 0n }) - 1}]`;
    return (
      `const a=v.getInt32(o+${offset}),z=v.getInt32(o+${offset + 4}),last=${last};` +
      `if(a!==last.first||z!==last.second||le!==last.le){last.value=${source};last.first=a;last.second=z;last.le=le;}` +
      'return last.value;'
    );
  };
  const getters = Object.entries(fields).map(
    ([name, field]) => `get ${name}(){const v=this.v,b=this.b,o=this.o,le=this.le;${read(field)}}`,
  );
  const source =
    `class View{constructor(v,b,o,le){this.v=v;this.b=b;this.o=o;this.le=le;}${getters.join('')}}` +
    'return (v,b,o,le,again)=>{if(!(again instanceof View))return new View(v,b,o,le);again.v=v;again.b=b;again.o=o;again.le=le;return again;};';
  return (new Function('c', source) as (c: unknown[]) => Viewer<T>)(constants);
}

/** Both faces of one backing store, whole. */
export interface Faces {
  readonly buffer: ArrayBufferLike;
  readonly view: DataView;
  readonly bytes: Uint8Array;
}
/** Of the backing stores used last, the latest first: messages come out of one and go into another. */
const recent: Faces[] = [];
const RECENT_MAX = 4;

/** A message is many structs in one backing store, and the next message lies behind it: making views for each costs more
 * than all else that a decoder does. */
export function facesOf(buffer: ArrayBufferLike): Faces {
  const first = recent[0];
  if (first !== undefined && first.buffer === buffer) return first;
  for (let i = 1; i < recent.length; i++) {
    const found = recent[i]!;
    if (found.buffer !== buffer) continue;
    recent[i] = recent[0]!;
    recent[0] = found;
    return found;
  }
  const made = { buffer, view: new DataView(buffer), bytes: new Uint8Array(buffer) };
  for (let i = Math.min(recent.length, RECENT_MAX - 1); i > 0; i--) recent[i] = recent[i - 1]!;
  recent[0] = made;
  return made;
}

function readText(b: Uint8Array, at: number, size: number): string {
  let end = at;
  while (end < at + size && b[end] !== 0) end++;
  return end === at ? '' : decodeText(b.subarray(at, end));
}

function writeText(b: Uint8Array, at: number, size: number, value: string): void {
  const encoded = encodeText(value);
  if (encoded.length > size)
    throw new WireError('text', `'${value}' is longer than ${size} bytes`, encoded.length, size);
  if (encoded.includes(0)) throw new WireError('text', `${JSON.stringify(value)} has a NUL inside`);
  b.set(encoded, at);
}

function outOfRange(value: unknown, bits: number): never {
  throw new WireError('number', `${String(value)} is no whole number of ${bits} bits`);
}

function tooLong(have: number, size: number): never {
  throw new WireError('bytes', `${have} bytes do not fit into ${size}`, have, size);
}

/** Views of the same bytes were given that say different things. */
function disagree(struct: string, field: string): never {
  throw new WireError(struct, `${field} and another view of the same bytes were given and do not agree`);
}

function tooMany(count: number, have: number): never {
  throw new WireError('array', `has room for ${count} elements, was given ${have}`, have, count);
}
