/** Both object stores under one set of rules, and what is the file store's own: files, restarts, bounds. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { checksumTs } from '../../../lib/lnet/checksum.ts';
import { openNativeStorage } from '../../../lib/lnet/native-storage.ts';
import type { Segment } from '../../../lib/lnet/network.ts';
import { nodeRuntime } from '../../../lib/runtime/runtime.ts';
import { OBJECT_TABLES, openFileObjectStore } from '../../../lib/server/store/file-object-store.ts';
import { MemoryObjectDisk, MemoryObjectStore } from '../../../lib/server/store/memory-object-store.ts';
import { MemoryDisk, openMemoryStore } from '../../../lib/server/store/memory-store.ts';
import type { ObjectStore } from '../../../lib/server/store/object-store.ts';

const runtime = nodeRuntime();
const SEQ = 0x400200000400n;
const id = (oid: number) => ({ seq: SEQ, oid });
const directories: string[] = [];
afterAll(() => {
  for (const dir of directories) rmSync(dir, { recursive: true, force: true });
});

interface Opened {
  readonly store: ObjectStore;
  readonly dir: string;
  /** The same store again: after a clean close, or as a killed process leaves it. */
  reopen(how: 'closed' | 'killed'): Promise<Opened>;
}

function openFiles(
  dir: string,
  disk = new MemoryDisk(),
  openFilesMax = 4,
  storage = openNativeStorage(),
): Opened {
  const attributes = openMemoryStore({ disk, tables: OBJECT_TABLES });
  const store = openFileObjectStore({ runtime, dir, attributes, storage, openFilesMax });
  return {
    store,
    dir,
    async reopen(how) {
      if (how === 'closed') await store.close();
      attributes.crash();
      return openFiles(dir, disk, openFilesMax);
    },
  };
}

function files(): Opened {
  const dir = mkdtempSync(join(tmpdir(), 'objects-'));
  directories.push(dir);
  return openFiles(dir);
}

function memory(disk = new MemoryObjectDisk()): Opened {
  const store = new MemoryObjectStore({ runtime, disk });
  return {
    store,
    dir: '',
    async reopen(how) {
      // Memory has no page cache that would outlive a process: only what is synced stays.
      if (how === 'killed') await store.syncAll();
      else await store.close();
      return memory(disk);
    },
  };
}

const pieces = (...parts: Uint8Array[]): Segment[] =>
  parts.map((bytes) => ({ memory: { bytes, release: () => undefined }, offset: 0, length: bytes.length }));
const noise = (length: number, salt = 1) => Uint8Array.from({ length }, (_, i) => (i * 13 + salt * 7) & 255);

async function readAll(store: ObjectStore, oid: number, position = 0n, length = 1 << 20): Promise<Buffer> {
  const into = new Uint8Array(length);
  const { bytes } = await store.read(id(oid), position, pieces(into));
  return Buffer.from(into.subarray(0, bytes));
}

describe.each([
  ['files', files],
  ['memory', memory],
] as const)('objects in %s', (_, open) => {
  it('are made ahead, in order, and LAST_ID stays', async () => {
    const opened = open();
    const { store } = opened;
    expect(store.lastId(SEQ)).toBe(0);
    await store.precreate(SEQ, 0, 70);
    expect(store.lastId(SEQ)).toBe(70);
    expect(store.exists(id(70))).toBe(true);
    expect(store.exists(id(71))).toBe(false);
    const again = (await opened.reopen('killed')).store;
    expect(again.lastId(SEQ)).toBe(70);
    expect(again.exists(id(1))).toBe(true);
    expect(await again.getAttributes(id(1))).toMatchObject({ size: 0n, owned: false, uid: 0, version: 0n });
    await again.close();
  });

  it('hold what is written, with checksums, and read short at the end', async () => {
    const { store } = open();
    await store.precreate(SEQ, 0, 2);
    const a = noise(5000);
    const b = noise(70_000, 2);
    const written = await store.write(id(1), 100n, pieces(a, b), 'crc32c');
    expect(written).toEqual({ bytes: 75_000, checksum: checksumTs('crc32c', [a, b]) });
    const data = Buffer.concat([Buffer.alloc(100), a, b]);
    expect((await readAll(store, 1)).equals(data)).toBe(true);
    const into = new Uint8Array(4096);
    const read = await store.read(id(1), 75_000n, pieces(into), 'adler32');
    expect(read).toEqual({ bytes: 100, checksum: checksumTs('adler32', [data.subarray(75_000)]) });
    expect(await store.checksum('crc32', pieces(a))).toBe(checksumTs('crc32', [a]));
    await store.truncate(id(1), 1000n);
    await store.truncate(id(1), 2000n);
    expect(
      (await readAll(store, 1)).equals(Buffer.concat([data.subarray(0, 1000), Buffer.alloc(1000)])),
    ).toBe(true);
    expect(await store.getAttributes(id(1))).toMatchObject({ size: 2000n });
    await store.close();
  });

  it('have holes that can be made and found', async () => {
    const { store } = open();
    await store.precreate(SEQ, 0, 1);
    await store.write(id(1), 0n, pieces(noise(65_536)));
    await store.write(id(1), 262_144n, pieces(noise(65_536)));
    expect(await store.seek(id(1), 0n, 'hole')).toBe(65_536n);
    expect(await store.seek(id(1), 65_536n, 'data')).toBe(262_144n);
    expect(await store.seek(id(1), 327_680n, 'data')).toBeUndefined();
    await store.punch(id(1), 262_144n, 327_680n);
    expect((await readAll(store, 1, 262_144n)).every((byte) => byte === 0)).toBe(true);
    expect(await store.getAttributes(id(1))).toMatchObject({ size: 327_680n });
    await store.allocate(id(1), 327_680n, 400_000n, false);
    expect(await store.getAttributes(id(1))).toMatchObject({ size: 400_000n });
    await store.close();
  });

  it('keep attributes over a close, and are gone when destroyed', async () => {
    const opened = open();
    await opened.store.precreate(SEQ, 0, 3);
    const parent = noise(52);
    const set = { uid: 1000, gid: 5, projid: 7, mtime: 1234n, atime: 99n, owned: true, version: 77n, parent };
    await opened.store.setAttributes(id(1), set);
    await opened.store.write(id(2), 0n, pieces(noise(10)));
    await opened.store.destroy(id(2));
    await expect(opened.store.destroy(id(2))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(opened.store.getAttributes(id(2))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(opened.store.write(id(9), 0n, pieces(noise(1)))).rejects.toMatchObject({ code: 'ENOENT' });
    const { store } = await opened.reopen('closed');
    expect(await store.getAttributes(id(1))).toMatchObject(set);
    expect(store.exists(id(2))).toBe(false);
    await store.close();
  });

  it('are what a plain array of bytes would be', async () => {
    const operation = fc.oneof(
      fc.record({
        what: fc.constant('write' as const),
        at: fc.nat(200_000),
        length: fc.integer({ min: 1, max: 70_000 }),
        salt: fc.nat(255),
      }),
      fc.record({ what: fc.constant('truncate' as const), at: fc.nat(300_000) }),
      fc.record({
        what: fc.constant('punch' as const),
        at: fc.nat(200_000),
        length: fc.integer({ min: 1, max: 150_000 }),
      }),
    );
    const { store } = open();
    let oid = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 12 }), async (operations) => {
        oid += 1;
        await store.precreate(SEQ, oid - 1, oid);
        let model = Buffer.alloc(0);
        const grow = (size: number) => {
          if (size > model.length) model = Buffer.concat([model, Buffer.alloc(size - model.length)]);
        };
        for (const o of operations) {
          if (o.what === 'write') {
            const data = noise(o.length, o.salt);
            await store.write(id(oid), BigInt(o.at), pieces(data));
            grow(o.at + o.length);
            model.set(data, o.at);
          } else if (o.what === 'truncate') {
            await store.truncate(id(oid), BigInt(o.at));
            grow(o.at);
            model = model.subarray(0, o.at);
          } else {
            await store.punch(id(oid), BigInt(o.at), BigInt(o.at + o.length));
            model.fill(0, Math.min(o.at, model.length), Math.min(o.at + o.length, model.length));
          }
        }
        expect((await readAll(store, oid)).equals(model)).toBe(true);
      }),
      { numRuns: 40 },
    );
    await store.close();
  });
});

describe('objects in files', () => {
  it('stand where the reference has them, and few are open at a time', async () => {
    const { store, dir } = files();
    await store.precreate(SEQ, 0, 40);
    for (let oid = 1; oid <= 40; oid++) await store.write(id(oid), 0n, pieces(Buffer.from(`object ${oid}`)));
    expect(readFileSync(join(dir, 'O', '400200000400', 'd1', '33'), 'utf8')).toBe('object 33');
    const open = readdirSync('/proc/self/fd').length;
    for (let oid = 1; oid <= 40; oid++) expect((await readAll(store, oid)).toString()).toBe(`object ${oid}`);
    expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(open + 1);
    await store.syncAll();
    await store.close();
  });

  it('survive a killed process with their data, and with times of the last write', async () => {
    const opened = files();
    await opened.store.precreate(SEQ, 0, 1);
    await opened.store.setAttributes(id(1), { mtime: 50n, uid: 3, owned: true });
    await opened.store.sync(id(1));
    await opened.store.write(id(1), 0n, pieces(Buffer.from('late')));
    const file = join(opened.dir, 'O', '400200000400', 'd1', '1');
    utimesSync(file, 4_000_000_000, 4_000_000_000);
    const { store } = await opened.reopen('killed');
    expect((await readAll(store, 1)).toString()).toBe('late');
    expect(await store.getAttributes(id(1))).toMatchObject({ mtime: 4_000_000_000n, uid: 3, size: 4n });
    await store.close();
  });

  it('stay readable for a read under way when they are destroyed', async () => {
    const { store, dir } = files();
    await store.precreate(SEQ, 0, 1);
    await store.write(id(1), 0n, pieces(noise(1 << 20)));
    const into = new Uint8Array(1 << 20);
    const [read] = await Promise.all([store.read(id(1), 0n, pieces(into)), store.destroy(id(1))]);
    expect(read.bytes).toBe(1 << 20);
    expect(existsSync(join(dir, 'O', '400200000400', 'd1', '1'))).toBe(false);
    expect(store.exists(id(1))).toBe(false);
    await store.close();
  });

  it('are synced again when what was being written during a sync is there', async () => {
    const storage = openNativeStorage();
    const sync = storage.sync.bind(storage);
    let syncs = 0;
    storage.sync = (file) => {
      syncs++;
      return sync(file);
    };
    const dir = mkdtempSync(join(tmpdir(), 'objects-'));
    directories.push(dir);
    const { store } = openFiles(dir, undefined, 4, storage);
    await store.precreate(SEQ, 0, 1);
    await store.intoFile!(id(1), [{ position: 5n, length: 4 }], async (file) => {
      expect(file).toMatchObject({ position: 5n, length: 4 });
      await store.syncAll();
      expect(syncs).toBe(1);
      writeSync(file.fd, 'data', Number(file.position));
    });
    await store.syncAll();
    expect(syncs).toBe(2);
    expect((await readAll(store, 1, 5n)).toString()).toBe('data');
    await store.syncAll();
    expect(syncs).toBe(2);
    await store.close();
  });
});
