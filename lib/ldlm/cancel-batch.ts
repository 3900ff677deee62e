/** Handles on their way back to a server, many in one CANCEL (guide 08 §5.2). */
import type { Caller } from '../rpc/rpc.ts';
import { Errno, errnoOf } from '../runtime/errors.ts';
import type { Runtime, Timer } from '../runtime/runtime.ts';
import { RQF_LDLM_CANCEL } from '../wire/formats.ts';

/** Handles in one request: what fits a page beside the rest. */
const BATCH_MAX = 500;
/** How long a handle that nobody waits for waits for others, milliseconds. */
const GATHER_MS = 20;
/** The server has none of them any more, or has forgotten us: the locks are gone either way. */
const harmless: ReadonlySet<number> = new Set([Errno.ESTALE, Errno.ENOTCONN, Errno.ESHUTDOWN]);

export class CancelBatch {
  readonly #caller: Caller;
  readonly #runtime: Runtime;
  #pending: bigint[] = [];
  #scheduled: Promise<void> | undefined;
  #unhurried: bigint[] = [];
  #timer: Timer | undefined;

  constructor(caller: Caller, runtime: Runtime) {
    this.#caller = caller;
    this.#runtime = runtime;
  }

  /** Resolves when the server has answered, or will not. */
  add(serverHandle: bigint): Promise<void> {
    this.#pending.push(serverHandle);
    this.#scheduled ??= Promise.resolve().then(() => this.#flush());
    return this.#scheduled;
  }

  /** With others that come soon: nobody waits for it. */
  later(serverHandle: bigint): void {
    this.#unhurried.push(serverHandle);
    if (this.#unhurried.length >= BATCH_MAX) void this.sendAll();
    else this.#timer ??= this.#runtime.after(GATHER_MS, () => void this.sendAll());
  }

  /** All that waits for others goes now. Resolves when the server has answered. */
  async sendAll(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    const handles = this.#unhurried;
    this.#unhurried = [];
    if (handles.length > 0) await this.#send(handles);
  }

  /** One handle in a request of its own. False when the server has no such lock. */
  async single(serverHandle: bigint): Promise<boolean> {
    try {
      await this.#caller.call(RQF_LDLM_CANCEL, { dlm_req: { lock_count: 1, lock_handle: [serverHandle] } });
      return true;
    } catch (error) {
      if (errnoOf(error) === Errno.ESTALE) return false;
      throw error;
    }
  }

  async #flush(): Promise<void> {
    const handles = this.#pending;
    this.#pending = [];
    this.#scheduled = undefined;
    const sends: Promise<void>[] = [];
    for (let i = 0; i < handles.length; i += BATCH_MAX)
      sends.push(this.#send(handles.slice(i, i + BATCH_MAX)));
    await Promise.all(sends);
  }

  async #send(handles: readonly bigint[]): Promise<void> {
    try {
      await this.#caller.call(RQF_LDLM_CANCEL, {
        dlm_req: { lock_count: handles.length, lock_handle: handles },
      });
    } catch (error) {
      // The locks are dropped here all the same: a server that missed it asks again and is told EINVAL.
      if (!harmless.has(errnoOf(error)))
        this.#runtime.log.warn({ err: error, locks: handles.length }, 'cancelling locks failed');
    }
  }
}
