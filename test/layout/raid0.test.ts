import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  fileSize,
  fileSizeOfObject,
  objectRuns,
  objectSizeAt,
  toFile,
  toObject,
} from '../../lib/layout/raid0.ts';

const MIB = 1 << 20;
const geometry = fc
  .tuple(fc.integer({ min: 1, max: 256 }), fc.integer({ min: 1, max: 40 }))
  .map(([units, stripeCount]) => ({ stripeSize: units * 65536, stripeCount }));
const offset = fc.oneof(
  fc.nat(1 << 30),
  fc.maxSafeNat().map((n) => Math.floor(n / 4)),
);

describe('raid0 arithmetic', () => {
  it('agrees with the worked example of guide 13 §3', () => {
    const three = { stripeSize: MIB, stripeCount: 3 };
    expect(toObject(three, 7.5 * MIB)).toEqual({ stripe: 1, offset: 2.5 * MIB });
    expect([0, 1, 2].map((i) => objectSizeAt(three, i, 7.5 * MIB))).toEqual([3 * MIB, 2.5 * MIB, 2 * MIB]);
  });

  it('cuts where a kernel client punched: 2621447 on 2 x 1 MiB (capture 03 pkt 4575)', () => {
    const two = { stripeSize: MIB, stripeCount: 2 };
    expect([0, 1].map((i) => objectSizeAt(two, i, 2621447))).toEqual([1572871, 1048576]);
  });

  it('maps every offset to one place and back', () => {
    fc.assert(
      fc.property(geometry, offset, (g, x) => {
        const { stripe, offset: y } = toObject(g, x);
        expect(stripe).toBeLessThan(g.stripeCount);
        expect(toFile(g, stripe, y)).toBe(x);
      }),
    );
  });

  it('gives a file the size that was cut, whatever the size', () => {
    fc.assert(
      fc.property(geometry, offset, (g, size) => {
        const sizes = Array.from({ length: g.stripeCount }, (_, i) => objectSizeAt(g, i, size));
        expect(fileSize(g, sizes)).toBe(size);
        expect(sizes.reduce((a, b) => a + b)).toBe(size);
      }),
    );
  });

  it('shows one past the last byte of an object', () => {
    fc.assert(
      fc.property(geometry, fc.nat(39), fc.integer({ min: 1, max: 1 << 30 }), (g, i, size) => {
        const stripe = i % g.stripeCount;
        expect(fileSizeOfObject(g, stripe, size)).toBe(toFile(g, stripe, size - 1) + 1);
      }),
    );
  });

  it('cuts a range into runs that are contiguous in their object and cover it once', () => {
    fc.assert(
      fc.property(geometry, offset, fc.integer({ min: 0, max: 64 * MIB }), (g, start, length) => {
        const runs = objectRuns(g, start, length);
        const pieces = runs.flatMap((r) => r.pieces).sort((a, b) => a.rangeOffset - b.rangeOffset);
        let at = 0;
        for (const piece of pieces) {
          expect(piece.rangeOffset).toBe(at);
          expect(toObject(g, start + at)).toEqual({ stripe: piece.stripe, offset: piece.objectOffset });
          at += piece.length;
        }
        expect(at).toBe(length);
        for (const run of runs) {
          let end = run.objectOffset;
          for (const piece of run.pieces) {
            expect(piece.objectOffset).toBe(end);
            end += piece.length;
          }
          expect(end - run.objectOffset).toBe(run.length);
        }
      }),
      { numRuns: 60 },
    );
  });
});
