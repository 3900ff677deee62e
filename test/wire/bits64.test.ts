/** Numbers and bigints of 64 bits: each value has one form, and the forms behave as one number line. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addBits64, bits64, highWord, lowWord, toBits64 } from '../../lib/wire/bits64.ts';
import { PtlrpcBodyV3 } from '../../lib/wire/ptlrpc-structs.ts';
import { WireError } from '../../lib/wire/struct.ts';

const edges = [0n, 1n, (1n << 32n) - 1n, 1n << 32n, (1n << 53n) - 1n, 1n << 53n, (1n << 64n) - 1n];
const values = fc.oneof(fc.constantFrom(...edges), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));

test('a value has one form, from words and from a bigint, of which both words come back', () => {
  const property = fc.property(values, (value) => {
    const bits = toBits64(value);
    expect(typeof bits).toBe(value < 1n << 53n ? 'number' : 'bigint');
    expect(bits64(lowWord(bits), highWord(bits))).toBe(bits);
    expect(bits64(lowWord(bits) | 0, highWord(bits) | 0)).toBe(bits);
    expect(BigInt(bits)).toBe(value);
  });
  fc.assert(property);
});

test('order and sums are those of the values, modulo 2^64', () => {
  const property = fc.property(values, values, fc.integer({ min: -256, max: 256 }), (a, b, more) => {
    expect(toBits64(a) < toBits64(b)).toBe(a < b);
    expect(toBits64(a) === toBits64(b)).toBe(a === b);
    expect(addBits64(toBits64(a), more)).toBe(toBits64(BigInt.asUintN(64, a + BigInt(more))));
  });
  fc.assert(property);
});

test('either form is written as the same bytes, in both orders, and what is no such number throws', () => {
  const property = fc.property(values, fc.boolean(), (value, littleEndian) => {
    const written = PtlrpcBodyV3.encode({ pb_mbits: toBits64(value) }, littleEndian);
    expect(written).toEqual(PtlrpcBodyV3.encode({ pb_mbits: value }, littleEndian));
    expect(PtlrpcBodyV3.decode(written, 0, littleEndian).pb_mbits).toBe(value);
    expect(PtlrpcBodyV3.view(written, 0, littleEndian).pb_mbits).toBe(value);
  });
  fc.assert(property);
  for (const wrong of [-1, 0.5, 2 ** 53, Number.NaN, -1n, 1n << 64n])
    expect(() => PtlrpcBodyV3.encode({ pb_mbits: wrong })).toThrow(WireError);
});

test('a view that is used again reads its new bytes', () => {
  const bytes = PtlrpcBodyV3.encode({ pb_transno: 5n, pb_slv: 7n });
  const other = PtlrpcBodyV3.encode({ pb_transno: 5n, pb_slv: 8n }, false);
  const view = PtlrpcBodyV3.view(bytes);
  expect([view.pb_transno, view.pb_slv]).toEqual([5n, 7n]);
  expect(PtlrpcBodyV3.view(other, 0, false, view)).toBe(view);
  expect([view.pb_transno, view.pb_slv]).toEqual([5n, 8n]);
});
