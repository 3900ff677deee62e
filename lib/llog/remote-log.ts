/**
 * Reading a log of a server over an import (guide 14 §2, §3): LLOG_ORIGIN_HANDLE_CREATE, READ_HEADER, NEXT_BLOCK. The
 * server keeps nothing between these requests; the cursor's position is all there is, so a reader can continue later from
 * the last index it has.
 */
import type { Caller } from '../rpc/rpc.ts';
import { type Actions, Automaton } from '../runtime/automaton.ts';
import { errnoOf, LustreError, ProtocolError } from '../runtime/errors.ts';
import { type RequestInputs, required } from '../wire/format.ts';
import {
  RQF_LLOG_ORIGIN_HANDLE_CREATE,
  RQF_LLOG_ORIGIN_HANDLE_NEXT_BLOCK,
  RQF_LLOG_ORIGIN_HANDLE_READ_HEADER,
} from '../wire/formats.ts';
import { LlogContext, LlogFlag } from '../wire/llog-constants.ts';
import type { LlogdBody, LlogLogid } from '../wire/llog-structs.ts';
import type { MdtBody } from '../wire/mds-structs.ts';
import type { StructInput } from '../wire/struct.ts';
import { headerFromStruct, isLive, type LlogHeader } from './header.ts';
import {
  type LogCursorAction,
  type LogCursorEvent,
  type LogCursorState,
  logCursorStates,
} from './log-cursor-states.ts';
import { isPad, LLOG_CHUNK_SIZE, type LlogRecord, recordsOf } from './record.ts';

export interface RemoteLogOptions {
  /** The log's name, `demo-client`; where its id is given, only what messages call it. */
  readonly name: string;
  /** A log that has no name, as a catalog names it. */
  readonly logid?: LlogLogid;
  /** LlogContext; default 0, configuration. */
  readonly context?: number;
  /** Give only records behind this index; default 0, all. */
  readonly after?: number;
  /** lgd_llh_flags; default LLOG_F_IS_PLAIN. */
  readonly flags?: number;
  /** Who asks, where the server wants to know. */
  readonly who?: StructInput<typeof MdtBody>;
  /** Go on with the flags that the header has: they say which extensions of records are wanted (guide 14 §8). */
  readonly flagsOfHeader?: boolean;
  /** Chunks to read before the reader comes back for more; default all. */
  readonly blocksMax?: number;
}

/** What was read. `lastIndex` is where the next reader goes on; `exists` false is -ENOENT, which is an empty log to many
 * readers (guide 14 §3). */
export interface RemoteLog {
  readonly exists: boolean;
  readonly records: readonly LlogRecord[];
  readonly lastIndex: number;
  /** LlogFlag of the header, once it was read. */
  readonly flags: number;
  /** There is more: the reader wanted no more chunks at a time. */
  readonly more: boolean;
}

/** Most chunks that are read of one log: an endless log is a broken server's. */
const BLOCKS_MAX = 4096;
const ENOENT = 2;
const EBADR = 53;

/** Reads the live records of a log. Rejects with the import's error, or ERR_LUSTRE_LLOG for bytes that are no log. */
export function readRemoteLog(caller: Caller, options: RemoteLogOptions): Promise<RemoteLog> {
  return new Promise((resolve, reject) => {
    new RemoteLogCursor(caller, options, resolve, reject).open();
  });
}

class RemoteLogCursor {
  readonly #caller: Caller;
  readonly #name: string;
  readonly #context: number;
  readonly #options: RemoteLogOptions;
  #flags: number;
  #more = false;
  readonly #automaton: Automaton<LogCursorState, LogCursorEvent, LogCursorAction>;
  readonly #records: LlogRecord[] = [];
  #logid: LlogLogid | undefined;
  #header: LlogHeader | undefined;
  #last: number;
  #offset = LLOG_CHUNK_SIZE;
  #saved = 0;
  #blocks = 0;
  #exists = true;
  #error: unknown;

  constructor(
    caller: Caller,
    options: RemoteLogOptions,
    resolve: (log: RemoteLog) => void,
    reject: (error: unknown) => void,
  ) {
    this.#caller = caller;
    this.#name = options.name;
    this.#options = options;
    this.#logid = options.logid;
    this.#context = options.context ?? LlogContext.LLOG_CONFIG_ORIG_CTXT;
    this.#flags = options.flags ?? LlogFlag.LLOG_F_IS_PLAIN;
    this.#last = options.after ?? 0;
    const actions: Actions<LogCursorAction, undefined> = {
      sendOpen: () => void this.#step(this.#sendOpen()),
      sendHeader: () => void this.#step(this.#sendHeader()),
      sendNextBlock: () => void this.#step(this.#sendBlock(this.#last + 1, this.#offset)),
      sendSameBlock: () => void this.#step(this.#sendBlock(this.#last, chunkStart(this.#offset))),
      finish: () =>
        resolve({
          exists: this.#exists,
          records: this.#records,
          lastIndex: this.#last,
          flags: this.#flags,
          more: this.#more,
        }),
      fail: () => reject(this.#error),
    };
    this.#automaton = new Automaton(logCursorStates, this.#name, actions);
  }

  open(): void {
    this.#automaton.dispatch('open', undefined);
  }

  async #step(event: Promise<LogCursorEvent>): Promise<void> {
    let next: LogCursorEvent;
    try {
      next = await event;
    } catch (error) {
      this.#error = error;
      next = 'error';
    }
    this.#automaton.dispatch(next, undefined);
  }

  async #sendOpen(): Promise<'opened' | 'absent'> {
    try {
      const reply = await this.#caller.call(
        RQF_LLOG_ORIGIN_HANDLE_CREATE,
        openRequest(this.#context, this.#logid ?? this.#name, this.#options.who),
        { context: { syscall: 'open log', path: this.#name } },
      );
      this.#logid = required(reply.values, 'llogd_body').lgd_logid;
      return 'opened';
    } catch (error) {
      if (!(error instanceof LustreError) || errnoOf(error) !== ENOENT) throw error;
      this.#exists = false;
      return 'absent';
    }
  }

  async #sendHeader(): Promise<'header' | 'nothing-new'> {
    const reply = await this.#caller.call(
      RQF_LLOG_ORIGIN_HANDLE_READ_HEADER,
      { llogd_body: { lgd_logid: this.#logid, lgd_ctxt_idx: this.#context, lgd_llh_flags: this.#flags } },
      { context: { syscall: 'read log header', path: this.#name }, replyRoom: LLOG_CHUNK_SIZE },
    );
    this.#header = headerFromStruct(required(reply.values, 'llog_log_hdr'));
    if (this.#options.flagsOfHeader === true) this.#flags = this.#header.flags;
    // What was cancelled before the first live record need not be there any more.
    while (this.#last < this.#header.lastIndex && !isLive(this.#header, this.#last + 1)) this.#last++;
    return this.#header.lastIndex > this.#last ? 'header' : 'nothing-new';
  }

  async #sendBlock(
    index: number,
    offset: number,
  ): Promise<'full-block' | 'partial-block' | 'nothing-new' | 'end-of-log'> {
    if (this.#blocks === this.#options.blocksMax) {
      this.#more = true;
      return 'end-of-log';
    }
    this.#blocks += 1;
    if (this.#blocks > BLOCKS_MAX) throw this.#bad(`has more than ${BLOCKS_MAX} chunks`);
    let body: LlogdBody;
    let bytes: Uint8Array;
    try {
      const reply = await this.#caller.call(
        RQF_LLOG_ORIGIN_HANDLE_NEXT_BLOCK,
        {
          llogd_body: {
            lgd_logid: this.#logid,
            lgd_ctxt_idx: this.#context,
            lgd_llh_flags: this.#flags,
            lgd_index: index,
            lgd_saved_index: this.#saved,
            lgd_len: LLOG_CHUNK_SIZE,
            lgd_cur_offset: BigInt(offset),
          },
        },
        { context: { syscall: 'read log', path: this.#name }, replyRoom: LLOG_CHUNK_SIZE },
      );
      body = required(reply.values, 'llogd_body');
      bytes = required(reply.values, 'eadata');
    } catch (error) {
      // Nothing behind the last record: an ordinary end (guide 14 §2).
      if (error instanceof LustreError && errnoOf(error) === EBADR) return 'end-of-log';
      throw error;
    }
    return this.#take(body, bytes, offset);
  }

  #take(body: LlogdBody, bytes: Uint8Array, asked: number): 'full-block' | 'partial-block' | 'nothing-new' {
    const end = Number(body.lgd_cur_offset);
    if (!Number.isSafeInteger(end) || end <= LLOG_CHUNK_SIZE || chunkStart(end) < chunkStart(asked + 1))
      throw this.#bad(`gives a chunk that ends at ${end}`);
    const before = this.#last;
    for (const record of recordsOf(bytes)) {
      if (record.index <= this.#last) continue;
      if (record.index !== this.#last + 1)
        throw this.#bad(`goes from record ${this.#last} to ${record.index}`);
      this.#last = record.index;
      // A record newer than the header that we read is live: nobody has had time to cancel it.
      const live = record.index > this.#header!.lastIndex || isLive(this.#header!, record.index);
      if (live && !isPad(record)) this.#records.push({ ...record, payload: record.payload.slice() });
    }
    this.#offset = end;
    this.#saved = this.#last;
    if (this.#last === before) return 'nothing-new';
    return end % LLOG_CHUNK_SIZE === 0 ? 'full-block' : 'partial-block';
  }

  #bad(what: string): ProtocolError {
    return new ProtocolError('ERR_LUSTRE_LLOG', `Log ${this.#name} ${what}`);
  }
}

/** Opens a log by its name or by its id. */
export function openRequest(
  context: number,
  log: string | LlogLogid,
  who: StructInput<typeof MdtBody> = {},
): RequestInputs<typeof RQF_LLOG_ORIGIN_HANDLE_CREATE> {
  const llogd_body = { lgd_ctxt_idx: context };
  return typeof log === 'string'
    ? { llogd_body, name: log, mdt_body: who }
    : { llogd_body: { ...llogd_body, lgd_logid: log } };
}

/** Where the chunk begins whose bytes end at `offset`. */
function chunkStart(offset: number): number {
  const within = offset % LLOG_CHUNK_SIZE;
  return within === 0 ? offset - LLOG_CHUNK_SIZE : offset - within;
}
