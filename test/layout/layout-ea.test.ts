import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatFid, makeFid, ZERO_FID } from '../../lib/fid/fid.ts';
import { describeDefault, describeLayout } from '../../lib/layout/description.ts';
import { plainLayout, unusable } from '../../lib/layout/file-layout.ts';
import { decodeLayout, encodeLayout } from '../../lib/layout/layout-ea.ts';
import { encodeStriping } from '../../lib/layout/striping.ts';
import { LustreError } from '../../lib/runtime/errors.ts';
import * as captured from './captured-layouts.ts';

/** From capture 02 pkt 110: 1 stripe of 4 MiB on OST 1. */
const v1 = Buffer.from(
  'd00bd10b01000000020000000000000003040000020000000000400001000000' +
    '010400c0020000000d000000000000000000000001000000',
  'hex',
);

describe('layout EAs', () => {
  it('reads what a kernel MDS wrote, as lfs getstripe showed it', () => {
    const layout = decodeLayout(v1);
    expect(formatFid(layout.fid)).toBe('[0x200000403:0x2:0x0]');
    expect(describeLayout(layout)).toMatchObject({
      pattern: ['raid0'],
      stripeCount: 1,
      stripeSize: 4194304,
      stripeOffset: 1,
      pool: undefined,
      generation: 0,
      composite: undefined,
      objects: [{ ostIndex: 1, seq: 0x2c0000401n, oid: 13 }],
    });
  });

  it('reads components, with objects and without, and data on the MDT', () => {
    const { composite, generation } = describeLayout(decodeLayout(captured.domNew));
    expect(generation).toBe(2);
    expect(composite).toMatchObject({ state: '0', mirrorCount: 1 });
    expect(composite!.components).toMatchObject([
      {
        id: 1,
        mirrorId: 0,
        flags: ['init'],
        start: 0,
        end: 65536,
        pattern: ['mdt'],
        stripeCount: 0,
        objects: [],
      },
      {
        id: 2,
        flags: [],
        start: 65536,
        end: Number.POSITIVE_INFINITY,
        pattern: ['raid0'],
        stripeCount: 2,
        stripeSize: 1048576,
        stripeOffset: -1,
        objects: [],
      },
    ]);
    expect(describeLayout(decodeLayout(captured.domFilled)).composite!.components[1]!.objects).toEqual([
      { ostIndex: 0, seq: 0x280000401n, oid: 0x15 },
      { ostIndex: 1, seq: 0x2c0000401n, oid: 0x16 },
    ]);
    const pfl = describeLayout(decodeLayout(captured.pflNew)).composite!.components;
    expect(pfl.map((c) => c.stripeCount)).toEqual([1, 2, -1]);
  });

  it('reads mirrors and their states', () => {
    const states = [captured.mirroredInStep, captured.mirroredStale, captured.mirroredSyncing].map((ea) => {
      const { composite } = describeLayout(decodeLayout(ea));
      return [
        composite!.state,
        ...composite!.components.map((c) => `${c.id} ${c.mirrorId} ${c.flags.join(',')}`),
      ];
    });
    expect(states).toEqual([
      ['ro', '65537 1 init', '131074 2 init'],
      ['wp', '65537 1 init', '131074 2 init,stale'],
      ['sp', '65537 1 init', '131074 2 init,stale'],
    ]);
  });

  it('reads several stripes on one OST', () => {
    const layout = describeLayout(decodeLayout(captured.overstriped));
    expect(layout.pattern).toEqual(['raid0', 'overstriped']);
    expect(layout.objects.map((o) => o.ostIndex)).toEqual([0, 1, 0, 1]);
  });

  it.each(Object.entries<Buffer>({ ...captured, v1 }).filter(([name]) => !name.endsWith('Wish')))(
    'writes %s as the kernel did',
    (_, ea) => {
      expect(Buffer.from(encodeLayout(decodeLayout(ea))).toString('hex')).toBe(ea.toString('hex'));
    },
  );

  it('survives encoding and decoding, with and without pool', () => {
    const object = fc.tuple(fc.nat(1000), fc.integer({ min: 1, max: 0xffffffff }));
    fc.assert(
      fc.property(
        fc.array(object, { minLength: 1, maxLength: 100 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.constantFrom('', 'flash', 'a-pool-of-15-ch'),
        fc.nat(0xffff),
        fc.boolean(),
        (objects, units, pool, generation, overstriped) => {
          const layout = plainLayout({
            fid: makeFid(0x200000401n, 7),
            stripeSize: units * 65536,
            stripeCount: objects.length,
            generation,
            pool,
            objects: objects.map(([ostIndex, oid]) => ({ fid: makeFid(0x280000401n, oid), ostIndex })),
            overstriped,
          });
          expect(decodeLayout(encodeLayout(layout))).toEqual(layout);
        },
      ),
    );
  });

  it('knows a released file, and keeps a lost object apart', () => {
    const released = Buffer.from(v1.subarray(0, 32));
    released.writeUInt32LE(0x80000001, 4);
    expect(describeLayout(decodeLayout(released))).toMatchObject({
      released: true,
      objects: [],
      stripeCount: 1,
    });
    const lost = Buffer.from(captured.overstriped);
    lost.fill(0, 56, 72);
    expect(decodeLayout(lost).components[0]!.objects.map((o) => o?.ostIndex)).toEqual([0, undefined, 0, 1]);
  });

  it('names foreign layouts, and what else it cannot use', () => {
    const foreign = Buffer.concat([
      Buffer.from('d00bd70b0300000005da000000000000', 'hex'),
      Buffer.from('abc'),
    ]);
    const layout = decodeLayout(foreign);
    expect(layout.foreign).toMatchObject({ type: 0xda05 });
    expect(unusable(layout)?.message).toMatch(/EOPNOTSUPP.*foreign layout of type 0xda05/);
    const compressed = Buffer.from(v1);
    compressed.writeUInt32LE(0x801, 4);
    expect(unusable(decodeLayout(compressed))?.message).toMatch(/EOPNOTSUPP.*compressed/);
    const coded = Buffer.from(v1);
    coded.writeUInt32LE(0x5, 4);
    expect(unusable(decodeLayout(coded))?.message).toMatch(/EOPNOTSUPP.*erasure/);
    expect(unusable(decodeLayout(captured.domFilled))).toBeUndefined();
  });
});

describe('malformed layout EAs', () => {
  /** A change of the two-component EA: 32 bytes of header, two entries of 48, blobs at 128 and 160. */
  const changed = (edit: (ea: Buffer) => void): Buffer => {
    const ea = Buffer.from(captured.domFilled);
    edit(ea);
    return ea;
  };
  it.each<[string, Buffer, RegExp]>([
    [
      'more stripes than bytes',
      Buffer.from(v1.toString('hex').replace('01000000010400c0', 'f4010000010400c0'), 'hex'),
      /500 stripes in 56 bytes/,
    ],
    [
      'an OST that cannot be',
      (() => {
        const ea = Buffer.from(v1);
        ea.writeUInt32LE(0xfffffff0, 52);
        return ea;
      })(),
      /names OST/,
    ],
    [
      'a stripe size of 1',
      (() => {
        const ea = Buffer.from(v1);
        ea.writeUInt32LE(1, 24);
        return ea;
      })(),
      /stripe size of 1 bytes/,
    ],
    [
      'no stripes',
      (() => {
        const ea = Buffer.from(v1);
        ea.writeUInt16LE(0, 28);
        return ea;
      })(),
      /has 0 stripes/,
    ],
    [
      'an unknown magic',
      Buffer.from(v1.toString('hex').replace('d00bd10b', '12345678'), 'hex'),
      /magic 0x78563412/,
    ],
    ['a size beyond its bytes', changed((ea) => ea.writeUInt32LE(0xffffffff, 4)), /says 4294967295 bytes/],
    ['a count beyond its bytes', changed((ea) => ea.writeUInt16LE(0xffff, 14)), /65535 components/],
    ['no components', changed((ea) => ea.writeUInt16LE(0, 14)), /no components/],
    ['a part outside', changed((ea) => ea.writeUInt32LE(0xfffffff8, 32 + 24)), /component 0 at 4294967288/],
    ['a part over the entries', changed((ea) => ea.writeUInt32LE(32, 32 + 24)), /component 0 at 32/],
    ['a gap', changed((ea) => ea.writeBigUInt64LE(0x20000n, 80 + 8)), /a gap before component 2/],
    [
      'an overlap',
      changed((ea) => ea.writeBigUInt64LE(0n, 80 + 8)),
      /overlapping extents before component 2/,
    ],
    [
      'an extent backwards',
      changed((ea) => ea.writeBigUInt64LE(1n, 80 + 16)),
      /component 2 of mirror 0 from 65536 to 1/,
    ],
    ['an extent beyond 2^53', changed((ea) => ea.writeBigUInt64LE(1n << 60n, 80 + 16)), /beyond 2\^53/],
    ['an id of 0', changed((ea) => ea.writeUInt32LE(0, 80)), /id 0x0/],
    ['an id twice', changed((ea) => ea.writeUInt32LE(1, 80)), /two components with the id 1/],
    ['more mirrors said than there', changed((ea) => ea.writeUInt16LE(1, 16)), /says 2 mirrors and has 1/],
    ['a state of one mirror', changed((ea) => ea.writeUInt16LE(1, 12)), /one mirror in state 1/],
    [
      'mirrors without a state',
      (() => {
        const ea = Buffer.from(captured.mirroredInStep);
        ea.writeUInt16LE(0, 12);
        return ea;
      })(),
      /2 mirrors and no state/,
    ],
  ])('refuses %s', (_, ea, message) => {
    expect(() => decodeLayout(ea)).toThrow(message);
  });

  it('answers any bytes with a layout or a named error', () => {
    const head = fc.constantFrom(
      'd00bd10b01000000',
      'd00bd30b01000000',
      'd00bd60b',
      'd00bd70b',
      'd00bd80b',
      '',
    );
    fc.assert(
      fc.property(head, fc.uint8Array({ maxLength: 300 }), (start, rest) => {
        try {
          describeLayout(decodeLayout(Buffer.concat([Buffer.from(start, 'hex'), rest])));
        } catch (error) {
          expect(error).toBeInstanceOf(LustreError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('answers a changed byte of a real layout with a layout or a named error', () => {
    const ea = fc.constantFrom(
      captured.pflFilled,
      captured.mirroredStale,
      captured.domNew,
      captured.overstriped,
    );
    const edits = fc.array(fc.tuple(fc.nat(1000), fc.integer({ min: 0, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(ea, edits, fc.boolean(), (original, changes, template) => {
        const bytes = Buffer.from(original);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        try {
          describeLayout(decodeLayout(bytes, { template }));
        } catch (error) {
          expect(error).toBeInstanceOf(LustreError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('striping wishes', () => {
  /** Kernels leave memory of the program in the unused ids of the parts. */
  const withoutIds = (ea: Buffer, parts: readonly number[]): string => {
    const copy = Buffer.from(ea);
    for (const at of parts) copy.fill(0, at + 8, at + 24);
    return copy.toString('hex');
  };
  const hex = (ea: Uint8Array): string => Buffer.from(ea).toString('hex');

  it('encodes what lfs setstripe -c 2 -S 256k dir sent (capture 04 pkt 4123)', () => {
    expect(hex(encodeStriping({ stripeCount: 2, stripeSize: 262144 }))).toBe(
      'd00bd10b0100000000000000000000000000000000000000000004000200ffff',
    );
  });

  it('encodes what lfs setstripe sent for components, data on the MDT, mirrors and overstriping', () => {
    const toEnd = Number.POSITIVE_INFINITY;
    const dom = {
      components: [
        { end: 65536, pattern: 'mdt' },
        { end: toEnd, stripeCount: 2, stripeSize: 1 << 20 },
      ],
    } as const;
    expect(hex(encodeStriping(dom))).toBe(withoutIds(captured.domWish, [128, 160]));
    const pfl = {
      components: [
        { end: 1 << 18, stripeCount: 1, stripeSize: 65536 },
        { end: 1 << 19, stripeCount: 2, stripeSize: 65536 },
        { end: toEnd, stripeCount: -1, stripeSize: 131072 },
      ],
    };
    expect(hex(encodeStriping(pfl))).toBe(withoutIds(captured.pflWish, [176, 208, 240]));
    const mirrors = {
      components: [
        { end: toEnd, stripeCount: 1, stripeOffset: 0 },
        { end: toEnd, stripeCount: 1, stripeOffset: 1, newMirror: true },
      ],
    };
    expect(hex(encodeStriping(mirrors))).toBe(withoutIds(captured.mirroredWish, [128, 160]));
    expect(hex(encodeStriping({ stripeCount: 4, stripeSize: 65536, overstripe: true }))).toBe(
      hex(captured.overstripedWish),
    );
  });

  it('reads a default back, all OSTs and any OST included', () => {
    const plain = describeDefault(encodeStriping({ stripeCount: -1, stripeSize: 65536, pool: 'flash' }));
    expect(plain).toMatchObject({
      stripeCount: -1,
      stripeSize: 65536,
      stripeOffset: -1,
      pool: 'flash',
      generation: undefined,
      objects: [],
    });
    const { composite } = describeDefault(captured.mirroredWish);
    expect(composite!.components.map((c) => [c.mirrorId, c.start, c.stripeOffset])).toEqual([
      [0, 0, 0],
      [1, 0, 1],
    ]);
  });

  it('makes a growing component of two', () => {
    const wish = { components: [{ end: 1 << 30, extensionSize: 64 << 20, stripeCount: 1 }] };
    const { components } = decodeLayout(encodeStriping(wish), { template: true });
    expect(components.map((c) => [c.start, c.end, c.flags, c.stripeSize])).toEqual([
      [0, 64 << 20, 0, 0],
      [64 << 20, 1 << 30, 0x40, 65536],
    ]);
    expect(describeDefault(encodeStriping(wish)).composite!.components[1]).toMatchObject({
      flags: ['extension'],
      extensionSize: 64 << 20,
    });
  });

  it('lists OSTs by the magic for that', () => {
    const ea = Buffer.from(encodeStriping({ osts: [3, 1] }));
    expect([ea.readUInt32LE(0), ea.readUInt16LE(28), ea.readUInt16LE(30)]).toEqual([0x0bd50bd0, 2, 3]);
    expect([ea.readUInt32LE(48 + 20), ea.readUInt32LE(48 + 44), ea.length]).toEqual([3, 1, 96]);
  });

  it.each([
    { stripeSize: 1000 },
    { stripeCount: -2 },
    { stripeOffset: 70000 },
    { pool: 'a name that is too long' },
    { osts: [0, 1], stripeCount: 3 },
    { components: [] },
    { components: [{ end: 1000 }] },
    { components: [{ end: 1 << 20 }, { end: 1 << 19 }] },
    { components: [{ end: 1 << 20, stripeSize: 3 << 16 }] },
    { components: [{ end: 1 << 20 }, { end: 1 << 21, pattern: 'mdt' as const }] },
    { components: [{ end: 1 << 20, pattern: 'mdt' as const, stripeCount: 2 }] },
    { components: [{ end: 1 << 30, extensionSize: 1000 }] },
  ])('refuses %j', (options) => {
    expect(() => encodeStriping(options)).toThrow(/EINVAL/);
  });

  it('has no owner', () => {
    expect(decodeLayout(encodeStriping({ stripeCount: 1 }), { template: true }).fid).toEqual(ZERO_FID);
  });
});
