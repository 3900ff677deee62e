/**
 * Data sequences (guide 07 §4, §7): an MDT asks an OST for the sequence that its objects get their numbers in. Each OST
 * gives them out of a range of its own, far above those of MDTs, so that it needs no controller to ask.
 */

import { Errno, errnoError } from '../../runtime/errors.ts';
import { FidSeq } from '../../wire/fid-constants.ts';
import type { KeyValueStore } from '../store/key-value-store.ts';
import { TARGET_TABLE } from './commit-log.ts';

/** Sequences of one target's range (LUSTRE_SEQ_SUPER_WIDTH). */
const RANGE_BITS = 30n;
/** Ranges below belong to MDTs, of which there are at most 2^16. */
const FIRST_OST_RANGE = 0x1_0000n;

const NEXT = new TextEncoder().encode('next_sequence');

export class DataSequences {
  readonly #store: KeyValueStore;
  readonly #first: bigint;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(store: KeyValueStore, ostIndex: number) {
    this.#store = store;
    this.#first = FidSeq.FID_SEQ_NORMAL + ((FIRST_OST_RANGE + BigInt(ostIndex)) << RANGE_BITS);
  }

  /** True for a sequence that this OST may have given out. */
  owns(seq: bigint): boolean {
    return seq >= this.#first && seq < this.#first + (1n << RANGE_BITS);
  }

  /** One sequence, durable before it is given out. ENOSPC when the range has ended. */
  allocate(): Promise<bigint> {
    const given = this.#queue.then(() =>
      this.#store.transact((transaction) => {
        const table = transaction.table(TARGET_TABLE);
        const stored = table.get(NEXT);
        const seq =
          stored === undefined
            ? this.#first
            : new DataView(stored.buffer, stored.byteOffset, 8).getBigUint64(0);
        if (!this.owns(seq)) throw errnoError(Errno.ENOSPC, { syscall: 'allocate sequence' });
        const next = new Uint8Array(8);
        new DataView(next.buffer).setBigUint64(0, seq + 1n);
        table.put(NEXT, next);
        return seq;
      }),
    );
    this.#queue = given.catch(() => undefined);
    return given;
  }
}
