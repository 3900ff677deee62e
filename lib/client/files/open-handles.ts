/**
 * Open handles kept under OPEN locks (guide 11 §6): a file that is opened for reading again and again keeps one handle
 * at the MDT, and opening and closing it costs no request until the lock is wanted back. Handles for writing are not kept:
 * their close carries size and times, and while one is there nobody may run the file.
 */
import type { ClientLock } from '../../ldlm/client-lock.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import type { LockHook } from '../lock-hooks.ts';
import type { OpenState } from '../mdc/open-state.ts';
import { holds, type Inode, type InodeCache } from '../namespace/inodes.ts';

/** A handle of the MDT and its users; `lock` is undefined for one that belongs to a single open. */
export interface MdtHandle {
  readonly inode: Inode;
  readonly state: OpenState;
  /** The MDT's at the open: the handle is void once it has evicted this client. */
  readonly generation: number;
  readonly lock: ClientLock | undefined;
  users: number;
  /** Seconds of the last read through it; 0 when there was none. */
  readAt: number;
}

export class OpenHandles implements LockHook {
  readonly #cache: InodeCache;
  readonly #close: (handle: MdtHandle) => Promise<void>;
  /** Kept ones, by object. */
  readonly #kept = new Map<string, MdtHandle>();
  readonly #byLock = new Map<ClientLock, MdtHandle>();

  /** `close` sends the handle back. */
  constructor(cache: InodeCache, close: (handle: MdtHandle) => Promise<void>) {
    this.#cache = cache;
    this.#close = close;
  }

  /** There is a handle to share. */
  has(inode: Inode): boolean {
    return this.#sharable(inode) !== undefined;
  }

  /** One more user of a kept handle; undefined when there is none. */
  share(inode: Inode): MdtHandle | undefined {
    const handle = this.#sharable(inode);
    if (handle !== undefined) handle.users++;
    return handle;
  }

  #sharable(inode: Inode): MdtHandle | undefined {
    const handle = this.#kept.get(inode.key);
    return handle !== undefined && holds(handle.lock, InodeBit.MDS_INODELOCK_OPEN) ? handle : undefined;
  }

  /** A handle that an open gave, with its first user. It is kept if `lock` says that it may be. */
  add(inode: Inode, state: OpenState, lock: ClientLock | undefined): MdtHandle {
    const mayKeep = state.made && holds(lock, InodeBit.MDS_INODELOCK_OPEN) && !this.#kept.has(inode.key);
    const { generation } = inode.mdt;
    const handle = { inode, state, generation, lock: mayKeep ? lock : undefined, users: 1, readAt: 0 };
    if (handle.lock !== undefined) {
      this.#kept.set(inode.key, handle);
      this.#byLock.set(handle.lock, handle);
      this.#cache.pin(inode);
    }
    return handle;
  }

  /** A user has finished. True when the handle is nobody's any more, and is the caller's to close. */
  release(handle: MdtHandle): boolean {
    return --handle.users === 0 && this.#kept.get(handle.inode.key) !== handle;
  }

  async cancelling(_target: number, lock: ClientLock, bits: bigint): Promise<void> {
    if ((bits & BigInt(InodeBit.MDS_INODELOCK_OPEN)) === 0n) return;
    const handle = this.#forget(lock);
    if (handle !== undefined && handle.users === 0) await this.#close(handle);
  }

  goesAtOnce(_target: number, lock: ClientLock): boolean {
    return !this.#byLock.has(lock);
  }

  lost(_target: number, lock: ClientLock): void {
    this.#forget(lock);
  }

  #forget(lock: ClientLock): MdtHandle | undefined {
    const handle = this.#byLock.get(lock);
    if (handle === undefined) return undefined;
    this.#byLock.delete(lock);
    this.#kept.delete(handle.inode.key);
    this.#cache.unpin(handle.inode);
    return handle;
  }
}
