/** Extents by where they lie, and the locks of one resource, against a plain list of them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Claim, locksConflict } from '../../lib/ldlm/conflicts.ts';
import { limitsAmong } from '../../lib/ldlm/extent-policy.ts';
import { ExtentTree } from '../../lib/ldlm/extent-tree.ts';
import { GrantedLocks } from '../../lib/ldlm/granted-locks.ts';
import type { Extent } from '../../lib/ldlm/lock.ts';
import { LockType } from '../../lib/wire/ldlm-constants.ts';

const extent = fc
  .tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 20 }))
  .map(([start, length]) => ({ start: BigInt(start), end: BigInt(start + length) }));
const step = fc.record({ extent, remove: fc.boolean(), at: fc.nat(1000) });
const overlap = (a: Extent, b: Extent): boolean => a.start <= b.end && b.start <= a.end;

test('a tree of extents finds what a list finds, whatever is put in and taken out', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.array(extent, { maxLength: 10 }), (steps, asked) => {
      const tree = new ExtentTree<Extent>();
      const list: Extent[] = [];
      for (const { extent: item, remove, at } of steps) {
        if (remove && list.length > 0) tree.delete(list.splice(at % list.length, 1)[0]!);
        else {
          tree.add(item, item);
          list.push(item);
        }
      }
      expect(tree.size).toBe(list.length);
      for (const range of asked) {
        const found = tree.overlapping(range.start, range.end);
        expect(new Set(found)).toEqual(new Set(list.filter((item) => overlap(item, range))));
        expect(found.map(({ start }) => start)).toEqual(found.map(({ start }) => start).sort(ascending));
        const above = list.map(({ start }) => start).filter((start) => start > range.start);
        expect(tree.startAbove(range.start)).toBe(above.sort(ascending)[0]);
      }
    }),
  );
});

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

test('a hundred thousand extents in order do not make it deep', () => {
  const tree = new ExtentTree<number>();
  for (let i = 0; i < 100_000; i++) tree.add(i, { start: BigInt(i), end: BigInt(i) });
  expect(tree.overlapping(500n, 502n)).toEqual([500, 501, 502]);
  for (let i = 0; i < 99_999; i++) tree.delete(i);
  expect(tree.overlapping(0n, 1n << 60n)).toEqual([99_999]);
});

describe('the locks of a resource', () => {
  const { LDLM_EXTENT, LDLM_IBITS } = LockType;
  const mode = fc.constantFrom(1, 2, 4, 8, 16, 32, 64);
  const extents = fc.tuple(mode, extent, fc.bigInt(1n, 2n)).map(
    ([m, e, gid]): Claim => ({
      type: LDLM_EXTENT,
      mode: m,
      policy: { extent: m === 64 ? { ...e, gid } : e },
    }),
  );
  const inodeBits = fc
    .tuple(mode, fc.bigInt(1n, 63n))
    .map(([m, bits]): Claim => ({ type: LDLM_IBITS, mode: m, policy: { inodeBits: bits } }));

  test.each([
    ['extents', extents],
    ['inode bits', inodeBits],
  ] as const)('of type %s are in the way as they are one by one', (_, claims) => {
    fc.assert(
      fc.property(fc.array(claims, { maxLength: 90 }), fc.nat(90), claims, (all, removed, wanted) => {
        const granted = new GrantedLocks<Claim>();
        for (const claim of all) granted.add(claim);
        for (const claim of all.slice(0, removed)) granted.delete(claim);
        const left = all.slice(removed);
        const inTheWay = left.filter((claim) => locksConflict(claim, wanted));
        expect(new Set(granted.conflicting(wanted))).toEqual(new Set(inTheWay));
        expect(granted.hasConflict(wanted)).toBe(inTheWay.length > 0);
        expect(granted.hasGroup).toBe(left.some((claim) => claim.mode === 64));
        const position = wanted.policy.extent?.end;
        if (position !== undefined)
          expect(granted.limits(wanted.mode, position)).toEqual(limitsAmong(left, wanted.mode, position));
      }),
    );
  });
});
