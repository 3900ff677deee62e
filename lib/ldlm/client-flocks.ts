/** Advisory file locks as a client asks for them (guide 08 §8): ranges of an owner, set, waited for, unlocked, tested. */
import type { CallOptions } from '../rpc/rpc.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { LockFlag, LockMode, LockType } from '../wire/ldlm-constants.ts';
import type { ClientNamespace } from './client-namespace.ts';
import type { LockModeNumber, Policy, ResourceId } from './lock.ts';

export interface FlockWish {
  readonly resource: ResourceId;
  /** PR, PW, or NL to unlock. */
  readonly mode: LockModeNumber;
  readonly range: NonNullable<Policy['flock']>;
  /** False: refused with EAGAIN when somebody is in the way. */
  readonly wait: boolean;
  readonly context?: CallOptions['context'];
}

export type FlockHolder = NonNullable<Policy['flock']> & { readonly mode: LockModeNumber };

export class ClientFlocks {
  readonly #namespace: ClientNamespace;
  readonly #runtime: Runtime;

  constructor(namespace: ClientNamespace, runtime: Runtime) {
    this.#namespace = namespace;
    this.#runtime = runtime;
  }

  /**
   * Resolves when the range is the owner's. Rejects with EAGAIN, EDEADLK, ENOLCK, the import's errors, or with the signal's
   * reason: then the owner has the range as little as before, unless the server had granted it that very moment.
   */
  async set(wish: FlockWish, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    // The signal must not end the request itself: what became of it has to be known.
    const asked = this.#ask(wish, wish.wait ? 0 : LockFlag.LDLM_FL_BLOCK_NOWAIT);
    const held = asked.then(async ({ lock }) => {
      if (lock === undefined) return;
      await lock.untilGranted();
      this.#namespace.release(lock);
    });
    if (signal === undefined) return held;
    let over = false;
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => {
        if (over) return;
        over = true;
        reject(signal.reason);
        this.#takeBack(wish, asked).catch((err: unknown) =>
          this.#runtime.log.warn({ err }, 'a file lock that was given up could not be taken back'),
        );
      };
      signal.addEventListener('abort', abort, { once: true });
      held
        .finally(() => {
          over = true;
          signal.removeEventListener('abort', abort);
        })
        .then(resolve, reject);
    });
  }

  /** Who is in the way of a lock; undefined when nobody is. */
  async test(wish: Omit<FlockWish, 'wait'>, signal?: AbortSignal): Promise<FlockHolder | undefined> {
    const { lock } = await this.#ask(wish, LockFlag.LDLM_FL_TEST_LOCK, signal);
    if (lock === undefined) return undefined;
    const { mode, policy } = lock;
    this.#namespace.release(lock);
    if (mode === LockMode.LCK_NL || policy.flock === undefined) return undefined;
    return { ...policy.flock, mode };
  }

  #ask(
    { resource, mode, range, context }: Omit<FlockWish, 'wait'>,
    flags: number,
    signal?: AbortSignal,
  ): ReturnType<ClientNamespace['ask']> {
    return this.#namespace.ask({
      resource,
      type: LockType.LDLM_FLOCK,
      mode,
      policy: { flock: range },
      flags,
      modifies: true,
      ...(context !== undefined && { context }),
      ...(signal !== undefined && { signal }),
    });
  }

  async #takeBack(wish: FlockWish, asked: ReturnType<ClientNamespace['ask']>): Promise<void> {
    const result = await asked.catch(() => undefined);
    if (result?.lock === undefined) return;
    const { lock } = result;
    if (lock.state === 'BLOCKED' && (await this.#namespace.abandon(lock))) return;
    if (lock.isHeld) this.#namespace.release(lock);
    await this.set({ ...wish, mode: LockMode.LCK_NL, wait: false });
  }
}
