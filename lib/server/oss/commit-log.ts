/**
 * Transaction numbers of an OST and which of them are on disk (guide 12 §13, guide 16 §9). A modifying operation takes a
 * number once its change is in the store; a commit syncs the store and only then moves last_committed. Numbers start anew
 * above every earlier one at each start of the server.
 */
import type { Runtime, Timer } from '../../runtime/runtime.ts';
import type { StoredLastRcvd } from '../last-rcvd.ts';
import type { KeyValueStore } from '../store/key-value-store.ts';
import type { ObjectStore } from '../store/object-store.ts';

/** The table of the counters. */
export const TARGET_TABLE = 'target';
/** As often as a journal would. */
const COMMIT_AFTER_MS = 5000;

const encoder = new TextEncoder();
const COMMITTED = encoder.encode('last_committed');
const BOOTS = encoder.encode('boots');

function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

function readU64(bytes: Uint8Array | undefined): bigint {
  return bytes === undefined ? 0n : new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0);
}

export class CommitLog {
  readonly #runtime: Runtime;
  readonly #store: KeyValueStore;
  readonly #objects: ObjectStore;
  readonly #clients: StoredLastRcvd;
  readonly boots: number;
  #last: bigint;
  #committed: bigint;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  /** Opens the counters and counts this start; rejects with the store's error. */
  static async open(o: {
    runtime: Runtime;
    store: KeyValueStore;
    objects: ObjectStore;
    clients: StoredLastRcvd;
  }): Promise<CommitLog> {
    const table = o.store.table(TARGET_TABLE);
    const boots = readU64(table.get(BOOTS)) + 1n;
    const committed = readU64(table.get(COMMITTED));
    await o.store.transact((transaction) => transaction.table(TARGET_TABLE).put(BOOTS, u64(boots)));
    return new CommitLog(o, boots, committed);
  }

  private constructor(
    o: { runtime: Runtime; store: KeyValueStore; objects: ObjectStore; clients: StoredLastRcvd },
    boots: bigint,
    committed: bigint,
  ) {
    this.#runtime = o.runtime;
    this.#store = o.store;
    this.#objects = o.objects;
    this.#clients = o.clients;
    this.boots = Number(boots);
    this.#last = boots << 32n;
    this.#committed = committed;
  }

  get lastCommitted(): bigint {
    return this.#committed;
  }

  /** The number of a change that is in the store. A commit follows by itself. */
  next(): bigint {
    this.#last += 1n;
    this.#commitLater();
    return this.#last;
  }

  #commitLater(): void {
    if (this.#closed) return;
    this.#timer ??= this.#runtime.after(COMMIT_AFTER_MS, () => {
      this.#timer = undefined;
      this.commit().catch((error: unknown) => {
        this.#runtime.log.error({ error }, 'commit failed; it will be tried again');
        this.#commitLater();
      });
    });
  }

  /** Makes all that was numbered so far durable. Rejects with the disk's error; last_committed then stays. */
  async commit(): Promise<void> {
    // A commit under way may have begun before our change: wait for it, then make sure of ours.
    const upTo = this.#last;
    while (this.#running !== undefined) await this.#running.catch(() => undefined);
    if (this.#committed >= upTo && !this.#clients.dirty) return;
    this.#running = this.#commit();
    try {
      await this.#running;
    } finally {
      this.#running = undefined;
    }
  }

  async #commit(): Promise<void> {
    const upTo = this.#last;
    await this.#objects.syncAll();
    await this.#store.transact((transaction) => {
      transaction.table(TARGET_TABLE).put(COMMITTED, u64(upTo));
      this.#clients.save(transaction);
    });
    this.#committed = upTo;
  }

  /** The last commit. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.commit();
  }
}
