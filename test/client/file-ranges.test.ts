/** Holes, reserved space, extents, advice and data versions of open files. */
import { describe, expect, it } from 'vitest';
import { dataVersionRequest } from '../../lib/client/osc/data-version.ts';
import { fallocateRequest } from '../../lib/client/osc/fallocate.ts';
import { decodeExtents, fiemapRequest } from '../../lib/client/osc/fiemap.ts';
import { ladviseRequest } from '../../lib/client/osc/ladvise.ts';
import { seekRequest } from '../../lib/client/osc/seek.ts';
import { parseFid } from '../../lib/fid/fid.ts';
import * as formats from '../../lib/wire/formats.ts';
import { Fiemap, FiemapExtent } from '../../lib/wire/ost-structs.ts';
import { buffersOf, capturedMessage, encoded } from './captured.ts';
import { rpcsOf } from './rpc-count.ts';
import { pattern, withCluster } from './sim-cluster.ts';

const KIB64 = 65536;
const striped = { stripeCount: 2, stripeSize: KIB64 };
const root = { uid: 0, gid: 0, privileged: true };
const sparse = {
  fid: parseFid('[0x280000401:0x14:0x0]'),
  parent: parseFid('[0x200000404:0xa:0x0]'),
  stripe: 1,
  stripeSize: 0x100000,
  stripeCount: 2,
};

describe('requests equal those of a kernel client', () => {
  it('fallocate, and with a hole (03 pkt 7475, 7489)', () => {
    const hole = fallocateRequest(sparse, { mode: 'hole', start: 0x100000, end: 0x101000 }, root);
    expect(encoded(formats.RQF_OST_FALLOCATE, hole)).toEqual(
      buffersOf(capturedMessage('03-stripe-io', 7475, 22)),
    );
    const object = {
      fid: parseFid('[0x2c0000401:0x15:0x0]'),
      parent: parseFid('[0x200000404:0xc:0x0]'),
      stripe: 0,
      stripeSize: 0x400000,
      stripeCount: 1,
    };
    const reserve = fallocateRequest(object, { mode: 'reserve', start: 0, end: 65536 }, root);
    expect(encoded(formats.RQF_OST_FALLOCATE, reserve)).toEqual(
      buffersOf(capturedMessage('03-stripe-io', 7489, 22)),
    );
  });

  it('seek for data (03 pkt 7534)', () => {
    expect(encoded(formats.RQF_OST_SEEK, seekRequest(sparse, 0, 'data'))).toEqual(
      buffersOf(capturedMessage('03-stripe-io', 7534, 23)),
    );
  });

  it('data version, and with all caches flushed (03 pkt 7520, 04 pkt 2476)', () => {
    const s2 = { ...sparse, fid: parseFid('[0x2c0000401:0xf:0x0]') };
    expect(encoded(formats.RQF_OST_GETATTR, dataVersionRequest(s2, 'read'))).toEqual(
      buffersOf(capturedMessage('03-stripe-io', 7520, 1, 1)),
    );
    const flr = { ...sparse, fid: parseFid('[0x280000401:0x19:0x0]') };
    expect(encoded(formats.RQF_OST_GETATTR, dataVersionRequest(flr, 'write'))).toEqual(
      buffersOf(capturedMessage('04-layouts', 2476, 1)),
    );
  });
});

describe('requests that no capture has', () => {
  it('ladvise: one piece of advice behind its header (guide 12 §4.7)', () => {
    const range = {
      advice: 'dontneed',
      start: 4096,
      end: Number.POSITIVE_INFINITY,
      background: true,
    } as const;
    const [body, header, advice] = encoded(formats.RQF_OST_LADVISE, ladviseRequest(sparse, range));
    expect(Buffer.from(body!, 'hex').readBigUInt64LE(0)).toBe(0x3004001n);
    expect(header).toBe(`e01cdf1a010000000100000000000000${'00'.repeat(16)}`);
    expect(advice).toBe(`02000000000000000010000000000000ffffffffffffffff0000000000000000`);
  });

  it('fiemap: the range in key and value, and room for the extents (guide 12 §9)', () => {
    const range = { start: 0, end: 0x200000, fileSize: 0x300000, locked: false };
    const [key, value] = encoded(formats.RQF_OST_GET_INFO_FIEMAP, fiemapRequest(sparse, range, 3));
    const bytes = Buffer.from(key!, 'hex');
    expect(bytes.length).toBe(248);
    expect(bytes.toString('latin1', 0, 8)).toBe('fiemap\0\0');
    expect(bytes.readBigUInt64LE(8)).toBe(0x100000003004811n);
    expect(bytes.readUInt32LE(8 + 96)).toBe(0x800);
    expect(value!.length / 2).toBe(32 + 3 * 56);
    expect(value!.slice(0, 64)).toBe(bytes.toString('hex', 216));
  });

  it('a map of extents that lies about itself is refused', () => {
    const map = (count: number, ...extents: [number, number][]): Uint8Array =>
      Buffer.concat([
        Fiemap.encode({ fm_mapped_extents: count }),
        ...extents.map(([at, length]) =>
          FiemapExtent.encode({ fe_logical: BigInt(at), fe_length: BigInt(length) }),
        ),
      ]);
    expect(decodeExtents(map(2, [0, 10], [20, 5]), 0, 'x').map((e) => e.offset)).toEqual([0, 20]);
    for (const bad of [map(2, [0, 10]), map(2, [20, 5], [0, 10]), map(1, [5, 0]), new Uint8Array(8)])
      expect(() => decodeExtents(bad, 0, 'x')).toThrow(/EPROTO/);
  });
});

describe('ranges of open files', () => {
  it('finds data and holes over stripes, also in what is not written out yet', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await using file = await fs.open('/sparse', 'w+', 0o666, striped);
      expect(await file.seekData(0)).toBeUndefined();
      expect(await file.seekHole(0)).toBeUndefined();
      await file.write(pattern(2 * KIB64), 0, 2 * KIB64, 5 * KIB64);
      expect(await file.seekData(0)).toBe(5 * KIB64);
      expect(await file.seekHole(0)).toBe(0);
      expect(await file.seekData(5 * KIB64 + 17)).toBe(5 * KIB64 + 17);
      expect(await file.seekHole(5 * KIB64)).toBe(7 * KIB64);
      expect(await file.seekData(7 * KIB64)).toBeUndefined();
      await file.truncate(20 * KIB64);
      expect(await file.seekHole(5 * KIB64)).toBe(7 * KIB64);
      expect(await file.seekData(7 * KIB64)).toBeUndefined();
      await expect(file.seekHole(-1)).rejects.toMatchObject({ code: 'EINVAL' });
    }));

  it('makes holes that all clients see, and keeps the size', () =>
    withCluster(async ({ mount }) => {
      const [one, other] = [await mount(), await mount()];
      const bytes = pattern(8 * KIB64);
      await one.writeFile('/f', bytes, striped);
      await using reader = await other.open('/f', 'r');
      const have = Buffer.alloc(bytes.length);
      await reader.read(have, 0, have.length, 0);
      await using file = await one.open('/f', 'r+');
      await file.write(Buffer.from('unwritten'), 0, 9, 3 * KIB64);
      await file.punchHole(2 * KIB64 + 100, 3 * KIB64);
      bytes.fill(0, 2 * KIB64 + 100, 5 * KIB64 + 100);
      for (const handle of [reader, file]) {
        const again = Buffer.alloc(bytes.length + 1, 0xff);
        const { bytesRead } = await handle.read(again, 0, again.length, 0);
        expect(bytesRead).toBe(bytes.length);
        expect(again.subarray(0, bytesRead).equals(bytes)).toBe(true);
      }
      expect(await file.seekHole(0)).toBe(3 * KIB64);
      await expect(reader.punchHole(0, 1)).rejects.toMatchObject({ code: 'EBADF' });
      await expect(file.punchHole(5, 0)).rejects.toMatchObject({ code: 'EINVAL' });
    }));

  it('reserves space: the file grows, or does not', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await using file = await fs.open('/f', 'w', 0o666, striped);
      await file.write(Buffer.from('here'), 0, 4, 0);
      await file.fallocate(0, 3 * KIB64, { keepSize: true });
      expect((await file.stat()).size).toBe(4);
      await file.fallocate(KIB64, 3 * KIB64 + 5);
      expect((await file.stat()).size).toBe(4 * KIB64 + 5);
      expect((await (await mount()).stat('/f')).size).toBe(4 * KIB64 + 5);
      await expect(file.fallocate(0, 2 ** 53)).rejects.toMatchObject({ code: 'EFBIG' });
      await expect(file.fallocate(0, 4 * 2 ** 30)).rejects.toMatchObject({ code: 'ENOSPC' });
    }));

  it('tells extents, object after object', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await using file = await fs.open('/f', 'w+', 0o666, { ...striped, stripeOffset: 0 });
      expect(await file.extents()).toEqual([]);
      await file.write(pattern(KIB64), 0, KIB64, 0);
      await file.write(pattern(10), 0, 10, 3 * KIB64);
      await file.write(pattern(10), 0, 10, 4 * KIB64);
      const extents = await file.extents();
      expect(
        extents.map(({ target, offset, length, objectOffset }) => [target, offset, length, objectOffset]),
      ).toEqual([
        ['sim-OST0000', 0, KIB64, 0],
        ['sim-OST0000', 4 * KIB64, 10, 2 * KIB64],
        ['sim-OST0001', 3 * KIB64, 10, KIB64],
      ]);
      expect(extents[0]?.flags).toEqual(['unknown']);
      expect(extents[1]?.flags).toEqual(['unknown', 'last']);
      expect((await file.extents({ start: 3 * KIB64, length: KIB64 })).map((e) => e.objectOffset)).toEqual([
        KIB64,
      ]);
    }));

  it('takes advice', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.writeFile('/f', pattern(4 * KIB64), striped);
      await using file = await fs.open('/f', 'r');
      await file.advise('willread');
      await file.advise('dontneed', { start: KIB64, length: 1, background: true });
      await expect(file.advise('willread', { length: 0 })).rejects.toMatchObject({ code: 'EINVAL' });
      expect((await fs.counters()).rpcs.OST_LADVISE).toBe(3);
    }));

  it('changes the data version with every change, by whomever', () =>
    withCluster(async ({ mount }) => {
      const [one, other] = [await mount(), await mount()];
      await one.writeFile('/f', pattern(4 * KIB64), striped);
      await using file = await one.open('/f', 'r+');
      const versions = [await file.dataVersion()];
      expect(await file.dataVersion({ flush: 'none' })).toBe(versions[0]);
      await using writer = await other.open('/f', 'r+');
      await writer.write(Buffer.from('x'), 0, 1, 3 * KIB64);
      // The byte waits in the other client's cache: the servers know of it when they have asked for it.
      versions.push(await file.dataVersion());
      await file.punchHole(0, 100);
      versions.push(await file.dataVersion({ flush: 'write' }));
      await file.truncate(10);
      versions.push(await file.dataVersion());
      expect(new Set(versions).size).toBe(versions.length);
      expect(await file.dataVersion()).toBe(versions.at(-1));
    }));
});

describe('lock-ahead', () => {
  it('locks just what is asked for, and nothing where others are in the way', () =>
    withCluster(async ({ mount }) => {
      const [a, b] = [await mount(), await mount()];
      await a.writeFile('/f', '', { stripeCount: 1 });
      await using mine = await a.open('/f', 'r+');
      await using theirs = await b.open('/f', 'r+');
      const part = { length: KIB64 };
      for (const start of [0, 2, 4]) await mine.advise('lockwrite', { start: start * KIB64, ...part });
      for (const start of [1, 3, 5]) await theirs.advise('lockwrite', { start: start * KIB64, ...part });
      const write = async (): Promise<void> => {
        for (const start of [0, 2, 4]) await mine.write(pattern(KIB64, start), 0, KIB64, start * KIB64);
        for (const start of [1, 3, 5]) await theirs.write(pattern(KIB64, start), 0, KIB64, start * KIB64);
      };
      const spent = [await rpcsOf(a, () => rpcsOf(b, write)), await rpcsOf(b, () => mine.sync())];
      expect(spent[0]).not.toHaveProperty('LDLM_ENQUEUE');
      // Both hold what they had: who asks ahead for what is taken gets nothing, and disturbs nobody.
      const asked = await rpcsOf(a, () => rpcsOf(b, () => theirs.advise('lockwrite', { start: 0, ...part })));
      expect(asked).toEqual({});
      expect(await rpcsOf(a, () => mine.write('again', 0))).not.toHaveProperty('LDLM_ENQUEUE');
      await mine.sync();
      await theirs.sync();
      const expected = Buffer.concat([0, 1, 2, 3, 4, 5].map((start) => pattern(KIB64, start)));
      expected.write('again');
      expect(await a.readFile('/f')).toEqual(expected);
    }));
});
