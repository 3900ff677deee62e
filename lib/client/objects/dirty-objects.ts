/**
 * What this client has written and servers may not have committed yet (guide 12 §13). A commit covers all transactions
 * before it, so one sync of the newest object of an OST is mostly enough for all of that OST.
 *
 * A server that was started again gets back what was written from the cache, which keeps it until then, and copies of small
 * writes round it. The rest of those it does not get back: such a file is made durable when it is closed, and what was lost before that is told to
 * whoever has it open.
 */
import type { KeptBulk } from '../../rpc/rpc.ts';
import { Errno, errnoError, type LustreError } from '../../runtime/errors.ts';
import type { Part } from '../osc/brw.ts';
import type { StripeObject } from '../osc/stripe-object.ts';
import { sync } from '../osc/sync.ts';
import type { ObjectTarget } from '../osc/target.ts';
import type { Written } from '../osc/write.ts';
import type { RequestOptions } from '../request-options.ts';
import type { Session } from '../session.ts';
import type { Stripe } from './file-objects.ts';

/** Objects remembered for one OST; beyond, the oldest are synced when they fall out. */
const OBJECTS_MAX = 10_000;

interface Pending {
  readonly object: StripeObject;
  readonly transno: bigint;
}

/** Where bytes are kept, and who tells those who have a file open what became of them. */
export interface WrittenMemory {
  lost(fileKey: string, error: LustreError): void;
  copy(part: Part): KeptBulk | undefined;
}

export class DirtyObjects {
  #memory: WrittenMemory | undefined;
  readonly #session: Session;
  readonly #written = new Map<number, Map<string, Pending>>();
  /** What would not come back, by file: the newest on each target. */
  readonly #unkept = new Map<string, Map<ObjectTarget, Pending>>();

  constructor(session: Session) {
    this.#session = session;
  }

  follow(memory: WrittenMemory): void {
    this.#memory = memory;
  }

  /** Bytes of a caller's that were written, as they are now; undefined where that costs too much. */
  copy(part: Part): KeptBulk | undefined {
    return this.#memory?.copy(part);
  }

  /** A server has answered a write of a file. */
  add(fileKey: string, { object, ost, key, onMdt }: Stripe, { transno, unkept }: Written): void {
    if (unkept) {
      const targets = this.#unkept.get(fileKey) ?? new Map<ObjectTarget, Pending>();
      this.#unkept.set(fileKey, targets.set(ost, { object, transno }));
    }
    if (onMdt) return;
    let written = this.#written.get(ost.index);
    if (written === undefined) {
      written = new Map();
      this.#written.set(ost.index, written);
    }
    written.delete(key);
    written.set(key, { object, transno });
    if (written.size > OBJECTS_MAX) this.#dropCommitted(ost, written);
  }

  /** Bytes of a file that a server had answered are lost. */
  lost(fileKey: string, { name: target }: ObjectTarget): void {
    const hint = 'The server lost its power before it had them on disk; write them again';
    const error = errnoError(Errno.EIO, { syscall: 'write', target, hint });
    this.#memory?.lost(fileKey, error);
  }

  #dropCommitted(ost: ObjectTarget, written: Map<string, Pending>): void {
    const committed = ost.committed.lastCommitted;
    for (const [key, { transno }] of written) {
      if (transno <= committed || written.size > 2 * OBJECTS_MAX) written.delete(key);
    }
  }

  /** Resolves when nothing of the file is left that could be lost for good. */
  async settle(fileKey: string, options: RequestOptions): Promise<void> {
    const targets = [...(this.#unkept.get(fileKey) ?? [])];
    this.#unkept.delete(fileKey);
    const open = targets.filter(([ost, { transno }]) => transno > ost.committed.lastCommitted);
    await Promise.all(open.map(([ost, { object }]) => sync(ost, object, options)));
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
      const rest = all
        .slice(0, -1)
        .filter(({ transno }) => transno === 0n || transno > ost.committed.lastCommitted);
      for (const { object } of rest) await sync(ost, object, options);
    });
    await Promise.all(work);
  }
}
