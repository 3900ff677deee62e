import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { open } from 'lmdb';
import { afterEach, describe, expect, it } from 'vitest';
import type { KeyValueStore, WritableTable } from '../../../lib/server/store/key-value-store.ts';
import { openLmdbStore } from '../../../lib/server/store/lmdb-store.ts';
import { MemoryDisk, openMemoryStore } from '../../../lib/server/store/memory-store.ts';

const tables = ['a', 'b'];
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (b: Uint8Array | undefined): string | undefined =>
  b === undefined ? undefined : new TextDecoder().decode(b);
const all = (store: KeyValueStore, name = 'a'): string[] =>
  [...store.table(name).range(bytes(''), bytes('\x7f'))].map((e) => `${text(e.key)}=${text(e.value)}`);

/** A place that stores are opened on, one after the other. */
interface Place {
  open(): Promise<KeyValueStore>;
  remove(): void;
}
const places: { name: string; make(): Place }[] = [
  {
    name: 'LMDB',
    make() {
      const path = mkdtempSync(join(tmpdir(), 'lustre-store-'));
      return {
        open: () => openLmdbStore({ path, tables }),
        remove: () => rmSync(path, { recursive: true, force: true }),
      };
    },
  },
  {
    name: 'memory',
    make() {
      const disk = new MemoryDisk();
      return { open: async () => openMemoryStore({ tables, disk }), remove: () => undefined };
    },
  },
];

describe.each(places)('$name store', ({ make }) => {
  const cleanups: (() => void | Promise<void>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  async function fresh(): Promise<{ store: KeyValueStore; place: Place }> {
    const place = make();
    cleanups.push(() => place.remove());
    const store = await place.open();
    cleanups.push(() => store.close());
    return { store, place };
  }

  it('keeps what was committed, across close and open', async () => {
    const { store, place } = await fresh();
    await store.transact((tx) => tx.table('a').put(bytes('k'), bytes('v')));
    await store.close();
    const again = await place.open();
    cleanups.push(() => again.close());
    expect(text(again.table('a').get(bytes('k')))).toBe('v');
    expect(again.table('b').get(bytes('k'))).toBeUndefined();
  });

  it('undoes only the transaction that throws', async () => {
    const { store } = await fresh();
    const results = await Promise.allSettled([
      store.transact((tx) => tx.table('a').put(bytes('1'), bytes('x'))),
      store.transact((tx) => {
        tx.table('a').put(bytes('2'), bytes('x'));
        throw new Error('no');
      }),
      store.transact((tx) => {
        expect(text(tx.table('a').get(bytes('1')))).toBe('x');
        expect(tx.table('a').get(bytes('2'))).toBeUndefined();
        tx.table('a').remove(bytes('1'));
        tx.table('a').put(bytes('3'), bytes('y'));
      }),
    ]);
    expect(results.map((r) => r.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(all(store)).toEqual(['3=y']);
  });

  it('gives back what a transaction that throws has overwritten and removed, layer for layer', async () => {
    const { store } = await fresh();
    await store.transact((tx) => {
      for (const k of ['1', '2', '3']) tx.table('a').put(bytes(k), bytes('disk'));
    });
    const before = store.transact((tx) => {
      tx.table('a').put(bytes('1'), bytes('written'));
      tx.table('a').remove(bytes('2'));
    });
    const failed = store.transact((tx) => {
      for (const k of ['1', '2', '3', '4']) tx.table('a').put(bytes(k), bytes('once'));
      for (const k of ['1', '2', '3', '4']) tx.table('a').remove(bytes(k));
      tx.table('a').put(bytes('2'), bytes('twice'));
      throw new Error('no');
    });
    await expect(failed).rejects.toThrow('no');
    expect(all(store)).toEqual(['1=written', '3=disk']);
    await before;
    expect(all(store)).toEqual(['1=written', '3=disk']);
  });

  it('takes its own copy of a value, and no write outside of a transaction or one inside another', async () => {
    const { store } = await fresh();
    const value = bytes('v');
    let table: WritableTable | undefined;
    await store.transact((tx) => {
      table = tx.table('a');
      table.put(bytes('k'), value);
      value[0] = 0;
    });
    expect(all(store)).toEqual(['k=v']);
    expect(() => table?.remove(bytes('k'))).toThrow('after its transaction');
    const nested: Promise<unknown>[] = [];
    await store.transact(() => {
      nested.push(Promise.allSettled([store.transact((tx) => tx.table('a').remove(bytes('k')))]));
    });
    expect(await nested[0]).toMatchObject([{ status: 'rejected' }]);
    expect(all(store)).toEqual(['k=v']);
  });

  it('shows running writes to readers, and ranges in byte order with a limit', async () => {
    const { store } = await fresh();
    await store.transact((tx) => {
      for (const k of ['b', 'd', 'f']) tx.table('a').put(bytes(k), bytes('old'));
    });
    const running = store.transact((tx) => {
      tx.table('a').put(bytes('c'), bytes('new'));
      tx.table('a').put(bytes('b'), bytes('new'));
      tx.table('a').remove(bytes('d'));
    });
    expect(all(store)).toEqual(['b=new', 'c=new', 'f=old']);
    expect([...store.table('a').range(bytes('b'), bytes('f'))].length).toBe(2);
    expect([...store.table('a').range(bytes(''), bytes('z'), 1)].map((e) => text(e.key))).toEqual(['b']);
    await running;
    expect(all(store)).toEqual(['b=new', 'c=new', 'f=old']);
  });

  it('names an unknown table', async () => {
    const { store } = await fresh();
    await expect(store.transact((tx) => tx.table('c'))).rejects.toMatchObject({
      code: 'ERR_LUSTRE_STORE_TABLE',
    });
  });

  it('refuses work after close and gives back what was pending', async () => {
    const { store } = await fresh();
    const pending = store.transact((tx) => tx.table('a').put(bytes('k'), bytes('v')));
    await store.close();
    await pending;
    await expect(store.transact(() => undefined)).rejects.toMatchObject({ code: 'ERR_LUSTRE_STORE_CLOSED' });
  });

  it('agrees with a map, whatever the order of work', async () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 3 });
    const step = fc.record({
      writes: fc.array(fc.tuple(key, fc.option(fc.uint8Array({ maxLength: 4 }), { nil: undefined }))),
      fails: fc.boolean(),
      waits: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const place = make();
        let store = await place.open();
        const model = new Map<string, string>();
        try {
          const running: Promise<unknown>[] = [];
          for (const { writes, fails, waits } of steps) {
            const done = store.transact((tx) => {
              for (const [k, v] of writes) {
                if (v === undefined) tx.table('a').remove(k);
                else tx.table('a').put(k, v);
              }
              if (fails) throw new Error('undo');
            });
            running.push(done.catch(() => undefined));
            if (!fails)
              for (const [k, v] of writes) {
                const name = Buffer.from(k).toString('hex');
                if (v === undefined) model.delete(name);
                else model.set(name, Buffer.from(v).toString('hex'));
              }
            if (waits) await done.catch(() => undefined);
          }
          await Promise.all(running);
          await store.close();
          store = await place.open();
          const found = [...store.table('a').range(new Uint8Array(0), new Uint8Array([255, 255, 255, 255]))];
          expect(found.map((e) => Buffer.from(e.key).toString('hex'))).toEqual([...model.keys()].sort());
          for (const e of found)
            expect(Buffer.from(e.value).toString('hex')).toBe(model.get(Buffer.from(e.key).toString('hex')));
        } finally {
          await store.close();
          place.remove();
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe('LMDB store', () => {
  it('refuses a directory of another version, by name', async () => {
    const path = mkdtempSync(join(tmpdir(), 'lustre-store-'));
    try {
      await (await openLmdbStore({ path, tables })).close();
      const raw = open<Buffer, Buffer>({ path: join(path, 'data.mdb'), noSubdir: true, maxDbs: 4 });
      const meta = raw.openDB<Buffer, Buffer>({ name: 'store', encoding: 'binary', keyEncoding: 'binary' });
      await meta.put(Buffer.from('format'), Buffer.from([99, 0, 0, 0]));
      await raw.close();
      await expect(openLmdbStore({ path, tables })).rejects.toMatchObject({
        code: 'ERR_LUSTRE_STORE_VERSION',
      });
    } finally {
      rmSync(path, { recursive: true, force: true });
    }
  });

  it('takes over a directory from before there was a journal', async () => {
    const path = mkdtempSync(join(tmpdir(), 'lustre-store-'));
    try {
      const old = open<Buffer, Buffer>({ path: join(path, 'data.mdb'), noSubdir: true, maxDbs: 4 });
      const binary = { encoding: 'binary', keyEncoding: 'binary' } as const;
      await old
        .openDB<Buffer, Buffer>({ name: 'store', ...binary })
        .put(Buffer.from('format'), Buffer.from([1, 0, 0, 0]));
      await old.openDB<Buffer, Buffer>({ name: 'a', ...binary }).put(Buffer.from('k'), Buffer.from('v'));
      await old.close();
      for (let n = 0; n < 2; n++) {
        const store = await openLmdbStore({ path, tables });
        await store.transact((tx) => tx.table('b').put(bytes(String(n)), bytes('new')));
        expect(all(store)).toEqual(['k=v']);
        expect(all(store, 'b')).toHaveLength(n + 1);
        await store.close();
      }
    } finally {
      rmSync(path, { recursive: true, force: true });
    }
  });

  it('reads what was written since it was read, wherever that is by now', async () => {
    const path = mkdtempSync(join(tmpdir(), 'lustre-store-'));
    const store = await openLmdbStore({ path, tables });
    const keys = ['comes', 'goes', 'changes', 'stays', 'never'];
    const values = (): (string | undefined)[] => keys.map((key) => text(store.table('a').get(bytes(key))));
    // More than a generation of the journal: LMDB gets what was written before.
    const fill = async (): Promise<void> => {
      const value = new Uint8Array(64 * 1024);
      for (let i = 0; i < 24; i++) {
        await store.transact((tx) => tx.table('b').put(bytes(`${i}`), value));
        values();
      }
    };
    try {
      await store.transact((tx) => {
        for (const key of ['goes', 'changes', 'stays']) tx.table('a').put(bytes(key), bytes('before'));
      });
      await fill();
      expect(values()).toEqual([undefined, 'before', 'before', 'before', undefined]);
      await store.transact((tx) => {
        tx.table('a').put(bytes('comes'), bytes('after'));
        tx.table('a').remove(bytes('goes'));
        tx.table('a').put(bytes('changes'), bytes('after'));
      });
      for (let turn = 0; turn < 2; turn++) {
        await fill();
        expect(values()).toEqual(['after', undefined, 'after', 'before', undefined]);
      }
    } finally {
      await store.close();
      rmSync(path, { recursive: true, force: true });
    }
  });

  it('grows its map past what it started with', async () => {
    const path = mkdtempSync(join(tmpdir(), 'lustre-store-'));
    const store = await openLmdbStore({ path, tables });
    try {
      const value = new Uint8Array(64 * 1024).fill(7);
      for (let i = 0; i < 40; i++)
        await store.transact((tx) => {
          for (let k = 0; k < 10; k++) tx.table('a').put(bytes(`${i}.${k}`), value);
        });
      expect(store.table('a').get(bytes('39.9'))).toHaveLength(value.length);
    } finally {
      await store.close();
      rmSync(path, { recursive: true, force: true });
    }
  });
});

describe('memory store', () => {
  it('a crash drops what was not committed and keeps the rest', async () => {
    const disk = new MemoryDisk();
    const store = openMemoryStore({ tables, disk });
    await store.transact((tx) => tx.table('a').put(bytes('kept'), bytes('1')));
    const lost = store.transact((tx) => tx.table('a').put(bytes('lost'), bytes('1')));
    store.crash();
    await expect(lost).rejects.toMatchObject({ code: 'ERR_LUSTRE_STORE_CRASH' });
    expect(all(openMemoryStore({ tables, disk }))).toEqual(['kept=1']);
  });

  it('a full disk is ENOSPC for the group and for what was built on it, and later work goes on', async () => {
    const disk = new MemoryDisk();
    const store = openMemoryStore({ tables, disk });
    disk.full = true;
    const failed = store.transact((tx) => tx.table('a').put(bytes('k'), bytes('v')));
    await expect(failed).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(store.table('a').get(bytes('k'))).toBeUndefined();
    disk.full = false;
    await store.transact((tx) => tx.table('a').put(bytes('k'), bytes('v')));
    expect(all(store)).toEqual(['k=v']);
  });
});
