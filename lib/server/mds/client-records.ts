/** last_rcvd of a metadata target (guide 06 §7.1): one record a client, written in the transaction of each of its changes. */
import type { ClientRecord, LastRcvd } from '../../connection/target.ts';
import type { KeyValueStore, Transaction } from '../store/key-value-store.ts';
import { ClientState, MdtTable, scratch } from './records.ts';

type State = Omit<ClientRecord, 'uuid'>;

export class ClientRecords implements LastRcvd {
  readonly #store: KeyValueStore;
  /** The key of each client that has changed something, and the last change that its record was written with. */
  readonly #written = new Map<string, { readonly key: Uint8Array; transno: bigint }>();

  constructor(store: KeyValueStore) {
    this.#store = store;
  }

  load(): ClientRecord[] {
    const all = this.#store.table(MdtTable.client).range(new Uint8Array(0), Buffer.alloc(64, 0xff));
    return [...all].map((e) => ({ uuid: Buffer.from(e.key).toString(), ...ClientState.decode(e.value) }));
  }

  /** With a change of the client's, in its transaction. */
  write(tx: Transaction, uuid: string, state: State): void {
    let written = this.#written.get(uuid);
    if (written === undefined) {
      written = { key: Buffer.from(uuid), transno: 0n };
      this.#written.set(uuid, written);
    }
    ClientState.encodeInto(scratch.client, 0, state);
    tx.table(MdtTable.client).put(written.key, scratch.client);
    written.transno = state.lastTransno;
  }

  async put({ uuid, ...state }: ClientRecord): Promise<void> {
    // A change has written its client's record in its own transaction.
    if ((this.#written.get(uuid)?.transno ?? 0n) >= state.lastTransno && state.lastTransno !== 0n) return;
    const key = Buffer.from(uuid);
    const present = this.#store.table(MdtTable.client).get(key);
    if (present !== undefined && ClientState.decode(present).lastTransno >= state.lastTransno) return;
    const bytes = ClientState.encode(state);
    await this.#store.transact((tx) => tx.table(MdtTable.client).put(key, bytes));
  }

  async remove(uuid: string): Promise<void> {
    this.#written.delete(uuid);
    await this.#store.transact((tx) => tx.table(MdtTable.client).remove(Buffer.from(uuid)));
  }
}
