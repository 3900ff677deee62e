/**
 * The production store: LMDB (design: Stores), one `transactionSync()` for each group. Chosen from
 * data-path-measurements §6: it is the fastest for one writer (0.43 ms against 0.65 for `transaction()` on LMDB's own
 * thread), level with it for many (40 000 a second and more), and it is the only one that survives a full disk:
 * the asynchronous one leaves a rejection behind that nobody can catch, which ends the process. Its price: the event loop
 * stands still while the disk writes. `noSync` is ten times faster and loses what was answered. `overlappingSync`
 * is off, so that the fdatasync is in the commit.
 */
import { mkdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { errnoError, LustreError } from '../../runtime/errors.ts';
import type { KeyValueStore, KeyValueStoreOptions } from './key-value-store.ts';
import { GroupCommit, keyBytes, type Medium, type Writes } from './pending-writes.ts';

/** Raised when the meaning of a table changes. */
export const STORE_FORMAT = 1;
const FORMAT_TABLE = 'store';
const FORMAT_KEY = Buffer.from('format');

type Bytes = Database<Buffer, Buffer>;

/**
 * Opens (or makes) the store in the directory `path`. The map grows by itself with the file. Throws
 * ERR_LUSTRE_STORE_VERSION for a directory that another version wrote, EACCES / ENOSPC / ... from the disk.
 */
export async function openLmdbStore(options: KeyValueStoreOptions): Promise<KeyValueStore> {
  mkdirSync(options.path, { recursive: true });
  const root = openRoot(options.path, options.tables.length);
  const databases = new Map<string, Bytes>();
  try {
    for (const name of options.tables)
      databases.set(name, root.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' }));
    checkFormat(root, options.path);
  } catch (error) {
    await root.close();
    throw error;
  }
  const of = (name: string): Bytes => databases.get(name)!;
  const medium: Medium = {
    get: (table, key) => of(table).get(asBuffer(key)),
    range: (table, start, end) => of(table).getRange({ start: asBuffer(start), end: asBuffer(end) }),
    commit: async (writes) => commit(root, of, writes, options.path),
  };
  const group = new GroupCommit(medium, options.tables, setImmediate);
  return {
    table: (name) => group.table(name),
    transact: (work) => group.transact(work),
    sync: () => group.sync(),
    async close() {
      await group.close();
      await root.close();
    },
  };
}

function openRoot(path: string, tables: number): RootDatabase<Buffer, Buffer> {
  return open<Buffer, Buffer>({
    path: join(path, 'data.mdb'),
    noSubdir: true,
    maxDbs: tables + 2,
    encoding: 'binary',
    keyEncoding: 'binary',
    overlappingSync: false,
  });
}

function checkFormat(root: RootDatabase<Buffer, Buffer>, path: string): void {
  const meta = root.openDB<Buffer, Buffer>({ name: FORMAT_TABLE, encoding: 'binary', keyEncoding: 'binary' });
  const found = meta.get(FORMAT_KEY);
  if (found === undefined) {
    const record = Buffer.alloc(4);
    record.writeUInt32LE(STORE_FORMAT);
    root.transactionSync(() => meta.putSync(FORMAT_KEY, record));
    return;
  }
  const format = found.length === 4 ? found.readUInt32LE() : Number.NaN;
  if (format !== STORE_FORMAT)
    throw new LustreError(
      'ERR_LUSTRE_STORE_VERSION',
      `the store has format ${format}, this version reads ${STORE_FORMAT}`,
      { path, hint: 'Start the version that wrote it, or give an empty directory' },
    );
}

function commit(
  root: RootDatabase<Buffer, Buffer>,
  of: (name: string) => Bytes,
  writes: Writes,
  path: string,
): void {
  // Nothing to write: everything before is on disk already, for one group is committed at a time.
  if (writes.size === 0) return;
  try {
    root.transactionSync(() => {
      for (const [name, entries] of writes) {
        const database = of(name);
        for (const [key, value] of entries) {
          if (value === undefined) database.removeSync(keyBytes(key));
          else database.putSync(keyBytes(key), asBuffer(value));
        }
      }
    });
  } catch (error) {
    throw diskError(error, path);
  }
}

/** A short write of LMDB comes back as EIO: only the file system knows that it is full. */
function diskError(error: unknown, path: string): LustreError {
  const message = error instanceof Error ? error.message : String(error);
  const full = /MDB_MAP_FULL|No space left|ENOSPC/i.test(message) || isFull(path);
  return errnoError(full ? 28 : 5, { syscall: 'commit', path, cause: error });
}

function isFull(path: string): boolean {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize < 1 << 20;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
