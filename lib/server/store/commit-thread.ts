/**
 * The thread that brings journals into LMDB, one for all stores of a process: a transaction that takes ten milliseconds must
 * not take them from the event loop. LMDB's own asynchronous transactions would do the same, but on a full disk they hang or
 * leave a rejection behind that nobody can catch.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { LustreError } from '../../runtime/errors.ts';
import { type Generation, JOURNAL_FILES, RECORD_HEADER, RECORD_MAGIC } from './journal.ts';

/** As text, so that it is the same under tsx, vitest and from dist/. */
const SOURCE = `
const { existsSync, readFileSync } = require('node:fs');
const { parentPort, workerData } = require('node:worker_threads');
const { crc32 } = require('node:zlib');
const { open } = require(workerData.lmdb);
const { header, magic } = workerData;
const stores = new Map();
const binary = { encoding: 'binary', keyEncoding: 'binary' };
const APPLIED = Buffer.from('journal');

// What was answered and is in no file any more.
class Lost extends Error {
  constructor(message, path) {
    super(message);
    this.path = path;
  }
}

// The records of one generation; without a number, of the one that the file begins with.
function recordsOf(path, number) {
  const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  const records = [];
  for (let at = 0; at + header <= bytes.length; ) {
    const generation = bytes.readUInt32LE(at + 4);
    const end = at + header + bytes.readUInt32LE(at + 12);
    number ??= generation;
    if (bytes.readUInt32LE(at) !== magic || generation !== number || end > bytes.length) break;
    if (bytes.readUInt32LE(at + 8) !== records.length) break;
    const payload = bytes.subarray(at + header, end);
    if (crc32(payload, crc32(bytes.subarray(at + 4, at + 16))) !== bytes.readUInt32LE(at + 16)) break;
    records.push(payload);
    at = end;
  }
  return { number, records };
}

// Of many writes to one key only the last is of interest.
function lastWrites([names, ...records]) {
  const tables = JSON.parse(names.toString()).map((name) => ({ name, writes: new Map() }));
  for (const bytes of records) {
    for (let at = 0; at < bytes.length; ) {
      const { writes } = tables[bytes.readUInt32LE(at)];
      const keyEnd = at + 12 + bytes.readUInt32LE(at + 4);
      const valueSize = bytes.readInt32LE(at + 8);
      const end = keyEnd + Math.max(0, valueSize);
      const key = bytes.subarray(at + 12, keyEnd);
      writes.set(key.latin1Slice(), { key, value: valueSize < 0 ? undefined : bytes.subarray(keyEnd, end) });
      at = end;
    }
  }
  return tables;
}

function bring({ root, meta, databases }, number, records) {
  const tables = records.length === 0 ? [] : lastWrites(records);
  const applied = Buffer.alloc(4);
  applied.writeUInt32LE(number);
  root.transactionSync(() => {
    for (const { name, writes } of tables) {
      const database = databases.get(name);
      for (const { key, value } of writes.values()) {
        if (value === undefined) database.removeSync(key);
        else database.putSync(key, value);
      }
    }
    meta.putSync(APPLIED, applied);
  });
}

const actions = {
  // Gives the number of the last generation; all of it is in LMDB then.
  open({ store, path, files, tables }) {
    const root = open({ path, noSubdir: true, maxDbs: tables.length + 2, overlappingSync: false, ...binary });
    const opened = {
      root,
      files,
      meta: root.openDB({ name: 'store', ...binary }),
      databases: new Map(tables.map((name) => [name, root.openDB({ name, ...binary })])),
    };
    stores.set(store, opened);
    let last = opened.meta.get(APPLIED)?.readUInt32LE() ?? 0;
    const left = files.map((file) => recordsOf(file)).filter(({ number }) => number > last);
    for (const { number, records } of left.sort((a, b) => a.number - b.number)) {
      // Nothing whole of the newest is nothing that was answered.
      if (records.length === 0) continue;
      if (number !== last + 1) {
        throw new Lost('LMDB has all to generation ' + last + ' and the journal begins with ' + number, path);
      }
      bring(opened, number, records);
      last = number;
    }
    return last;
  },
  bring({ store, file, number, count }) {
    const opened = stores.get(store);
    const { records } = recordsOf(opened.files[file], number);
    if (records.length < count) {
      const have = 'the journal has ' + records.length + ' of ' + count + ' records of generation ' + number;
      throw new Lost(have, opened.files[file]);
    }
    bring(opened, number, records);
  },
  async close({ store }) {
    const { root } = stores.get(store);
    stores.delete(store);
    await root.close();
  },
};
parentPort.on('message', async (message) => {
  try {
    parentPort.postMessage({ id: message.id, value: await actions[message.action](message) });
  } catch (e) {
    const error = e instanceof Error ? e.message : String(e);
    parentPort.postMessage({ id: message.id, error, ...(e instanceof Lost && { lost: e.path }) });
  }
});
`;

interface Answer {
  readonly id: number;
  readonly value?: number;
  readonly error?: string;
  /** Where it should have been, when something is lost; else the error is LMDB's. */
  readonly lost?: string;
}

/** A store that the thread has open. */
export interface OpenedStore {
  readonly store: number;
  /** The number of the last generation that its LMDB has all of. */
  readonly generation: number;
}

let shared: CommitThread | undefined;

export class CommitThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, { resolve(value?: number): void; reject(error: Error): void }>();
  #nextId = 0;
  #nextStore = 0;

  /** The process's one. */
  static get(): CommitThread {
    shared ??= new CommitThread();
    return shared;
  }

  private constructor() {
    const lmdb = createRequire(import.meta.url).resolve('lmdb');
    this.#worker = new Worker(SOURCE, {
      eval: true,
      workerData: { lmdb, header: RECORD_HEADER, magic: RECORD_MAGIC },
      name: 'lustre commits',
    });
    // It keeps the process alive only while it has work.
    this.#worker.unref();
    this.#worker.on('message', (answer: Answer) => this.#answered(answer));
    this.#worker.on('error', (error) => this.#died(error));
    this.#worker.on('exit', (code) => this.#died(new Error(`the commit thread ended with code ${code}`)));
  }

  /**
   * Opens a store in the thread, and brings into it what journals have and it lacks. Rejects with LMDB's message, and with EIO when
   * journals lack what was answered.
   */
  async open(directory: string, file: string, tables: readonly string[]): Promise<OpenedStore> {
    const store = ++this.#nextStore;
    const files = JOURNAL_FILES.map((name) => join(directory, name));
    const generation = await this.#ask({ action: 'open', store, path: join(directory, file), files, tables });
    return { store, generation: generation ?? 0 };
  }

  /** All of a generation in one transaction; resolves when it is on disk. Rejects as `open` does. */
  async bring(store: number, { file, number, count }: Generation): Promise<void> {
    await this.#ask({ action: 'bring', store, file, number, count });
  }

  async close(store: number): Promise<void> {
    await this.#ask({ action: 'close', store });
  }

  #ask(message: object): Promise<number | undefined> {
    const id = ++this.#nextId;
    return new Promise((resolve, reject) => {
      if (this.#waiting.size === 0) this.#worker.ref();
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...message, id });
    });
  }

  #answered({ id, value, error, lost }: Answer): void {
    const waiter = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (error === undefined) waiter?.resolve(value);
    else waiter?.reject(lost === undefined ? new Error(error) : lostError(error, lost));
  }

  #died(cause: unknown): void {
    if (shared === this) shared = undefined;
    const error = new LustreError('EIO', 'the commit thread is gone', { cause }, -5);
    for (const waiter of this.#waiting.values()) waiter.reject(error);
    this.#waiting.clear();
  }
}

function lostError(message: string, path: string): LustreError {
  const hint = 'Files of the directory were changed or removed: start from a copy that has them all';
  return new LustreError('EIO', message, { syscall: 'commit', path, hint }, -5);
}
