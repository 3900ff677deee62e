/**
 * LMDB behind a journal (design: Stores): a group is durable when the journal has it (journal.ts), and LMDB gets a whole
 * generation of them at a time, in the commit thread. Until then what the journal has lies over LMDB in memory. Where LMDB
 * cannot take a generation, because its disk is full, nothing more is taken in until it can.
 */
import type { Generation, Journal } from './journal.ts';
import { type Entry, type Medium, merge, type Writes } from './pending-writes.ts';
import { RecentReads } from './recent-reads.ts';
import { WrittenEntries } from './written-entries.ts';

/** Bytes of a generation: some hundred creates, enough that they share LMDB's pages, and few enough to be collected young. */
const GENERATION_SIZE = 512 << 10;
/** No more than so many times that while LMDB has not taken the one before. */
const BEHIND_MAX = 4;

/** LMDB as it is read. */
export interface CommittedTables {
  get(table: string, key: Uint8Array): Uint8Array | undefined;
  range(table: string, start: Uint8Array, end: Uint8Array): Iterable<Entry>;
  /** What the commit thread has written is to be seen from now on. */
  renew(): void;
}

/** Has the generations of one store brought into LMDB. */
export type Bring = (generation: Generation) => Promise<void>;

type Layer = Map<string, WrittenEntries>;

export class JournaledTables implements Medium {
  readonly #committed: CommittedTables;
  readonly #journal: Journal;
  readonly #bringInto: Bring;
  readonly #tables: ReadonlyMap<string, number>;
  readonly #reads: ReadonlyMap<string, RecentReads>;
  #written: Layer = new Map();
  /** What LMDB is getting, or could not take. */
  #leaving: Layer | undefined;
  #bringing: Promise<void> | undefined;
  /** LMDB did not take it. */
  #left: Generation | undefined;

  constructor(
    committed: CommittedTables,
    journal: Journal,
    bring: Bring,
    tables: ReadonlyMap<string, number>,
  ) {
    this.#committed = committed;
    this.#journal = journal;
    this.#bringInto = bring;
    this.#tables = tables;
    this.#reads = new Map([...tables.keys()].map((name) => [name, new RecentReads()]));
  }

  get(table: string, key: Uint8Array, text: string): Uint8Array | undefined {
    const written = this.#written.get(table);
    const value = written?.get(text);
    if (value !== undefined || written?.has(text)) return value;
    const leaving = this.#leaving?.get(table);
    if (leaving?.has(text)) return leaving.get(text);
    const reads = this.#reads.get(table);
    const known = reads?.get(text);
    if (known !== undefined) return known ?? undefined;
    const read = this.#committed.get(table, key);
    reads?.add(text, read ?? null);
    return read;
  }

  range(table: string, start: Uint8Array, end: Uint8Array, from: string, to: string): Iterable<Entry> {
    let below = this.#committed.range(table, start, end);
    for (const layer of [this.#leaving, this.#written]) {
      const entries = layer?.get(table);
      if (entries !== undefined) below = merge(below, entries.between(from, to));
    }
    return below;
  }

  async commit(writes: Writes): Promise<void> {
    // Nothing to write: everything before is on disk already, for one group is committed at a time.
    if (writes.size === 0) return;
    if (this.#left !== undefined) await this.#bring(this.#left);
    const { size } = this.#journal;
    if (size >= GENERATION_SIZE * BEHIND_MAX) await this.#bringing;
    if (size >= GENERATION_SIZE && this.#leaving === undefined) this.#turn();
    const written = this.#journal.append(writes, this.#tables);
    if (written !== undefined) await written;
    for (const [name, entries] of writes) {
      const layer = this.#written.get(name) ?? new WrittenEntries();
      for (const [key, value] of entries) layer.set(key, value);
      this.#written.set(name, layer);
    }
  }

  /** Brings all into LMDB. What it does not take stays in the journal, for the next start. */
  async close(): Promise<void> {
    await this.#bringing;
    if (this.#leaving === undefined && this.#written.size > 0) this.#turn();
    await this.#bringing;
    this.#journal.close();
  }

  #turn(): void {
    this.#leaving = this.#written;
    this.#written = new Map();
    // The next group is told of a failure.
    this.#bringing = this.#bring(this.#journal.turn()).catch(() => undefined);
  }

  async #bring(generation: Generation): Promise<void> {
    try {
      await this.#bringInto(generation);
    } catch (error) {
      this.#left = generation;
      throw error;
    }
    this.#left = undefined;
    for (const [table, entries] of this.#leaving ?? []) this.#reads.get(table)?.forget(entries);
    this.#leaving = undefined;
    this.#committed.renew();
  }
}
