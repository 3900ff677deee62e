/** Native checksums and file I/O, held against the TypeScript twin and against node:fs. */
import { execFile } from 'node:child_process';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checksumTs } from '../../lib/lnet/checksum.ts';
import { type NativeStorage, type OpenFile, openNativeStorage } from '../../lib/lnet/native-storage.ts';
import type { BulkChecksumName, ChecksumName } from '../../lib/lnet/network.ts';
import { bulkChecksumTs } from '../../lib/lnet/t10.ts';
import { capture } from '../cli/captures.ts';
import { capturedTransfers } from './capture-bulk.ts';

const names: readonly ChecksumName[] = ['crc32', 'adler32', 'crc32c'];
const chunks = fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 20 });

let storage: NativeStorage;
let folder: string;
let handle: FileHandle;
let file: OpenFile;

beforeAll(async () => {
  storage = openNativeStorage();
  folder = await mkdtemp(join(tmpdir(), 'lustre-storage-'));
  const path = join(folder, 'object');
  handle = await open(path, 'w+');
  file = { fd: handle.fd, path };
});

afterAll(async () => {
  await handle.close();
  await rm(folder, { recursive: true });
});

/** Segments of `lengths` bytes, and their contents as one run. */
function segmentsOf(lengths: readonly number[]): Uint8Array[] {
  return lengths.map((length) => new Uint8Array(length));
}

describe('checksums', () => {
  it('are those of the TypeScript twin, in both forms', async () => {
    const same = fc.asyncProperty(chunks, fc.constantFrom(...names), async (segments, name) => {
      const expected = checksumTs(name, segments);
      expect(storage.checksumSync(name, segments)).toBe(expected);
      expect(await storage.checksum(name, segments)).toBe(expected);
    });
    await fc.assert(same, { numRuns: 300 });
  });

  it('of T10 types are those of the TypeScript twin, from every place in a page', async () => {
    const types = fc.constantFrom('t10ip512', 't10ip4K', 't10crc512', 't10crc4K' as const);
    const same = fc.asyncProperty(chunks, types, fc.nat(4095), async (segments, type, pageOffset) => {
      const expected = bulkChecksumTs(type, segments, pageOffset);
      expect(storage.checksumSync(type, segments, pageOffset)).toBe(expected);
      expect(await storage.checksum(type, segments, pageOffset)).toBe(expected);
    });
    await fc.assert(same, { numRuns: 300 });
  });

  it('cover a view of a larger buffer, not the buffer', () => {
    const whole = Uint8Array.from({ length: 5000 }, (_, i) => i * 7);
    for (const name of names) {
      const view = whole.subarray(33, 4711);
      expect(storage.checksumSync(name, [view])).toBe(checksumTs(name, [view.slice()]));
    }
  });

  it('are those that kernels sent', () => {
    const types = new Map<number, BulkChecksumName>([
      [0x1000, 'crc32'],
      [0x2000, 'adler32'],
      [0x4000, 'crc32c'],
      [0x5000, 't10ip512'],
      [0x6000, 't10ip4K'],
      [0x7000, 't10crc512'],
      [0x8000, 't10crc4K'],
    ]);
    const known = capturedTransfers(capture('03b')).filter(({ type }) => types.has(type));
    expect(known).toHaveLength(35);
    for (const { type, payload, checksum } of known) {
      expect(storage.checksumSync(types.get(type)!, payload)).toBe(checksum);
    }
  });
});

describe('readv and writev', () => {
  it('move any segments to any position and back, with the checksum of what moved', async () => {
    const roundTrip = fc.asyncProperty(
      chunks,
      fc.nat(100_000),
      fc.constantFrom(...names),
      fc.array(fc.nat(4000), { minLength: 1, maxLength: 20 }),
      async (segments, position, name, lengths) => {
        await handle.truncate(0);
        const data = Buffer.concat(segments);
        const written = await storage.writev(file, position, segments, name);
        expect(written).toEqual({ bytes: data.length, checksum: checksumTs(name, [data]) });
        const into = segmentsOf(lengths);
        const read = await storage.readv(file, position, into, name);
        const expected = data.subarray(0, Math.min(data.length, Buffer.concat(into).length));
        expect(read).toEqual({ bytes: expected.length, checksum: checksumTs(name, [expected]) });
        expect(Buffer.concat(into).subarray(0, read.bytes).equals(expected)).toBe(true);
      },
    );
    await fc.assert(roundTrip, { numRuns: 200 });
  });

  it('move more segments than one system call takes', async () => {
    const segments = Array.from({ length: 3000 }, (_, i) => new Uint8Array(i % 5).fill(i));
    const data = Buffer.concat(segments);
    await handle.truncate(0);
    expect(await storage.writev(file, 0, segments, 'crc32c')).toEqual({
      bytes: data.length,
      checksum: checksumTs('crc32c', [data]),
    });
    const into = segmentsOf(segments.map(({ length }) => length));
    expect(await storage.readv(file, 0, into, 'adler32')).toEqual({
      bytes: data.length,
      checksum: checksumTs('adler32', [data]),
    });
    expect(Buffer.concat(into).equals(data)).toBe(true);
  });

  it('move 16 MiB, beyond what one checksummed call takes', async () => {
    const data = Buffer.alloc(16 << 20, 'lustre object');
    await handle.truncate(0);
    const { checksum } = await storage.writev(file, 4096n, [data], 'crc32');
    expect(checksum).toBe(storage.checksumSync('crc32', [data]));
    const into = new Uint8Array(data.length);
    expect(await storage.readv(file, 4096, [into], 'crc32')).toEqual({ bytes: data.length, checksum });
    expect(data.equals(into)).toBe(true);
  });

  it('read nothing at and behind the end, with the checksum of nothing', async () => {
    await handle.truncate(10);
    const into = segmentsOf([8]);
    expect(await storage.readv(file, 10, into, 'adler32')).toEqual({ bytes: 0, checksum: 1 });
    expect(await storage.readv(file, 2n ** 53n, into)).toEqual({ bytes: 0, checksum: 0 });
    expect(await storage.readv(file, 5, into, 'crc32c')).toMatchObject({ bytes: 5 });
    expect(await storage.readv(file, 0, [])).toEqual({ bytes: 0, checksum: 0 });
  });

  it('reject with the errno, the call and the path', async () => {
    const closed: OpenFile = { fd: 1_000_000, path: '/objects/7' };
    await expect(storage.readv(closed, 0, segmentsOf([4]))).rejects.toMatchObject({
      code: 'EBADF',
      errno: -9,
      syscall: 'read',
      path: '/objects/7',
    });
    const full = await open('/dev/full', 'w');
    const device: OpenFile = { fd: full.fd, path: '/dev/full' };
    await expect(storage.writev(device, 0, segmentsOf([4]))).rejects.toMatchObject({ code: 'ENOSPC' });
    await full.close();
  });

  it('refuse arguments of the wrong kind before anything moves', async () => {
    await expect(storage.readv(file, -1, [])).rejects.toThrow(TypeError);
    await expect(storage.readv(file, 0.5, [])).rejects.toThrow(TypeError);
    await expect(storage.readv(file, 2n ** 63n, [])).rejects.toThrow(TypeError);
    await expect(storage.readv({ fd: -1, path: '' }, 0, [])).rejects.toThrow(TypeError);
  });
});

describe('holes', () => {
  it('are punched, found and read as zeros', async () => {
    const block = 1 << 20;
    await handle.truncate(0);
    await storage.writev(file, 0, [new Uint8Array(3 * block).fill(7)]);
    await storage.allocate(file, 'punch-hole', block, block);
    expect((await handle.stat()).size).toBe(3 * block);
    const into = segmentsOf([3 * block]);
    await storage.readv(file, 0, into);
    const expected = new Uint8Array(3 * block).fill(7).fill(0, block, 2 * block);
    expect(Buffer.compare(into[0]!, expected)).toBe(0);
    expect(await storage.seekData(file, 0)).toBe(0);
    const hole = await storage.seekHole(file, 0);
    // A file system that cannot punch writes zeros, and then the only hole is the end.
    expect([block, 3 * block]).toContain(hole);
    expect(await storage.seekData(file, 3 * block)).toBeUndefined();
  });

  it('are filled by allocation, with and without growing the file', async () => {
    await handle.truncate(0);
    await storage.allocate(file, 'keep-size', 0, 8192);
    expect((await handle.stat()).size).toBe(0);
    await storage.allocate(file, 'allocate', 0, 8192);
    expect((await handle.stat()).size).toBe(8192);
    await expect(storage.allocate(file, 'allocate', 0, 0)).rejects.toMatchObject({ code: 'EINVAL' });
    await storage.sync(file);
  });
});

it('a process without descriptors is told so, not that its file is closed', async () => {
  const script = fileURLToPath(new URL('programs/few-descriptors.ts', import.meta.url));
  const limited = 'ulimit -n 100 && exec "$0" --import tsx "$1"';
  const { stdout } = await promisify(execFile)('bash', ['-c', limited, process.execPath, script]);
  expect(stdout).toBe('EMFILE\n');
});
