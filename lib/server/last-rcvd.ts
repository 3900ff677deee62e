/**
 * last_rcvd: one line per client of a target (guide 16 §9), kept in a table and written with the target's next commit, not
 * with each request: what a line says is then exactly as durable as what it speaks of.
 */
import type { ClientRecord, LastRcvd } from '../connection/target.ts';
import { bytes, le32, le64, s32, struct } from '../wire/struct.ts';
import type { KeyValueStore, Transaction } from './store/key-value-store.ts';

const StoredClient = struct('client_record', 72, {
  format: [0, le32],
  last_result: [4, s32],
  last_transno: [8, le64],
  last_xid: [16, le64],
  uuid: [24, bytes(48)],
});

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export class StoredLastRcvd implements LastRcvd {
  readonly #store: KeyValueStore;
  readonly #table: string;
  /** Lines newer than the table's; undefined is a removed one. */
  readonly #changed = new Map<string, ClientRecord | undefined>();

  constructor(store: KeyValueStore, table: string) {
    this.#store = store;
    this.#table = table;
  }

  load(): readonly ClientRecord[] {
    const all = this.#store.table(this.#table).range(new Uint8Array(0), new Uint8Array(64).fill(255));
    return [...all].map(({ key, value }) => {
      const line = StoredClient.decode(value);
      return {
        uuid: decoder.decode(key),
        lastTransno: line.last_transno,
        lastXid: line.last_xid,
        lastResult: line.last_result,
      };
    });
  }

  put(record: ClientRecord): void {
    this.#changed.set(record.uuid, record);
  }

  remove(uuid: string): void {
    this.#changed.set(uuid, undefined);
  }

  /** True when there is something that `save` would write. */
  get dirty(): boolean {
    return this.#changed.size > 0;
  }

  /** Writes what changed, inside the target's commit. */
  save(transaction: Transaction): void {
    const table = transaction.table(this.#table);
    for (const [uuid, record] of this.#changed) {
      if (record === undefined) table.remove(encoder.encode(uuid));
      else {
        const { lastResult, lastTransno, lastXid } = record;
        const line = { format: 1, last_result: lastResult, last_transno: lastTransno, last_xid: lastXid };
        table.put(encoder.encode(uuid), StoredClient.encode(line));
      }
    }
    this.#changed.clear();
  }
}
