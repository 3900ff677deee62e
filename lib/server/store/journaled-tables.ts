/**
 * LMDB behind a journal (design: Stores): a group is durable when the journal has it (journal.ts), and LMDB gets a whole
 * generation of them at a time, in the commit thread. Until then what the journal has lies over LMDB in memory. Where LMDB
 * cannot take a generation, because its disk is full, nothing more is taken in until it can.
 */
import type { Generation, Journal } from './journal.ts';
import {
  type Entry,
  type Medium,
  type MediumTable,
  merge,
  type TableWrites,
  type Writes,
} from './pending-writes.ts';
import { RecentReads } from './recent-reads.ts';
import { WrittenEntries } from './written-entries.ts';

/** Bytes of a generation: some hundred creates, enough that they share LMDB's pages, and few enough to be collected young. */
const GENERATION_SIZE = 512 << 10;
/** No more than so many times that while LMDB has not taken the one before. */
const BEHIND_MAX = 4;

/** A table of LMDB as it is read. */
export interface CommittedTable {
  get(key: Uint8Array): Uint8Array | undefined;
  range(start: Uint8Array, end: Uint8Array): Iterable<Entry>;
}

export interface CommittedTables {
  readonly tables: ReadonlyMap<string, CommittedTable>;
  /** What the commit thread has written is to be seen from now on. */
  renew(): void;
}

/** Has the generations of one store brought into LMDB. */
export type Bring = (generation: Generation) => Promise<void>;

/** What the journal has over what LMDB has. */
class JournaledTable implements MediumTable {
  readonly #committed: CommittedTable;
  readonly #reads = new RecentReads();
  #written = new WrittenEntries();
  /** What LMDB is getting, or could not take. */
  #leaving: WrittenEntries | undefined;

  constructor(committed: CommittedTable) {
    this.#committed = committed;
  }

  get(key: Uint8Array, text: string): Uint8Array | undefined {
    let known = this.#written.get(text);
    if (known === undefined) known = this.#leaving?.get(text);
    if (known === undefined) known = this.#reads.get(text);
    if (known !== undefined) return known ?? undefined;
    const read = this.#committed.get(key);
    this.#reads.add(text, read ?? null);
    return read;
  }

  range(start: Uint8Array, end: Uint8Array, from: string, to: string): Iterable<Entry> {
    let below = this.#committed.range(start, end);
    for (const entries of [this.#leaving, this.#written])
      if (entries !== undefined) below = merge(below, entries.between(from, to));
    return below;
  }

  write(writes: TableWrites): void {
    for (const [key, value] of writes) this.#written.set(key, value);
  }

  /** All that was written is for LMDB now. */
  turn(): void {
    this.#leaving = this.#written;
    this.#written = new WrittenEntries();
  }

  /** LMDB has it. */
  left(): void {
    if (this.#leaving !== undefined) this.#reads.forget(this.#leaving);
    this.#leaving = undefined;
  }
}

export class JournaledTables implements Medium {
  readonly #committed: CommittedTables;
  readonly #journal: Journal;
  readonly #bringInto: Bring;
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #tables: ReadonlyMap<string, JournaledTable>;
  /** A generation is on its way to LMDB, or could not be taken. */
  #leaving = false;
  #bringing: Promise<void> | undefined;
  /** LMDB did not take it. */
  #left: Generation | undefined;

  constructor(
    committed: CommittedTables,
    journal: Journal,
    bring: Bring,
    numbers: ReadonlyMap<string, number>,
  ) {
    this.#committed = committed;
    this.#journal = journal;
    this.#bringInto = bring;
    this.#numbers = numbers;
    this.#tables = new Map([...committed.tables].map(([name, table]) => [name, new JournaledTable(table)]));
  }

  table(name: string): MediumTable {
    return this.#tables.get(name)!;
  }

  async commit(writes: Writes): Promise<void> {
    // Nothing to write: everything before is on disk already, for one group is committed at a time.
    if (writes.size === 0) return;
    if (this.#left !== undefined) await this.#bring(this.#left);
    const { size } = this.#journal;
    if (size >= GENERATION_SIZE * BEHIND_MAX) await this.#bringing;
    if (size >= GENERATION_SIZE && !this.#leaving) this.#turn();
    const written = this.#journal.append(writes, this.#numbers);
    if (written !== undefined) await written;
    for (const [name, entries] of writes) this.#tables.get(name)!.write(entries);
  }

  /** Brings all into LMDB. What it does not take stays in the journal, for the next start. */
  async close(): Promise<void> {
    await this.#bringing;
    if (!this.#leaving && this.#journal.size > 0) this.#turn();
    await this.#bringing;
    this.#journal.close();
  }

  #turn(): void {
    for (const table of this.#tables.values()) table.turn();
    this.#leaving = true;
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
    for (const table of this.#tables.values()) table.left();
    this.#leaving = false;
    this.#committed.renew();
  }
}
