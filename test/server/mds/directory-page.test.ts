import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ROOT_FID } from '../../../lib/fid/fid.ts';
import { directoryPages } from '../../../lib/server/mds/directory-page.ts';
import { nameHash } from '../../../lib/server/mds/name-hash.ts';
import { type Bench, bench, bytes, fid } from './namespace-setup.ts';

const END = 0xfffffffffffffffen;

interface Listed {
  readonly name: string;
  readonly hash: bigint;
  readonly type: number;
  readonly oid: number;
}

/** Reads pages by the guide's offsets alone (09 §8). */
function readPages(pages: Uint8Array): { entries: Listed[]; end: bigint; flags: number[] } {
  const entries: Listed[] = [];
  const flags: number[] = [];
  let end = 0n;
  for (let page = 0; page < pages.length; page += 4096) {
    const view = new DataView(pages.buffer, pages.byteOffset + page, 4096);
    end = view.getBigUint64(8, true);
    flags.push(view.getUint32(16, true));
    if ((flags.at(-1)! & 1) !== 0) continue;
    for (let at = 24; ; ) {
      const length = view.getUint16(at + 24, true);
      const nameLength = view.getUint16(at + 26, true);
      expect(view.getUint32(at + 28, true)).toBe(7);
      entries.push({
        oid: view.getUint32(at + 8, true),
        hash: view.getBigUint64(at + 16, true),
        name: Buffer.from(pages.subarray(page + at + 32, page + at + 32 + nameLength)).toString(),
        type: view.getUint16(at + 32 + ((nameLength + 1) & ~1), true),
      });
      if (length === 0) break;
      expect(length % 8).toBe(0);
      at += length;
    }
  }
  return { entries, end, flags };
}

function listAll(b: Bench, bytesAtOnce: number): Listed[] {
  const all: Listed[] = [];
  for (let hash = 0n; hash !== END; ) {
    const pages = directoryPages(b.view, ROOT_FID, hash, bytesAtOnce);
    expect(pages.length % 4096).toBe(0);
    expect(pages.length).toBeLessThanOrEqual(bytesAtOnce);
    const { entries, end } = readPages(pages);
    expect(new DataView(pages.buffer, pages.byteOffset).getBigUint64(0, true)).toBe(hash);
    all.push(...entries.filter((e) => !all.some((seen) => seen.name === e.name)));
    hash = end;
  }
  return all;
}

it('lists every name once, in hash order, whatever the size of a read', async () => {
  const names = fc.uniqueArray(
    fc
      .string({ minLength: 1, maxLength: 80, unit: 'grapheme-ascii' })
      .filter((n) => !/[/]|^\.{1,2}$/.test(n)),
    { maxLength: 200 },
  );
  await fc.assert(
    fc.asyncProperty(names, fc.constantFrom(4096, 8192, 1 << 20), async (all, size) => {
      const b = await bench();
      for (const name of all) await b.make(name, 0o100644);
      const listed = listAll(b, size);
      expect(listed.map((e) => e.name).sort()).toEqual(['.', '..', ...all].sort());
      const hashes = listed.map((e) => e.hash);
      expect(hashes).toEqual([...hashes].sort((x, y) => (x < y ? -1 : 1)));
      for (const e of listed) {
        expect(e.hash).toBe(nameHash(bytes(e.name)));
        expect(e.type).toBe(e.name === '.' || e.name === '..' ? 0o40000 : 0o100000);
      }
    }),
    { numRuns: 20 },
  );
});

it('gives one empty page for a directory without a name, and from behind the last entry', async () => {
  const b = await bench();
  const dead = await b.make('dead', 0o40755);
  await b.edit((ns) => ns.putInode(dead, { ...ns.inode(dead), nlink: 0 }));
  for (const pages of [
    directoryPages(b.view, dead, 0n, 8192),
    directoryPages(b.view, ROOT_FID, 0x7fffffffffffffffn, 4096),
  ]) {
    expect(pages).toHaveLength(4096);
    expect(readPages(pages)).toEqual({ entries: [], end: END, flags: [1] });
  }
  expect(dead).toEqual(fid(1));
});

it('spreads 100 000 names over 63 bits without two alike', () => {
  const hashes = Array.from({ length: 100_000 }, (_, i) => nameHash(bytes(`file.${i}`)));
  expect(hashes.every((hash) => hash >= 3n && hash < 1n << 63n)).toBe(true);
  expect(new Set(hashes).size).toBe(100_000);
});
