/**
 * The production store: LMDB (design: Stores), one `transactionSync()` for each group, in a thread of its own
 * (commit-thread.ts). Chosen from data-path-measurements §6: it is the fastest for one writer (0.43 ms against 0.65 for
 * LMDB's `transaction()`), level with it for many (40 000 a second and more), and it survives a full disk, which
 * `transaction()` does not: that hangs or leaves a rejection behind that ends the process. `noSync` is ten times faster
 * and loses what was answered. `overlappingSync` is off, so that the fdatasync is in the commit.
 */
import { mkdirSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { errnoError, LustreError } from '../../runtime/errors.ts';
import { CommitThread } from './commit-thread.ts';
import type { KeyValueStore, KeyValueStoreOptions } from './key-value-store.ts';
import { GroupCommit, type Medium, type Writes } from './pending-writes.ts';

/** Raised when the meaning of a table changes. */
export const STORE_FORMAT = 1;
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
  const of = (name: string): Bytes => databases.get(name)!;
  const thread = CommitThread.get();
  const file = await thread.open(join(options.path, FILE), options.tables);
  const tables = new Map(options.tables.map((name, index) => [name, index]));
  const medium: Medium = {
    get: (table, key) => of(table).get(asBuffer(key)),
    range: (table, start, end) => of(table).getRange({ start: asBuffer(start), end: asBuffer(end) }),
    async commit(writes) {
      await commit(thread, file, tables, writes, options.path);
      // Reads go on in a snapshot of before until they are told.
      root.resetReadTxn();
    },
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
        await thread.close(file);
        await root.close();
      })();
      return closing;
    },
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

async function commit(
  thread: CommitThread,
  file: number,
  tables: ReadonlyMap<string, number>,
  writes: Writes,
  path: string,
): Promise<void> {
  // Nothing to write: everything before is on disk already, for one group is committed at a time.
  if (writes.size === 0) return;
  try {
    await thread.commit(file, tables, writes);
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
