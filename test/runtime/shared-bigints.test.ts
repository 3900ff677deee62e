import fc from 'fast-check';
import { expect, it } from 'vitest';
import { lastText, sharedBigint } from '../../lib/runtime/shared-bigints.ts';

it('is the same number, whatever was seen before', () => {
  fc.assert(
    fc.property(fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n })), (values) => {
      expect(values.map(sharedBigint)).toEqual(values);
    }),
  );
});

it('has the text of each number, whatever was asked for before', () => {
  const text = lastText((value) => value.toString(16));
  fc.assert(
    fc.property(fc.array(fc.bigInt({ min: 0n, max: 3n })), (values) => {
      expect(values.map(text)).toEqual(values.map((value) => value.toString(16)));
    }),
  );
});
