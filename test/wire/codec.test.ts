/** The codecs themselves: truncation, both byte orders, decode and encode as inverses, nothing but WireError. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AnyField, decodeBuffers, encodeBuffers } from '../../lib/wire/format.ts';
import { decodeMessage, layOutMessage, messageSize, roundUp8 } from '../../lib/wire/message.ts';
import { struct, text, u8, u16, u32, u64, WireError } from '../../lib/wire/struct.ts';
import { decodeText, encodeText, textByteLength } from '../../lib/wire/text.ts';
import { allFormats, allStructs } from './reference.ts';

const randomBytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });

function onlyWireErrors(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
  }
}

describe('structs', () => {
  it.each(allStructs)('%s: every shorter buffer throws WireError', (_, type) => {
    for (let length = 0; length < type.size; length++) {
      expect(() => type.decode(new Uint8Array(length))).toThrow(WireError);
      expect(() => type.encodeInto(new Uint8Array(length), 0, {})).toThrow(WireError);
    }
    if (type.size > 0) expect(() => type.decode(new Uint8Array(type.size), 1)).toThrow(WireError);
    expect(() => type.decode(new Uint8Array(type.size), -1)).toThrow(WireError);
  });

  it.each(allStructs)('%s: what was decoded encodes to the same value, into dirty memory', (_, type) => {
    const property = fc.property(randomBytes(type.size), fc.boolean(), (bytes, little) => {
      const value = type.decode(bytes, 0, little);
      const clean = type.encode(value, little);
      const dirty = new Uint8Array(type.size + 2).fill(0xaa);
      type.encodeInto(dirty, 1, value, little);
      expect(dirty.subarray(1, -1)).toEqual(clean);
      expect([dirty[0], dirty.at(-1)]).toEqual([0xaa, 0xaa]);
      expect(type.decode(clean, 0, little)).toEqual(value);
    });
    fc.assert(property, { numRuns: type.size > 2048 ? 5 : 40 });
    expect(type.encode({})).toEqual(new Uint8Array(type.size));
  });
});

/** Bytes that a buffer of this kind may hold. */
function bufferOf(field: AnyField): fc.Arbitrary<Uint8Array> {
  const { shape } = field;
  const whole = (size: number, least = 0): fc.Arbitrary<Uint8Array> =>
    fc.nat(3).chain((n) => randomBytes((least + n) * size));
  switch (shape?.kind) {
    case 'struct':
      return randomBytes(shape.type.size);
    case 'structs':
      return whole(shape.type.size);
    case 'lock':
      return fc.nat(3).chain((n) => randomBytes(shape.type.size + 16 + 8 * n));
    case 'u32':
      return randomBytes(4);
    case 'u64':
      return randomBytes(8);
    case 'u32s':
      return whole(4);
    case 'text':
      return fc
        .uint8Array({ min: 1, minLength: 1, maxLength: 39 })
        .map((name) => (name.length === shape.longest ? name : Uint8Array.from([...name, 0])));
    default:
      return whole(1);
  }
}

function messageOf(buffers: readonly Uint8Array[]): Uint8Array {
  const lengths = buffers.map((buffer) => buffer.length);
  const bytes = new Uint8Array(messageSize(lengths));
  let at = layOutMessage(bytes, lengths);
  for (const buffer of buffers) {
    bytes.set(buffer, at);
    at += roundUp8(buffer.length);
  }
  return bytes;
}

const sides = allFormats.flatMap(([name, format]) =>
  (['request', 'reply'] as const).map((side) => [`${name} ${side}`, format[side]] as const),
);

describe('formats', () => {
  it.each(sides)('%s: decode, encode, decode gives the same', (_, fields) => {
    const property = fc.property(fc.tuple(...fields.map(bufferOf)), (buffers) => {
      const values = decodeBuffers(fields, decodeMessage(messageOf(buffers)));
      const dirty = new Uint8Array(16384).fill(0xaa);
      const again = encodeBuffers(fields, values as never, { allSlots: true }, dirty);
      expect(again).toEqual(encodeBuffers(fields, values as never, { allSlots: true }));
      expect(decodeBuffers(fields, decodeMessage(again))).toEqual(values);
    });
    fc.assert(property, { numRuns: 5 });
  });

  it.each(sides)('%s: every shorter message throws WireError', (_, fields) => {
    const bytes = messageOf(fields.map((field) => fc.sample(bufferOf(field), { numRuns: 1, seed: 7 })[0]!));
    const step = bytes.length > 4096 ? 97 : 1;
    for (let length = 0; length < bytes.length; length += step) {
      expect(() => decodeBuffers(fields, decodeMessage(bytes.subarray(0, length)))).toThrow(WireError);
    }
  });

  it.each(sides)('%s: every shorter buffer throws WireError or is read', (_, fields) => {
    for (const field of fields) {
      const bytes = fc.sample(bufferOf(field), { numRuns: 1, seed: 7 })[0]!;
      const step = bytes.length > 1024 ? 61 : 1;
      for (let n = 1; n < bytes.length; n += step) {
        onlyWireErrors(() => field.decode(bytes.subarray(0, n), true));
        onlyWireErrors(() => field.decode(bytes.subarray(0, n), false));
      }
    }
  });

  it('reads messages of either byte order', () => {
    const bytes = messageOf([new Uint8Array(184)]);
    const words = new DataView(bytes.buffer);
    for (let at = 0; at < 40; at += 4) words.setUint32(at, words.getUint32(at, true), false);
    words.setUint32(40 + 16, 400, false);
    const message = decodeMessage(bytes);
    expect(message.littleEndian).toBe(false);
    expect(decodeBuffers([allFormats[0]![1].request[0]!], message)).toMatchObject({
      ptlrpc_body: { pb_opc: 400 },
    });
  });
});

describe('text', () => {
  it('keeps any bytes', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      expect([...encodeText(decodeText(bytes))]).toEqual([...bytes]);
      expect(textByteLength(decodeText(bytes))).toBe(bytes.length);
    });
    fc.assert(property, { numRuns: 2000 });
  });

  it('reads any UTF-8 as what it is, a byte order mark included', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (string) => {
        expect(decodeText(Buffer.from(string))).toBe(string);
        expect(Buffer.from(encodeText(string)).toString()).toBe(string);
      }),
    );
    expect(decodeText(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe('\ufeffa');
  });

  it('gives every byte sequence a text of its own', () => {
    const cut = Uint8Array.of(0x61, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf5, 0xff);
    expect(decodeText(cut)).toBe('a\udcc3(\udced\udca0\udc80\udcf5\udcff');
    expect(() => encodeText('\ud800')).toThrow(WireError);
    expect(() => encodeText('\udc7f')).toThrow(WireError);
  });
});

describe('values without bytes are refused', () => {
  const numbers = struct('numbers', 16, { byte: [0, u8], half: [2, u16], word: [4, u32], long: [8, u64] });
  const name = struct('name', 8, { name: [0, text(8)] });
  const views = struct('views', 8, { word: [0, u32], halfs: [0, u16], rest: [4, u32] });

  it.each([
    ['byte', 256],
    ['byte', -1],
    ['half', 65536],
    ['word', 2 ** 32],
    ['word', -(2 ** 31) - 1],
    ['word', 1.5],
    ['word', Number.NaN],
    ['long', -1n],
    ['long', 1n << 64n],
  ])('%s = %s', (field, value) => {
    expect(() => numbers.encode({ [field]: value })).toThrow(WireError);
  });

  it('takes a 32-bit value of either sign', () => {
    expect(numbers.encode({ word: 0x80000000 | 1 })).toEqual(numbers.encode({ word: 0x80000001 }));
  });

  it('text that is too long or has a NUL inside', () => {
    expect(() => name.encode({ name: '123456789' })).toThrow(WireError);
    expect(() => name.encode({ name: 'ééééé' })).toThrow(WireError);
    expect(() => name.encode({ name: 'a\0b' })).toThrow(WireError);
    expect(name.decode(name.encode({ name: '12345678' }))).toEqual({ name: '12345678' });
  });

  it('views of the same bytes that do not agree', () => {
    expect(() => views.encode({ word: 1, halfs: 2 })).toThrow(WireError);
    expect(views.encode({ word: 0x10002, halfs: 2, rest: 9 })).toEqual(Uint8Array.of(2, 0, 1, 0, 9, 0, 0, 0));
    expect(views.encode({ halfs: 2 })).toEqual(Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0));
  });
});
