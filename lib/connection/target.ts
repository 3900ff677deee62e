/**
 * What a server offers to the connection layer: a named target with operations by opcode (guides 05, 16). The layer
 * itself answers connect, disconnect and ping, checks handles, connection counts and XIDs, keeps exports and
 * their last replies, and calls an operation only for a request that passed all of that.
 */
import type { IncomingRequest, Reply, ReplyOptions } from '../rpc/rpc.ts';
import type { ObdConnectData } from '../wire/connection-structs.ts';
import type { Format, ReplyInputs, RequestInputs, RequestValues } from '../wire/format.ts';
import type { StructInput } from '../wire/struct.ts';

/** One client of one target. Made by connect, destroyed by disconnect or eviction. */
export interface Export {
  readonly clientUuid: string;
  /** The cookie that the client puts into pb_handle. */
  readonly handle: bigint;
  /** The client's handle for callbacks (servers put it into pb_handle of ASTs). */
  readonly callbackHandle: bigint;
  readonly peer: string;
  /** What was granted. */
  readonly connectData: ObdConnectData;
  /** A place for the target's own state per client (grants, open handles, locks), by the owner's key. */
  readonly state: Map<symbol, unknown>;
  /** Sends a callback request to this client (portal 15): blocking, completion, glimpse AST. Rejects with ETIMEDOUT when no
   * answer came within `timeoutMs` (default: the adaptive request timeout, 11 s at first), with the network's error, or with
   * the client's. Whether that is reason to evict is the caller's decision. */
  callback<F extends Format>(
    format: F,
    request: RequestInputs<F>,
    options?: { timeoutMs?: number; opcode?: number },
  ): Promise<Reply<F>>;
  /** False once disconnected or evicted. */
  readonly connected: boolean;
  /** Ends it: next requests get -ENOTCONN; `onDisconnect` runs with evicted true. */
  evict(reason: string): void;
}

/** One request in the hands of an operation. */
export interface Call<F extends Format = Format> {
  readonly request: IncomingRequest;
  readonly values: RequestValues<F>;
  readonly export: Export;
  /** Answers with the operation's buffers. A transno makes it a modifying reply: it is remembered for a resend (reply data). */
  reply(values: ReplyInputs<F>, options?: ReplyOptions): void;
  /** Answers with a negative status and the full set of buffers (type REPLY), as failed operations do. */
  fail(errno: number, values?: ReplyInputs<F>): void;
}

/** An operation: `format` may depend on the request (intents, reints, GET_INFO keys). A throw or rejection becomes a
 * reply with that error's errno and a log line. */
export interface Operation<F extends Format = Format> {
  readonly format: F | ((request: IncomingRequest) => F);
  handle(call: Call<F>): void | Promise<void>;
}

export type ConnectGrant = StructInput<typeof ObdConnectData>;

export interface Target {
  /** `demo-MDT0000`, `demo-OST0001`, `MGS`. Connects name it with or without `_UUID`. */
  readonly name: string;
  readonly uuid: string;
  /** True: connect replies carry MSG_CONNECT_REPLAYABLE. */
  readonly replayable: boolean;
  readonly operations: ReadonlyMap<number, Operation>;
  /** Decides what a connecting client is granted; the layer masks it with what was asked. Throws to refuse. */
  connect(asked: ObdConnectData, client: { uuid: string; peer: string; reconnect: boolean }): ConnectGrant;
  onConnect?(client: Export): void | Promise<void>;
  onDisconnect?(client: Export, evicted: boolean): void | Promise<void>;
  lastCommitted(): bigint;
  /** What replies tell clients that asked for LRU_RESIZE of how many locks they may keep: locks times seconds, and locks. */
  lockVolume?(): { readonly slv: bigint; readonly limit: number };
  /** True for a request that another client waits for, because it frees a lock: it is not queued behind others. */
  isUrgent?(client: Export, request: IncomingRequest): boolean;
  /** Persistent client records (last_rcvd): where the layer keeps them. Absent for the MGS. */
  readonly lastRcvd?: LastRcvd;
}

/** One client's line of last_rcvd. */
export interface ClientRecord {
  readonly uuid: string;
  readonly lastTransno: bigint;
  readonly lastXid: bigint;
  readonly lastResult: number;
}

export interface LastRcvd {
  load(): readonly ClientRecord[];
  put(record: ClientRecord): void | Promise<void>;
  remove(uuid: string): void | Promise<void>;
}
