/**
 * Cached data of all files of a mount (guide 11 §5): objects by name, what happens to them when locks go, the age at which
 * bytes are written, and the errors of writes that nobody waited for.
 */
import type { ClientLock } from '../../ldlm/client-lock.ts';
import type { KeptBulk } from '../../rpc/rpc.ts';
import { Errno, errnoError, type LustreError } from '../../runtime/errors.ts';
import type { Timer } from '../../runtime/runtime.ts';
import { LockMode, LockType } from '../../wire/ldlm-constants.ts';
import type { LockHook } from '../lock-hooks.ts';
import type { DirtyObjects } from '../objects/dirty-objects.ts';
import type { Stripe } from '../objects/file-objects.ts';
import type { Part } from '../osc/brw.ts';
import { resourceKey } from '../osc/known-objects.ts';
import { EOF } from '../osc/stripe-object.ts';
import type { RequestContext } from '../request-options.ts';
import type { Session } from '../session.ts';
import { CacheMemory } from './cache-memory.ts';
import { CachedObject, type ObjectContext } from './cached-object.ts';

/** How long bytes wait for company before they are written, milliseconds; looked at every half of it. */
const DIRTY_AGE_MS = 1000;
/** Files whose failed writes are remembered. */
const FAILURES_MAX = 1000;
/** What goes round the cache is copied up to here until it is on disk, bytes; larger ones cost too much. */
const COPY_MAX = 1 << 20;

/** An open file, as far as it is told of failures. */
export interface Writer {
  readonly inode: { readonly key: string };
  /** How many it knows of, or were before it. */
  failuresSeen: number;
}

interface Failures {
  readonly count: number;
  readonly error: Error;
}

export class DataCache implements LockHook {
  readonly memory: CacheMemory;
  readonly #session: Session;
  readonly #context: ObjectContext;
  readonly #objects = new Map<string, CachedObject>();
  readonly #byFile = new Map<string, Set<CachedObject>>();
  readonly #failures = new Map<string, Failures>();
  #timer: Timer | undefined;

  constructor(session: Session, dirty: DirtyObjects) {
    const { endpoint, runtime, owner } = session;
    this.#session = session;
    this.memory = new CacheMemory(
      endpoint,
      runtime,
      () => session.settings.cacheBytes,
      () => this.#startTimer(),
    );
    dirty.follow({
      lost: (fileKey, error) => this.#failed(fileKey, error),
      copy: (part) => this.#keepCopy(part),
    });
    this.#context = {
      memory: this.memory,
      now: () => Math.floor(runtime.wallTime() / 1000),
      owner,
      dirty,
      failed: (fileKey, error) => this.#failed(fileKey, error),
      empty: (object) => this.#empty(object),
    };
  }

  /** The cached data of an object, for one operation; `letGo` must follow. */
  hold(stripe: Stripe, fileKey: string): CachedObject {
    const name = nameOf(stripe.ost.index, stripe.key);
    let object = this.#objects.get(name);
    if (object === undefined) {
      object = new CachedObject(stripe, fileKey, this.#context);
      this.#objects.set(name, object);
      const ofFile = this.#byFile.get(fileKey);
      if (ofFile === undefined) this.#byFile.set(fileKey, new Set([object]));
      else ofFile.add(object);
    }
    object.users++;
    return object;
  }

  letGo(object: CachedObject): void {
    object.users--;
    if (object.isEmpty) this.#context.empty(object);
  }

  #empty(object: CachedObject): void {
    const name = nameOf(object.stripe.ost.index, object.stripe.key);
    if (this.#objects.get(name) !== object) return;
    this.#objects.delete(name);
    const ofFile = this.#byFile.get(object.fileKey);
    ofFile?.delete(object);
    if (ofFile?.size === 0) this.#byFile.delete(object.fileKey);
  }

  /** Resolves when what is dirty now of a file has been written, or could not be (`failures`). */
  async flushFile(fileKey: string): Promise<void> {
    const objects = [...(this.#byFile.get(fileKey) ?? [])];
    await Promise.all(objects.map((object) => object.flush(0, Number.POSITIVE_INFINITY)));
  }

  async flushAll(): Promise<void> {
    const objects = [...this.#objects.values()];
    await Promise.all(objects.map((object) => object.flush(0, Number.POSITIVE_INFINITY)));
  }

  /** Bytes of a caller's, as they are now. */
  #keepCopy({ segments, length }: Part): KeptBulk | undefined {
    if (length > COPY_MAX || !this.memory.mayKeep(length)) return undefined;
    this.memory.takeAnyway(length);
    const memory = this.memory.allocate(length);
    let at = 0;
    for (const segment of segments) {
      memory.bytes.set(segment.memory.bytes.subarray(segment.offset, segment.offset + segment.length), at);
      at += segment.length;
    }
    this.memory.keeping(length);
    const release = (): void => {
      this.memory.free(memory);
      this.memory.keeping(-length);
    };
    return { segments: [{ memory, offset: 0, length }], release };
  }

  /** How often writing a file's data has failed. */
  failures(fileKey: string): number {
    return this.#failures.get(fileKey)?.count ?? 0;
  }

  /** Throws what became of writes of the file that nobody waited for: once for each of its open files. */
  check(file: Writer, context: RequestContext): void {
    const failures = this.#failures.get(file.inode.key);
    if (failures === undefined || failures.count === file.failuresSeen) return;
    file.failuresSeen = failures.count;
    const { errno, target } = failures.error as LustreError;
    throw errnoError(errno || -Errno.EIO, { ...context, target, cause: failures.error });
  }

  #failed(fileKey: string, error: Error): void {
    const count = this.failures(fileKey) + 1;
    this.#failures.delete(fileKey);
    this.#failures.set(fileKey, { count, error });
    const oldest = this.#failures.keys().next().value;
    if (this.#failures.size > FAILURES_MAX && oldest !== undefined) this.#failures.delete(oldest);
  }

  /** Flush before cancel: what was written under the lock is at the server when the lock goes, and nothing stays. */
  async cancelling(target: number, lock: ClientLock): Promise<void> {
    const object = this.#underLock(target, lock);
    if (object === undefined) return;
    const { start, end } = rangeOf(lock);
    if (lock.discardData) {
      object.discard(start, end);
      return;
    }
    if (lock.mode !== LockMode.LCK_PR) await object.flush(start, end);
    if (!this.#coveredElsewhere(object, lock)) object.drop(start, end);
  }

  goesAtOnce(target: number, lock: ClientLock): boolean {
    return this.#underLock(target, lock)?.isSettled ?? true;
  }

  lost(target: number, lock: ClientLock): void {
    const object = this.#underLock(target, lock);
    if (object === undefined) return;
    const { start, end } = rangeOf(lock);
    if (object.discard(start, end))
      this.#failed(
        object.fileKey,
        errnoError(Errno.EIO, {
          syscall: 'write',
          target: object.stripe.ost.name,
          hint: 'The server has evicted this client; bytes that it had not yet been sent are lost',
        }),
      );
  }

  #underLock(target: number, lock: ClientLock): CachedObject | undefined {
    if (lock.type !== LockType.LDLM_EXTENT) return undefined;
    return this.#objects.get(nameOf(target, resourceKey(lock.resource)));
  }

  /** Another lock of ours has protected all of it as well, and goes on to. */
  #coveredElsewhere(object: CachedObject, lock: ClientLock): boolean {
    const { ost } = object.stripe;
    const modes = LockMode.LCK_PR | LockMode.LCK_PW;
    const other = ost.locks.match(object.stripe.resource, LockType.LDLM_EXTENT, modes, lock.policy);
    if (other !== undefined) ost.locks.release(other);
    return other !== undefined;
  }

  #startTimer(): void {
    this.#timer ??= this.#session.runtime.after(DIRTY_AGE_MS / 2, () => {
      this.#timer = undefined;
      this.memory.writeOlderThan(DIRTY_AGE_MS);
      if (this.memory.dirtyBlocks.size > 0) this.#startTimer();
    });
  }

  close(): void {
    this.#timer?.cancel();
    this.memory.close();
  }
}

const nameOf = (target: number, key: string): string => `${target}/${key}`;

/** The bytes of a lock. */
export function rangeOf(lock: ClientLock): { start: number; end: number } {
  const { start, end } = lock.policy.extent ?? { start: 0n, end: EOF };
  return { start: Number(start), end: end === EOF ? Number.POSITIVE_INFINITY : Number(end) + 1 };
}
