/**
 * What a metadata target keeps on disk, as ordered tables under one transaction (design: Stores). LMDB behind it in
 * production, memory with a crash that drops what was not committed in tests and sim/.
 */
export interface Table {
  get(key: Uint8Array): Uint8Array | undefined;
  /** Entries with `start` <= key < `end`, in byte order. */
  range(start: Uint8Array, end: Uint8Array, limit?: number): Iterable<{ key: Uint8Array; value: Uint8Array }>;
}

export interface WritableTable extends Table {
  put(key: Uint8Array, value: Uint8Array): void;
  remove(key: Uint8Array): void;
}

export interface Transaction {
  table(name: string): WritableTable;
}

export interface KeyValueStore {
  /** A view of what is committed and of what running transactions have written. */
  table(name: string): Table;
  /**
   * Runs `work` in a write transaction: all of it or, when it throws, nothing of it. Transactions of one turn of the event
   * loop are committed together. Resolves once the commit is on disk, so that what was answered is there after kill -9 and
   * after a power cut. Rejects with `work`'s own error, or ENOSPC / EIO from the disk.
   */
  transact<T>(work: (transaction: Transaction) => T): Promise<T>;
  /** Waits until everything before is on disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Opens the store at `path`; table names must be known beforehand. Throws ERR_LUSTRE_STORE_VERSION for a directory of
 * another version. */
export interface KeyValueStoreOptions {
  readonly path: string;
  readonly tables: readonly string[];
}
