import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checksumTs } from '../../lib/lnet/checksum.ts';
import { combineAll } from '../../lib/lnet/checksum-combine.ts';
import type { BulkChecksumName, ChecksumName, T10ChecksumName } from '../../lib/lnet/network.ts';
import { bulkChecksumTs, guardBytes } from '../../lib/lnet/t10.ts';
import { capture } from '../cli/captures.ts';
import { capturedTransfers } from './capture-bulk.ts';

const bytes = (length: number, at: (i: number) => number) =>
  Uint8Array.from({ length }, (_, i) => at(i) & 255);
const names: readonly ChecksumName[] = ['crc32', 'adler32', 'crc32c'];

// Guide 12 §6.3: input, CRC32, ADLER, CRC32C.
const vectors: readonly [string, Uint8Array, number, number, number][] = [
  ['one zero', bytes(1, () => 0), 0x2dfd1072, 0x00010001, 0x527d5351],
  ['123456789', Buffer.from('123456789'), 0x340bc6d9, 0x091e01de, 0xe3069283],
  ['4096 zeros', bytes(4096, () => 0), 0x38e3ffee, 0x10000001, 0x98f94189],
  ['4096 x FF', bytes(4096, () => 0xff), 0x0eab98f5, 0x8161f0e2, 0x25c1fe13],
  ['4096 counting', bytes(4096, (i) => i), 0x5d6edf7d, 0x60aef86a, 0x9c71fe32],
  ['8192 bytes 7i+3', bytes(8192, (i) => 7 * i + 3), 0x49a10840, 0xad22f0e2, 0x70949443],
  ['1000 counting', bytes(1000, (i) => i), 0x8b1c04be, 0x1d03e73c, 0x1a318e30],
  ['5000 counting', bytes(5000, (i) => i), 0x2dc6691e, 0x0db49ae4, 0x7a4ab48d],
  ['1 MiB x AD', bytes(1 << 20, () => 0xad), 0xce44f887, 0x5cfca231, 0x841b0132],
];

describe('checksumTs', () => {
  it.each(vectors)('has the values of the guide for %s', (_name, input, ...expected) => {
    expect(names.map((name) => checksumTs(name, [input]))).toEqual(expected);
  });

  it('does not see where the pieces begin', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 5000 }), { maxLength: 8 }), (chunks) => {
        const whole = Buffer.concat(chunks);
        for (const name of names) expect(checksumTs(name, chunks)).toBe(checksumTs(name, [whole]));
      }),
    );
  });

  it('follows from the checksums of the parts', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 5000 }), { maxLength: 8 }), (chunks) => {
        for (const name of names) {
          const parts = chunks.map((chunk) => ({ bytes: chunk.length, checksum: checksumTs(name, [chunk]) }));
          expect(combineAll(name, parts)).toBe(checksumTs(name, chunks));
        }
      }),
    );
  });
});

const t10: readonly T10ChecksumName[] = ['t10ip512', 't10ip4K', 't10crc512', 't10crc4K'];

// Guide 12 §6.3: input, offset, the four types.
const t10Vectors: readonly [string, Uint8Array, number, ...number[]][] = [
  ['one zero', bytes(1, () => 0), 0, 0x02ff01ff, 0x02ff01ff, 0x00020001, 0x00020001],
  ['123456789', Buffer.from('123456789'), 0, 0x02180121, 0x02180121, 0x027d01ac, 0x027d01ac],
  ['4096 zeros', bytes(4096, () => 0), 0, 0x87880ff1, 0x02ff01ff, 0x00100001, 0x00020001],
  ['4096 x FF', bytes(4096, () => 0xff), 0, 0x00100001, 0x00020001, 0x69000c39, 0x017500e9],
  ['8192 bytes 7i+3', bytes(8192, (i) => 7 * i + 3), 0, 0x072f0ff1, 0x040601ff, 0x60bf1511, 0x04f0023b],
  ['1000 counting from 100', bytes(1000, (i) => i), 100, 0x0cad02e9, 0x015a00eb, 0x0978027a, 0x023d014b],
  ['5000 counting from 3000', bytes(5000, (i) => i), 3000, 0x7cfc0af6, 0x04d001ff, 0x7b8e0ac2, 0x080b02df],
  ['1 MiB x AD', bytes(1 << 20, () => 0xad), 0, 0x074b204c, 0xa51c2410, 0xd4878088, 0x77c9a701],
];

describe('bulkChecksumTs', () => {
  it.each(t10Vectors)('has the T10 values of the guide for %s', (_name, input, pageOffset, ...expected) => {
    expect(t10.map((name) => bulkChecksumTs(name, [input], pageOffset))).toEqual(expected);
  });

  it('of a run follows from those of its pages', () => {
    const inputs = [
      fc.nat(4095),
      fc.uint8Array({ maxLength: 20_000 }),
      fc.nat(5),
      fc.constantFrom(...t10),
    ] as const;
    fc.assert(
      fc.property(...inputs, (from, run, pages, name) => {
        const cut = Math.min(run.length, (pages + 1) * 4096 - from);
        const [head, tail] = [run.subarray(0, cut), run.subarray(cut)];
        const parts = [
          { bytes: guardBytes(name, from, head.length), checksum: bulkChecksumTs(name, [head], from) },
          { bytes: guardBytes(name, 0, tail.length), checksum: bulkChecksumTs(name, [tail], 0) },
        ];
        expect(combineAll('adler32', parts)).toBe(bulkChecksumTs(name, [head, tail], from));
      }),
    );
  });
});

const nameOfFlags = new Map<number, BulkChecksumName>([
  [0x1000, 'crc32'],
  [0x2000, 'adler32'],
  [0x4000, 'crc32c'],
  [0x5000, 't10ip512'],
  [0x6000, 't10ip4K'],
  [0x7000, 't10crc512'],
  [0x8000, 't10crc4K'],
]);

describe('what kernels sent', () => {
  it('has the same checksums in 03b-checksums', () => {
    const seen = new Map<string, number>();
    for (const { what, type, checksum, payload } of capturedTransfers(capture('03b'))) {
      const name = nameOfFlags.get(type);
      if (name === undefined) continue;
      expect(bulkChecksumTs(name, payload), `${what} ${name}`).toBe(checksum);
      seen.set(`${what} ${name}`, (seen.get(`${what} ${name}`) ?? 0) + 1);
    }
    const kinds = ['bulk write', 'bulk read', 'short write', 'short read'];
    expect([...seen.keys()].sort()).toEqual(
      kinds.flatMap((kind) => [...names, ...t10].map((name) => `${kind} ${name}`)).sort(),
    );
  });

  // Another run of the kernel's; the rest of its sums are of T10 types.
  it('has the same Adler-32 sums in 03-stripe-io', () => {
    const adler = capturedTransfers(capture('03-')).filter(({ type }) => type === 0x2000);
    expect(adler).toHaveLength(5);
    for (const { payload, checksum } of adler) expect(checksumTs('adler32', payload)).toBe(checksum);
  });
});
