/** Objects that many want at once (guide 08 §3.3, Contention): who asked for it is told to do without a lock. */
import { LockFlag, LockMode, LockType } from '../wire/ldlm-constants.ts';
import { EXTENT_EOF } from './description.ts';
import type { ServerLock } from './server-lock.ts';
import type { InTheWay } from './server-queues.ts';

export interface ContentionOptions {
  /** More locks than this in the way of a request make its object contended; default 32. */
  readonly locks?: number;
  /** For how long after, milliseconds; default 2000. */
  readonly timeMs?: number;
  /** Requests for no more bytes than this are sent away; default 0: none. */
  readonly bytesMax?: number;
}

export class Contention {
  readonly #locks: number;
  readonly #timeMs: number;
  readonly #bytesMax: number;

  constructor({ locks = 32, timeMs = 2000, bytesMax = 0 }: ContentionOptions = {}) {
    this.#locks = locks;
    this.#timeMs = timeMs;
    this.#bytesMax = bytesMax;
  }

  /** True when `lock`, which would have to wait, is refused instead: its client does the I/O under a lock of the server. */
  sendsAway(lock: ServerLock, { granted, ahead }: InTheWay, now: number): boolean {
    if (lock.type !== LockType.LDLM_EXTENT || this.#bytesMax === 0) return false;
    const resource = lock.resourceEntry;
    const rivals = [...granted, ...ahead].filter((other) => !isGlimpse(other)).length;
    if (rivals > this.#locks) resource.contendedAt = now;
    const { start, end } = lock.requested;
    return (
      resource.contendedAt !== undefined &&
      now < resource.contendedAt + this.#timeMs &&
      (lock.flags & LockFlag.LDLM_FL_DENY_ON_CONTENTION) !== 0 &&
      lock.mode !== LockMode.LCK_GROUP &&
      end - start < BigInt(this.#bytesMax)
    );
  }
}

function isGlimpse({ mode, policy: { extent } }: ServerLock): boolean {
  return mode === LockMode.LCK_PR && extent?.start === 0n && extent.end === EXTENT_EOF;
}
