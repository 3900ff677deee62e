/** Advisory file locks of one namespace: who holds what, who waits (guide 08 §8). Ranges live apart from lock handles, because
 * one request can merge, split or end several. */
import type { Export } from '../connection/target.ts';
import { Errno } from '../runtime/errors.ts';
import { LockFlag, LockMode } from '../wire/ldlm-constants.ts';
import { applyFlock, type FlockRange, flockConflict, flockDeadlock } from './flock-policy.ts';
import type { ServerLock } from './server-lock.ts';

interface FlockFile {
  held: FlockRange[];
  waiting: { readonly lock: ServerLock; readonly range: FlockRange }[];
}

export type FlockAnswer =
  | { readonly kind: 'granted' }
  | { readonly kind: 'waiting' }
  /** For F_GETLK: who is in the way, or undefined. */
  | { readonly kind: 'tested'; readonly conflict: FlockRange | undefined }
  | { readonly kind: 'refused'; readonly errno: number };

export interface FlockOwner {
  granted(lock: ServerLock): void;
  refused(lock: ServerLock, flags: number): void;
}

/** Most ranges one file may have; more is refused as a lock table that is full. */
const RANGES_MAX = 65_536;

export class ServerFlocks {
  readonly #files = new Map<string, FlockFile>();
  readonly #owner: FlockOwner;

  constructor(owner: FlockOwner) {
    this.#owner = owner;
  }

  /** F_SETLK, F_SETLKW, F_GETLK and unlock, by the request's flags and mode. */
  request(lock: ServerLock): FlockAnswer {
    const range = rangeOf(lock);
    if (range === undefined || range.start > range.end) return { kind: 'refused', errno: Errno.EINVAL };
    const key = lock.resourceEntry.key;
    const file = this.#files.get(key) ?? { held: [], waiting: [] };
    const conflict = flockConflict(file.held, range);
    if ((lock.flags & LockFlag.LDLM_FL_TEST_LOCK) !== 0) return { kind: 'tested', conflict };
    if (conflict === undefined) {
      if (file.held.length >= RANGES_MAX) return { kind: 'refused', errno: Errno.ENOMEM };
      this.#files.set(key, file);
      if (range.mode === LockMode.LCK_NL) this.#withdraw(file, range);
      file.held = applyFlock(file.held, range);
      this.#reprocess(key, file);
      return { kind: 'granted' };
    }
    if ((lock.flags & LockFlag.LDLM_FL_BLOCK_NOWAIT) !== 0) return { kind: 'refused', errno: Errno.EAGAIN };
    if (flockDeadlock(range, conflict, (other) => this.#waitsFor(other)))
      return { kind: 'refused', errno: Errno.EDEADLK };
    this.#files.set(key, file);
    file.waiting.push({ lock, range });
    return { kind: 'waiting' };
  }

  /** A waiter whose lock was cancelled. */
  forget(lock: ServerLock): void {
    const file = this.#files.get(lock.resourceEntry.key);
    if (file !== undefined) file.waiting = file.waiting.filter((waiter) => waiter.lock !== lock);
  }

  /** The client is gone, and its locks with it. */
  dropExport(client: Export): void {
    for (const [key, file] of this.#files) {
      file.waiting = file.waiting.filter(({ range }) => range.client !== client);
      const before = file.held.length;
      file.held = file.held.filter((range) => range.client !== client);
      if (file.held.length !== before) this.#reprocess(key, file);
    }
  }

  /** An unlock of exactly a waiting range cancels the wait (F_CANCELLK). */
  #withdraw(file: FlockFile, unlocked: FlockRange): void {
    const cancelled = file.waiting.filter(
      ({ range }) =>
        range.client === unlocked.client &&
        range.owner === unlocked.owner &&
        range.start === unlocked.start &&
        range.end === unlocked.end,
    );
    file.waiting = file.waiting.filter((waiter) => !cancelled.includes(waiter));
    for (const { lock } of cancelled) this.#owner.refused(lock, 0);
  }

  /** Every grant may free what another waits for: from the start each time (guide 08 §11). */
  #reprocess(key: string, file: FlockFile): void {
    for (;;) {
      const next = file.waiting.find(({ range }) => flockConflict(file.held, range) === undefined);
      if (next === undefined) break;
      file.waiting = file.waiting.filter((waiter) => waiter !== next);
      file.held = applyFlock(file.held, next.range);
      this.#owner.granted(next.lock);
    }
    // A grant may also have closed a circle that was not one when the wait began.
    for (const waiter of [...file.waiting]) {
      const conflict = flockConflict(file.held, waiter.range);
      if (conflict === undefined || !flockDeadlock(waiter.range, conflict, (other) => this.#waitsFor(other)))
        continue;
      file.waiting = file.waiting.filter((other) => other !== waiter);
      this.#owner.refused(waiter.lock, LockFlag.LDLM_FL_AST_SENT | LockFlag.LDLM_FL_FLOCK_DEADLOCK);
    }
    if (file.held.length === 0 && file.waiting.length === 0) this.#files.delete(key);
  }

  /** What the owner of `range` waits for, on whatever file. */
  #waitsFor(range: FlockRange): FlockRange | undefined {
    for (const file of this.#files.values()) {
      for (const waiter of file.waiting) {
        if (waiter.range.client === range.client && waiter.range.owner === range.owner)
          return flockConflict(file.held, waiter.range);
      }
    }
    return undefined;
  }
}

function rangeOf(lock: ServerLock): FlockRange | undefined {
  const { flock } = lock.requestedPolicy;
  const legal =
    lock.mode === LockMode.LCK_PR || lock.mode === LockMode.LCK_PW || lock.mode === LockMode.LCK_NL;
  if (flock === undefined || !legal) return undefined;
  return { client: lock.client, mode: lock.mode, ...flock };
}
