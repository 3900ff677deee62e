/** The locks of each client of a namespace, by their handle and by ours (guide 08 §1). */
import type { Export } from '../connection/target.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { HandleTable } from './handle-table.ts';
import type { ServerLock } from './server-lock.ts';

export class ExportLocks {
  readonly #byHandle: HandleTable<ServerLock>;
  /** By the client's own handles, in order of arrival. */
  readonly #byExport = new Map<Export, Map<bigint, ServerLock>>();
  readonly #dropped = new WeakSet<Export>();

  constructor(runtime: Runtime) {
    this.#byHandle = new HandleTable(runtime);
  }

  get size(): number {
    return this.#byHandle.size;
  }

  all(): Iterable<ServerLock> {
    return this.#byHandle.all();
  }

  /** Our handle for the lock that is added next. */
  issueHandle(): bigint {
    return this.#byHandle.issue();
  }

  /** No other lock of the client may have its handle of it. */
  add(lock: ServerLock): void {
    this.#byHandle.add(lock);
    if (lock.client === undefined) return;
    let locks = this.#byExport.get(lock.client);
    if (locks === undefined) {
      locks = new Map();
      this.#byExport.set(lock.client, locks);
    }
    locks.set(lock.clientHandle, lock);
  }

  remove(lock: ServerLock): void {
    this.#byHandle.delete(lock);
    if (lock.client === undefined) return;
    const locks = this.#byExport.get(lock.client);
    if (locks?.get(lock.clientHandle) !== lock) return;
    locks.delete(lock.clientHandle);
    if (locks.size === 0) this.#byExport.delete(lock.client);
  }

  /** Whoever's it is. */
  has(handle: bigint): boolean {
    return this.#byHandle.get(handle) !== undefined;
  }

  /** By our handle, if it is this client's. */
  ofClient(client: Export, handle: bigint): ServerLock | undefined {
    const lock = this.#byHandle.get(handle);
    return lock?.client === client ? lock : undefined;
  }

  /** By the client's handle: how a resend finds what its first copy made. */
  byClientHandle(client: Export, clientHandle: bigint): ServerLock | undefined {
    return this.#byExport.get(client)?.get(clientHandle);
  }

  of(client: Export): readonly ServerLock[] {
    return [...this.oldestOf(client)];
  }

  countOf(client: Export): number {
    return this.#byExport.get(client)?.size ?? 0;
  }

  /** In order of arrival, while they change. */
  oldestOf(client: Export): Iterable<ServerLock> {
    return this.#byExport.get(client)?.values() ?? [];
  }

  /** After disconnect or eviction nothing is granted to it any more. */
  markDropped(client: Export): void {
    this.#dropped.add(client);
  }

  isDropped(client: Export): boolean {
    return this.#dropped.has(client);
  }
}
