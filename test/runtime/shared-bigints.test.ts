import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sharedBigint } from '../../lib/runtime/shared-bigints.ts';

it('is the same number, whatever was seen before', () => {
  fc.assert(
    fc.property(fc.array(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n })), (values) => {
      expect(values.map(sharedBigint)).toEqual(values);
    }),
  );
});
