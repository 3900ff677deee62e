/** Striped directories: hashes against the reference's values, layouts against captured ones and hostile bytes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeDirectoryDefault,
  decodeDirectoryLayout,
  encodeDirectoryStriping,
  placeOfName,
} from '../../lib/layout/directory-layout.ts';
import { fnv1a64, shardOfName, straws } from '../../lib/layout/shard-hash.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('the shard of a name', () => {
  // Guide 09 §10.1: name, fnv64, then for 2, 4 and 5 shards: all characters, fnv, crush, crush2.
  it.each([
    ['a', 'af63dc4c8601ec8c', '1,0,0,0', '1,0,2,2', '2,1,2,2'],
    ['file1', '69f7c28018123c96', '1,0,1,1', '1,2,2,2', '0,1,2,2'],
    ['foo.txt', '5245edddc5b34671', '0,1,1,1', '2,1,3,3', '2,3,3,3'],
    ['.bashrc', '51df172d368cdef8', '1,0,0,0', '1,0,0,0', '3,1,0,0'],
    ['target', '16f3e46051eee3e8', '1,0,1,1', '3,0,2,2', '2,2,4,4'],
    ['.target.aB3xYz', 'c6f10174ca197ae5', '0,1,1,1', '0,1,2,2', '4,4,4,4'],
    ['target.aB3xYz9Q', '8435c533c3c5b643', '0,1,1,1', '0,3,2,2', '1,4,4,4'],
    ['file.mdtest.12.12345', '6907f5faa9eb71de', '1,0,0,0', '1,2,3,2', '0,1,3,2'],
    ['output.6334.log', 'b9088f56c9e1167a', '1,0,0,1', '3,2,3,3', '1,2,3,4'],
    ['core.12345678', '94e1bea112dfe458', '1,0,1,0', '3,0,2,0', '1,1,2,0'],
    ['.a.123456', '0e837ea95fd6f445', '0,1,0,1', '2,1,2,1', '3,2,2,1'],
    ['notes', '40906c71b95bdbaa', '1,0,1,1', '1,2,3,3', '3,4,3,3'],
    ['notes.bak', '23181d6ba9bf222e', '1,0,1,1', '1,2,3,3', '1,0,3,3'],
    ['notes.ORIG', '15a8ac8b487f689d', '0,1,1,1', '0,1,3,3', '4,0,3,3'],
    ['notes~', '1144193df716893c', '1,0,1,1', '3,0,3,3', '4,2,3,3'],
    ['größe', 'b7450e1ef58140da', '1,0,1,1', '1,2,1,1', '4,2,1,1'],
  ])('%s', (name, fnv, ...expected) => {
    expect(fnv1a64(bytes(name)).toString(16).padStart(16, '0')).toBe(fnv);
    const found = [2, 4, 5].map((count) =>
      [1, 2, 3, 4].map((hash) => shardOfName(hash, count, name)).join(','),
    );
    expect(found).toEqual(expected);
  });

  it('draws the straws of the reference', () => {
    expect([straws(0, 0), straws(0, 1), straws(4095, 3)]).toEqual([0x19ad4ce9, 0x0573d827, 0x61bd085a]);
  });

  it('is one of those there are, for any name', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.integer({ min: 1, max: 64 }), (name, count) => {
        for (const hash of [1, 2, 3, 4]) {
          const shard = shardOfName(hash, count, name)!;
          expect(shard >= 0 && shard < count).toBe(true);
        }
      }),
    );
  });
});

/** An LMV EA with these numbers and `count` shards. */
function lmv(count: number, hashType: number, offset = 0, migrateHash = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(56 + 16 * count));
  [0xcd20cd0, count, 0, hashType, 1, offset, migrateHash].forEach((word, i) => {
    view.setUint32(4 * i, word, true);
  });
  for (let i = 0; i < count; i++) view.setBigUint64(56 + 16 * i, 0x200000400n + BigInt(i), true);
  return new Uint8Array(view.buffer);
}

describe('the layout of a directory', () => {
  const MIGRATION = 0x80000000;
  const SPLIT = 0x08000000;
  const MERGE = 0x04000000;
  const place = (ea: Uint8Array, name: string) => placeOfName(decodeDirectoryLayout(ea)!, name);

  it('tells where a name is', () => {
    expect(place(lmv(2, 2), 'foo.txt')).toEqual({ shard: 1, old: undefined });
    expect(place(lmv(5, 0x02000002), 'foo.txt')).toEqual({ shard: 3, old: undefined });
  });

  it('tells where a name may still be while the directory changes', () => {
    // `notes`: fnv 0 of 2, 2 of 4.
    expect(place(lmv(4, (2 | MIGRATION | SPLIT) >>> 0, 2, 2), 'notes')).toEqual({ shard: 2, old: 0 });
    expect(place(lmv(4, (2 | MIGRATION | MERGE) >>> 0, 2, 2), 'notes')).toEqual({ shard: 0, old: 2 });
    // From two shards, which lie behind the new one: all characters of `notes` 1 of 2.
    expect(place(lmv(3, (2 | MIGRATION) >>> 0, 1, 1), 'notes')).toEqual({ shard: 0, old: 2 });
  });

  it('is absent where there are no shards', () => {
    expect(decodeDirectoryLayout(new Uint8Array(48))).toBeUndefined();
    expect(decodeDirectoryLayout(new Uint8Array(0))).toBeUndefined();
    expect(decodeDirectoryLayout(lmv(0, 2))).toBeUndefined();
  });

  it.each([
    ['more shards than bytes', lmv(2, 2).subarray(0, 80), /claims 2 shards/],
    ['half a header', lmv(1, 2).subarray(0, 40), /has 40 bytes/],
    ['another magic', new Uint8Array([1, 2, 3, 4]), /magic/],
    [
      'a change from shards that it does not have',
      lmv(2, (2 | MIGRATION) >>> 0, 7, 2),
      /changes from 7 of 2/,
    ],
  ])('refuses %s', (_, ea, why) => {
    expect(() => decodeDirectoryLayout(ea)).toThrow(why);
  });

  it('refuses an unknown hash by name', () => {
    expect(() => place(lmv(2, 9), 'x')).toThrow(expect.objectContaining({ code: 'EBADFD' }));
  });

  it('takes any bytes without more than a named error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (tail, real) => {
        const ea = real ? new Uint8Array([0xd0, 0x0c, 0xd2, 0x0c, ...tail]) : tail;
        try {
          const layout = decodeDirectoryLayout(ea);
          if (layout !== undefined) expect(placeOfName(layout, 'x').shard).toBeLessThan(layout.shards.length);
        } catch (error) {
          expect(['EPROTO', 'EBADFD', 'ENODATA']).toContain((error as { code: string }).code);
        }
      }),
    );
  });

  it('is asked for as `lfs mkdir -i 1` and `lfs setdirstripe -D` do (07 pkt 553)', () => {
    const asked = encodeDirectoryStriping({ mdtIndex: 1 });
    expect(Buffer.from(asked).toString('hex')).toBe(`d00cd30c0000000001000000${'00'.repeat(36)}`);
    const wish = { mdtCount: 2, mdtIndex: 1, hash: 'fnv_1a_64', maxInherit: 3 } as const;
    expect(decodeDirectoryDefault(encodeDirectoryStriping(wish))).toEqual(wish);
    expect(() => encodeDirectoryStriping({ mdtCount: 5000 })).toThrow(/mdtCount/);
  });
});
