/**
 * What this client has written and servers may not have committed yet (guide 12 §13). A commit covers all transactions
 * before it, so one sync of the newest object of an OST is mostly enough for all of that OST.
 */

import type { StripeObject } from '../osc/stripe-object.ts';
import { sync } from '../osc/sync.ts';
import type { ObjectTarget } from '../osc/target.ts';
import type { RequestOptions } from '../request-options.ts';
import type { Session } from '../session.ts';
import type { Stripe } from './file-objects.ts';

/** Objects remembered for one OST; beyond, the oldest are synced when they fall out. */
const OBJECTS_MAX = 10_000;

interface Written {
  readonly object: StripeObject;
  readonly transno: bigint;
}

export class DirtyObjects {
  readonly #session: Session;
  readonly #written = new Map<number, Map<string, Written>>();

  constructor(session: Session) {
    this.#session = session;
  }

  add({ object, ost, key }: Stripe, transno: bigint): void {
    let written = this.#written.get(ost.index);
    if (written === undefined) {
      written = new Map();
      this.#written.set(ost.index, written);
    }
    written.delete(key);
    written.set(key, { object, transno });
    if (written.size > OBJECTS_MAX) this.#dropCommitted(ost, written);
  }

  #dropCommitted(ost: ObjectTarget, written: Map<string, Written>): void {
    const committed = ost.lastCommitted();
    for (const [key, { transno }] of written) {
      if (transno <= committed || written.size > 2 * OBJECTS_MAX) written.delete(key);
    }
  }

  /** Resolves when all that was written before is durable. */
  async sync(options: RequestOptions): Promise<void> {
    const work = [...this.#written].map(async ([index, written]) => {
      const ost = this.#session.osts.get(index);
      if (ost === undefined) return;
      const all = [...written.values()];
      written.clear();
      const newest = all.at(-1);
      if (newest === undefined) return;
      await sync(ost, newest.object, options);
      const rest = all.slice(0, -1).filter(({ transno }) => transno === 0n || transno > ost.lastCommitted());
      for (const { object } of rest) await sync(ost, object, options);
    });
    await Promise.all(work);
  }
}
