/** Advisory file locks as a client asks for them (guide 08 §8): ranges of an owner, set, waited for, unlocked, tested. */
import type { CallOptions } from '../rpc/rpc.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { LockFlag, LockMode, LockType } from '../wire/ldlm-constants.ts';
import type { ClientNamespace } from './client-namespace.ts';
import type { Describable } from './description.ts';
import { applyFlock, type FlockRange } from './flock-policy.ts';
import type { LockModeNumber, Policy, ResourceId } from './lock.ts';
import { resourceKey } from './resource-name.ts';

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
  /** What the server has given, by file: it wants that back after a restart. */
  readonly #files = new Map<string, { readonly resource: ResourceId; held: FlockRange[] }>();

  constructor(namespace: ClientNamespace, runtime: Runtime) {
    this.#namespace = namespace;
    this.#runtime = runtime;
    namespace.keeps({ ranges: () => this.#ranges(), lost: () => this.#files.clear() });
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
      if (lock !== undefined) {
        await lock.untilGranted();
        this.#namespace.release(lock);
      }
      this.#note(wish);
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

  #note({ resource, mode, range }: FlockWish): void {
    const key = resourceKey(resource);
    const { held } = this.#files.get(key) ?? { held: [] };
    const after = applyFlock(held, { client: undefined, ...range, mode });
    if (after.length === 0) this.#files.delete(key);
    else this.#files.set(key, { resource, held: after });
  }

  *#ranges(): Iterable<Describable> {
    for (const { resource, held } of this.#files.values())
      for (const { mode, start, end, owner, pid } of held)
        yield { type: LockType.LDLM_FLOCK, resource, mode, policy: { flock: { start, end, owner, pid } } };
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
