/** A client namespace's locks, by handle and by resource, and which of them serves a wish (guide 08 §11). */
import type { Runtime } from '../runtime/runtime.ts';
import { LockType } from '../wire/ldlm-constants.ts';
import type { ClientLock } from './client-lock.ts';
import { ExtentTree } from './extent-tree.ts';
import { HandleTable } from './handle-table.ts';
import type { LockModeNumber, LockTypeNumber, Policy, ResourceId } from './lock.ts';
import { modeCovers } from './modes.ts';
import { resourceKey, sameResource } from './resource-name.ts';

/** From so many extent locks on one resource on they are indexed by where they lie. */
const INDEX_MIN = 16;

class ResourceLocks {
  readonly all = new Set<ClientLock>();
  #extents: ExtentTree<ClientLock> | undefined;

  add(lock: ClientLock): void {
    this.all.add(lock);
    if (this.#extents !== undefined) this.index(lock);
    else if (this.all.size >= INDEX_MIN && lock.type === LockType.LDLM_EXTENT) {
      this.#extents = new ExtentTree();
      for (const each of this.all) this.index(each);
    }
  }

  delete(lock: ClientLock): void {
    this.all.delete(lock);
    this.#extents?.delete(lock);
  }

  /** Its extent is another one than before. */
  index(lock: ClientLock): void {
    const { extent } = lock.policy;
    if (extent !== undefined) this.#extents?.add(lock, extent);
  }

  /** All that could contain what is wanted. */
  candidates({ extent }: Policy): Iterable<ClientLock> {
    if (this.#extents === undefined || extent === undefined) return this.all;
    return this.#extents.overlapping(extent.start, extent.start);
  }
}

export class ClientLockTable {
  readonly #byHandle: HandleTable<ClientLock>;
  readonly #byResource = new Map<string, ResourceLocks>();

  constructor(runtime: Runtime) {
    this.#byHandle = new HandleTable(runtime);
  }

  /** Our handle for the lock that is added next. */
  issueHandle(): bigint {
    return this.#byHandle.issue();
  }

  get size(): number {
    return this.#byHandle.size;
  }

  get resourceCount(): number {
    return this.#byResource.size;
  }

  *byResource(): Iterable<Iterable<ClientLock>> {
    for (const { all } of this.#byResource.values()) yield all;
  }

  all(): ClientLock[] {
    return [...this.#byResource.values()].flatMap(({ all }) => [...all]);
  }

  byHandle(handle: bigint): ClientLock | undefined {
    return this.#byHandle.get(handle);
  }

  on(resource: ResourceId): ClientLock[] {
    return [...(this.#byResource.get(resourceKey(resource))?.all ?? [])];
  }

  add(lock: ClientLock): void {
    this.#byHandle.add(lock);
    this.#place(lock);
  }

  remove(lock: ClientLock): void {
    this.#byHandle.delete(lock);
    this.#displace(lock);
  }

  /** The server has granted it on another resource (guide 08 §3.1). */
  move(lock: ClientLock, resource: ResourceId): void {
    if (sameResource(lock.resource, resource)) return;
    this.#displace(lock);
    lock.resource = resource;
    this.#place(lock);
  }

  /** What the server has granted of it. */
  setPolicy(lock: ClientLock, policy: Policy): void {
    lock.policy = policy;
    this.#byResource.get(resourceKey(lock.resource))?.index(lock);
  }

  /** `modes` as bits or a list: a lock of any of them, or of a mode that covers one of them, serves. */
  find(
    resource: ResourceId,
    type: LockTypeNumber,
    modes: number | readonly LockModeNumber[],
    policy: Policy,
  ): ClientLock | undefined {
    const wanted = typeof modes === 'number' ? modes : modes.reduce((bits, mode) => bits | mode, 0);
    const locks = this.#byResource.get(resourceKey(resource));
    for (const lock of locks?.candidates(policy) ?? []) {
      if (lock.isMatchable && lock.type === type && modeCovers(lock.mode, wanted) && contains(lock, policy))
        return lock;
    }
    return undefined;
  }

  /** An older lock that is as good as this one. */
  findTwin(lock: ClientLock): ClientLock | undefined {
    for (const other of this.#byResource.get(resourceKey(lock.resource))?.all ?? []) {
      const same =
        other !== lock && other.isMatchable && other.type === lock.type && other.mode === lock.mode;
      if (same && contains(other, lock.policy)) return other;
    }
    return undefined;
  }

  #place(lock: ClientLock): void {
    const key = resourceKey(lock.resource);
    let there = this.#byResource.get(key);
    if (there === undefined) {
      there = new ResourceLocks();
      this.#byResource.set(key, there);
    }
    there.add(lock);
  }

  #displace(lock: ClientLock): void {
    const key = resourceKey(lock.resource);
    const there = this.#byResource.get(key);
    there?.delete(lock);
    if (there?.all.size === 0) this.#byResource.delete(key);
  }
}

function contains(lock: ClientLock, policy: Policy): boolean {
  switch (lock.type) {
    case LockType.LDLM_EXTENT: {
      const have = lock.policy.extent;
      const want = policy.extent;
      if (have === undefined || want === undefined) return false;
      return have.start <= want.start && want.end <= have.end && (have.gid ?? 0n) === (want.gid ?? 0n);
    }
    case LockType.LDLM_IBITS: {
      const want = policy.inodeBits ?? 0n;
      return ((lock.policy.inodeBits ?? 0n) & want) === want;
    }
    // Each request for a file lock is its own.
    case LockType.LDLM_FLOCK:
      return false;
    default:
      return true;
  }
}
