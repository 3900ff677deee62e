/**
 * The store of the simulator and of tests (design: Stores): in memory, committed at the end of a turn, and with a `crash`
 * that drops what was not committed. The disk outlives the store, as a disk outlives its process.
 */
import { errnoError } from '../../runtime/errors.ts';
import type { KeyValueStore } from './key-value-store.ts';
import { GroupCommit, keyBytes, type Medium, type Writes } from './pending-writes.ts';
import { firstNotBelow } from './written-entries.ts';

/** One table's committed entries, sorted when somebody asks for a range. */
class SortedEntries {
  readonly #values = new Map<string, Uint8Array>();
  #order: string[] | undefined;

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  write(key: string, value: Uint8Array | null): void {
    if (value === null) {
      if (this.#values.delete(key)) this.#order = undefined;
    } else {
      if (!this.#values.has(key)) this.#order = undefined;
      this.#values.set(key, value);
    }
  }

  between(start: string, end: string): [string, Uint8Array][] {
    this.#order ??= [...this.#values.keys()].sort((a, b) => (a < b ? -1 : 1));
    const order = this.#order;
    const from = firstNotBelow(order, start);
    return order.slice(from, Math.max(from, firstNotBelow(order, end))).map((k) => [k, this.#values.get(k)!]);
  }
}

/** What stays when a memory store crashes. */
export class MemoryDisk {
  readonly tables = new Map<string, SortedEntries>();
  /** When true every commit fails with ENOSPC. */
  full = false;

  of(name: string): SortedEntries {
    let entries = this.tables.get(name);
    if (entries === undefined) {
      entries = new SortedEntries();
      this.tables.set(name, entries);
    }
    return entries;
  }
}

export interface MemoryStore extends KeyValueStore {
  readonly disk: MemoryDisk;
  /** As a power cut: what was not committed is gone and the store is unusable; open another one on the same disk. */
  crash(): void;
}

export function openMemoryStore(options: {
  readonly tables: readonly string[];
  readonly disk?: MemoryDisk;
}): MemoryStore {
  const disk = options.disk ?? new MemoryDisk();
  let crashed = false;
  const medium: Medium = {
    table: (name) => ({
      get: (_, text) => disk.of(name).get(text),
      *range(_start, _end, from, to) {
        for (const [key, value] of disk.of(name).between(from, to)) yield { key: keyBytes(key), value };
      },
    }),
    async commit(writes: Writes) {
      // A disk takes its time: the commit is over in a later microtask, and a crash before it loses the group.
      await Promise.resolve();
      if (crashed) return;
      if (disk.full) throw errnoError(28, { syscall: 'commit' });
      // A copy: what is written lies side by side with what is soon forgotten.
      for (const [name, entries] of writes)
        for (const [key, value] of entries)
          disk.of(name).write(key, value && Uint8Array.prototype.slice.call(value));
    },
  };
  const group = new GroupCommit(medium, options.tables, queueMicrotask);
  return {
    disk,
    table: (name) => group.table(name),
    transact: (work) => group.transact(work),
    sync: () => group.sync(),
    close: () => group.close(),
    crash() {
      crashed = true;
      group.crash();
    },
  };
}
