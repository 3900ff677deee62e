/** One group lock of an open file (guide 08 §3.3): on each of its objects, for all that work under it. */
import { Errno, errnoError } from '../../runtime/errors.ts';
import type { WalkContext } from '../namespace/path-walk.ts';
import { glimpse, type HeldLock, type LockGroup, lockGroup, unlock } from '../objects/extent-locks.ts';
import type { Stripe } from '../objects/file-objects.ts';
import type { RequestOptions } from '../request-options.ts';

const LOST = 'The server has forgotten the group lock; unlock it, and lock again';

/** The locks of one handle on the objects of its file. */
export class GroupLock implements LockGroup {
  readonly gid: number;
  /** By object. */
  readonly #held = new Map<string, Promise<HeldLock>>();

  constructor(gid: number) {
    this.gid = gid;
  }

  /** One more user of the lock on an object. An object that has come since the group was locked is locked now. */
  async lock(stripe: Stripe, how: RequestOptions & { readonly wait?: boolean } = {}): Promise<HeldLock> {
    const { ost, key } = stripe;
    const name = `${ost.name}/${key}`;
    let asked = this.#held.get(name);
    if (asked === undefined) {
      asked = lockGroup(stripe, BigInt(this.gid), how.wait ?? true, how);
      this.#held.set(name, asked);
      asked.catch(() => this.#held.delete(name));
    }
    const { lock } = await asked;
    if (!lock.isHeld) throw errnoError(Errno.EIO, { ...how.context, target: ost.name, hint: LOST });
    ost.locks.addReference(lock);
    const held = { stripe, lock };
    // What is known of so many objects has an end.
    if (ost.known.get(key) === undefined) {
      try {
        ost.known.learn(key, await glimpse(stripe, how), lock);
      } catch (error) {
        unlock([held]);
        throw error;
      }
    }
    return held;
  }

  /** Gives all locks back when their users have finished; resolves when the servers have them. */
  async release(): Promise<void> {
    const settled = await Promise.allSettled(this.#held.values());
    this.#held.clear();
    const held = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    unlock(held);
    await Promise.all(held.map(({ lock }) => lock.gone));
  }
}

/** A call on an open file that works under its group lock. */
export interface GroupContext extends WalkContext {
  readonly group?: GroupLock | undefined;
}
