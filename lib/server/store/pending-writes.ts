/**
 * Group commit, shared by the stores (design: Stores). Work runs at once, on an overlay over what earlier transactions have
 * written; what it wrote becomes visible when it returns and is dropped when it throws. One commit is under way at
 * a time, and everything that finishes meanwhile goes into the next one: a commit that takes long makes larger
 * groups, not a longer queue. When a commit fails, what was written on top of it fails with it.
 */
import { LustreError } from '../../runtime/errors.ts';
import { SideBySide } from '../../runtime/side-by-side.ts';
import type { Table, Transaction, WritableTable } from './key-value-store.ts';
import { byKey, type Written } from './written-entries.ts';

/** What was written to one table: null is a removal. Keys are latin1 strings of their bytes, whose order is the order of the bytes. */
export type TableWrites = Map<string, Uint8Array | null>;
/** By table. */
export type Writes = Map<string, TableWrites>;

export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A table as the medium has it. */
export interface MediumTable {
  /** `text` is the key as Writes have it. */
  get(key: Uint8Array, text: string): Uint8Array | undefined;
  /** `from` and `to` are `start` and `end` as Writes have them. */
  range(start: Uint8Array, end: Uint8Array, from: string, to: string): Iterable<Entry>;
}

/** What lies under the overlays: the medium's own committed tables. */
export interface Medium {
  table(name: string): MediumTable;
  /** Puts a whole group on disk: all of it or nothing; resolves when it is durable. */
  commit(writes: Writes): Promise<void>;
}

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

/** `toString('latin1')` without its detours. */
type Latin1 = Buffer & { latin1Slice(): string };
const keyText = (key: Uint8Array): string =>
  (
    (Buffer.isBuffer(key) ? key : Buffer.from(key.buffer, key.byteOffset, key.length)) as Latin1
  ).latin1Slice();
export const keyBytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** The caller may go on using its array. */
const copies = new SideBySide(16 << 10);

export class GroupCommit {
  readonly #medium: Medium;
  readonly #tables: ReadonlyMap<string, GroupTable>;
  /** Hands over to the event loop, so that a turn's transactions come together. */
  readonly #defer: (fire: () => void) => void;
  readonly #transaction: Transaction = { table: (name) => this.#table(name) };
  readonly #undo: UndoList = { running: false, steps: [] };
  /** Those who wait for what is written now, and for what is being committed. */
  #filling: Waiter[] = [];
  #committing: Waiter[] | undefined;
  #scheduled = false;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(medium: Medium, tables: readonly string[], defer: (fire: () => void) => void) {
    this.#medium = medium;
    this.#tables = new Map(tables.map((name) => [name, new GroupTable(medium.table(name), this.#undo)]));
    this.#defer = defer;
  }

  table(name: string): Table {
    return this.#table(name);
  }

  async transact<T>(work: (transaction: Transaction) => T): Promise<T> {
    if (this.#closed)
      throw new LustreError('ERR_LUSTRE_STORE_CLOSED', 'the store is closed', { syscall: 'transact' }, -108);
    const undo = this.#undo;
    if (undo.running)
      throw new LustreError(
        'ERR_LUSTRE_STORE_TRANSACTION',
        'a transaction was begun inside a transaction of the same store',
        { syscall: 'transact', hint: 'This is a bug of the servers: please report it with the stack' },
      );
    undo.running = true;
    let result: T;
    try {
      result = work(this.#transaction);
    } catch (error) {
      takeBack(undo);
      throw error;
    } finally {
      undo.running = false;
      undo.steps.length = 0;
    }
    await this.#join();
    return result;
  }

  sync(): Promise<void> {
    return this.#join();
  }

  /** Refuses new transactions and waits for those under way. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.sync().catch(() => undefined);
    this.#closed = true;
    if (this.#committing !== undefined) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Forgets everything that is not committed, as a power cut does; waiters are told. */
  crash(): void {
    this.#closed = true;
    const error = new LustreError(
      'ERR_LUSTRE_STORE_CRASH',
      'the store was cut off before the commit',
      {},
      -5,
    );
    for (const waiter of [...(this.#committing ?? []), ...this.#filling]) waiter.reject(error);
    this.#filling = [];
    this.#committing = undefined;
    for (const table of this.#tables.values()) table.forget();
  }

  #join(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#filling.push({ resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#committing !== undefined) return;
    this.#scheduled = true;
    this.#defer(() => {
      this.#scheduled = false;
      void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    const group = this.#filling;
    if (group.length === 0) return;
    this.#filling = [];
    this.#committing = group;
    const writes: Writes = new Map();
    for (const [name, table] of this.#tables) {
      const written = table.beginCommit();
      if (written !== undefined) writes.set(name, written);
    }
    let failure: unknown;
    try {
      await this.#medium.commit(writes);
    } catch (error) {
      failure = error;
    }
    // A crash meanwhile has already told everybody.
    if (this.#committing !== group) return;
    this.#committing = undefined;
    if (failure === undefined) {
      for (const table of this.#tables.values()) table.endCommit();
      for (const waiter of group) waiter.resolve();
    } else this.#fail(group, failure);
    for (const idle of this.#idle.splice(0)) idle();
    if (this.#filling.length > 0) this.#schedule();
  }

  /** What was written after a failed group may have read it, so it goes as well. */
  #fail(group: readonly Waiter[], failure: unknown): void {
    const later = this.#filling;
    this.#filling = [];
    for (const table of this.#tables.values()) table.forget();
    for (const waiter of [...group, ...later]) waiter.reject(failure);
  }

  #table(name: string): GroupTable {
    const table = this.#tables.get(name);
    if (table !== undefined) return table;
    throw new LustreError(
      'ERR_LUSTRE_STORE_TABLE',
      `the store has no table '${name}'`,
      { hint: 'Tables are named when the store is opened' },
      -22,
    );
  }
}

/** What a transaction has overwritten, in order: where, and what was there; undefined for nothing. */
interface UndoList {
  running: boolean;
  readonly steps: {
    readonly layer: TableWrites;
    readonly key: string;
    readonly before: Uint8Array | null | undefined;
  }[];
}

function takeBack({ steps }: UndoList): void {
  for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
    if (step.before === undefined) step.layer.delete(step.key);
    else step.layer.set(step.key, step.before);
  }
}

/** A table through its layers: what is written now over what is being committed over the medium. */
class GroupTable implements WritableTable {
  readonly #medium: MediumTable;
  readonly #undo: UndoList;
  #filling: TableWrites = new Map();
  #committing: TableWrites | undefined;

  constructor(medium: MediumTable, undo: UndoList) {
    this.#medium = medium;
    this.#undo = undo;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const text = keyText(key);
    let written = this.#filling.get(text);
    if (written === undefined) written = this.#committing?.get(text);
    return written === undefined ? this.#medium.get(key, text) : (written ?? undefined);
  }

  *range(start: Uint8Array, end: Uint8Array, limit = Number.POSITIVE_INFINITY): Iterable<Entry> {
    const from = keyText(start);
    const to = keyText(end);
    const written = writtenBetween([this.#committing, this.#filling], from, to);
    let given = 0;
    for (const entry of merge(this.#medium.range(start, end, from, to), written)) {
      if (given++ >= limit) return;
      yield entry;
    }
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#write(keyText(key), copies.copy(value));
  }

  remove(key: Uint8Array): void {
    this.#write(keyText(key), null);
  }

  /** What the next commit has to write; undefined for nothing. */
  beginCommit(): TableWrites | undefined {
    if (this.#filling.size === 0) return undefined;
    this.#committing = this.#filling;
    this.#filling = new Map();
    return this.#committing;
  }

  /** The medium has it. */
  endCommit(): void {
    this.#committing = undefined;
  }

  /** What is not committed never was. */
  forget(): void {
    this.#committing = undefined;
    this.#filling = new Map();
  }

  #write(key: string, value: Uint8Array | null): void {
    if (!this.#undo.running)
      throw new LustreError(
        'ERR_LUSTRE_STORE_TRANSACTION',
        `a write of ${value?.length ?? 0} bytes to a table came after its transaction had ended`,
        { syscall: 'put', hint: 'This is a bug of the servers: please report it with the stack' },
      );
    const layer = this.#filling;
    this.#undo.steps.push({ layer, key, before: layer.get(key) });
    layer.set(key, value);
  }
}

function writtenBetween(layers: readonly (TableWrites | undefined)[], start: string, end: string): Written[] {
  const found: TableWrites = new Map();
  for (const layer of layers)
    for (const [key, value] of layer ?? []) if (key >= start && key < end) found.set(key, value);
  return [...found].sort(byKey);
}

/** Two sorted runs as one; what was written hides what lies below. */
export function* merge(below: Iterable<Entry>, written: readonly Written[]): Iterable<Entry> {
  let next = 0;
  for (const entry of below) {
    const text = keyText(entry.key);
    while (next < written.length && written[next]![0] < text) {
      const [key, value] = written[next++]!;
      if (value !== null) yield { key: keyBytes(key), value };
    }
    if (next < written.length && written[next]![0] === text) {
      const [, value] = written[next++]!;
      if (value !== null) yield { key: entry.key, value };
    } else yield entry;
  }
  for (; next < written.length; next++) {
    const [key, value] = written[next]!;
    if (value !== null) yield { key: keyBytes(key), value };
  }
}
