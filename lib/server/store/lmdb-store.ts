/**
 * The production store: LMDB behind a journal (design: Stores; journaled-tables.ts). LMDB is chosen from
 * data-path-measurements §6; transactions run synchronously, since LMDB's own asynchronous ones do not survive a full disk:
 * they hang or leave a rejection behind that ends the process. `noSync` loses what was answered. `overlappingSync` is off, so
 * that the fdatasync is in the commit.
 */
import { mkdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { errnoError, LustreError } from '../../runtime/errors.ts';
import { CommitThread, type OpenedStore } from './commit-thread.ts';
import { Journal } from './journal.ts';
import { type CommittedTable, type CommittedTables, JournaledTables } from './journaled-tables.ts';
import type { KeyValueStore, KeyValueStoreOptions } from './key-value-store.ts';
import { GroupCommit, type Medium } from './pending-writes.ts';

/** Raised when the meaning of a table changes, or when an older version would not see all that there is. */
export const STORE_FORMAT = 2;
/** Without a journal. */
const FORMAT_BEFORE = 1;
const FILE = 'data.mdb';
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
  const committed: CommittedTables = {
    tables: new Map([...databases].map(([name, database]) => [name, committedTable(database)])),
    // Reads go on in a snapshot of before until they are told.
    renew: () => root.resetReadTxn(),
  };
  const thread = CommitThread.get();
  const { store, generation } = await openInThread(thread, options, root);
  committed.renew();
  const numbers = new Map(options.tables.map((name, index) => [name, index]));
  const journal = new Journal(options.path, options.tables, generation + 1);
  const tables = new JournaledTables(committed, journal, (ended) => thread.bring(store, ended), numbers);
  const medium: Medium = {
    table: (name) => tables.table(name),
    commit: (writes) =>
      tables.commit(writes).catch((error: unknown) => {
        throw diskError(error, options.path);
      }),
  };
  const group = new GroupCommit(medium, options.tables, setImmediate);
  let closing: Promise<void> | undefined;
  return {
    table: (name) => group.table(name),
    transact: (work) => group.transact(work),
    sync: () => group.sync(),
    close() {
      closing ??= (async () => {
        await group.close();
        await tables.close();
        await thread.close(store);
        await root.close();
      })();
      return closing;
    },
  };
}

function committedTable(database: Bytes): CommittedTable {
  return {
    get: (key) => database.get(asBuffer(key)),
    range: (start, end) => database.getRange({ start: asBuffer(start), end: asBuffer(end) }),
  };
}

function openRoot(path: string, tables: number): RootDatabase<Buffer, Buffer> {
  return open<Buffer, Buffer>({
    path: join(path, FILE),
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
  const format = found === undefined ? FORMAT_BEFORE : found.length === 4 ? found.readUInt32LE() : Number.NaN;
  if (format === FORMAT_BEFORE) {
    const record = Buffer.alloc(4);
    record.writeUInt32LE(STORE_FORMAT);
    root.transactionSync(() => meta.putSync(FORMAT_KEY, record));
    return;
  }
  if (format !== STORE_FORMAT)
    throw new LustreError(
      'ERR_LUSTRE_STORE_VERSION',
      `the store has format ${format}, this version reads ${STORE_FORMAT}`,
      { path, hint: 'Start the version that wrote it, or give an empty directory' },
    );
}

async function openInThread(
  thread: CommitThread,
  { path, tables }: KeyValueStoreOptions,
  root: RootDatabase<Buffer, Buffer>,
): Promise<OpenedStore> {
  try {
    return await thread.open(path, FILE, tables);
  } catch (error) {
    await root.close();
    throw diskError(error, path);
  }
}

/** A short write of LMDB comes back as EIO: only the file system knows that it is full. */
function diskError(error: unknown, path: string): LustreError {
  if (error instanceof LustreError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const full = /MDB_MAP_FULL|No space left|ENOSPC/i.test(message) || isFull(path);
  return errnoError(full ? 28 : 5, { syscall: 'commit', path, cause: error });
}

function isFull(path: string): boolean {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize < 1 << 20;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
