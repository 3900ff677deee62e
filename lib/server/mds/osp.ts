/**
 * The metadata target as a client of one OST (guides 07 §7, 12 §8): a data sequence of its own, orphan clean-up after every
 * connect, a window of objects created ahead, free space, and the work that is queued for the OST.
 */
import type { Fid } from '../../fid/fid.ts';
import type { Caller } from '../../rpc/rpc.ts';
import { Automaton } from '../../runtime/automaton.ts';
import { LustreError } from '../../runtime/errors.ts';
import type { Runtime, Timer } from '../../runtime/runtime.ts';
import { RangeType, SeqOp } from '../../wire/fid-constants.ts';
import { RQF_OST_CREATE, RQF_OST_STATFS, RQF_SEQ_QUERY } from '../../wire/formats.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import type { ObdStatfs } from '../../wire/mds-structs.ts';
import { ObdoFlag, StatfsState } from '../../wire/ost-constants.ts';
import type { KeyValueStore, Transaction } from '../store/key-value-store.ts';
import { type OspAction, type OspEvent, ospStates, type OspState as State } from './osp-states.ts';
import { workOff } from './ost-work.ts';
import { MdtTable, OspState, scratch } from './records.ts';

/** What it needs of an import. */
export interface OstImport extends Caller {
  connect(): Promise<unknown>;
  disconnect(): Promise<void>;
  /** Runs whenever the import is usable again, after the first connect too. */
  onReconnected(listener: () => void): void;
}

const WINDOW_MIN = 32;
const WINDOW_MAX = 2048;
/** Objects in a data sequence (guide 07 §2). */
const DATA_SEQUENCE_WIDTH = 0x1ffffff;
const RETRY_MS = 1000;
const GATHER_MS = 200;
/** Free space is asked for again when an allocation finds it older than this. */
const STATFS_AGE_MS = 5000;
const UNUSABLE =
  StatfsState.OS_STATFS_READONLY |
  StatfsState.OS_STATFS_NOCREATE |
  StatfsState.OS_STATFS_ENOSPC |
  StatfsState.OS_STATFS_ENOINO;

const stateKey = (index: number): Buffer => {
  const key = Buffer.allocUnsafe(4);
  key.writeUInt32BE(index);
  return key;
};

export interface OspOptions {
  readonly index: number;
  readonly name: string;
  readonly import: OstImport;
  readonly store: KeyValueStore;
  readonly runtime: Runtime;
  /** Called when objects or space may have come. */
  onChange(): void;
}

export class Osp {
  readonly index: number;
  readonly name: string;
  readonly #import: OstImport;
  readonly #store: KeyValueStore;
  readonly #runtime: Runtime;
  readonly #onChange: () => void;
  readonly #automaton: Automaton<State, OspEvent, OspAction>;
  #seq = 0n;
  /** The next object to give out, and the last one that exists. */
  #next = 1;
  #lastCreated = 0;
  /** Given out and given back. */
  readonly #returned: number[] = [];
  #window = WINDOW_MIN;
  #creating = false;
  #working = false;
  #moreWork = false;
  #gathering: Timer | undefined;
  #timer: Timer | undefined;
  #statfs: ObdStatfs | undefined;
  #statfsAt = Number.NEGATIVE_INFINITY;
  #statfsRunning = false;
  #noSpace = false;
  #round = 0;

  constructor(options: OspOptions) {
    this.index = options.index;
    this.name = options.name;
    this.#import = options.import;
    this.#store = options.store;
    this.#runtime = options.runtime;
    this.#onChange = options.onChange;
    this.#automaton = new Automaton(
      ospStates,
      options.name,
      {
        prepare: () => void this.#prepare(),
        retryLater: () => this.#retryLater(),
        serve: () => this.#serve(),
        forget: () => {
          this.#timer?.cancel();
          this.#gathering?.cancel();
        },
      },
      (from, event, to) => this.#runtime.log.debug({ ost: this.name, from, event, to }, 'osp state'),
    );
    this.#import.onReconnected(() => this.#dispatch('connected'));
  }

  start(): void {
    // An import goes on trying by itself; a first failure is no news.
    this.#import.connect().catch((error: unknown) => {
      this.#runtime.log.warn({ ost: this.name, err: error }, 'OST is not there yet');
    });
  }

  async stop(): Promise<void> {
    this.#dispatch('stop');
    await this.#import.disconnect();
  }

  get ready(): boolean {
    return this.#automaton.state === 'READY';
  }

  /** Objects that can be given out now. */
  get available(): number {
    return this.ready ? this.#returned.length + Math.max(0, this.#lastCreated - this.#next + 1) : 0;
  }

  /** Ready, and neither full nor closed for new objects. */
  get usable(): boolean {
    if (!this.ready || (this.#noSpace && this.available === 0)) return false;
    return this.#statfs === undefined || (this.#statfs.os_state & UNUSABLE) === 0;
  }

  /** Free bytes, by the last answer; undefined before the first. */
  get freeBytes(): bigint | undefined {
    return this.#statfs === undefined ? undefined : this.#statfs.os_bavail * BigInt(this.#statfs.os_bsize);
  }

  get statfs(): ObdStatfs | undefined {
    return this.#statfs;
  }

  /** An object that exists and is in no file; undefined when none is left. Creates more in the background. */
  take(): Fid | undefined {
    if (this.available === 0) {
      this.#createAhead();
      return undefined;
    }
    const oid = this.#returned.shift() ?? this.#next++;
    if (this.available < this.#window / 2) this.#createAhead();
    if (this.#runtime.now() - this.#statfsAt > STATFS_AGE_MS) this.#refreshStatfs();
    return { f_seq: this.#seq, f_oid: oid, f_ver: 0 };
  }

  /** The file that wanted it was not made. */
  giveBack(object: Fid): void {
    if (object.f_seq === this.#seq && object.f_oid < this.#next) this.#returned.push(object.f_oid);
  }

  /** Notes, with the file that has it, that an object is used: it is no orphan any more. */
  markUsed(tx: Pick<Transaction, 'table'>, object: Fid): void {
    const table = tx.table(MdtTable.osp);
    const bytes = table.get(stateKey(this.index));
    const state = bytes === undefined ? { seq: object.f_seq, lastUsed: 0 } : OspState.decode(bytes);
    if (state.seq !== object.f_seq || state.lastUsed >= object.f_oid) return;
    OspState.encodeInto(scratch.osp, 0, { seq: state.seq, lastUsed: object.f_oid });
    table.put(stateKey(this.index), scratch.osp);
  }

  /** There is work in the queue. It waits a moment for more: nobody waits for it, and one request destroys many objects. */
  kick(): void {
    this.#moreWork = true;
    if (!this.ready || this.#working || this.#gathering !== undefined) return;
    this.#gathering = this.#runtime.after(GATHER_MS, () => {
      this.#gathering = undefined;
      if (this.ready && !this.#working) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#working = true;
    this.#moreWork = false;
    try {
      await workOff(this.#store, this.index, this.#import);
    } catch (error) {
      this.#runtime.log.warn({ ost: this.name, err: error }, 'work for an OST waits');
      this.#moreWork = false;
      this.#runtime.after(RETRY_MS, () => this.kick());
    } finally {
      this.#working = false;
    }
    if (this.#moreWork) this.kick();
  }

  #dispatch(event: OspEvent): void {
    if (this.#automaton.accepts(event)) this.#automaton.dispatch(event, undefined);
  }

  async #prepare(): Promise<void> {
    const round = ++this.#round;
    try {
      const state = await this.#sequence();
      // What was given out since we started may be in a file whose transaction is still running.
      const givenOut = state.seq === this.#seq ? this.#next - 1 : 0;
      const last = await this.#deleteOrphans(state.seq, Math.max(state.lastUsed, givenOut));
      if (round !== this.#round || this.#automaton.state !== 'PREPARING') return;
      if (this.#seq !== state.seq) this.#returned.length = 0;
      this.#seq = state.seq;
      this.#next = last + 1;
      this.#lastCreated = last;
      this.#dispatch('prepared');
    } catch (error) {
      if (round !== this.#round) return;
      this.#runtime.log.warn({ ost: this.name, err: error }, 'OST is not ready for new objects');
      this.#dispatch('failed');
    }
  }

  /** The data sequence, asked for once and again when it is used up. */
  async #sequence(): Promise<{ seq: bigint; lastUsed: number }> {
    const bytes = this.#store.table(MdtTable.osp).get(stateKey(this.index));
    if (bytes !== undefined) {
      const state = OspState.decode(bytes);
      if (state.seq !== 0n && state.lastUsed < DATA_SEQUENCE_WIDTH) return state;
    }
    const { values } = await this.#import.call(RQF_SEQ_QUERY, {
      seq_opc: SeqOp.SEQ_ALLOC_META,
      seq_range: { lsr_index: this.index, lsr_flags: RangeType.LU_SEQ_RANGE_OST },
    });
    const range = values.seq_range;
    if (range === undefined || range.lsr_start === 0n || range.lsr_end <= range.lsr_start)
      throw new LustreError('EPROTO', `${this.name} granted no sequence`, { target: this.name }, -71);
    const state = { seq: range.lsr_start, lastUsed: 0 };
    await this.#store.transact((tx) =>
      tx.table(MdtTable.osp).put(stateKey(this.index), OspState.encode(state)),
    );
    return state;
  }

  /** Has everything behind the last used object destroyed; gives the last id that new ones come after. */
  async #deleteOrphans(seq: bigint, lastUsed: number): Promise<number> {
    const last = await this.#create(seq, lastUsed, {
      o_valid: MdValid.OBD_MD_FLFLAGS | MdValid.OBD_MD_FLGROUP,
      o_flags: ObdoFlag.OBD_FL_DELORPHAN,
    });
    return Math.max(last, lastUsed);
  }

  async #create(
    seq: bigint,
    oid: number,
    more: { readonly o_valid: bigint; readonly o_flags?: number },
  ): Promise<number> {
    const { values } = await this.#import.call(
      RQF_OST_CREATE,
      { ost_body: { oa: { ...more, o_oi: { oi_fid: { f_seq: seq, f_oid: oid, f_ver: 0 } } } } },
      { noResend: true },
    );
    const fid = values.ost_body?.oa.o_oi.oi_fid;
    if (fid === undefined || fid.f_seq !== seq)
      throw new LustreError('EPROTO', `${this.name} created in another sequence`, { target: this.name }, -71);
    return fid.f_oid;
  }

  #serve(): void {
    this.#noSpace = false;
    this.#createAhead();
    this.#refreshStatfs();
    this.kick();
    this.#onChange();
  }

  #retryLater(): void {
    this.#timer?.cancel();
    this.#timer = this.#runtime.after(RETRY_MS, () => this.#dispatch('connected'));
  }

  /** Makes the window full again; it doubles while it is emptied faster than it is filled. */
  #createAhead(): void {
    if (this.#creating || !this.ready) return;
    this.#creating = true;
    void this.#createWindow().finally(() => {
      this.#creating = false;
      this.#onChange();
    });
  }

  async #createWindow(): Promise<void> {
    const round = this.#round;
    if (this.available === 0) this.#window = Math.min(this.#window * 2, WINDOW_MAX);
    const want = Math.min(this.#lastCreated + this.#window, DATA_SEQUENCE_WIDTH);
    try {
      if (want <= this.#lastCreated) {
        // The sequence is used up: begin again with another one.
        this.#dispatch('connected');
        return;
      }
      const last = await this.#create(this.#seq, want, { o_valid: MdValid.OBD_MD_FLGROUP });
      if (round !== this.#round) return;
      if (last > want) this.#next = last;
      this.#lastCreated = last > want ? last - 1 : Math.max(this.#lastCreated, last);
      this.#noSpace = false;
    } catch (error) {
      if (round !== this.#round) return;
      this.#runtime.log.warn({ ost: this.name, err: error }, 'objects were not created ahead');
      this.#noSpace = (error as { errno?: number }).errno === -28;
      if (this.#noSpace) this.#runtime.after(RETRY_MS, () => this.#createAhead());
      else this.#dispatch('failed');
    }
  }

  #refreshStatfs(): void {
    if (this.#statfsRunning) return;
    this.#statfsRunning = true;
    this.#statfsAt = this.#runtime.now();
    this.#import
      .call(RQF_OST_STATFS, {}, { noResend: true })
      .then(({ values }) => {
        this.#statfs = values.obd_statfs ?? this.#statfs;
      })
      .catch((error: unknown) => {
        this.#runtime.log.debug({ ost: this.name, err: error }, 'OST gave no statfs');
      })
      .finally(() => {
        this.#statfsRunning = false;
        this.#onChange();
      });
  }
}
