/** The locks of each client of a namespace, by their handle and by ours (guide 08 §1). */
import type { Export } from '../connection/target.ts';
import type { ServerLock } from './server-lock.ts';

interface ClientLocks {
  readonly all: Set<ServerLock>;
  /** A client that uses a handle twice finds the later lock. */
  readonly byClientHandle: Map<bigint, ServerLock>;
}

export class ExportLocks {
  readonly #byHandle = new Map<bigint, ServerLock>();
  readonly #byExport = new Map<Export, ClientLocks>();
  readonly #dropped = new WeakSet<Export>();

  get size(): number {
    return this.#byHandle.size;
  }

  all(): Iterable<ServerLock> {
    return this.#byHandle.values();
  }

  add(lock: ServerLock): void {
    this.#byHandle.set(lock.handle, lock);
    if (lock.client === undefined) return;
    let locks = this.#byExport.get(lock.client);
    if (locks === undefined) {
      locks = { all: new Set(), byClientHandle: new Map() };
      this.#byExport.set(lock.client, locks);
    }
    locks.all.add(lock);
    locks.byClientHandle.set(lock.clientHandle, lock);
  }

  remove(lock: ServerLock): void {
    this.#byHandle.delete(lock.handle);
    if (lock.client === undefined) return;
    const locks = this.#byExport.get(lock.client);
    if (locks === undefined) return;
    locks.all.delete(lock);
    if (locks.byClientHandle.get(lock.clientHandle) === lock) locks.byClientHandle.delete(lock.clientHandle);
    if (locks.all.size === 0) this.#byExport.delete(lock.client);
  }

  /** Whoever's it is. */
  has(handle: bigint): boolean {
    return this.#byHandle.has(handle);
  }

  /** By our handle, if it is this client's. */
  ofClient(client: Export, handle: bigint): ServerLock | undefined {
    const lock = this.#byHandle.get(handle);
    return lock?.client === client ? lock : undefined;
  }

  /** By the client's handle: how a resend finds what its first copy made. */
  byClientHandle(client: Export, clientHandle: bigint): ServerLock | undefined {
    return this.#byExport.get(client)?.byClientHandle.get(clientHandle);
  }

  of(client: Export): readonly ServerLock[] {
    return [...(this.#byExport.get(client)?.all ?? [])];
  }

  countOf(client: Export): number {
    return this.#byExport.get(client)?.all.size ?? 0;
  }

  /** In order of arrival, while they change. */
  oldestOf(client: Export): Iterable<ServerLock> {
    return this.#byExport.get(client)?.all ?? [];
  }

  /** After disconnect or eviction nothing is granted to it any more. */
  markDropped(client: Export): void {
    this.#dropped.add(client);
  }

  isDropped(client: Export): boolean {
    return this.#dropped.has(client);
  }
}
