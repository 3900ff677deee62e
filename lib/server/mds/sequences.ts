/**
 * The sequence service and the location database of one metadata target (guide 07 §4, §5). MDT0 is the controller: it
 * owns the space and hands super-sequences to servers; every target grants single sequences to clients out of its
 * own. What is granted is on disk before it is answered, so nothing is granted twice.
 */
import { isIgifSeq } from '../../fid/fid.ts';
import { errnoError } from '../../runtime/errors.ts';
import { FidSeq, RangeType } from '../../wire/fid-constants.ts';
import type { LuSeqRange } from '../../wire/fid-structs.ts';
import { le64, struct } from '../../wire/struct.ts';
import type { KeyValueStore, Transaction } from '../store/key-value-store.ts';
import { FldRange, MdtTable } from './records.ts';

const SUPER_WIDTH = 1n << 30n;
const KEY = Buffer.from('sequences');
const State = struct('sequence state', 24, {
  /** Next sequence of our own. */
  next: [0, le64],
  end: [8, le64],
  /** Where the next super-sequence begins. */
  superNext: [16, le64],
});

const rangeKey = (start: bigint): Buffer => {
  const key = Buffer.allocUnsafe(8);
  key.writeBigUInt64BE(start);
  return key;
};

export class Sequences {
  readonly #store: KeyValueStore;
  readonly #index: number;

  constructor(store: KeyValueStore, index: number) {
    this.#store = store;
    this.#index = index;
  }

  /** Gives a new target its first super-sequence and the root's own; does nothing on a later start. */
  async start(): Promise<void> {
    await this.#store.transact((tx) => {
      if (tx.table(MdtTable.target).get(KEY) !== undefined) return;
      const start = FidSeq.FID_SEQ_NORMAL;
      const end = start + SUPER_WIDTH;
      tx.table(MdtTable.target).put(KEY, State.encode({ next: start, end, superNext: end }));
      this.#record(tx, start, end, this.#index, RangeType.LU_SEQ_RANGE_MDT);
      const root = FidSeq.FID_SEQ_ROOT;
      this.#record(tx, root, root + 1n, this.#index, RangeType.LU_SEQ_RANGE_MDT);
    });
  }

  /** One sequence for a client. Throws ENOSPC when the space has ended. */
  grant(asked: LuSeqRange): Promise<LuSeqRange> {
    return this.#store.transact((tx) => {
      const state = this.#state(tx);
      if (state.next >= state.end) {
        const start = state.superNext;
        this.#takeSuper(tx, state, this.#index, RangeType.LU_SEQ_RANGE_MDT);
        state.next = start;
        state.end = start + SUPER_WIDTH;
      }
      const start = state.next++;
      tx.table(MdtTable.target).put(KEY, State.encode(state));
      return { ...asked, lsr_start: start, lsr_end: start + 1n };
    });
  }

  /** A super-sequence for a server, entered in the location database. Only the controller has them: ENODEV. */
  grantSuper(asked: LuSeqRange): Promise<LuSeqRange> {
    if (this.#index !== 0) throw errnoError(19, { syscall: 'seq_query' });
    return this.#store.transact((tx) => {
      const state = this.#state(tx);
      const start = state.superNext;
      this.#takeSuper(tx, state, asked.lsr_index, asked.lsr_flags & RangeType.LU_SEQ_RANGE_MASK);
      tx.table(MdtTable.target).put(KEY, State.encode(state));
      return { ...asked, lsr_start: start, lsr_end: start + SUPER_WIDTH };
    });
  }

  /** The range that holds `seq`. Throws ENOENT, EIO when it is of another type than asked. */
  locate(seq: bigint, type: number): LuSeqRange {
    const found = [...this.ranges()].find((r) => r.lsr_start <= seq && seq < r.lsr_end);
    if (found !== undefined) {
      if (type !== RangeType.LU_SEQ_RANGE_ANY && found.lsr_flags !== type)
        throw errnoError(5, { syscall: 'fld_query' });
      return found;
    }
    // Files of before there were sequences lie on MDT0.
    if (isIgifSeq(seq))
      return { lsr_start: seq, lsr_end: seq + 1n, lsr_index: 0, lsr_flags: RangeType.LU_SEQ_RANGE_MDT };
    throw errnoError(2, { syscall: 'fld_query' });
  }

  /** The whole database, by start. */
  *ranges(): Iterable<LuSeqRange> {
    const table = this.#store.table(MdtTable.fld);
    for (const { key, value } of table.range(new Uint8Array(0), Buffer.alloc(9, 0xff))) {
      const range = FldRange.decode(value);
      yield {
        lsr_start: new DataView(key.buffer, key.byteOffset).getBigUint64(0),
        lsr_end: range.end,
        lsr_index: range.index,
        lsr_flags: range.type,
      };
    }
  }

  #state(tx: Transaction): { next: bigint; end: bigint; superNext: bigint } {
    const bytes = tx.table(MdtTable.target).get(KEY);
    if (bytes === undefined) throw errnoError(11, { syscall: 'seq_query' });
    return State.decode(bytes);
  }

  #takeSuper(tx: Transaction, state: { superNext: bigint }, index: number, type: number): void {
    const start = state.superNext;
    if (start + SUPER_WIDTH >= FidSeq.FID_SEQ_LOV_DEFAULT) throw errnoError(28, { syscall: 'seq_query' });
    state.superNext = start + SUPER_WIDTH;
    this.#record(tx, start, state.superNext, index, type);
  }

  #record(tx: Transaction, start: bigint, end: bigint, index: number, type: number): void {
    tx.table(MdtTable.fld).put(rangeKey(start), FldRange.encode({ end, index, type }));
  }
}
