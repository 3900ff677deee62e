/**
 * The lock manager of one target (guide 08): resources, queues, grants, callbacks, eviction of those who do not give back.
 * Requests come in through `operations()` (server-operations.ts); the target's own code takes locks with `lock`.
 */
import type { Export } from '../connection/target.ts';
import { Errno, errnoError, LustreError } from '../runtime/errors.ts';
import { type Runtime, withLog } from '../runtime/runtime.ts';
import { ConnectFlag } from '../wire/connection-constants.ts';
import type { LdlmRequestValue } from '../wire/format.ts';
import { LockFlag, LockMode, LockType } from '../wire/ldlm-constants.ts';
import { Contention } from './contention.ts';
import { ExportLocks } from './export-locks.ts';
import type { Extent, LockModeNumber, Policy, ResourceId } from './lock.ts';
import { BusyLocks, LockTimeouts } from './lock-timeouts.ts';
import { LockPool, type LockVolume } from './lock-volume.ts';
import { mergeOstLvb } from './lvb.ts';
import { modesCompatible } from './modes.ts';
import { logRefusal, type Refusable } from './refusals.ts';
import { resourceKey } from './resource-name.ts';
import { type AstOwner, ServerAsts } from './server-asts.ts';
import { ServerFlocks } from './server-flocks.ts';
import { askHolders, conflictsWith } from './server-glimpse.ts';
import {
  ServerLock,
  type ServerLockActions,
  type ServerLockOptions,
  ServerResource,
  serverLockActions,
} from './server-lock.ts';
import type { ServerNamespaceOptions } from './server-namespace-options.ts';
import {
  type Grant,
  type GrantedLock,
  type LockOperations,
  lockReply,
  type OperationsOptions,
  serveLocks,
} from './server-operations.ts';
import {
  type EnqueueOutcome,
  grantedPolicy,
  inTheWay,
  mayNotWait,
  nextGrantable,
  wantsBlockingAst,
} from './server-queues.ts';

export type { ServerNamespaceOptions };

const LOCKS_MAX = 2_000_000;
/** Beyond its share a client is asked for its oldest locks, so many for each that it takes ... */
const RECLAIM = 2;
/** ... while not all of so many have been asked for already. */
const RECLAIMED_MAX = 64;

export class ServerNamespace implements AstOwner, ServerLockActions, LockOperations {
  readonly name: string;
  readonly runtime: Runtime;
  readonly locks: ExportLocks;
  readonly flocks: ServerFlocks;
  readonly #asts: ServerAsts;
  readonly #lockActions = serverLockActions(this);
  readonly #lvb: ServerNamespaceOptions['lvb'];
  readonly #pool: LockPool;
  readonly #locksPerClient: number;
  readonly #contention: Contention;
  readonly #timeouts: LockTimeouts;
  readonly #busy = new BusyLocks();
  readonly #resources = new Map<string, ServerResource>();

  constructor(options: ServerNamespaceOptions) {
    this.name = options.name;
    this.runtime = withLog(options.runtime, { namespace: options.name });
    this.locks = new ExportLocks(options.runtime);
    this.#timeouts = new LockTimeouts(options.timeoutMs);
    this.#lvb = options.lvb;
    const locksMax = options.locksMax ?? LOCKS_MAX;
    this.#pool = new LockPool(options.runtime, locksMax, () => this.locks.size);
    this.#locksPerClient = options.locksPerClient ?? Math.max(1, Math.floor(locksMax / 4));
    this.#contention = new Contention(options.contention);
    this.#asts = new ServerAsts(this);
    this.flocks = new ServerFlocks({
      granted: (lock) => {
        lock.dispatch('grant');
        this.locks.remove(lock);
      },
      refused: (lock, flags) => {
        this.locks.remove(lock);
        this.#asts.sendRefusal(lock, flags);
        lock.dispatch('cancel');
      },
      knowsDeadlocks: ({ connectData }) =>
        (connectData.ocd_connect_flags & ConnectFlag.OBD_CONNECT_FLOCK_DEAD) !== 0n,
    });
  }

  /** ENQUEUE, CONVERT and CANCEL for a target's operations map. */
  operations(options: OperationsOptions = {}): ReturnType<typeof serveLocks> {
    return serveLocks(this, options);
  }

  /** Whether enqueues get LVBs, and glimpses are answered here. */
  get hasLvbs(): boolean {
    return this.#lvb !== undefined;
  }

  /** What replies tell clients of how many locks they may keep (guide 08 §9). */
  get volume(): LockVolume {
    return this.#pool.volume;
  }

  /** True when a client gets no more locks for now. */
  isFull(client: Export): boolean {
    return this.locks.size >= this.#pool.limit || this.locks.countOf(client) >= 2 * this.#locksPerClient;
  }

  /**
   * A lock for the target's own work: conflicting clients are asked for theirs, and the promise resolves when all is given
   * back. `release` lets the others go on.
   */
  async lock(
    resource: ResourceId,
    mode: LockModeNumber,
    policy: Policy,
    options: { discardData?: boolean } = {},
  ): Promise<{ release(): void }> {
    const type =
      policy.inodeBits !== undefined
        ? LockType.LDLM_IBITS
        : policy.extent !== undefined
          ? LockType.LDLM_EXTENT
          : LockType.LDLM_PLAIN;
    const flags = options.discardData === true ? LockFlag.LDLM_FL_AST_DISCARD_DATA : 0;
    const lock = this.create(resource, { clientHandle: 0n, client: undefined, type, mode, policy, flags });
    if (this.enqueue(lock) === 'waiting') await this.granted(lock);
    return { release: () => this.cancel(lock) };
  }

  /**
   * Grants a lock to the client that sent `request`, inside the answer to its intent: at once, or when conflicting holders
   * have given back theirs. The client's lock handle is the one in `request`. Rejects with ENOTCONN when the client goes away
   * meanwhile; gives undefined when only optional bits were asked and none is free.
   */
  grantTo(
    client: Export,
    request: LdlmRequestValue,
    resource: ResourceId,
    mode: LockModeNumber,
    policy: Policy,
  ): Grant {
    const type = policy.extent !== undefined ? LockType.LDLM_EXTENT : LockType.LDLM_IBITS;
    const clientHandle = request.lock_handle[0] ?? 0n;
    const earlier = this.locks.byClientHandle(client, clientHandle);
    if (earlier !== undefined) this.cancel(earlier);
    const flags = request.lock_flags >>> 0;
    const lock = this.create(resource, { clientHandle, client, type, mode, policy, flags });
    const outcome = this.enqueue(lock);
    if (outcome === 'waiting') return this.granted(lock).then(() => this.describeGrant(lock, request));
    if (outcome === 'nothing') return undefined;
    if (outcome !== 'granted') throw errnoError(Errno.EAGAIN, { syscall: 'enqueue', target: this.name });
    return this.describeGrant(lock, request);
  }

  /**
   * What a CANCEL gives back, or another request early (guide 08 §5.3): handles that are not this client's are passed over.
   * One that nobody has may have been taken back already; one that somebody else has was made up.
   */
  cancelHandles(call: Refusable, handles: readonly bigint[]): number {
    let cancelled = 0;
    for (const handle of handles) {
      const lock = this.locks.ofClient(call.export, handle);
      if (lock === undefined) {
        const reason = `lock 0x${handle.toString(16)} is another client's`;
        if (this.locks.has(handle)) logRefusal(this.runtime, call, { errno: 0, reason });
        continue;
      }
      this.#measure(lock);
      this.cancel(lock);
      cancelled++;
    }
    return cancelled;
  }

  /** Disconnect or eviction: all of the client's locks are gone, those who waited for them go on. */
  dropExport(client: Export): void {
    this.locks.markDropped(client);
    for (const lock of this.locks.of(client)) this.cancel(lock);
    this.flocks.dropExport(client);
  }

  /**
   * Runs a client's reads or writes under its locks. Those that are being called back get the whole time again, before and
   * after, and are not given up meanwhile (guide 08 §4.4).
   */
  async busy<T>(client: Export, resource: ResourceId, extent: Extent, work: () => Promise<T>): Promise<T> {
    const granted = this.#resources.get(resourceKey(resource))?.granted;
    const there = granted?.overlapping(extent.start, extent.end) ?? [];
    const locks = there.filter((lock) => lock.client === client);
    this.#prolong(locks);
    try {
      return await this.#busy.during(locks, work);
    } finally {
      this.#prolong(locks);
    }
  }

  #prolong(locks: readonly ServerLock[]): void {
    for (const lock of locks) if (lock.timer !== undefined) this.#asts.startTimer(lock);
  }

  /** How long its client took to give it back is what it gets the next time. */
  #measure({ client, blockingSince }: ServerLock): void {
    const now = this.runtime.now();
    if (client !== undefined && blockingSince !== undefined)
      this.#timeouts.measure(client, now - blockingSince, now);
  }

  /** True when somebody waits for a lock of the client's on the object: what it sends under it goes first (guide 08 §13). */
  isWanted(client: Export, resource: ResourceId): boolean {
    const granted = this.#resources.get(resourceKey(resource))?.granted;
    for (const lock of granted ?? []) if (lock.client === client && lock.state === 'BLOCKING') return true;
    return false;
  }

  /** Somebody has a lock on it, or waits for one. */
  isLocked(resource: ResourceId): boolean {
    return this.#resources.has(resourceKey(resource));
  }

  /** True when the client holds a lock of this handle or, without one, any lock that covers the range (guide 12 §5.9). */
  holds(client: Export, resource: ResourceId, handle: bigint): boolean {
    const lock = this.locks.ofClient(client, handle);
    return lock?.isGranted === true && lock.resourceEntry.key === resourceKey(resource);
  }

  /** The object has changed on disk by other means than a holder's writes: what holders told is void. */
  refreshLvb(resource: ResourceId): void {
    this.#resources.get(resourceKey(resource))?.forgetGlimpsed();
  }

  /** For status pages: how many resources and locks there are. */
  get counts(): { readonly resources: number; readonly locks: number } {
    return { resources: this.#resources.size, locks: this.locks.size };
  }

  /** For those who look in. */
  resources(): Iterable<ServerResource> {
    return this.#resources.values();
  }

  // For server-operations.ts.

  /** Makes a lock that is in no queue yet; the client has no other of this handle. Throws EPROTO when the resource is locked with another type. */
  create(id: ResourceId, options: ServerLockOptions): ServerLock {
    const key = resourceKey(id);
    let resource = this.#resources.get(key);
    if (resource !== undefined && resource.type !== options.type)
      throw new LustreError(
        'EPROTO',
        `resource ${key} has locks of type ${resource.type}, not ${options.type}`,
        { target: this.name },
        -Errno.EPROTO,
      );
    if (resource === undefined) {
      resource = new ServerResource(id, key, options.type);
      // File locks keep their queues in ServerFlocks.
      if (options.type !== LockType.LDLM_FLOCK) this.#resources.set(key, resource);
    }
    const lock = new ServerLock(resource, this.locks.issueHandle(), options, this.#lockActions);
    this.locks.add(lock);
    if (options.client !== undefined && this.locks.countOf(options.client) > this.#locksPerClient)
      this.#reclaim(options.client);
    return lock;
  }

  /** A client that keeps more than its share is asked for its oldest locks, as if somebody wanted them. */
  #reclaim(client: Export): void {
    let asked = 0;
    let seen = 0;
    for (const lock of this.locks.oldestOf(client)) {
      if (asked === RECLAIM || ++seen > RECLAIMED_MAX) return;
      if (lock.state !== 'GRANTED' || !lock.told || !wantsBlockingAst(lock)) continue;
      lock.dispatch('conflict');
      asked++;
    }
  }

  /** Grants, queues or refuses. A glimpse goes past those who wait (`overtake`), as with kernels (guide 08 §7). */
  enqueue(lock: ServerLock, overtake = false): EnqueueOutcome {
    const resource = lock.resourceEntry;
    const obstacles = inTheWay(resource, lock, overtake);
    const { granted, ahead } = obstacles;
    if (granted.length === 0 && ahead.length === 0) {
      if (this.#grant(lock)) return 'granted';
      this.cancel(lock);
      return 'nothing';
    }
    if (mayNotWait(lock, obstacles)) {
      this.cancel(lock);
      return 'busy';
    }
    if (this.#contention.sendsAway(lock, obstacles, this.runtime.now())) {
      this.cancel(lock);
      return 'contended';
    }
    resource.wait(lock);
    lock.dispatch('block');
    for (const waiting of ahead) waiting.blocker ??= lock;
    for (const held of granted) this.#conflict(held, lock);
    return lock.isGranted ? 'granted' : 'waiting';
  }

  /** A replayed lock: as the client says it was, without asking anybody (guide 08 §10). */
  restore(lock: ServerLock, isGranted: boolean): void {
    if (isGranted) {
      lock.dispatch('grant');
      lock.resourceEntry.granted.add(lock);
      return;
    }
    lock.resourceEntry.wait(lock);
    lock.dispatch('block');
  }

  /** Resolves when a waiting lock is granted; rejects with ENOTCONN when it is cancelled instead. */
  granted(lock: ServerLock): Promise<void> {
    return new Promise((resolve, reject) => {
      lock.onGranted = () => {
        lock.onGranted = undefined;
        if (lock.isGranted) resolve();
        else reject(errnoError(Errno.ENOTCONN, { syscall: 'enqueue', target: this.name }));
      };
    });
  }

  cancel(lock: ServerLock): void {
    if (!lock.accepts('cancel')) return;
    const wasWriter = lock.isGranted && !modesCompatible(lock.mode, LockMode.LCK_PR);
    lock.dispatch('cancel');
    this.locks.remove(lock);
    const resource = lock.resourceEntry;
    resource.granted.delete(lock);
    resource.endWait(lock);
    if (lock.type === LockType.LDLM_FLOCK) this.flocks.forget(lock);
    // The holder has written back before it cancelled: disk is right again (guide 12 §11).
    if (wasWriter) resource.forgetGlimpsed();
    lock.onGranted?.();
    this.#reprocess(resource);
  }

  /** Inode bits that a holder gives back while it keeps the rest (guide 08 §6). */
  convert(lock: ServerLock, keep: bigint): void {
    this.#measure(lock);
    lock.policy = { inodeBits: (lock.policy.inodeBits ?? 0n) & keep };
    lock.blocker = undefined;
    lock.dispatch('convert');
    this.#reprocess(lock.resourceEntry);
  }

  /** The LVB to send with a lock: disk, and what holders have told beyond it. Empty for namespaces without. */
  async lvbOf(resource: ServerResource): Promise<Uint8Array> {
    if (this.#lvb === undefined) return new Uint8Array(0);
    const disk = await this.#lvb(resource.id);
    return mergeOstLvb(disk, resource.glimpsed);
  }

  /** True when holders stand in the way of `lock`; the waiting do not count for a glimpse (guide 08 §7). */
  hasConflict(lock: ServerLock): boolean {
    return conflictsWith(lock);
  }

  /** Asks those holders for sizes and times who could know more than the disk. */
  glimpse(lock: ServerLock): Promise<Uint8Array> {
    return askHolders(
      lock,
      () => this.lvbOf(lock.resourceEntry),
      (holder) => this.#asts.glimpse(holder),
    );
  }

  describeGrant(lock: ServerLock, request: LdlmRequestValue): GrantedLock {
    const flags = request.lock_flags >>> 0;
    return {
      lock,
      request,
      cancel: () => this.cancel(lock),
      reply: () => lockReply(this, lock, flags, true),
    };
  }

  /** A lock that was being called back before its client had heard of it. */
  startTimer(lock: ServerLock): void {
    this.#asts.startTimer(lock);
  }

  // Actions of the lock's table.

  tellGranted(lock: ServerLock): void {
    if (lock.onGranted !== undefined) lock.onGranted();
    if (!lock.told) return;
    // It has been told to wait; of the grant, and of whoever wants the lock by then, the completion AST tells.
    lock.told = false;
    void this.#sendCompletion(lock);
  }

  sendBlocking(lock: ServerLock): void {
    // Whom nothing was said yet learns it from the reply (guide 08 §3.2).
    if (lock.client === undefined || !lock.told) return;
    this.#asts.sendBlocking(lock);
    if ((lock.flags & LockFlag.LDLM_FL_CANCEL_ON_BLOCK) !== 0) this.runtime.after(0, () => this.cancel(lock));
  }

  evictHolder(lock: ServerLock): void {
    const { client } = lock;
    const since = this.runtime.now() - (lock.blockingSince ?? this.runtime.now());
    if (client === undefined) return;
    this.evict(client, `lock callback timer expired after ${Math.round(since / 1000)} s: ${lock.describe()}`);
  }

  // For the ASTs.

  timeoutOf(client: Export): number {
    return this.#timeouts.of(client);
  }

  isBusy(lock: ServerLock): boolean {
    return this.#busy.has(lock);
  }

  isGone(client: Export): boolean {
    return this.locks.isDropped(client);
  }

  cancelByServer(lock: ServerLock): void {
    this.runtime.log.debug({ lock: lock.describe() }, 'the client does not have the lock any more');
    this.cancel(lock);
  }

  evict(client: Export, reason: string): void {
    if (this.locks.isDropped(client)) return;
    this.runtime.log.warn({ client: client.clientUuid, peer: client.peer, reason }, 'evicting a client');
    client.evict(reason);
    this.dropExport(client);
  }

  async #sendCompletion(lock: ServerLock): Promise<void> {
    let lvb: Uint8Array = new Uint8Array(0);
    try {
      if (lock.type === LockType.LDLM_EXTENT) lvb = await this.lvbOf(lock.resourceEntry);
    } catch (error) {
      this.runtime.log.warn({ lock: lock.describe(), err: error }, 'no LVB for a granted lock');
    }
    if (lock.isCancelled) return;
    lock.told = true;
    this.#asts.sendCompletion(lock, lvb);
  }

  #conflict(held: ServerLock, blocker: ServerLock): void {
    if (!wantsBlockingAst(held) || held.state !== 'GRANTED') return;
    held.blocker = blocker;
    held.dispatch('conflict');
  }

  /** False when there is nothing to grant. */
  #grant(lock: ServerLock): boolean {
    const resource = lock.resourceEntry;
    const policy = grantedPolicy(resource, lock);
    if (policy === undefined) return false;
    resource.endWait(lock);
    lock.policy = policy;
    resource.granted.add(lock);
    lock.dispatch('grant');
    // Those who came while it waited itself want it back already.
    const { blocker } = lock;
    lock.blocker = undefined;
    if (blocker !== undefined && resource.waiting.has(blocker)) this.#conflict(lock, blocker);
    return true;
  }

  #reprocess(resource: ServerResource): void {
    for (;;) {
      const lock = nextGrantable(resource);
      if (lock === undefined) break;
      if (!this.#grant(lock)) this.cancel(lock);
    }
    for (const lock of resource.waiting) {
      for (const held of resource.granted.conflicting(lock)) this.#conflict(held, lock);
    }
    // A glimpse may end on a resource that was dropped meanwhile: another may bear its name by then.
    const isUnused = resource.granted.size === 0 && resource.waiting.size === 0;
    if (isUnused && this.#resources.get(resource.key) === resource) this.#resources.delete(resource.key);
  }
}
