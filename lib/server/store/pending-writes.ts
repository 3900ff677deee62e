/**
 * Group commit, shared by the stores (design: Stores). Work runs at once, on an overlay over what earlier transactions have
 * written; what it wrote becomes visible when it returns and is dropped when it throws. One commit is under way at
 * a time, and everything that finishes meanwhile goes into the next one: a commit that takes long makes larger
 * groups, not a longer queue. When a commit fails, what was written on top of it fails with it.
 */
import { LustreError } from '../../runtime/errors.ts';
import type { Table, Transaction, WritableTable } from './key-value-store.ts';
import { byKey, type Written } from './written-entries.ts';

/** `undefined` is a removal. Keys are latin1 strings of their bytes, whose order is the order of the bytes. */
export type Writes = Map<string, Map<string, Uint8Array | undefined>>;

export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** What lies under the overlays: the medium's own committed tables. */
export interface Medium {
  /** `text` is the key as Writes have it. */
  get(table: string, key: Uint8Array, text: string): Uint8Array | undefined;
  /** `from` and `to` are `start` and `end` as Writes have them. */
  range(table: string, start: Uint8Array, end: Uint8Array, from: string, to: string): Iterable<Entry>;
  /** Puts a whole group on disk: all of it or nothing; resolves when it is durable. */
  commit(writes: Writes): Promise<void>;
}

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

interface Group {
  readonly writes: Writes;
  readonly waiters: Waiter[];
}

const keyText = (key: Uint8Array): string =>
  Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
export const keyBytes = (text: string): Buffer => Buffer.from(text, 'latin1');

export class GroupCommit {
  readonly #medium: Medium;
  readonly #known: ReadonlySet<string>;
  /** Hands over to the event loop, so that a turn's transactions come together. */
  readonly #defer: (fire: () => void) => void;
  #filling: Group = { writes: new Map(), waiters: [] };
  #committing: Group | undefined;
  #scheduled = false;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(medium: Medium, tables: readonly string[], defer: (fire: () => void) => void) {
    this.#medium = medium;
    this.#known = new Set(tables);
    this.#defer = defer;
  }

  table(name: string): Table {
    this.#check(name);
    return new OverlaidTable(this.#medium, name, () => this.#shared(name));
  }

  async transact<T>(work: (transaction: Transaction) => T): Promise<T> {
    if (this.#closed)
      throw new LustreError('ERR_LUSTRE_STORE_CLOSED', 'the store is closed', { syscall: 'transact' }, -108);
    const own: Writes = new Map();
    const tables = new Map<string, OwnTable>();
    const open = (name: string): OwnTable => {
      this.#check(name);
      const writes = new Map<string, Uint8Array | undefined>();
      const table = new OwnTable(this.#medium, name, () => this.#shared(name), writes);
      own.set(name, writes);
      tables.set(name, table);
      return table;
    };
    const result = work({ table: (name) => tables.get(name) ?? open(name) });
    const group = this.#filling;
    for (const [name, writes] of own) {
      if (writes.size === 0) continue;
      const under = group.writes.get(name);
      if (under === undefined) group.writes.set(name, writes);
      else for (const [key, value] of writes) under.set(key, value);
    }
    await this.#join(group);
    return result;
  }

  sync(): Promise<void> {
    return this.#join(this.#filling);
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
    for (const group of [this.#committing, this.#filling])
      for (const waiter of group?.waiters ?? []) waiter.reject(error);
    this.#filling = { writes: new Map(), waiters: [] };
    this.#committing = undefined;
  }

  #join(group: Group): Promise<void> {
    return new Promise((resolve, reject) => {
      group.waiters.push({ resolve, reject });
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
    if (group.waiters.length === 0) return;
    this.#filling = { writes: new Map(), waiters: [] };
    this.#committing = group;
    let failure: unknown;
    try {
      await this.#medium.commit(group.writes);
    } catch (error) {
      failure = error;
    }
    // A crash meanwhile has already told everybody.
    if (this.#committing !== group) return;
    this.#committing = undefined;
    if (failure === undefined) for (const waiter of group.waiters) waiter.resolve();
    else this.#fail(group, failure);
    for (const idle of this.#idle.splice(0)) idle();
    if (this.#filling.waiters.length > 0) this.#schedule();
  }

  /** What was written after a failed group may have read it, so it goes as well. */
  #fail(group: Group, failure: unknown): void {
    const later = this.#filling;
    this.#filling = { writes: new Map(), waiters: [] };
    for (const waiter of [...group.waiters, ...later.waiters]) waiter.reject(failure);
  }

  #check(name: string): void {
    if (!this.#known.has(name))
      throw new LustreError(
        'ERR_LUSTRE_STORE_TABLE',
        `the store has no table '${name}'`,
        { hint: 'Tables are named when the store is opened' },
        -22,
      );
  }

  /** The layers over the medium that every reader sees. */
  #shared(name: string): Layers {
    return [this.#committing?.writes.get(name), this.#filling.writes.get(name)];
  }
}

type Layers = readonly (Map<string, Uint8Array | undefined> | undefined)[];

/** Reads a table through its layers, the last one on top. */
class OverlaidTable implements Table {
  readonly #medium: Medium;
  readonly #name: string;
  readonly #layers: () => Layers;

  constructor(medium: Medium, name: string, layers: () => Layers) {
    this.#medium = medium;
    this.#name = name;
    this.#layers = layers;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const text = keyText(key);
    const stack = this.#layers();
    for (let i = stack.length - 1; i >= 0; i--) {
      const layer = stack[i];
      if (layer?.has(text)) return layer.get(text);
    }
    return this.#medium.get(this.#name, key, text);
  }

  *range(start: Uint8Array, end: Uint8Array, limit = Number.POSITIVE_INFINITY): Iterable<Entry> {
    const from = keyText(start);
    const to = keyText(end);
    const written = writtenBetween(this.#layers(), from, to);
    let given = 0;
    for (const entry of merge(this.#medium.range(this.#name, start, end, from, to), written)) {
      if (given++ >= limit) return;
      yield entry;
    }
  }
}

/** A table inside a transaction, whose writes are the topmost layer. */
class OwnTable extends OverlaidTable implements WritableTable {
  readonly #writes: Map<string, Uint8Array | undefined>;

  constructor(
    medium: Medium,
    name: string,
    shared: () => Layers,
    writes: Map<string, Uint8Array | undefined>,
  ) {
    super(medium, name, () => [...shared(), writes]);
    this.#writes = writes;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    // The caller may go on using its array.
    this.#writes.set(keyText(key), Uint8Array.prototype.slice.call(value));
  }

  remove(key: Uint8Array): void {
    this.#writes.set(keyText(key), undefined);
  }
}

function writtenBetween(layers: Layers, start: string, end: string): Written[] {
  const found = new Map<string, Uint8Array | undefined>();
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
      if (value !== undefined) yield { key: keyBytes(key), value };
    }
    if (next < written.length && written[next]![0] === text) {
      const [, value] = written[next++]!;
      if (value !== undefined) yield { key: entry.key, value };
    } else yield entry;
  }
  for (; next < written.length; next++) {
    const [key, value] = written[next]!;
    if (value !== undefined) yield { key: keyBytes(key), value };
  }
}
