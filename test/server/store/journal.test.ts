/** What the store's journal promises: all that was answered, whenever the process is killed and wherever a write is cut off. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { CommitThread } from '../../../lib/server/store/commit-thread.ts';
import { JOURNAL_FILES, Journal } from '../../../lib/server/store/journal.ts';
import { JournaledTables } from '../../../lib/server/store/journaled-tables.ts';
import type { KeyValueStore } from '../../../lib/server/store/key-value-store.ts';
import { openLmdbStore } from '../../../lib/server/store/lmdb-store.ts';
import { GroupCommit } from '../../../lib/server/store/pending-writes.ts';

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** tmpfs where there is one, and the disk: writes there go by another way. */
const places = ['/dev/shm', tmpdir()];

function directory(base = tmpdir()): string {
  const path = mkdtempSync(join(base, 'lustre-journal-'));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function opened(path: string, tables: readonly string[] = ['a', 'b']): Promise<KeyValueStore> {
  const store = await openLmdbStore({ path, tables });
  cleanups.push(() => store.close());
  return store;
}

/** The directory as a killed process leaves it. */
function asKilled(path: string): string {
  const copy = directory();
  cpSync(path, copy, { recursive: true });
  return copy;
}

const key = (n: number): Buffer => Buffer.from(String(n).padStart(6, '0'));
const put = (store: KeyValueStore, n: number, value: Uint8Array = key(n)): Promise<void> =>
  store.transact((tx) => tx.table('a').put(key(n), value));
const everything = (store: KeyValueStore, table = 'a') => [
  ...store.table(table).range(new Uint8Array(0), Buffer.alloc(8, 0xff)),
];

describe.each(places)('a journal in %s', (base) => {
  it('has everything that was answered when the process is killed, again and again', async () => {
    const path = directory(base);
    let answered = -1;
    for (let round = 0; round < 3; round++) {
      const script = fileURLToPath(new URL('store-child.ts', import.meta.url));
      const child = spawn(process.execPath, ['--import', 'tsx', script, path, String(answered + 1)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exited = once(child, 'exit');
      const wanted = answered + 300 * (round + 1);
      // Lines that it has written before it dies count as well.
      for await (const line of createInterface({ input: child.stdout })) {
        answered = Math.max(answered, Number(line));
        if (answered >= wanted) child.kill('SIGKILL');
      }
      await exited;
      const store = await openLmdbStore({ path, tables: ['numbers', 'last'] });
      const numbers = everything(store, 'numbers').map((e) => Buffer.from(e.key).readUInt32BE());
      // All of them, in order, and what the last transaction wrote with the last of them.
      expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => i));
      expect(numbers.length).toBeGreaterThan(answered);
      const last = store.table('last').get(Buffer.from('last'))!;
      expect(Buffer.from(last).readUInt32BE()).toBe(numbers.length - 1);
      expect(store.table('numbers').get(last)).toHaveLength(2000);
      answered = numbers.length - 1;
      await store.close();
    }
  }, 120_000);

  it('goes round, and gives back what was written over and removed', async () => {
    const path = directory(base);
    const store = await opened(path);
    const large = Buffer.alloc(100_000, 7);
    for (let n = 0; n < 40; n++) {
      await store.transact((tx) => {
        tx.table('a').put(key(n), large);
        tx.table('b').put(key(0), key(n));
        if (n >= 3) tx.table('a').remove(key(n - 3));
      });
      expect(everything(store).length).toBe(Math.min(n + 1, 3));
    }
    await store.close();
    const again = await opened(path);
    expect(everything(again).map((e) => Buffer.from(e.key).toString())).toEqual(
      [37, 38, 39].map((n) => String(key(n))),
    );
    expect(Buffer.from(again.table('b').get(key(0))!).toString()).toBe(String(key(39)));
  });
});

describe('a journal', () => {
  it('that is cut off or damaged anywhere in its last records gives back all before', async () => {
    const path = directory();
    const store = await opened(path);
    const ends: number[] = [];
    for (let n = 0; n < 5; n++) {
      await put(store, n);
      ends.push(sizeOf(path));
    }
    const killed = asKilled(path);
    const whole = readFileSync(join(killed, 'journal.0'));
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: ends[0]!, max: whole.length - 1 }),
        fc.constantFrom('cut', 'damaged'),
        async (at, how) => {
          const copy = mkdtempSync(join(tmpdir(), 'lustre-journal-'));
          cpSync(killed, copy, { recursive: true });
          if (how === 'cut') truncateSync(join(copy, 'journal.0'), at);
          else {
            const damaged = Buffer.from(whole);
            damaged[at] = damaged[at]! ^ 0x55;
            writeFileSync(join(copy, 'journal.0'), damaged);
          }
          const again = await openLmdbStore({ path: copy, tables: ['a', 'b'] });
          try {
            expect(everything(again).length).toBe(ends.filter((end) => end <= at).length);
          } finally {
            await again.close();
            rmSync(copy, { recursive: true, force: true });
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it('is brought in by name of its tables, whatever their order is by now', async () => {
    const path = directory();
    const store = await opened(path, ['a', 'b']);
    await put(store, 1);
    const again = await opened(asKilled(path), ['b', 'c', 'a']);
    expect(everything(again)).toHaveLength(1);
    expect(everything(again, 'b')).toHaveLength(0);
  });

  it('that lacks a generation is refused', async () => {
    const path = directory();
    const store = await opened(path);
    await put(store, 1);
    const killed = asKilled(path);
    const bytes = readFileSync(join(killed, 'journal.0'));
    // As if there had been one between LMDB and this one.
    const later = new Journal(killed, ['a', 'b'], bytes.readUInt32LE(4) + 1);
    await later.append(
      new Map([['a', new Map([['x', bytes]])]]),
      new Map([
        ['a', 0],
        ['b', 1],
      ]),
    );
    later.close();
    await expect(openLmdbStore({ path: killed, tables: ['a', 'b'] })).rejects.toMatchObject({
      code: 'EIO',
      path: expect.stringContaining(killed),
      message: expect.stringMatching(/LMDB has all to generation \d+ and the journal begins with \d+/),
    });
  });

  it('that has lost records of a generation is told with the file, and what was lost', async () => {
    const path = directory();
    const thread = CommitThread.get();
    const { store, generation } = await thread.open(path, 'data.mdb', ['a']);
    cleanups.push(() => thread.close(store));
    const bring = thread.bring(store, { file: 0, number: generation + 1, count: 2 });
    await expect(bring).rejects.toMatchObject({
      code: 'EIO',
      path: join(path, JOURNAL_FILES[0]!),
      message: expect.stringContaining('the journal has 0 of 2 records of generation 1'),
    });
  });

  it('keeps what LMDB cannot take, and takes in no more until it can', async () => {
    const path = directory();
    const journal = new Journal(path, ['a'], 1);
    let full = false;
    const brought: number[] = [];
    const nothing = { get: () => undefined, range: () => [] };
    const tables = new JournaledTables(
      { tables: new Map([['a', nothing]]), renew: () => undefined },
      journal,
      async ({ number }) => {
        if (full) throw new Error('No space left on device');
        brought.push(number);
      },
      new Map([['a', 0]]),
    );
    const group = new GroupCommit(tables, ['a'], setImmediate);
    const large = (n: number) => group.transact((tx) => tx.table('a').put(key(n), Buffer.alloc(300_000, n)));
    full = true;
    for (let n = 0; n < 3; n++) await large(n);
    await expect(large(3)).rejects.toThrow('No space left');
    const there = (): number => [...group.table('a').range(key(0), key(9))].length;
    expect(there()).toBe(3);
    expect(group.table('a').get(key(0))).toHaveLength(300_000);
    expect(group.table('a').get(key(3))).toBeUndefined();
    full = false;
    await large(4);
    expect(brought).toEqual([1]);
    await group.close();
    await tables.close();
    expect(brought).toEqual([1, 2]);
  });
});

/** Where the journal's records end: what is behind them is zero or of an earlier generation. */
function sizeOf(path: string): number {
  return readFileSync(join(path, 'journal.0')).length;
}
