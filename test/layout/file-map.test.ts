/** File offsets over components, stripes and mirrors, against a model that knows where every byte was put. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { makeFid } from '../../lib/fid/fid.ts';
import { type FileLayout, type LayoutComponent, TO_EOF } from '../../lib/layout/file-layout.ts';
import { FileMap, readableMirrors } from '../../lib/layout/file-map.ts';
import { decodeLayout } from '../../lib/layout/layout-ea.ts';
import * as captured from './captured-layouts.ts';

const KIB64 = 65536;
const INIT = 0x10;
const STALE = 1;

interface Shape {
  readonly units: number;
  readonly stripeUnits: number;
  readonly stripes: number;
}
const shapes = fc.array(
  fc.record({
    units: fc.integer({ min: 1, max: 6 }),
    stripeUnits: fc.integer({ min: 1, max: 3 }),
    stripes: fc.integer({ min: 1, max: 4 }),
  }),
  { minLength: 1, maxLength: 4 },
);

function component(id: number, start: number, end: number, shape: Shape, flags = INIT): LayoutComponent {
  return {
    id,
    flags,
    start,
    end,
    pattern: 1,
    stripeSize: shape.stripeUnits * KIB64,
    stripeCount: shape.stripes,
    stripeOffset: 0,
    generation: 0,
    pool: '',
    objects: Array.from({ length: shape.stripes }, (_, i) => ({
      fid: makeFid(0x280000401n, id * 100 + i + 1),
      ostIndex: i,
    })),
    timestamp: 0n,
  };
}

function layoutOf(components: readonly LayoutComponent[], flags = 0): FileLayout {
  return { fid: makeFid(0x200000401n, 1), composite: true, generation: 1, flags, components };
}

/** One mirror of components one behind the other, the last without end. */
function mirror(list: readonly Shape[], first = 1, flags = INIT): LayoutComponent[] {
  let start = 0;
  return list.map((shape, i) => {
    const end = i === list.length - 1 ? TO_EOF : start + shape.units * KIB64;
    const made = component(first + i, start, end, shape, flags);
    start = end;
    return made;
  });
}

const size = fc.integer({ min: 0, max: 40 * KIB64 });

/** The sizes of the objects of a file without holes of `length` bytes, by writing it. */
function sizesOf(map: FileMap, length: number): number[] {
  const sizes = map.objects.map(() => 0);
  for (const run of map.runs(0, length))
    sizes[run.stripe] = Math.max(sizes[run.stripe]!, run.objectOffset + run.length);
  return sizes;
}

describe('a file over components', () => {
  it('puts every byte of a range in one place, in order, whatever the cut', () => {
    fc.assert(
      fc.property(shapes, size, size, fc.nat(1000), (list, offset, length, cut) => {
        const map = new FileMap(layoutOf(mirror(list)));
        const whole = map.runs(offset, length);
        expect(whole.reduce((sum, run) => sum + run.length, 0)).toBe(length);
        const at = Math.floor((length * cut) / 1000);
        const places = (runs: ReturnType<FileMap['runs']>, shift: number) =>
          runs.flatMap((run) =>
            run.pieces.map((p) => ({
              from: p.rangeOffset + shift,
              stripe: p.stripe,
              at: p.objectOffset,
              length: p.length,
            })),
          );
        const find = (list: ReturnType<typeof places>, byte: number) => {
          const hit = list.filter((p) => byte >= p.from && byte < p.from + p.length);
          expect(hit).toHaveLength(1);
          return [hit[0]!.stripe, hit[0]!.at + byte - hit[0]!.from];
        };
        const one = places(whole, 0);
        const two = [...places(map.runs(offset, at), 0), ...places(map.runs(offset + at, length - at), at)];
        for (const byte of [0, at - 1, at, length - 1].filter((b) => b >= 0 && b < length))
          expect(find(two, byte)).toEqual(find(one, byte));
      }),
    );
  });

  it('keeps to the component that has the range', () => {
    fc.assert(
      fc.property(shapes, size, size, (list, offset, length) => {
        const map = new FileMap(layoutOf(mirror(list)));
        for (const run of map.runs(offset, length)) {
          const { start, end } = map.objects[run.stripe]!.component;
          for (const piece of run.pieces) {
            expect(offset + piece.rangeOffset).toBeGreaterThanOrEqual(start);
            expect(offset + piece.rangeOffset + piece.length).toBeLessThanOrEqual(end);
          }
        }
      }),
    );
  });

  it('finds the size of a file from its objects', () => {
    fc.assert(
      fc.property(shapes, size, (list, length) => {
        const map = new FileMap(layoutOf(mirror(list)));
        expect(map.fileSize(sizesOf(map, length))).toBe(length);
      }),
    );
  });

  it('cuts a file to the size that is asked for, smaller or larger', () => {
    fc.assert(
      fc.property(shapes, size, size, (list, before, after) => {
        const map = new FileMap(layoutOf(mirror(list)));
        const sizes = sizesOf(map, before);
        for (const cut of map.cuts(after)) sizes[cut.index] = cut.size;
        expect(map.fileSize(sizes)).toBe(after);
        // What is left of the old bytes is untouched: no object was cut below what the shorter file has in it.
        const kept = sizesOf(map, Math.min(before, after));
        sizes.forEach((s, i) => {
          expect(s).toBeGreaterThanOrEqual(kept[i]!);
        });
      }),
    );
  });

  it('punches as the kernel did: data on the MDT, then two stripes (capture 04 pkts 1193 to 1216)', () => {
    const map = new FileMap(decodeLayout(captured.domFilled));
    expect(map.objects.map((o) => [o.onMdt, o.object?.ostIndex])).toEqual([
      [true, undefined],
      [false, 0],
      [false, 1],
    ]);
    expect(map.cuts(10)).toEqual([
      { index: 0, size: 10 },
      { index: 1, size: 0 },
      { index: 2, size: 0 },
    ]);
  });

  it('writes 1048576 bytes behind 18 as the kernel did (capture 04 pkts 176 to 252)', () => {
    const map = new FileMap(decodeLayout(captured.domFilled));
    expect(map.runs(18, 1048576).map((run) => [run.stripe, run.objectOffset, run.length])).toEqual([
      [0, 18, 65518],
      [1, 65536, 983040],
      [2, 0, 18],
    ]);
  });
});

describe('what a write needs', () => {
  it('asks for objects that are not there', () => {
    const map = new FileMap(decodeLayout(captured.pflNew));
    expect(map.writeNeed(0, 1 << 18)).toBe('nothing');
    expect(map.writeNeed(0, (1 << 18) + 1)).toBe('intent');
    expect(map.runs(1 << 18, 100)).toEqual([]);
  });

  it('stops where the layout ends', () => {
    const map = new FileMap(layoutOf([component(1, 0, KIB64, { units: 1, stripeUnits: 1, stripes: 1 })]));
    expect(map.writeNeed(0, KIB64)).toBe('nothing');
    expect(map.writeNeed(KIB64 - 1, KIB64 + 1)).toBe('beyond');
  });

  it('makes other mirrors stale first', () => {
    const need = (ea: Uint8Array) => new FileMap(decodeLayout(ea)).writeNeed(0, 1);
    expect([captured.mirroredInStep, captured.mirroredStale, captured.mirroredSyncing].map(need)).toEqual([
      'intent',
      'nothing',
      'intent',
    ]);
  });

  it('asks again where a write reaches a mirror that is not stale yet', () => {
    const shape = { units: 1, stripeUnits: 1, stripes: 1 };
    const layout = layoutOf(
      [
        component(0x10001, 0, KIB64, shape),
        component(0x10002, KIB64, TO_EOF, shape),
        component(0x20003, 0, KIB64, shape, INIT | STALE),
        component(0x20004, KIB64, TO_EOF, shape),
      ],
      2,
    );
    const map = new FileMap(layout);
    expect(map.writeNeed(0, KIB64)).toBe('nothing');
    expect(map.writeNeed(0, KIB64 + 1)).toBe('intent');
  });
});

describe('mirrors', () => {
  it('reads nothing that is stale', () => {
    const layout = decodeLayout(captured.mirroredStale);
    expect(readableMirrors(layout, 0, 100)).toEqual([1]);
    expect(new FileMap(layout, [2, 1]).objects.map((o) => o.object?.ostIndex)).toEqual([0]);
    expect(readableMirrors(decodeLayout(captured.mirroredInStep), 0, 100)).toEqual([1, 2]);
  });

  it('prefers the mirror that is marked so', () => {
    const ea = Buffer.from(captured.mirroredInStep);
    ea.writeUInt32LE(INIT | 2, 80 + 4);
    expect(readableMirrors(decodeLayout(ea), 0, 100)).toEqual([2, 1]);
  });

  it('puts a file together where each mirror is stale in another part', () => {
    fc.assert(
      fc.property(
        shapes,
        shapes,
        fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
        size,
        (a, b, stale, length) => {
          const flagged = [...mirror(a, 0x10001), ...mirror(b, 0x20001)].map((c, i) => ({
            ...c,
            flags: stale[i] === true ? INIT | STALE : INIT,
          }));
          const map = new FileMap(layoutOf(flagged, 2));
          const fresh = flagged.filter((c) => (c.flags & STALE) === 0);
          const covered = (byte: number): boolean => fresh.some((c) => c.start <= byte && byte < c.end);
          const runs = map.runs(0, length);
          for (const run of runs) expect(map.objects[run.stripe]!.component.flags & STALE).toBe(0);
          const total = runs.reduce((sum, run) => sum + run.length, 0);
          let expected = 0;
          for (let at = 0; at < length; at += KIB64)
            if (covered(at)) expected += Math.min(KIB64, length - at);
          expect(total).toBe(expected);
        },
      ),
    );
  });
});
