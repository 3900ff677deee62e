/** A lock as the client keeps it (guide 08 §3.1, §11). */
import { type Actions, Automaton } from '../runtime/automaton.ts';
import type { LustreError } from '../runtime/errors.ts';
import {
  type ClientLockAction,
  type ClientLockEvent,
  type ClientLockState,
  clientLockStates,
} from './client-lock-states.ts';
import type { LockModeNumber, LockTypeNumber, Policy, ResourceId } from './lock.ts';
import { modeName } from './modes.ts';
import { resourceKey } from './resource-name.ts';

/** What the namespace does for a lock's table. */
export interface ClientLockActions {
  dropBits(lock: ClientLock): void;
  sendConvert(lock: ClientLock): void;
  flush(lock: ClientLock): void;
  sendCancel(lock: ClientLock): void;
  forget(lock: ClientLock): void;
}

/** One set of actions for all locks of a namespace: there may be many. */
export function clientLockActions(owner: ClientLockActions): Actions<ClientLockAction, ClientLock> {
  return {
    rememberBlocking: (lock) => lock.rememberBlocking(),
    wakeWaiter: (lock) => lock.wakeWaiter(),
    failWaiter: (lock) => lock.failWaiter(),
    dropBits: (lock) => owner.dropBits(lock),
    sendConvert: (lock) => owner.sendConvert(lock),
    flush: (lock) => owner.flush(lock),
    sendCancel: (lock) => owner.sendCancel(lock),
    forget: (lock) => owner.forget(lock),
  };
}

/** What a granting reply or completion AST says. */
export interface Grant {
  readonly mode: LockModeNumber;
  readonly policy: Policy;
}

/** For `wantedBits`: all of the lock. */
export const WHOLE_LOCK = 0xffff_ffff_ffff_ffffn;

export const NO_LVB = new Uint8Array(0);

export class ClientLock {
  /** C: our handle, which servers put into ASTs. */
  readonly handle: bigint;
  readonly type: LockTypeNumber;
  /** S: the server's handle; 0 until it is known. */
  serverHandle = 0n;
  resource: ResourceId;
  mode: LockModeNumber;
  policy: Policy;
  /** Bytes that came with the lock: ost_lvb, a layout. */
  lvb: Uint8Array = NO_LVB;
  /** What the lock protects need not be written before it goes back (the object is destroyed). */
  discardData = false;
  /** The inode bits that are wanted back. */
  wantedBits = 0n;
  /** False when its handle goes back with another request (guide 08 §5.3). */
  cancelsByItself = true;
  /** Runtime's milliseconds of the last release. */
  lastUsed = 0;
  readonly #automaton: Automaton<ClientLockState, ClientLockEvent, ClientLockAction, ClientLock>;
  #references = 0;
  #blockingRemembered = false;
  #waiter: { resolve(): void; reject(error: LustreError): void } | undefined;
  #failure: LustreError | undefined;
  #gone: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(
    o: {
      readonly handle: bigint;
      readonly type: LockTypeNumber;
      readonly resource: ResourceId;
      readonly mode: LockModeNumber;
      readonly policy: Policy;
    },
    actions: Actions<ClientLockAction, ClientLock>,
  ) {
    this.handle = o.handle;
    this.type = o.type;
    this.resource = o.resource;
    this.mode = o.mode;
    this.policy = o.policy;
    this.#automaton = new Automaton(clientLockStates, this, actions);
  }

  /** Settles when the lock has gone back or is lost. */
  get gone(): Promise<void> {
    if (this.state === 'DESTROYED') return Promise.resolve();
    if (this.#gone === undefined) {
      let resolve: () => void = () => undefined;
      const promise = new Promise<void>((done) => {
        resolve = done;
      });
      this.#gone = { promise, resolve };
    }
    return this.#gone.promise;
  }

  get state(): ClientLockState {
    return this.#automaton.state;
  }

  /** Users at work under it. */
  get references(): number {
    return this.#references;
  }

  /** It protects what its users do: granted and not on its way back. */
  get isHeld(): boolean {
    return this.state === 'GRANTED' || this.state === 'CBPENDING';
  }

  /** Being given back, whole or in part; the server has not heard of it. */
  get isLeaving(): boolean {
    return this.state === 'FLUSHING' || this.state === 'CONVERTING';
  }

  /** New users may join. */
  get isMatchable(): boolean {
    return this.state === 'GRANTED';
  }

  get isIdle(): boolean {
    return this.#references === 0;
  }

  /** A blocking AST came before the grant. */
  get isWantedBack(): boolean {
    return this.#blockingRemembered;
  }

  addReference(): void {
    this.#references++;
  }

  dropReference(): void {
    this.#references--;
  }

  dispatch(event: ClientLockEvent): void {
    this.#automaton.dispatch(event, this);
    if (this.state === 'DESTROYED') this.#gone?.resolve();
  }

  accepts(event: ClientLockEvent): boolean {
    return this.#automaton.accepts(event);
  }

  /** Ends a lock that was never granted; whoever waits for it gets `reason`. */
  fail(reason: LustreError): void {
    if (!this.accepts('failed')) return;
    this.#failure = reason;
    this.dispatch('failed');
  }

  /** Gives up waiting for it; whoever waits gets `reason`. */
  abandon(reason: LustreError): void {
    if (!this.accepts('abandon')) return;
    this.#failure = reason;
    this.dispatch('abandon');
  }

  /** The import's server forgot it. */
  lose(reason: LustreError): void {
    if (!this.accepts('lost')) return;
    this.#failure = reason;
    this.dispatch('lost');
  }

  /** Resolves when granted, rejects with what failed it. */
  untilGranted(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.state !== 'SENT' && this.state !== 'BLOCKED') return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  /** `PW 0x280000401:0x20:0x0:0x0`, for the log. */
  describe(): string {
    return `${modeName(this.mode)} ${resourceKey(this.resource)}`;
  }

  // Actions of the table.

  rememberBlocking(): void {
    this.#blockingRemembered = true;
  }

  wakeWaiter(): void {
    this.#waiter?.resolve();
    this.#waiter = undefined;
  }

  failWaiter(): void {
    if (this.#failure !== undefined) this.#waiter?.reject(this.#failure);
  }
}
