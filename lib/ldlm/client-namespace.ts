/**
 * A client's shadow of one target's locks (guide 08 §1, §3.1, §5, §9): enqueues, finds again what it has, keeps what is
 * unused, and gives back what others want, after its user has written what the lock protects.
 */
import type { Reply } from '../rpc/rpc.ts';
import { Errno, errnoError, LustreError, ProtocolError } from '../runtime/errors.ts';
import { type Runtime, randomCookie, withLog } from '../runtime/runtime.ts';
import { ConnectFlag } from '../wire/connection-constants.ts';
import type { Format } from '../wire/format.ts';
import { LockFlag, LockMode, LockType } from '../wire/ldlm-constants.ts';
import { CancelBatch } from './cancel-batch.ts';
import { ClientLock, type ClientLockActions, clientLockActions, NO_LVB, WHOLE_LOCK } from './client-lock.ts';
import { ClientLockTable } from './client-lock-table.ts';
import type { ClientNamespaceOptions } from './client-namespace-options.ts';
import { decodePolicy, inodeBitsPolicy, isLockType, resourceName } from './description.ts';
import {
  asLustreError,
  carriesCancels,
  type EnqueueOptions,
  type EnqueueResult,
  enqueueRequest,
  type IntentEnqueue,
  type LockBuffers,
  type LockReply,
  lockBuffers,
  PLAIN,
  roomForCancels,
} from './enqueue.ts';
import type { LockModeNumber, LockTypeNumber, Policy, ResourceId } from './lock.ts';
import { bitsToKeep, goesEarly, sendConvert } from './lock-convert.ts';
import { LockLru } from './lock-lru.ts';
import { isDroppedForReplay, type KeptRanges, replayLocks } from './lock-replay.ts';
import { isLockMode } from './modes.ts';
import { ELDLM_LOCK_ABORTED } from './status.ts';

export type { ClientNamespaceOptions, LockImport } from './client-namespace-options.ts';
export type { EnqueueOptions, EnqueueResult, IntentEnqueue } from './enqueue.ts';

export class ClientNamespace implements ClientLockActions {
  readonly name: string;
  readonly #runtime: Runtime;
  readonly #options: ClientNamespaceOptions;
  readonly #table: ClientLockTable;
  readonly #lockActions = clientLockActions(this);
  readonly #cancels: CancelBatch;
  readonly #lru: LockLru;
  readonly #kept: KeptRanges[] = [];

  constructor(options: ClientNamespaceOptions) {
    this.name = options.name;
    this.#options = options;
    this.#table = new ClientLockTable(options.runtime);
    this.#runtime = withLog(options.runtime, { namespace: options.name });
    this.#cancels = new CancelBatch(options.import, this.#runtime);
    this.#lru = new LockLru(
      this.#runtime,
      options.lru ?? {},
      (locks) => void this.#giveBackTogether(locks),
      () => options.import.lockVolume,
    );
    options.import.onEvicted(() => this.loseAll());
    options.import.onLockReplay?.((send) => {
      this.#lose(this.locks.filter(isDroppedForReplay));
      return replayLocks(this.locks, this.#kept, send, {
        nextHandle: () => randomCookie(this.#runtime),
        late: (serverHandle) => void this.#cancels.add(serverHandle),
      });
    });
  }

  /** What the server keeps besides the locks here: it goes and comes back with them. */
  keeps(ranges: KeptRanges): void {
    this.#kept.push(ranges);
  }

  /** How ASTs name this namespace. */
  get callbackHandle(): bigint {
    return this.#options.import.callbackHandle;
  }

  get locks(): readonly ClientLock[] {
    return this.#table.all();
  }

  get size(): number {
    return this.#table.size;
  }

  get resourceCount(): number {
    return this.#table.resourceCount;
  }

  /** The locks of each resource. */
  byResource(): Iterable<Iterable<ClientLock>> {
    return this.#table.byResource();
  }

  /**
   * Asks the server for a lock and waits until it is granted. Rejects with what the server refuses (EAGAIN for a lock that may
   * not wait, EDEADLK ...) and with the import's errors.
   */
  enqueue<F extends Format>(options: IntentEnqueue<F>): Promise<EnqueueResult<F>>;
  enqueue(options: EnqueueOptions): Promise<EnqueueResult>;
  enqueue<F extends Format>(
    options: IntentEnqueue<F> | EnqueueOptions,
  ): Promise<EnqueueResult<F> | EnqueueResult> {
    return 'intent' in options ? this.#enqueue(options, options.intent) : this.#enqueue(options, PLAIN);
  }

  /** As `enqueue`, without waiting for the grant: `lock.untilGranted()` does. `abandon` takes the request back. */
  ask(options: EnqueueOptions): Promise<EnqueueResult> {
    return this.#ask(options, PLAIN);
  }

  /** Takes back a request that waits. False when the server did not have it waiting any more. */
  abandon(lock: ClientLock): Promise<boolean> {
    if (!lock.accepts('abandon')) return Promise.resolve(false);
    lock.cancelsByItself = false;
    lock.abandon(errnoError(Errno.ECANCELED, { syscall: 'enqueue', target: this.name }));
    return this.#cancels.single(lock.serverHandle);
  }

  async #enqueue<F extends Format>(
    options: EnqueueOptions,
    intent: IntentEnqueue<F>['intent'],
  ): Promise<EnqueueResult<F>> {
    const result = await this.#ask(options, intent);
    const { lock } = result;
    if (lock === undefined) return result;
    await this.#untilGranted(lock, options.signal);
    const kept = this.#settle(lock);
    // What came with this lock is as good for the one that is kept, and newer.
    const lvb = lock.lvb.length > 0 ? lock.lvb : kept.lvb;
    return { lock: kept, reply: result.reply, status: result.status, lvb };
  }

  /** Waits for the grant, or until the signal ends the wait: the request then goes back. */
  async #untilGranted(lock: ClientLock, signal: AbortSignal | undefined): Promise<void> {
    const abort = (): void =>
      lock.abandon(errnoError(Errno.ECANCELED, { syscall: 'enqueue', target: this.name }));
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted === true) abort();
    try {
      await lock.untilGranted();
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  async #ask<F extends Format>(
    options: EnqueueOptions,
    { format, buffers, call }: IntentEnqueue<F>['intent'],
  ): Promise<EnqueueResult<F>> {
    const { resource, type, mode, policy, flags, cancels: early = [], signal } = options;
    const wish = { handle: this.#table.issueHandle(), type, resource, mode, policy };
    const lock = new ClientLock(wish, this.#lockActions);
    lock.addReference();
    this.#table.add(lock);
    // One of many in a request has no room for them.
    const unused =
      call === undefined && carriesCancels(lock)
        ? this.#takeUnused(() => roomForCancels(format, buffers, 1 + early.length))
        : [];
    const cancels = unused.length === 0 ? early : [...early, ...(await this.#handlesOf(unused))];
    let reply: Reply<F>;
    try {
      const request = { ...buffers, dlm_req: enqueueRequest(lock, flags ?? 0, cancels) };
      // What is more in the options than a call knows does no harm; a copy without it costs as much as the rest of this.
      reply = await (call?.(request, options) ?? this.#options.import.call(format, request, options));
    } catch (error) {
      // It may never have been sent, and then the handles have not gone with it.
      if (signal?.aborted === true) for (const handle of cancels) void this.#cancels.add(handle);
      lock.fail(asLustreError(error, this.name));
      throw error;
    }
    const values = lockBuffers(reply.values);
    const { status } = reply;
    if (status === ELDLM_LOCK_ABORTED) {
      lock.fail(errnoError(Errno.EAGAIN, { syscall: 'enqueue', target: this.name }));
      return { lock: undefined, reply, status, lvb: values.dlm_lvb ?? new Uint8Array(0) };
    }
    try {
      this.#takeReply(lock, values);
    } catch (error) {
      const reason = asLustreError(error, this.name).message;
      const peer = this.#options.import.nid;
      this.#runtime.log.warn(
        { peer, opcode: 'LDLM_ENQUEUE', reason },
        'the reply to an enqueue made no sense',
      );
      throw error;
    }
    return { lock, reply, status, lvb: lock.lvb };
  }

  /**
   * A lock that is held already and serves `modes` and `policy`: its reference is the caller's to release. Undefined when
   * there is none.
   */
  match(
    resource: ResourceId,
    type: LockTypeNumber,
    modes: number | readonly LockModeNumber[],
    policy: Policy,
  ): ClientLock | undefined {
    const lock = this.#table.find(resource, type, modes, policy);
    if (lock !== undefined) this.addReference(lock);
    return lock;
  }

  /** One more user of a lock that is held. */
  addReference(lock: ClientLock): void {
    lock.addReference();
    this.#lru.remove(lock);
  }

  /** The user has finished: the lock stays cached, or goes back if somebody wants it. */
  release(lock: ClientLock): void {
    lock.dropReference();
    if (!lock.isIdle) return;
    if (lock.accepts('idle')) this.#giveBack(lock);
    else if (lock.state !== 'GRANTED') return;
    else if (lock.type === LockType.LDLM_FLOCK) this.#forgetFlock(lock);
    // Nobody is asked for a group lock, so nobody may keep one unused (guide 08 §3.3).
    else if (lock.mode === LockMode.LCK_GROUP) this.#startCancel(lock);
    else this.#lru.add(lock);
  }

  /** A user has finished with a lock that a request of ours will take back at the server. Resolves when it is gone here. */
  async surrender(lock: ClientLock): Promise<void> {
    this.release(lock);
    if (!lock.isMatchable || !lock.isIdle) return;
    await this.#handlesOf([lock]);
  }

  /** Gives a lock back, after its users: the flush hook runs first. Resolves when the server has answered. */
  async cancel(lock: ClientLock): Promise<void> {
    lock.wantedBits = WHOLE_LOCK;
    if (lock.isIdle) this.#startCancel(lock);
    else if (lock.accepts('blocking')) lock.dispatch('blocking');
    await lock.gone;
  }

  /** Gives all back, even what is still referenced: unmount has ended its users. */
  async cancelAll(): Promise<void> {
    this.#lru.stop();
    const held = this.locks.filter((lock) => lock.isHeld || lock.isLeaving);
    for (const lock of held) this.#startCancel(lock);
    await Promise.all(held.map((lock) => lock.gone));
    await this.#cancels.sendAll();
  }

  /**
   * Early cancels (guide 08 §5.3): unused locks on `resource` that a request of ours will conflict with are flushed and
   * forgotten here; their server handles go with the request.
   */
  async takeConflicting(resource: ResourceId, inodeBits: bigint): Promise<bigint[]> {
    const taken = this.#table
      .on(resource)
      .filter((lock) => lock.isMatchable && lock.isIdle && goesEarly(lock, inodeBits));
    return this.#handlesOf(taken);
  }

  /** The object is about to be destroyed: what can goes back unasked; what is not written the server tells to drop. */
  async dropUnused(resource: ResourceId): Promise<void> {
    const { goesAtOnce } = this.#options;
    const idle = this.#table.on(resource).filter((lock) => lock.isMatchable && lock.isIdle);
    const handles = await this.#handlesOf(idle.filter((lock) => goesAtOnce?.(lock) === true));
    for (const handle of handles) this.#cancels.later(handle);
  }

  /** Unused locks that have to make room, to go back with a request of ours (guide 08 §9). */
  #takeUnused(most: () => number): ClientLock[] {
    const { import: imp, onBlocking, goesAtOnce } = this.#options;
    if (((imp.granted?.ocd_connect_flags ?? 0n) & ConnectFlag.OBD_CONNECT_CANCELSET) === 0n) return [];
    if (onBlocking !== undefined && goesAtOnce === undefined) return [];
    return this.#lru.take(most, (lock) => lock.isMatchable && (goesAtOnce?.(lock) ?? true));
  }

  /** Gives unused locks back in as few requests as can be, when the last of them is written. */
  async #giveBackTogether(locks: readonly ClientLock[]): Promise<void> {
    const handles = await this.#handlesOf(locks.filter((lock) => lock.isMatchable));
    for (const handle of handles) void this.#cancels.add(handle);
  }

  /** Gives locks back whose server handles go with a request of ours. */
  async #handlesOf(locks: readonly ClientLock[]): Promise<bigint[]> {
    await Promise.all(
      locks.map((lock) => {
        this.#lru.remove(lock);
        lock.cancelsByItself = false;
        lock.dispatch('cancel');
        return lock.gone;
      }),
    );
    // Some may have been wanted meanwhile, and be gone by themselves.
    return locks.filter((lock) => !lock.cancelsByItself).map(({ serverHandle }) => serverHandle);
  }

  /** Eviction: the server has none of our locks any more. */
  loseAll(): void {
    for (const ranges of this.#kept) ranges.lost();
    // The request of one that was not answered goes on or fails by itself.
    this.#lose(this.locks.filter(({ state }) => state !== 'SENT'));
  }

  #lose(locks: readonly ClientLock[]): void {
    const text = 'the server has evicted this client, its locks are lost';
    const reason = new LustreError('EIO', text, { target: this.name }, -Errno.EIO);
    for (const lock of locks) {
      const held = lock.isHeld || lock.isLeaving;
      lock.lose(reason);
      if (held) this.#options.onLost?.(lock);
    }
  }

  // For the callbacks (lock-callbacks.ts).

  /** By our handle, as ASTs give it. */
  byHandle(handle: bigint): ClientLock | undefined {
    return this.#table.byHandle(handle);
  }

  /** The server wants the lock back, or some of its inode bits. */
  blocked(lock: ClientLock, discardData: boolean, bits = WHOLE_LOCK): void {
    if (discardData) lock.discardData = true;
    lock.wantedBits |= bits;
    if (!lock.accepts('blocking')) return;
    // The request that is to take it back may itself have to wait for whoever wants it.
    if (lock.state === 'FLUSHING') lock.cancelsByItself = true;
    lock.dispatch('blocking');
    this.#lru.remove(lock);
    if (lock.isIdle && lock.accepts('idle')) this.#giveBack(lock);
  }

  /** The lock is granted, as a completion AST says. */
  completed(lock: ClientLock, serverHandle: bigint, desc: LockReply['lock_desc'], lvb: Uint8Array): void {
    if (lock.state !== 'SENT' && lock.state !== 'BLOCKED') return;
    if (lock.serverHandle === 0n) lock.serverHandle = serverHandle;
    // A wait that its own owner has cancelled (guide 08 §8).
    if (desc.l_granted_mode === 0) {
      this.refused(lock, Errno.ECANCELED);
      return;
    }
    this.#adopt(lock, desc, desc.l_granted_mode, true);
    lock.lvb = lvb.slice();
    lock.dispatch('granted');
  }

  /** The server will not grant it after all. */
  refused(lock: ClientLock, errno: number): void {
    lock.fail(errnoError(errno, { syscall: 'enqueue', target: this.name }));
  }

  /** What a glimpse is answered; undefined: the object is not known here. */
  glimpse(lock: ClientLock): Uint8Array | undefined {
    return this.#options.onGlimpse?.(lock);
  }

  // Actions of the lock's table.

  flush(lock: ClientLock): void {
    void this.#flush(lock);
  }

  dropBits(lock: ClientLock): void {
    const have = lock.policy.inodeBits ?? 0n;
    const gone = have & lock.wantedBits;
    // From here on they protect nothing; what is wanted besides is told meanwhile.
    lock.policy = inodeBitsPolicy(have & ~gone);
    lock.wantedBits = 0n;
    void this.#drop(lock, gone).then(() => {
      if (lock.accepts('converted')) lock.dispatch('converted');
    });
  }

  sendConvert(lock: ClientLock): void {
    void sendConvert(this.#options.import, this.#runtime, lock).then((known) => {
      if (!known) this.#startCancel(lock);
    });
    const wanted = lock.wantedBits & (lock.policy.inodeBits ?? 0n);
    lock.wantedBits = 0n;
    this.#lru.add(lock);
    if (wanted !== 0n) this.blocked(lock, false, wanted);
  }

  sendCancel(lock: ClientLock): void {
    if (!lock.cancelsByItself) {
      lock.dispatch('sent');
      return;
    }
    void this.#cancels.add(lock.serverHandle).then(() => {
      if (lock.accepts('sent')) lock.dispatch('sent');
    });
  }

  forget(lock: ClientLock): void {
    this.#table.remove(lock);
    this.#lru.remove(lock);
  }

  async #flush(lock: ClientLock): Promise<void> {
    if (lock.type !== LockType.LDLM_FLOCK) await this.#drop(lock, lock.policy.inodeBits ?? 0n);
    if (lock.accepts('flushed')) lock.dispatch('flushed');
  }

  /** Drops what is cached under these bits of the lock. */
  async #drop(lock: ClientLock, bits: bigint): Promise<void> {
    try {
      await this.#options.onBlocking?.(lock, bits);
    } catch (error) {
      this.#runtime.log.error({ err: error, lock: lock.describe() }, 'writing back before a cancel failed');
    }
  }

  /** Nobody uses a lock that is wanted back: it goes, or what is wanted of it. */
  #giveBack(lock: ClientLock): void {
    const keep = bitsToKeep(lock, this.#table, this.#options.import.granted);
    lock.dispatch(keep === 0n ? 'idle' : 'convert');
  }

  /** The reply of a lock that is or will be granted (guide 08 §3.1 step 3). */
  #takeReply(lock: ClientLock, values: LockBuffers): void {
    const rep = values.dlm_rep;
    if (rep === undefined || rep.lock_handle === 0n) {
      const error = new ProtocolError('EPROTO', 'an enqueue was answered without a lock', {
        target: this.name,
      });
      lock.fail(error);
      throw error;
    }
    // The completion AST came first, then an eviction: the request, sent again, got a lock that nobody here waits for.
    if (lock.state === 'DESTROYED' && lock.serverHandle !== rep.lock_handle) {
      void this.#cancels.add(rep.lock_handle);
      return;
    }
    const flags = rep.lock_flags >>> 0;
    lock.serverHandle = rep.lock_handle;
    if ((flags & LockFlag.LDLM_FL_AST_SENT) !== 0 && lock.accepts('blocking')) {
      lock.wantedBits |= rep.lock_desc.l_policy_data.l_inodebits.cancel_bits || WHOLE_LOCK;
      lock.dispatch('blocking');
    }
    // A completion AST that overtook the reply has said all of this, and later.
    if (lock.state !== 'SENT') return;
    if ((flags & LockFlag.LDLM_FL_LOCK_CHANGED) !== 0)
      this.#adopt(lock, rep.lock_desc, rep.lock_desc.l_req_mode, true);
    else this.#adopt(lock, rep.lock_desc, lock.mode, lock.type === LockType.LDLM_EXTENT);
    // Optional bits that were granted are in `inodeBits` now.
    if (lock.policy.tryBits !== undefined) lock.policy = inodeBitsPolicy(lock.policy.inodeBits ?? 0n);
    lock.lvb = values.dlm_lvb?.slice() ?? NO_LVB;
    const waits = (flags & (LockFlag.LDLM_FL_BLOCK_GRANTED | LockFlag.LDLM_FL_BLOCK_WAIT)) !== 0;
    lock.dispatch(waits ? 'blocked' : 'granted');
  }

  /** Takes mode, policy and resource over from the server. Fails the lock when they make no sense. */
  #adopt(lock: ClientLock, desc: LockReply['lock_desc'], mode: number, policy: boolean): void {
    const resource = resourceName(desc.l_resource.lr_name.name);
    const type = desc.l_resource.lr_type;
    if (!isLockMode(mode) || !isLockType(type) || type !== lock.type) {
      const error = new ProtocolError('EPROTO', `a lock came back with type ${type} and mode ${mode}`, {
        target: this.name,
      });
      lock.fail(error);
      throw error;
    }
    lock.mode = mode;
    this.#table.move(lock, resource);
    if (policy && type !== LockType.LDLM_PLAIN)
      this.#table.setPolicy(lock, decodePolicy(type, desc.l_policy_data));
  }

  /**
   * A granted lock meets its first user. An equal one that was there before is used instead and the new one goes back
   * (guide 10 §3); one that is wanted back already goes when the user is done.
   */
  #settle(lock: ClientLock): ClientLock {
    if (lock.isWantedBack && lock.accepts('blocking')) lock.dispatch('blocking');
    if (lock.type !== LockType.LDLM_IBITS || lock.mode === LockMode.LCK_GROUP || !lock.isMatchable)
      return lock;
    const twin = this.#table.findTwin(lock);
    if (twin === undefined) return lock;
    this.addReference(twin);
    lock.dropReference();
    this.#startCancel(lock);
    return twin;
  }

  /** The server keeps ranges by owner, not this handle: there is nothing to give back but the range (guide 08 §8). */
  #forgetFlock(lock: ClientLock): void {
    lock.cancelsByItself = false;
    this.#startCancel(lock);
  }

  #startCancel(lock: ClientLock): void {
    this.#lru.remove(lock);
    if (lock.accepts('cancel')) lock.dispatch('cancel');
  }
}
