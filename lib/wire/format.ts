/**
 * Request formats, declared as the reference declares them (`RMF_*` fields composed into `RQF_*` request and reply
 * buffer lists: guide 04 §1.1), so that someone who knows Lustre can read them. Names of fields are the RMF
 * names in lower case without their prefix: RMF_MDT_BODY is `mdt_body`.
 */
import { LustreError } from '../runtime/errors.ts';
import { type Bits64, bits64 } from './bits64.ts';
import { LdlmRequest } from './ldlm-structs.ts';
import {
  decodeMessage,
  layOutMessage,
  type Message,
  type MessageHeader,
  messageSize,
  roundUp8,
} from './message.ts';
import { PtlrpcBodyV2, PtlrpcBodyV3 } from './ptlrpc-structs.ts';
import {
  facesOf,
  type Struct,
  type StructInput,
  type StructValue,
  WireError,
  type WireType,
} from './struct.ts';
import { decodeText, encodeText, textByteLength } from './text.ts';

/** One buffer of a message. `T` is what it decodes to, `In` what it is encoded from. */
export interface Field<K extends string, T, In> {
  readonly key: K;
  /** Bytes of a fixed-size buffer; 0 when variable. */
  readonly fixedSize: number;
  /** A buffer that senders always size, 0 bytes where they have nothing to say; it never ends a request's list. */
  readonly mayBeEmpty?: boolean;
  /** What the buffer is made of, for those who show or check messages rather than use them. */
  readonly shape?: FieldShape;
  sizeOf(value: In): number;
  encodeInto(bytes: Uint8Array, offset: number, value: In): void;
  /** Throws WireError when the bytes are too few or malformed. Default: all of `bytes`. */
  decode(bytes: Uint8Array, littleEndian: boolean, offset?: number, length?: number): T;
}

/** `struct`: one struct; `structs`: any number of them; `lock`: a struct with 64-bit handles behind it. */
export type FieldShape =
  | { readonly kind: 'struct' | 'structs' | 'lock'; readonly type: Struct<unknown, unknown> }
  | { readonly kind: 'u32' | 'u64' | 'u32s' | 'bytes' }
  /** `longest` 0: the NUL is the last byte of the buffer. */
  | { readonly kind: 'text'; readonly longest: number };

export type AnyField = Field<string, unknown, never>;
type Decoded<F> = F extends Field<infer K, infer T, never> ? { [key in K]?: T } : never;
type Encoded<F> = F extends { readonly key: infer K extends string; sizeOf(value: infer In): number }
  ? { readonly [key in K]?: In | null | undefined }
  : never;
type Intersect<U> = (U extends unknown ? (u: U) => void : never) extends (u: infer I) => void ? I : never;
type Flatten<T> = { [K in keyof T]: T[K] };

export type PtlrpcBody = StructValue<typeof PtlrpcBodyV3>;
/** What a buffer list decodes to; absent and empty buffers are undefined, `ptlrpc_body` is always there. */
export type BufferValues<Fs extends readonly AnyField[]> = Flatten<
  Intersect<Decoded<Fs[number]>> & { ptlrpc_body: PtlrpcBody }
>;
export type BufferInputs<Fs extends readonly AnyField[]> = Flatten<Intersect<Encoded<Fs[number]>>>;

export interface Format<
  Rq extends readonly AnyField[] = readonly AnyField[],
  Rp extends readonly AnyField[] = readonly AnyField[],
> {
  readonly name: string;
  /** The opcodes that use it. */
  readonly opcodes: readonly number[];
  /** High half of pb_version; 0 where it goes by the opcode (see `rpcVersion`). */
  readonly version: number;
  readonly request: Rq;
  readonly reply: Rp;
  /** Bytes of a reply whose variable buffers are empty. */
  readonly replySize: number;
}

export type RequestValues<F extends Format> = BufferValues<F['request']>;
export type RequestInputs<F extends Format> = BufferInputs<F['request']>;
export type ReplyValues<F extends Format> = BufferValues<F['reply']>;
export type ReplyInputs<F extends Format> = BufferInputs<F['reply']>;

export function format<const Rq extends readonly AnyField[], const Rp extends readonly AnyField[]>(
  name: string,
  opcodes: readonly number[],
  version: number,
  request: Rq,
  reply: Rp,
): Format<Rq, Rp> {
  return { name, opcodes, version, request, reply, replySize: buffersSize(reply, {}, true) };
}

/** A buffer that is one struct. `sizeMayDiffer`: a shorter one is read as if zeroes followed, a longer one cut. */
export function structField<K extends string, T, In>(
  key: K,
  type: Struct<T, In>,
  options: { sizeMayDiffer?: boolean } = {},
): Field<K, T, In> {
  return {
    key,
    fixedSize: type.size,
    shape: { kind: 'struct', type },
    sizeOf: () => type.size,
    encodeInto: (bytes, offset, value) => type.encodeInto(bytes, offset, value),
    decode(bytes, littleEndian, offset = 0, length = bytes.length) {
      if (length >= type.size) return type.decode(bytes, offset, littleEndian);
      const short = bytes.subarray(offset, offset + length);
      if (options.sizeMayDiffer !== true) return type.decode(short, 0, littleEndian);
      const padded = new Uint8Array(type.size);
      padded.set(short);
      return type.decode(padded, 0, littleEndian);
    },
  };
}

/** A struct that text may follow: NUL-terminated, with room for `room` bytes, and nothing where there is none. */
export function structWithText<K extends string, T extends object, In extends object, N extends string>(
  key: K,
  type: Struct<T, In>,
  name: N,
  room: number,
): Field<K, T & { readonly [name in N]?: string }, In & { readonly [name in N]?: string }> {
  const struct = structField(key, type);
  return {
    ...struct,
    sizeOf: (value) => type.size + (value[name] === undefined ? 0 : room),
    encodeInto(bytes, offset, value) {
      type.encodeInto(bytes, offset, value);
      const text = new TextEncoder().encode(value[name] ?? '');
      if (text.length >= room)
        throw new WireError(key, `has a ${name} that is too long`, text.length, room - 1);
      if (value[name] !== undefined) bytes.set(text, offset + type.size);
    },
    decode(bytes, littleEndian, offset = 0, length = bytes.length) {
      const value = struct.decode(bytes, littleEndian, offset, length);
      if (length === type.size) return value;
      const text = bytes.subarray(offset + type.size, offset + Math.min(length, type.size + room));
      const end = text.indexOf(0);
      return { ...value, [name]: new TextDecoder().decode(end < 0 ? text : text.subarray(0, end)) };
    },
  };
}

/** A buffer of any number of whole elements. */
export function arrayField<K extends string, T, In>(
  key: K,
  type: Struct<T, In>,
): Field<K, T[], readonly In[]> {
  return {
    key,
    fixedSize: 0,
    shape: { kind: 'structs', type },
    sizeOf: (value) => value.length * type.size,
    encodeInto(bytes, offset, value) {
      value.forEach((item, i) => {
        type.encodeInto(bytes, offset + i * type.size, item);
      });
    },
    decode(bytes, littleEndian, offset = 0, length = bytes.length) {
      if (length % type.size !== 0)
        throw new WireError(key, `${length} bytes are not whole elements`, type.size, length);
      return Array.from({ length: length / type.size }, (_, i) =>
        type.decode(bytes, offset + i * type.size, littleEndian),
      );
    },
  };
}

/** A buffer that is one number, or a row of them. */
export function numberField<K extends string, T extends number | bigint>(
  key: K,
  type: WireType<T>,
): Field<K, T, T> {
  const big = type.size === 8;
  return {
    key,
    fixedSize: type.size,
    shape: { kind: big ? 'u64' : 'u32' },
    sizeOf: () => type.size,
    encodeInto: (bytes, offset, value) => {
      if (big ? BigInt.asUintN(64, BigInt(value)) !== value : Number(value) >>> 0 !== value)
        throw new WireError(key, `${value} is no whole number of ${type.size} bytes`);
      const { view } = facesOf(bytes.buffer);
      if (big) view.setBigUint64(bytes.byteOffset + offset, BigInt(value), true);
      else view.setUint32(bytes.byteOffset + offset, Number(value), true);
    },
    decode(bytes, littleEndian, offset = 0, length = bytes.length) {
      if (length < type.size) throw new WireError(key, 'is cut off', type.size, length);
      const { view } = facesOf(bytes.buffer);
      const at = bytes.byteOffset + offset;
      return (big ? view.getBigUint64(at, littleEndian) : view.getUint32(at, littleEndian)) as T;
    },
  };
}

/** A row of 32-bit numbers. */
export function u32ArrayField<K extends string>(key: K): Field<K, number[], readonly number[]> {
  return {
    key,
    fixedSize: 0,
    shape: { kind: 'u32s' },
    sizeOf: (value) => value.length * 4,
    encodeInto(bytes, offset, value) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      value.forEach((n, i) => {
        if (n >>> 0 !== n && (n | 0) !== n) throw new WireError(key, `${n} is no whole number of 4 bytes`);
        view.setUint32(offset + 4 * i, n, true);
      });
    },
    decode(bytes, littleEndian, offset = 0, length = bytes.length) {
      if (length % 4 !== 0) throw new WireError(key, `${length} bytes are not whole words`, 4, length);
      const { view } = facesOf(bytes.buffer);
      const at = bytes.byteOffset + offset;
      return Array.from({ length: length / 4 }, (_, i) => view.getUint32(at + 4 * i, littleEndian));
    },
  };
}

/** Raw bytes. `fixedSize` 0 is variable. */
export function bytesField<K extends string>(key: K, fixedSize = 0): Field<K, Uint8Array, Uint8Array> {
  return {
    key,
    fixedSize,
    shape: { kind: 'bytes' },
    sizeOf: (value) => (fixedSize === 0 ? value.length : fixedSize),
    encodeInto(bytes, offset, value) {
      if (fixedSize !== 0 && value.length > fixedSize)
        throw new WireError(key, 'is too long', value.length, fixedSize);
      bytes.set(value, offset);
    },
    decode: (bytes, _, offset = 0, length = bytes.length) => bytes.subarray(offset, offset + length),
  };
}

/** A capability: obsolete, always there, always empty. */
export function emptyField<K extends string>(key: K): Field<K, Uint8Array, Uint8Array> {
  return { ...bytesField(key), mayBeEmpty: true };
}

/**
 * NUL-terminated text. Variable (`textSize` 0): the buffer is the text and its NUL, nothing behind it. Fixed: `textSize`
 * is its longest text without the NUL; we send the text and its NUL, as servers accept (guide 05 §2). Text that is
 * too long or has a NUL inside throws, and so does a buffer without its NUL: what a server refuses (guide 04 §1.1).
 */
export function stringField<K extends string>(key: K, textSize: number): Field<K, string, string> {
  return {
    key,
    fixedSize: 0,
    shape: { kind: 'text', longest: textSize },
    sizeOf: (value) => Math.max(textByteLength(value) + 1, textSize),
    encodeInto: (bytes, offset, value) => {
      const encoded = encodeText(value);
      if (textSize !== 0 && encoded.length > textSize)
        throw new WireError(key, 'is too long', encoded.length, textSize);
      if (encoded.includes(0)) throw new WireError(key, `${JSON.stringify(value)} has a NUL inside`);
      bytes.set(encoded, offset);
    },
    decode(bytes, _, offset = 0, size = bytes.length) {
      const nul = bytes.indexOf(0, offset);
      const length = nul === -1 || nul >= offset + size ? size : nul - offset;
      if (length === size && size !== textSize) throw new WireError(key, 'has no NUL at its end');
      if (textSize === 0 && length !== size - 1)
        throw new WireError(key, 'has bytes behind its NUL', length + 1, size);
      if (textSize !== 0 && length > textSize) throw new WireError(key, 'is too long', length, textSize);
      return decodeText(bytes.subarray(offset, offset + length));
    },
  };
}

/** A lock request and the handles that follow it: one counts as none-or-one, the rest are early cancels (guide 08). */
export interface LdlmRequestValue extends StructValue<typeof LdlmRequest> {
  lock_handle: bigint[];
}
export type LdlmRequestInput = StructInput<typeof LdlmRequest> & { readonly lock_handle?: readonly bigint[] };

const NO_HANDLES: readonly bigint[] = [];
const lock = structField('ldlm_request', LdlmRequest);

/** Declared with room for two handles (104 bytes); shorter and longer ones are legal. */
export function ldlmRequestField<K extends string>(key: K): Field<K, LdlmRequestValue, LdlmRequestInput> {
  return {
    key,
    fixedSize: 0,
    mayBeEmpty: true,
    shape: { kind: 'lock', type: LdlmRequest },
    sizeOf: (value) => LdlmRequest.size + 8 * Math.max(2, value.lock_handle?.length ?? 0),
    encodeInto(bytes, offset, value) {
      LdlmRequest.encodeInto(bytes, offset, value);
      const { view } = facesOf(bytes.buffer);
      let at = bytes.byteOffset + offset + LdlmRequest.size;
      for (const cookie of value.lock_handle ?? NO_HANDLES) {
        if (BigInt.asUintN(64, cookie) !== cookie)
          throw new WireError(key, `${cookie} is no whole number of 8 bytes`);
        view.setBigUint64(at, cookie, true);
        at += 8;
      }
    },
    decode(bytes, littleEndian, offset = 0, length = bytes.length) {
      const { lock_flags, lock_count, lock_desc } = lock.decode(bytes, littleEndian, offset, length);
      const { view } = facesOf(bytes.buffer);
      const at = bytes.byteOffset + offset;
      const lock_handle: bigint[] = [];
      for (let next = LdlmRequest.size; next + 8 <= length; next += 8)
        lock_handle.push(view.getBigUint64(at + next, littleEndian));
      return { lock_flags, lock_count, lock_desc, lock_handle };
    },
  };
}

/** Buffer 0. A v2 body (152 bytes, without the job id) is read as a v3 one. */
export const ptlrpcBodyField: Field<'ptlrpc_body', PtlrpcBody, StructInput<typeof PtlrpcBodyV3>> = {
  key: 'ptlrpc_body',
  fixedSize: PtlrpcBodyV3.size,
  shape: { kind: 'struct', type: PtlrpcBodyV3 },
  sizeOf: () => PtlrpcBodyV3.size,
  encodeInto: (bytes, offset, value) => PtlrpcBodyV3.encodeInto(bytes, offset, value),
  decode: decodePtlrpcBody,
};

export function decodePtlrpcBody(
  bytes: Uint8Array,
  littleEndian: boolean,
  offset = 0,
  length = bytes.length,
): PtlrpcBody {
  if (length >= PtlrpcBodyV3.size) return PtlrpcBodyV3.decode(bytes, offset, littleEndian);
  if (length < PtlrpcBodyV2.size) throw new WireError('ptlrpc_body', 'is cut off', PtlrpcBodyV2.size, length);
  const padded = new Uint8Array(PtlrpcBodyV3.size);
  padded.set(bytes.subarray(offset, offset + PtlrpcBodyV2.size));
  return PtlrpcBodyV3.decode(padded, 0, littleEndian);
}

/** The first buffer of a message, its fields read when they are asked for: the bytes must stay as they are. `again`: what an
 * earlier call gave, to become this one. */
export function viewPtlrpcBody(message: Message, again?: PtlrpcBody): PtlrpcBody {
  const { bytes, littleEndian, headerSize } = message;
  const length = message.lengthOf(0);
  if (length < PtlrpcBodyV3.size) return decodePtlrpcBody(bytes, littleEndian, headerSize, length);
  return PtlrpcBodyV3.view(bytes, headerSize, littleEndian, again);
}

/** A number of its first buffer that differs with each request. */
export function bodyBits(message: Message, field: 'pb_last_xid' | 'pb_mbits'): Bits64 {
  const { bytes, littleEndian, headerSize } = message;
  const { view } = facesOf(bytes.buffer);
  const at = bytes.byteOffset + headerSize + BODY_BITS[field];
  const first = view.getInt32(at, littleEndian);
  const second = view.getInt32(at + 4, littleEndian);
  return littleEndian ? bits64(first, second) : bits64(second, first);
}

/** Where they are, in a body of either version. */
const BODY_BITS = {
  pb_last_xid: PtlrpcBodyV2.fields.pb_last_xid![0],
  pb_mbits: PtlrpcBodyV2.fields.pb_mbits![0],
};

const connectionOpcodes: ReadonlySet<number> = new Set([8, 9, 38, 39, 250, 251, 400, 403]);

/** pb_version's high half for an opcode (guide 04 §1.2). */
export function rpcVersion(opcode: number): number {
  if (connectionOpcodes.has(opcode) || (opcode >= 801 && opcode <= 803)) return 0x10000;
  if (opcode <= 23) return 0x30000;
  if (opcode >= 101 && opcode <= 107) return 0x40000;
  if (opcode >= 501 && opcode <= 509) return 0x50000;
  if (opcode >= 252 && opcode <= 256) return 0x60000;
  return opcode >= 1101 ? 0x10000 : 0x20000;
}

/** Values by the names of their buffers, of whichever format. */
export type Inputs = { readonly [key: string]: unknown };

/**
 * Buffer lengths. A value given later in the list keeps the slots before it, empty where they are variable; behind the last
 * value a request ends at the first variable slot, a reply (`allSlots`) has every slot (guide 04 §1.1). `null` is a
 * slot of 0 bytes, of fixed-size fields too. `slots`: exactly so many. The lengths stand until lengths are asked for again.
 */
export function bufferLengths(
  fields: readonly AnyField[],
  values: Inputs,
  allSlots = false,
  slots?: number,
): readonly number[] {
  let last = fields.length - 1;
  while (last >= 0 && values[fields[last]!.key] === undefined) last--;
  const most = Math.min(fields.length, slots ?? fields.length);
  let count = last + 1;
  if (allSlots || slots !== undefined) count = most;
  else while (count < most && hasSlot(fields[count]!)) count++;
  const lengths = lengthsOf(Math.min(count, most));
  for (let i = 0; i < lengths.length; i++) {
    const field = fields[i]!;
    const value = values[field.key];
    if (value === undefined) lengths[i] = field.fixedSize;
    else lengths[i] = value === null ? 0 : field.sizeOf(value as never);
  }
  return lengths;
}

/** Of so many buffers: one for all messages that have as many, as they are encoded one after the other. */
function lengthsOf(count: number): number[] {
  while (allLengths.length <= count) allLengths.push(new Array<number>(allLengths.length).fill(0));
  return allLengths[count]!;
}
const allLengths: number[][] = [];

/** Without a value, and behind the last that there is. */
const hasSlot = (field: AnyField): boolean => field.fixedSize > 0 || field.mayBeEmpty === true;

export interface EncodeOptions extends MessageHeader {
  /** Every slot of the list, as replies have it. */
  readonly allSlots?: boolean | undefined;
  /** Exactly this many buffers, whatever else is said; an error reply has 1. */
  readonly slots?: number | undefined;
}

/** The size that `encodeBuffers` of the same values will take. */
export function buffersSize(
  fields: readonly AnyField[],
  values: Inputs,
  allSlots = false,
  slots?: number,
): number {
  return messageSize(bufferLengths(fields, values, allSlots, slots));
}

/** Encodes a message of these buffers. With `into` it is written there (throws WireError if it does not fit) and a view of
 * what was written is given back; otherwise into a new array. */
export function encodeBuffers<Fs extends readonly AnyField[]>(
  fields: Fs,
  values: BufferInputs<Fs>,
  options: EncodeOptions = {},
  into?: Uint8Array,
): Uint8Array {
  const inputs = values as Inputs;
  const lengths = bufferLengths(fields, inputs, options.allSlots === true, options.slots);
  const bytes = into ?? new Uint8Array(messageSize(lengths));
  const size = encodeInto(fields, lengths, inputs, inputs.ptlrpc_body, options, bytes);
  return bytes.length === size ? bytes : bytes.subarray(0, size);
}

/** The same where `bufferLengths` has been asked already, the ptlrpc_body being given apart from the other buffers. Gives the
 * message's size. */
export function encodeInto(
  fields: readonly AnyField[],
  lengths: readonly number[],
  values: Inputs,
  body: unknown,
  header: MessageHeader,
  into: Uint8Array,
): number {
  let at = layOutMessage(into, lengths, header);
  for (let i = 0; i < lengths.length; i++) {
    const field = fields[i]!;
    const value = field === ptlrpcBodyField ? body : values[field.key];
    if (value !== undefined && value !== null) field.encodeInto(into, at, value as never);
    at += roundUp8(lengths[i]!);
  }
  return at;
}

/** Decodes a message's buffers by a list. Empty and missing buffers are undefined; throws WireError for malformed ones. `body`:
 * the ptlrpc_body, where it is known already. */
export function decodeBuffers<Fs extends readonly AnyField[]>(
  fields: Fs,
  message: Message,
  body?: PtlrpcBody,
): BufferValues<Fs> {
  const values: { [key: string]: unknown } = {};
  const { bytes, littleEndian, count } = message;
  let at = message.headerSize;
  for (let i = 0; i < fields.length && i < count; i++) {
    const field = fields[i]!;
    const length = message.lengthOf(i);
    if (body !== undefined && field === ptlrpcBodyField) values.ptlrpc_body = body;
    else if (length > 0) values[field.key] = field.decode(bytes, littleEndian, at, length);
    at += roundUp8(length);
  }
  if (fields[0]?.key === 'ptlrpc_body' && values.ptlrpc_body === undefined)
    throw new WireError('ptlrpc_body', 'is missing');
  return values as BufferValues<Fs>;
}

/** `decodeMessage` and `decodeBuffers` in one. */
export function decodeRequest<F extends Format>(of: F, bytes: Uint8Array): RequestValues<F> {
  return decodeBuffers(of.request, decodeMessage(bytes)) as RequestValues<F>;
}
export function decodeReply<F extends Format>(of: F, bytes: Uint8Array): ReplyValues<F> {
  return decodeBuffers(of.reply, decodeMessage(bytes)) as ReplyValues<F>;
}

/** A buffer that the operation cannot do without; its absence is the sender's protocol error (-EPROTO). */
export function required<V extends object, K extends keyof V & string>(values: V, key: K): NonNullable<V[K]> {
  const value = values[key];
  if (value === undefined || value === null)
    throw new LustreError('EPROTO', `buffer ${key} is missing`, {}, -71);
  return value;
}
