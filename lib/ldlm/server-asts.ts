/**
 * The server's callbacks to lock holders (guide 08 §4): blocking, completion and glimpse ASTs, sent again while the client
 * may be reconnecting, and the timer by which a blocked lock must be back.
 */
import type { Export } from '../connection/target.ts';
import { Errno, errnoOf } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { LdlmRequestInput } from '../wire/format.ts';
import { RQF_LDLM_BL_CALLBACK, RQF_LDLM_CP_CALLBACK, RQF_LDLM_GL_CALLBACK } from '../wire/formats.ts';
import { LockFlag, LockMode } from '../wire/ldlm-constants.ts';
import { type Describable, describeBlocker, describeLock } from './description.ts';
import type { ServerLock } from './server-lock.ts';

/** Between two attempts at a callback whose connection failed. */
const RETRY_MS = 1000;
/** One attempt at a callback. */
const ATTEMPT_MS = 7000;
/** Failures of the way to the client, not of the client. */
const transient: ReadonlySet<number> = new Set([
  Errno.ETIMEDOUT,
  Errno.ECONNRESET,
  Errno.ECONNREFUSED,
  Errno.EHOSTUNREACH,
  Errno.EAGAIN,
]);
/** The client is going away: its locks go with its export. */
const leaving: ReadonlySet<number> = new Set([Errno.ENODEV, Errno.ESHUTDOWN]);

export interface AstOwner {
  readonly runtime: Runtime;
  /** How long a client has to answer and to give a lock back, milliseconds. */
  timeoutOf(client: Export): number;
  /** The holder's reads or writes under it are at work here. */
  isBusy(lock: ServerLock): boolean;
  isGone(client: Export): boolean;
  /** The client does not have the lock any more ("normal race", guide 08 §4.3). */
  cancelByServer(lock: ServerLock): void;
  evict(client: Export, reason: string): void;
}

export class ServerAsts {
  readonly #owner: AstOwner;

  constructor(owner: AstOwner) {
    this.#owner = owner;
  }

  /** Asks the holder for its lock. */
  sendBlocking(lock: ServerLock): void {
    const { blocker, client } = lock;
    if (client === undefined) return;
    this.startTimer(lock);
    const discard = ((blocker?.flags ?? 0) & LockFlag.LDLM_FL_AST_DISCARD_DATA) !== 0;
    const dlm_req: LdlmRequestInput = {
      lock_flags: discard ? LockFlag.LDLM_FL_DISCARD_DATA : 0,
      // The server wants it back for itself: as if somebody asked for all of it.
      lock_desc: describeBlocker(blocker ?? { ...described(lock), mode: LockMode.LCK_EX }),
      lock_handle: [lock.clientHandle, lock.handle],
    };
    void this.#deliver(lock, client, 'blocking', (timeoutMs) =>
      client.callback(RQF_LDLM_BL_CALLBACK, { dlm_req }, { timeoutMs }),
    );
  }

  /** Tells a waiter that its lock is granted. */
  sendCompletion(lock: ServerLock, lvb: Uint8Array): void {
    const { client } = lock;
    if (client === undefined) return;
    // Somebody waits for it already: the client is told at once (guide 08 §4.2).
    const blocked = lock.state === 'BLOCKING';
    if (blocked) this.startTimer(lock);
    const dlm_req: LdlmRequestInput = {
      lock_flags: blocked ? LockFlag.LDLM_FL_AST_SENT : 0,
      lock_desc: describeLock(lock, lock.mode),
      lock_handle: [lock.clientHandle, lock.handle],
    };
    void this.#deliver(lock, client, 'completion', (timeoutMs) =>
      client.callback(RQF_LDLM_CP_CALLBACK, { dlm_req, dlm_lvb: lvb }, { timeoutMs }),
    );
  }

  /** A waiter is refused after all (flock deadlock or its own cancellation, guide 08 §8). */
  sendRefusal(lock: ServerLock, flags: number): void {
    const { client } = lock;
    if (client === undefined) return;
    const dlm_req: LdlmRequestInput = {
      lock_flags: flags,
      lock_desc: describeLock(lock, 0),
      lock_handle: [lock.clientHandle, lock.handle],
    };
    void this.#deliver(lock, client, 'completion', (timeoutMs) =>
      client.callback(RQF_LDLM_CP_CALLBACK, { dlm_req, dlm_lvb: new Uint8Array(0) }, { timeoutMs }),
    );
  }

  /** What the holder of a write lock knows of the object: its LVB, or undefined when disk knows better. */
  async glimpse(lock: ServerLock): Promise<Uint8Array | undefined> {
    const { client } = lock;
    if (client === undefined) return undefined;
    const dlm_req: LdlmRequestInput = {
      lock_desc: describeLock(lock, lock.mode),
      lock_handle: [lock.clientHandle],
    };
    let lvb: Uint8Array | undefined;
    await this.#deliver(lock, client, 'glimpse', async (timeoutMs) => {
      const reply = await client.callback(RQF_LDLM_GL_CALLBACK, { dlm_req }, { timeoutMs });
      lvb = reply.values.dlm_lvb;
    });
    return lvb;
  }

  /** From now on the holder has its whole time to give the lock back, half of it again while it is at work (guide 08 §4.4). */
  startTimer(lock: ServerLock): void {
    if (lock.client === undefined) return;
    lock.blockingSince ??= this.#owner.runtime.now();
    this.#armTimer(lock, this.#owner.timeoutOf(lock.client));
  }

  #armTimer(lock: ServerLock, wholeMs: number, timeoutMs = wholeMs): void {
    lock.timer?.cancel();
    lock.timer = this.#owner.runtime.after(timeoutMs, () => {
      lock.timer = undefined;
      if (this.#owner.isBusy(lock)) this.#armTimer(lock, wholeMs, wholeMs / 2);
      else if (lock.accepts('expire')) lock.dispatch('expire');
    });
  }

  async #deliver(
    lock: ServerLock,
    client: Export,
    kind: 'blocking' | 'completion' | 'glimpse',
    send: (timeoutMs: number) => Promise<unknown>,
  ): Promise<void> {
    const { runtime } = this.#owner;
    const timeoutMs = this.#owner.timeoutOf(client);
    const deadline = runtime.now() + timeoutMs;
    for (;;) {
      const started = runtime.now();
      try {
        await send(Math.min(ATTEMPT_MS, timeoutMs));
        return;
      } catch (error) {
        if (lock.isCancelled || this.#owner.isGone(client)) return;
        const errno = errnoOf(error);
        // -ELDLM_NO_LOCK_DATA: the object is unknown to the client; disk is right.
        if (leaving.has(errno) || (kind === 'glimpse' && errno === 303)) return;
        if (errno === Errno.EINVAL) {
          this.#owner.cancelByServer(lock);
          return;
        }
        if (!transient.has(errno) || runtime.now() >= deadline) {
          this.#owner.evict(client, `${kind} AST for ${lock.describe()} failed: ${messageOf(error)}`);
          return;
        }
      }
      await this.#pause(Math.max(0, RETRY_MS - (runtime.now() - started)));
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#owner.runtime.after(ms, resolve);
    });
  }
}

function described({ type, resource, mode, policy }: ServerLock): Describable {
  return { type, resource, mode, policy };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
