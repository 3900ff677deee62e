import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareFids,
  fidKey,
  formatFid,
  isMdOperative,
  isNamespaceVisible,
  isSaneFid,
  makeFid,
  parseFid,
  ROOT_FID,
  sameFid,
  ZERO_FID,
} from '../../lib/fid/fid.ts';
import { inodeNumber, inodeNumber32 } from '../../lib/fid/inode.ts';
import {
  fidToOstId,
  idifFid,
  idifObjectId,
  idifOstIndex,
  lmmOi,
  lmmOiToFid,
  ostIdToFid,
} from '../../lib/fid/ost-id.ts';
import { fidResource, ostResource, resourceFid } from '../../lib/fid/resource.ts';
import { OstId } from '../../lib/wire/fid-structs.ts';

const anyFid = fc
  .tuple(fc.bigInt(0n, 0xffff_ffff_ffff_ffffn), fc.nat(0xffff_ffff), fc.nat(0xffff_ffff))
  .map(([seq, oid, ver]) => makeFid(seq, oid, ver));

describe('text form', () => {
  it('is the one that lfs prints', () => {
    expect(formatFid(makeFid(0x200000401n, 2))).toBe('[0x200000401:0x2:0x0]');
    expect(parseFid('0x200000401:0x2:0x0')).toEqual(makeFid(0x200000401n, 2));
  });

  it('survives formatting and parsing', () => {
    fc.assert(fc.property(anyFid, (fid) => sameFid(parseFid(formatFid(fid)), fid)));
  });

  it.each(['', '[]', 'file', '[0x1:0x2]', '[0x1:0x2:0x3:0x4]', '[0x1:0x100000000:0x0]', '[-1:2:3]'])(
    'refuses %j by name',
    (text) => {
      expect(() => parseFid(text)).toThrow(/is not a FID/);
    },
  );
});

describe('classes', () => {
  it('knows which FIDs servers accept', () => {
    expect(isSaneFid(ZERO_FID)).toBe(false);
    expect(isSaneFid(ROOT_FID)).toBe(true);
    expect(isSaneFid(makeFid(0x200000401n, 2, 1))).toBe(false);
    expect(isSaneFid(makeFid(0x12345n, 0x77))).toBe(true);
    expect(isNamespaceVisible(makeFid(0x200000401n, 0))).toBe(false);
    expect(isMdOperative(makeFid(0x200000002n, 1))).toBe(false);
    expect(isMdOperative(ROOT_FID)).toBe(true);
  });

  it('orders by sequence, object, version, in agreement with equality and keys', () => {
    fc.assert(
      fc.property(anyFid, anyFid, (a, b) => {
        const order = compareFids(a, b);
        return (order === 0) === sameFid(a, b) && (order === 0) === (fidKey(a) === fidKey(b));
      }),
    );
  });
});

describe('inode numbers (guide 07 §8, and stat in captures 01, 02, 07)', () => {
  it.each([
    [0x200000007n, 0x1, 0x0200000007000001n, 0x00007001],
    [0x200000400n, 0x1, 0x0200000400000001n, 0x00400001],
    [0x200000401n, 0x1234, 0x0200000401001234n, 0x00501234],
    [0x200000bd0n, 0x1ffff, 0x0200000bd001ffffn, 0x02ad0fff],
    [0x2c0000401n, 0x5, 0x02c0000401000005n, 0x01001005],
    [0x12345n, 0x77, 0x12345n, 0x12345],
    [0x100030000n, 0x2a, 0x010003000000002an, 0x2effff2a],
  ])('[0x%s:%s]', (seq, oid, ino64, ino32) => {
    expect(inodeNumber(makeFid(seq, oid))).toBe(ino64);
    expect(inodeNumber32(makeFid(seq, oid))).toBe(ino32);
  });

  it('equals what stat printed on a kernel client', () => {
    expect(inodeNumber(parseFid('[0x200000403:0x2:0x0]'))).toBe(144115205306056706n);
    expect(inodeNumber(parseFid('[0x240000404:0x2:0x0]'))).toBe(162129603832315906n);
  });
});

describe('object ids', () => {
  it('folds legacy ids into IDIFs and back', () => {
    fc.assert(
      fc.property(fc.bigInt(1n, (1n << 48n) - 1n), fc.nat(0xffff), (id, index) => {
        const fid = idifFid(id, index);
        expect(idifObjectId(fid)).toBe(id);
        expect(idifOstIndex(fid)).toBe(index);
        expect(ostIdToFid(OstId.decode(OstId.encode(fidToOstId(fid))), index)).toEqual(fid);
        expect(ostResource(fid)).toEqual([id, 0n, 0n, 0n]);
      }),
    );
  });

  it('passes FIDs of data sequences through', () => {
    const fid = makeFid(0x2c0000401n, 0xd);
    expect(ostIdToFid(OstId.decode(OstId.encode(fidToOstId(fid))), 1)).toEqual(fid);
    expect(ostResource(fid)).toEqual([0x2c0000401n, 0xdn, 0n, 0n]);
  });

  it('refuses sequences that hold no objects', () => {
    expect(() => ostIdToFid(OstId.decode(OstId.encode({ oi_fid: makeFid(0x200000007n, 1) })), 0)).toThrow(
      /EBADF/,
    );
  });

  it('keeps lmm_oi in its own form', () => {
    const fid = makeFid(0x200000403n, 2);
    expect(lmmOiToFid(OstId.decode(OstId.encode(lmmOi(fid))))).toEqual(fid);
  });

  it('names lock resources reversibly', () => {
    fc.assert(fc.property(anyFid, (fid) => sameFid(resourceFid(fidResource(fid)), fid)));
  });
});
