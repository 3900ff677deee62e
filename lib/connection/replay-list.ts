/**
 * What a server may lose with its memory and gets again after a restart (guide 06 §2.2): requests whose transactions are
 * not committed, and those that made what still is, open files.
 */
import type { Bulk, MadeState } from '../rpc/rpc.ts';
import type { Format } from '../wire/format.ts';

/** A request that was answered, as it is to be replayed. */
export interface Transaction {
  readonly transno: bigint;
  readonly xid: number;
  readonly mbits: number;
  readonly tag: number;
  readonly opcode: number;
  readonly format: Format;
  readonly request: object;
  /** Buffers that are asked for anew. */
  readonly current: (() => object) | undefined;
  readonly requestPortal: number;
  readonly replyPortal: number;
  readonly replySize: number;
  readonly status: number;
  /** Versions of the objects before it, for the server to see whether they are the same again. */
  readonly preVersions: readonly bigint[];
  readonly makes: MadeState | undefined;
  readonly ends: MadeState | undefined;
  /** Bytes that go with it, kept as they were. */
  readonly bulk: Bulk | undefined;
  /** Nothing is kept for it any more. */
  readonly release: (() => void) | undefined;
  readonly lost: (() => void) | undefined;
}

/** One that cannot be sent again. */
interface Unkept {
  readonly transno: bigint;
  readonly lost: (() => void) | undefined;
}

/** A server that never commits: what is done beyond this is not replayed. */
const UNCOMMITTED_MAX = 65_536;
/** Nor are those told any more of whom nothing is kept, from the oldest on. */
const UNKEPT_MAX = 4 * UNCOMMITTED_MAX;

const inOrder = (a: Transaction, b: Transaction): number =>
  a.transno === b.transno ? a.xid - b.xid : a.transno < b.transno ? -1 : 1;

export class ReplayList {
  /** By transno; replies may overtake each other. */
  #uncommitted: Transaction[] = [];
  readonly #made = new Map<MadeState, Transaction>();
  #lastCommitted = 0n;
  /** Those that cannot be replayed: their data were the caller's. */
  #unkept: Unkept[] = [];
  #lastTransno = 0n;

  /** pb_last_committed: the highest seen. */
  get lastCommitted(): bigint {
    return this.#lastCommitted;
  }

  /** Something was done that is not known to be committed. */
  get hasUncommitted(): boolean {
    return this.#lastTransno > this.#lastCommitted;
  }

  get size(): number {
    return this.#uncommitted.length + this.#made.size;
  }

  /** ocd_transno of a connect: where a replay would begin; undefined when there is nothing to replay. */
  get first(): bigint | undefined {
    let first = this.#uncommitted[0]?.transno;
    for (const { transno } of this.#made.values())
      if (first === undefined || transno < first) first = transno;
    return first;
  }

  /** A transaction was answered. */
  done(transno: bigint): void {
    if (transno > this.#lastTransno) this.#lastTransno = transno;
  }

  add(transaction: Transaction): void {
    const { transno, makes, ends, lost } = transaction;
    if (makes !== undefined) this.#made.set(makes, transaction);
    if (transno <= this.#lastCommitted) {
      if (ends !== undefined) this.#made.delete(ends);
      transaction.release?.();
      return;
    }
    const list = this.#uncommitted;
    if (list.length >= UNCOMMITTED_MAX) {
      transaction.release?.();
      this.addUnkept(transno, lost);
      return;
    }
    let at = list.length;
    while (at > 0 && inOrder(list[at - 1]!, transaction) > 0) at--;
    list.splice(at, 0, transaction);
  }

  /** A transaction whose request cannot be sent again. */
  addUnkept(transno: bigint, lost?: () => void): void {
    if (transno <= this.#lastCommitted) return;
    if (this.#unkept.length >= UNKEPT_MAX) this.#unkept.splice(0, UNKEPT_MAX / 2);
    this.#unkept.push({ transno, lost });
  }

  /** What was made is gone, and no transaction says so. */
  end(made: MadeState): void {
    this.#made.delete(made);
  }

  /** All up to here are on disk. */
  committed(transno: bigint): void {
    if (transno <= this.#lastCommitted) return;
    this.#lastCommitted = transno;
    if (this.#unkept.length > 0) this.#unkept = this.#unkept.filter((one) => one.transno > transno);
    const list = this.#uncommitted;
    let count = 0;
    while (count < list.length && list[count]!.transno <= transno) count++;
    if (count === 0) return;
    for (const { ends, release } of list.splice(0, count)) {
      if (ends !== undefined) this.#made.delete(ends);
      release?.();
    }
  }

  /** The server has lost what it had not committed. False when it cannot be brought to where it was; else those are told whose
   * requests it does not get back. */
  giveUpUnkept(): boolean {
    if (this.#unkept.some(({ lost }) => lost === undefined)) return false;
    for (const { lost } of this.#unkept.splice(0)) lost?.();
    return true;
  }

  /** What to replay, in order: what made open files first, however old, then the rest (guide 06 §4.1). */
  inOrder(): Transaction[] {
    const old = [...this.#made.values()].filter(({ transno }) => transno <= this.#lastCommitted);
    return [...old.sort(inOrder), ...this.#uncommitted];
  }

  /** It was refused: the server will not have it. */
  drop(transaction: Transaction): void {
    const { makes, release, lost } = transaction;
    if (makes !== undefined) this.#made.delete(makes);
    if (!this.#uncommitted.includes(transaction)) return;
    this.#uncommitted = this.#uncommitted.filter((one) => one !== transaction);
    release?.();
    lost?.();
  }

  /** The server has forgotten us, and we it. `lost`: what it had not committed, too. */
  clear(lost = false): void {
    const kept = this.#uncommitted.splice(0);
    const unkept = this.#unkept.splice(0);
    this.#made.clear();
    this.#lastTransno = 0n;
    for (const { release } of kept) release?.();
    if (lost) for (const one of [...kept, ...unkept]) one.lost?.();
  }
}
