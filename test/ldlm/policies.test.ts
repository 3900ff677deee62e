/** Modes, extent growth, file lock ranges and value blocks by themselves (guide 08 §1.1, §3.3, §7, §8). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ExtentClaim, grownExtent as grown, limitsAmong } from '../../lib/ldlm/extent-policy.ts';
import { applyFlock, type FlockRange, flockConflict } from '../../lib/ldlm/flock-policy.ts';
import { mergeOstLvb } from '../../lib/ldlm/lvb.ts';
import { modeCovers, modesCompatible } from '../../lib/ldlm/modes.ts';
import { LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { OstLvb, OstLvbV1 } from '../../lib/wire/ldlm-structs.ts';

const { LCK_EX, LCK_PW, LCK_PR, LCK_CW, LCK_CR, LCK_NL, LCK_GROUP } = LockMode;
const modes = [LCK_EX, LCK_PW, LCK_PR, LCK_CW, LCK_CR, LCK_NL, LCK_GROUP];
const EOF = 0xffff_ffff_ffff_ffffn;
const PAGE = 4096n;

describe('modes', () => {
  test('are compatible as the guide’s table says', () => {
    const rows = ['.....+.', '....++.', '..+.++.', '...+++.', '.+++++.', '+++++++', '.....++'];
    const table = modes.map((held) =>
      modes.map((asked) => (modesCompatible(held, asked) ? '+' : '.')).join(''),
    );
    expect(table).toEqual(rows);
  });

  test('what covers a mode conflicts with all that the mode conflicts with', () => {
    for (const held of modes) {
      for (const wanted of modes) {
        if (!modeCovers(held, wanted)) continue;
        for (const other of modes)
          if (modesCompatible(held, other)) expect(modesCompatible(wanted, other)).toBe(true);
      }
    }
  });
});

describe('extent growth', () => {
  const claim = (mode: number, start: bigint, end: bigint, client: unknown = start): ExtentClaim => ({
    type: LockType.LDLM_EXTENT,
    mode,
    policy: { extent: { start, end } },
    requested: { start, end },
    client,
  });

  const grownExtent = (
    lock: ExtentClaim,
    held: readonly ExtentClaim[],
    waiting: readonly ExtentClaim[],
    expand: boolean,
  ) => grown(lock, () => limitsAmong(held, lock.mode, lock.requested.end), waiting, expand);

  test('alone: the whole object; not when told not to', () => {
    const lock = claim(LCK_PW, PAGE, 2n * PAGE - 1n);
    expect(grownExtent(lock, [], [], true)).toEqual({ start: 0n, end: EOF });
    expect(grownExtent(lock, [], [], false)).toEqual(lock.requested);
  });

  test('up to the first conflicting holder, and not downwards beside one', () => {
    const held = [claim(LCK_PW, 0x100000n, 0x1fffffn), claim(LCK_PR, 0n, 0xfffn)];
    expect(grownExtent(claim(LCK_PW, 0x10000n, 0x1ffffn), held, [], true)).toEqual({
      start: 0x10000n,
      end: 0xfffffn,
    });
    // A reader has no quarrel with the reader below.
    expect(grownExtent(claim(LCK_PR, 0x10000n, 0x1ffffn), held.slice(1), [], true)).toEqual({
      start: 0n,
      end: EOF,
    });
  });

  test('between those who wait', () => {
    const waiting = [claim(LCK_PW, 0n, 0xffffn, 'a'), claim(LCK_PW, 0x80000n, 0x8ffffn, 'b')];
    expect(grownExtent(claim(LCK_PW, 0x40000n, 0x4ffffn, 'c'), [], waiting, true)).toEqual({
      start: 0x10000n,
      end: 0x7ffffn,
    });
  });

  test('by no more than 32 MiB among many writers', () => {
    const held = Array.from({ length: 33 }, (_, i) => {
      const start = (1n << 40n) + BigInt(i) * PAGE;
      return claim(LCK_PW, start, start + PAGE - 1n);
    });
    expect(grownExtent(claim(LCK_PW, 0n, PAGE - 1n), held, [], true)).toEqual({
      start: 0n,
      end: (32n << 20n) - 1n,
    });
  });

  const pages = fc
    .tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 1, max: 50 }), fc.boolean())
    .map(([at, count, toEnd]) => ({
      start: BigInt(at) * PAGE,
      end: toEnd && count > 45 ? EOF : BigInt(at + count) * PAGE - 1n,
    }));
  const claims = fc
    .tuple(fc.constantFrom(LCK_PW, LCK_PR, LCK_CW, LCK_EX), pages, fc.integer({ min: 0, max: 3 }))
    .map(([mode, { start, end }, client]) => claim(mode, start, end, client));

  test('covers the request, stays off incompatible holders and keeps page boundaries', () => {
    fc.assert(
      fc.property(claims, fc.array(claims), fc.array(claims), (lock, others, waiting) => {
        const held = others.filter(
          (other) =>
            modesCompatible(other.mode, lock.mode) ||
            other.requested.end < lock.requested.start ||
            other.requested.start > lock.requested.end,
        );
        const grown = grownExtent(lock, held, waiting, true);
        expect(grown.start <= lock.requested.start && grown.end >= lock.requested.end).toBe(true);
        expect(grown.start % PAGE).toBe(0n);
        expect((grown.end + 1n) % PAGE).toBe(0n);
        for (const other of held) {
          if (modesCompatible(other.mode, lock.mode)) continue;
          expect(other.requested.end < grown.start || other.requested.start > grown.end).toBe(true);
        }
      }),
    );
  });

  test('whatever is asked, the answer covers it', () => {
    const word = fc.bigInt({ min: 0n, max: EOF });
    fc.assert(
      fc.property(word, word, fc.boolean(), (a, b, expand) => {
        const [start, end] = a < b ? [a, b] : [b, a];
        const grown = grownExtent(claim(LCK_PW, start, end), [claim(LCK_PR, 0n, 0n)], [], expand);
        expect(grown.start <= start && grown.end >= end && grown.end <= EOF).toBe(true);
      }),
    );
  });
});

describe('file lock ranges', () => {
  const SIZE = 12;
  const request = fc.record({
    client: fc.constantFrom('a', 'b'),
    owner: fc.constantFrom(1n, 2n),
    pid: fc.constant(1),
    mode: fc.constantFrom(LCK_PR, LCK_PW, LCK_NL),
    start: fc.integer({ min: 0, max: SIZE - 1 }).map(BigInt),
    length: fc.integer({ min: 0, max: SIZE }).map(BigInt),
  });

  /** Who holds each byte, by the obvious means: a map of owners and modes for every byte. */
  class Bytes {
    readonly held = Array.from({ length: 2 * SIZE }, () => new Map<string, number>());

    conflicts({ mode, start, end, ...who }: FlockRange): boolean {
      return this.held
        .slice(Number(start), Number(end) + 1)
        .some((byte) =>
          [...byte].some(
            ([other, theirs]) =>
              other !== nameOf(who) && mode !== LCK_NL && (mode === LCK_PW || theirs === LCK_PW),
          ),
        );
    }

    apply({ mode, start, end, ...who }: FlockRange): void {
      for (let i = Number(start); i <= Number(end); i++) {
        if (mode === LCK_NL) this.held[i]?.delete(nameOf(who));
        else this.held[i]?.set(nameOf(who), mode);
      }
    }
  }
  const nameOf = (who: { client: unknown; owner: bigint }): string => `${String(who.client)} ${who.owner}`;

  test('come to the same as a map of every byte, in as few ranges as can be', () => {
    fc.assert(
      fc.property(fc.array(request, { maxLength: 40 }), (requests) => {
        const bytes = new Bytes();
        let held: FlockRange[] = [];
        for (const { length, ...rest } of requests) {
          const range: FlockRange = { ...rest, end: rest.start + length };
          expect(flockConflict(held, range) !== undefined).toBe(bytes.conflicts(range));
          if (bytes.conflicts(range)) continue;
          held = applyFlock(held, range);
          bytes.apply(range);
          const seen = new Bytes();
          for (const one of held) seen.apply(one);
          expect(seen.held).toEqual(bytes.held);
          for (const one of held) {
            expect(one.mode).not.toBe(LCK_NL);
            const touching = held.filter(
              (two) =>
                two !== one &&
                nameOf(two) === nameOf(one) &&
                (two.mode === one.mode ? two.start <= one.end + 1n : two.start <= one.end) &&
                one.start <= two.end,
            );
            expect(touching).toEqual([]);
          }
        }
      }),
    );
  });
});

describe('value blocks', () => {
  test('grow by what holders tell, in either size of the struct', () => {
    const disk = OstLvb.encode({ lvb_size: 10n, lvb_mtime: 50n, lvb_blocks: 8n });
    const told = OstLvb.encode({ lvb_size: 20n, lvb_mtime: 40n, lvb_blocks: 1n });
    expect(OstLvb.decode(mergeOstLvb(disk, told))).toMatchObject({
      lvb_size: 20n,
      lvb_mtime: 50n,
      lvb_blocks: 8n,
    });
    const old = OstLvbV1.encode({ lvb_size: 99n });
    expect(OstLvb.decode(mergeOstLvb(disk, old)).lvb_size).toBe(99n);
    for (const nonsense of [new Uint8Array(0), new Uint8Array(7)])
      expect(mergeOstLvb(disk, nonsense)).toBe(disk);
  });
});
