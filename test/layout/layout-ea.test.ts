import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatFid, makeFid } from '../../lib/fid/fid.ts';
import { decodeLayout, encodeLayout } from '../../lib/layout/layout-ea.ts';
import { decodeStriping, describeLayout, encodeStriping } from '../../lib/layout/striping.ts';
import { LustreError } from '../../lib/runtime/errors.ts';

/** From capture 02 pkt 110: 1 stripe of 4 MiB on OST 1. */
const captured = Buffer.from(
  'd00bd10b01000000020000000000000003040000020000000000400001000000' +
    '010400c0020000000d000000000000000000000001000000',
  'hex',
);

describe('layout EAs', () => {
  it('reads what a kernel MDS wrote, as lfs getstripe showed it', () => {
    const layout = decodeLayout(captured);
    expect(formatFid(layout.fid)).toBe('[0x200000403:0x2:0x0]');
    expect(describeLayout(layout)).toEqual({
      stripeCount: 1,
      stripeSize: 4194304,
      stripeOffset: 1,
      pool: undefined,
      generation: 0,
      objects: [{ ostIndex: 1, seq: 0x2c0000401n, oid: 13 }],
    });
    expect(Buffer.from(encodeLayout(layout))).toEqual(captured);
  });

  it('survives encoding and decoding, with and without pool', () => {
    const object = fc.tuple(fc.nat(1000), fc.integer({ min: 1, max: 0xffffffff }));
    fc.assert(
      fc.property(
        fc.array(object, { minLength: 1, maxLength: 100 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.constantFrom('', 'flash', 'a-pool-of-15-ch'),
        fc.nat(0xffff),
        (objects, units, pool, generation) => {
          const layout = {
            fid: makeFid(0x200000401n, 7),
            stripeSize: units * 65536,
            stripeCount: objects.length,
            generation,
            pool,
            objects: objects.map(([ostIndex, oid]) => ({ fid: makeFid(0x280000401n, oid), ostIndex })),
            released: false,
            overstriped: false,
          };
          expect(decodeLayout(encodeLayout(layout))).toEqual(layout);
        },
      ),
    );
  });

  it('answers any bytes with a layout or a named error', () => {
    const head = fc.constantFrom('d00bd10b01000000', 'd00bd30b01000000', 'd00bd60b00000000', '');
    fc.assert(
      fc.property(head, fc.uint8Array({ maxLength: 200 }), (start, rest) => {
        try {
          decodeLayout(Buffer.concat([Buffer.from(start, 'hex'), rest]));
        } catch (error) {
          expect(error).toBeInstanceOf(LustreError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it.each([
    ['d00bd60b', 'composite'],
    ['d00bd70b', 'foreign'],
  ])('names what it does not support (%s)', (magic, name) => {
    const ea = Buffer.concat([Buffer.from(magic, 'hex'), Buffer.alloc(60)]);
    expect(() => decodeLayout(ea)).toThrow(new RegExp(`ENOTSUP.*${name}`));
  });

  it('refuses more stripes than there are bytes for', () => {
    const ea = Buffer.from(captured);
    ea.writeUInt16LE(500, 28);
    expect(() => decodeLayout(ea)).toThrow(/500 stripes in 56 bytes/);
  });
});

describe('striping wishes', () => {
  it('encodes what lfs setstripe -c 2 -S 256k dir sent (capture 04 pkt 4123)', () => {
    expect(Buffer.from(encodeStriping({ stripeCount: 2, stripeSize: 262144 })).toString('hex')).toBe(
      'd00bd10b0100000000000000000000000000000000000000000004000200ffff',
    );
  });

  it('reads a default back, all OSTs and any OST included', () => {
    expect(decodeStriping(encodeStriping({ stripeCount: -1, stripeSize: 65536, pool: 'flash' }))).toEqual({
      stripeCount: -1,
      stripeSize: 65536,
      stripeOffset: -1,
      pool: 'flash',
      generation: undefined,
      objects: [],
    });
  });

  it.each([
    { stripeSize: 1000 },
    { stripeCount: -2 },
    { stripeOffset: 70000 },
    { pool: 'a name that is too long' },
  ])('refuses %j', (options) => {
    expect(() => encodeStriping(options)).toThrow(/EINVAL/);
  });
});
