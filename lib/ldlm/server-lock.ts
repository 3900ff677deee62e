/** A lock as the server keeps it, and the resource whose queues it stands in (guide 08 §1, §3.2). */
import type { Export } from '../connection/target.ts';
import { type Actions, Automaton } from '../runtime/automaton.ts';
import type { Timer } from '../runtime/runtime.ts';
import { LockFlag } from '../wire/ldlm-constants.ts';
import { GrantedLocks } from './granted-locks.ts';
import type { Extent, LockModeNumber, LockTypeNumber, Policy, ResourceId } from './lock.ts';
import { modeName } from './modes.ts';
import {
  type ServerLockAction,
  type ServerLockEvent,
  type ServerLockState,
  serverLockStates,
} from './server-lock-states.ts';

const WHOLE: Extent = { start: 0n, end: 0xffff_ffff_ffff_ffffn };

/** What the namespace does for a lock's table. */
export interface ServerLockActions {
  tellGranted(lock: ServerLock): void;
  sendBlocking(lock: ServerLock): void;
  evictHolder(lock: ServerLock): void;
}

/** One set of actions for all locks of a namespace: there may be millions. */
export function serverLockActions(owner: ServerLockActions): Actions<ServerLockAction, ServerLock> {
  return {
    tellGranted: (lock) => owner.tellGranted(lock),
    sendBlocking: (lock) => owner.sendBlocking(lock),
    stopTimer: (lock) => lock.stopTimer(),
    evictHolder: (lock) => owner.evictHolder(lock),
  };
}

export interface ServerLockOptions {
  /** C: the client's handle; 0 for the server's own locks. */
  readonly clientHandle: bigint;
  /** The holder; undefined for the server's own locks. */
  readonly client: Export | undefined;
  readonly type: LockTypeNumber;
  readonly mode: LockModeNumber;
  readonly policy: Policy;
  /** Request flags (LDLM_FL_*). */
  readonly flags: number;
}

const NOBODY: ReadonlySet<ServerLock> = new Set();

/** A named thing that is locked. */
export class ServerResource {
  readonly id: ResourceId;
  readonly key: string;
  readonly type: LockTypeNumber;
  readonly granted = new GrantedLocks<ServerLock>();
  /** Made for the first that waits: on most resources nobody ever does. */
  #waiting: Set<ServerLock> | undefined;
  /** Sizes and times that holders have told since the last of them wrote back (guide 08 §7); undefined when disk is right. */
  glimpsed: Uint8Array | undefined;
  /** Counts how often that was forgotten: what a holder was asked for before is not to be remembered after. */
  glimpseAge = 0;
  /** When more wanted it at once than the server likes, on the runtime's clock. */
  contendedAt: number | undefined;

  constructor(id: ResourceId, key: string, type: LockTypeNumber) {
    this.id = id;
    this.key = key;
    this.type = type;
  }

  /** The disk says it all from now on. */
  forgetGlimpsed(): void {
    this.glimpsed = undefined;
    this.glimpseAge++;
  }

  /** In order of arrival. */
  get waiting(): ReadonlySet<ServerLock> {
    return this.#waiting ?? NOBODY;
  }

  /** At the end of the queue. */
  wait(lock: ServerLock): void {
    this.#waiting ??= new Set();
    this.#waiting.add(lock);
  }

  endWait(lock: ServerLock): void {
    this.#waiting?.delete(lock);
  }
}

export class ServerLock {
  readonly handle: bigint;
  readonly clientHandle: bigint;
  readonly client: Export | undefined;
  readonly type: LockTypeNumber;
  readonly mode: LockModeNumber;
  readonly resourceEntry: ServerResource;
  /** What was asked for. */
  readonly requestedPolicy: Policy;
  readonly flags: number;
  readonly #automaton: Automaton<ServerLockState, ServerLockEvent, ServerLockAction, ServerLock>;
  /** What is granted; until then what was asked for. */
  policy: Policy;
  /** The first lock that has to wait for this one. */
  blocker: ServerLock | undefined;
  /** The client has been told of the lock: from now on conflicts and grants go to it as ASTs. */
  told = false;
  timer: Timer | undefined;
  /** When the blocking AST was sent, on the runtime's clock. */
  blockingSince: number | undefined;
  /** Resolves the wait of the server's own code. */
  onGranted: (() => void) | undefined;

  /** `handle`, S, is this server's. */
  constructor(
    resource: ServerResource,
    handle: bigint,
    o: ServerLockOptions,
    actions: Actions<ServerLockAction, ServerLock>,
  ) {
    this.resourceEntry = resource;
    this.handle = handle;
    this.clientHandle = o.clientHandle;
    this.client = o.client;
    this.type = o.type;
    this.mode = o.mode;
    this.policy = o.policy;
    this.requestedPolicy = o.policy;
    this.flags = o.flags;
    this.#automaton = new Automaton(serverLockStates, this, actions);
  }

  get state(): ServerLockState {
    return this.#automaton.state;
  }

  get isGranted(): boolean {
    return this.state === 'GRANTED' || this.state === 'BLOCKING';
  }

  get isCancelled(): boolean {
    return this.state === 'CANCELLED';
  }

  get resource(): ResourceId {
    return this.resourceEntry.id;
  }

  /** For extent growth. */
  get requested(): Extent {
    return this.requestedPolicy.extent ?? WHOLE;
  }

  get expands(): boolean {
    return this.client !== undefined && (this.flags & LockFlag.LDLM_FL_NO_EXPANSION) === 0;
  }

  dispatch(event: ServerLockEvent): void {
    this.#automaton.dispatch(event, this);
  }

  accepts(event: ServerLockEvent): boolean {
    return this.#automaton.accepts(event);
  }

  stopTimer(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.blockingSince = undefined;
  }

  /** `PW 0x280000401:0x20:0x0:0x0 [0, 4095]`, for the log. */
  describe(): string {
    const { extent, inodeBits } = this.policy;
    const what =
      extent !== undefined
        ? ` [${extent.start}, ${extent.end}]`
        : inodeBits !== undefined
          ? ` bits 0x${inodeBits.toString(16)}`
          : '';
    return `${modeName(this.mode)} ${this.resourceEntry.key}${what}`;
  }
}
