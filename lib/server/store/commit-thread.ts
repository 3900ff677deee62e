/**
 * The thread that LMDB's commits run in, one for all stores of a process: a disk that takes ten milliseconds for an
 * fdatasync must not take them from the event loop, and while one group is written the next one fills. LMDB's own
 * asynchronous transactions would do the same, but on a full disk they hang or leave a rejection behind that nobody can
 * catch.
 */
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { LustreError } from '../../runtime/errors.ts';
import { keyBytes, type Writes } from './pending-writes.ts';

/** As text, so that it is the same under tsx, vitest and from dist/. */
const SOURCE = `
const { parentPort, workerData } = require('node:worker_threads');
const { open } = require(workerData.lmdb);
const stores = new Map();
const binary = { encoding: 'binary', keyEncoding: 'binary' };
const actions = {
  open({ store, path, tables }) {
    const root = open({ path, noSubdir: true, maxDbs: tables.length + 2, overlappingSync: false, ...binary });
    stores.set(store, { root, databases: tables.map((name) => root.openDB({ name, ...binary })) });
  },
  commit({ store, packed }) {
    const { root, databases } = stores.get(store);
    const bytes = Buffer.from(packed);
    root.transactionSync(() => {
      for (let at = 0; at < bytes.length; ) {
        const database = databases[bytes.readUInt32LE(at)];
        const keySize = bytes.readUInt32LE(at + 4);
        const valueSize = bytes.readInt32LE(at + 8);
        const key = bytes.subarray(at + 12, at + 12 + keySize);
        at += 12 + keySize;
        if (valueSize < 0) database.removeSync(key);
        else {
          database.putSync(key, bytes.subarray(at, at + valueSize));
          at += valueSize;
        }
      }
    });
  },
  async close({ store }) {
    const { root } = stores.get(store);
    stores.delete(store);
    await root.close();
  },
};
parentPort.on('message', async (message) => {
  let error;
  try {
    await actions[message.action](message);
  } catch (e) {
    error = e instanceof Error ? e.message : String(e);
  }
  parentPort.postMessage({ id: message.id, error });
});
`;

interface Answer {
  readonly id: number;
  readonly error?: string;
}

let shared: CommitThread | undefined;

export class CommitThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve(): void; reject(error: Error): void }>();
  #nextId = 0;
  #nextStore = 0;

  /** The process's one. */
  static get(): CommitThread {
    shared ??= new CommitThread();
    return shared;
  }

  private constructor() {
    const lmdb = createRequire(import.meta.url).resolve('lmdb');
    this.#worker = new Worker(SOURCE, { eval: true, workerData: { lmdb }, name: 'lustre commits' });
    // It keeps the process alive only while it has work.
    this.#worker.unref();
    this.#worker.on('message', (answer: Answer) => this.#answered(answer));
    this.#worker.on('error', (error) => this.#died(error));
    this.#worker.on('exit', (code) => this.#died(new Error(`the commit thread ended with code ${code}`)));
  }

  /** Opens a store's file in the thread; gives its number. */
  async open(path: string, tables: readonly string[]): Promise<number> {
    const store = ++this.#nextStore;
    await this.#ask({ action: 'open', store, path, tables });
    return store;
  }

  /** One transaction; resolves when it is on disk. Rejects with LMDB's message. */
  commit(store: number, tables: ReadonlyMap<string, number>, writes: Writes): Promise<void> {
    const packed = pack(tables, writes);
    return this.#ask({ action: 'commit', store, packed }, [packed]);
  }

  close(store: number): Promise<void> {
    return this.#ask({ action: 'close', store });
  }

  #ask(message: object, transfer: ArrayBuffer[] = []): Promise<void> {
    const id = ++this.#nextId;
    return new Promise((resolve, reject) => {
      if (this.#waiting.size === 0) this.#worker.ref();
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...message, id }, transfer);
    });
  }

  #answered({ id, error }: Answer): void {
    const waiter = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (error === undefined) waiter?.resolve();
    else waiter?.reject(new Error(error));
  }

  #died(cause: unknown): void {
    if (shared === this) shared = undefined;
    const error = new LustreError('EIO', 'the commit thread is gone', { cause }, -5);
    for (const waiter of this.#waiting.values()) waiter.reject(error);
    this.#waiting.clear();
  }
}

/** {table u32, key size u32, value size s32 (-1: remove), key, value} ... in one buffer that changes hands. */
function pack(tables: ReadonlyMap<string, number>, writes: Writes): ArrayBuffer {
  let size = 0;
  for (const entries of writes.values())
    for (const [key, value] of entries) size += 12 + key.length + (value?.length ?? 0);
  const packed = new ArrayBuffer(size);
  const bytes = new Uint8Array(packed);
  const view = new DataView(packed);
  let at = 0;
  for (const [name, entries] of writes) {
    for (const [key, value] of entries) {
      view.setUint32(at, tables.get(name)!, true);
      view.setUint32(at + 4, key.length, true);
      view.setInt32(at + 8, value?.length ?? -1, true);
      bytes.set(keyBytes(key), at + 12);
      at += 12 + key.length;
      if (value !== undefined) bytes.set(value, at);
      at += value?.length ?? 0;
    }
  }
  return packed;
}
