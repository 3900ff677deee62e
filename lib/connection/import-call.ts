/**
 * One call over an import, from its slot to its reply, however many attempts that takes (guide 04 §3.3, §4.3, §4.4, §6;
 * guide 06 §3).
 */
import type { BulkSegment } from '../lnet/network.ts';
import type { Nid } from '../lnet/nid.ts';
import { requestTimeout } from '../rpc/adaptive-timeout.ts';
import { opcodeName, replyPortalOf, requestPortalOf, type TargetKind } from '../rpc/portals.ts';
import type { PtlRpc } from '../rpc/ptlrpc.ts';
import type { Bulk, CallOptions, Memory, Reply } from '../rpc/rpc.ts';
import { bulkPieceCount, type Outcome, type Transmission } from '../rpc/transmission.ts';
import type { UnrepliedList } from '../rpc/xid.ts';
import { Errno, type ErrorContext, errnoError, LustreError, ProtocolError } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import {
  bufferLengths,
  decodeBuffers,
  encodeInto,
  type Format,
  type PtlrpcBody,
  type ReplyValues,
  type RequestInputs,
  rpcVersion,
} from '../wire/format.ts';
import { messageSize } from '../wire/message.ts';
import { Opcode } from '../wire/opcodes.ts';
import { MsgFlag, MsgType, RpcVersion } from '../wire/ptlrpc-constants.ts';
import type { PortalTimeouts } from './portal-timeouts.ts';
import type { ReplayList } from './replay-list.ts';
import { flightClass, type Slots } from './request-slots.ts';

/**
 * Requests that name nothing which a server forgets with its client: no lock that is held, no open file. When the server was
 * restarted or has evicted us they begin afresh on the new connection, unless they change something and may have been
 * carried out. (Locks in `dlm_req` that go back with a request are no loss.)
 */
const BOUND_TO_NOTHING: ReadonlySet<number> = new Set([
  Opcode.LDLM_ENQUEUE,
  Opcode.MDS_REINT,
  Opcode.MDS_BATCH,
  Opcode.MDS_GETATTR,
  Opcode.MDS_GETATTR_NAME,
  Opcode.MDS_GET_ROOT,
  Opcode.MDS_GET_INFO,
  Opcode.MDS_STATFS,
  Opcode.OST_STATFS,
  Opcode.SEQ_QUERY,
  Opcode.FLD_QUERY,
]);

/** What a call sees of its import; read anew for each attempt. */
export interface ImportView {
  readonly runtime: Runtime;
  readonly ptlrpc: PtlRpc;
  readonly kind: TargetKind;
  readonly targetName: string;
  readonly nid: Nid;
  readonly generation: number;
  readonly connectCount: number;
  readonly remoteHandle: bigint;
  /** lm_secflvr. */
  readonly flavour: number;
  /** lm_flags. */
  readonly headerFlags: number;
  readonly adaptive: boolean;
  readonly bulkMbits: boolean;
  readonly replyMbits: boolean;
  readonly timeouts: PortalTimeouts;
  readonly unreplied: UnrepliedList;
  readonly replays: ReplayList;
  /** What is done may be replayed. */
  readonly replayable: boolean;
  /** Runtime.now() of the last reply to anything. */
  readonly lastReplyAt: number;
  readonly modifySlots: Slots;
  readonly bulkSlots: Slots;
  readonly generalSlots: Slots;
  /** Requests of `generation` may be sent now. */
  mayStart(generation: number): boolean;
  /** Resolves when to look again. Throws when they never will. */
  ready(generation: number, options: CallOptions, resend: boolean, context: ErrorContext): Promise<void>;
  /** A call begins and ends, whatever becomes of it. */
  began(): void;
  finished(opcode: number): void;
  /** An attempt of one; `started` gives its place, which `ended` takes. */
  started(transmission: Transmission): number;
  ended(place: number): void;
  /** The attempt made with `connectCount` found the connection dead. */
  lost(connectCount: number, reason: Error): void;
  replied(body: PtlrpcBody, opcode: number): void;
}

export function callOver<F extends Format>(
  view: ImportView,
  format: F,
  request: RequestInputs<F>,
  options: CallOptions,
): Promise<Reply<F>> {
  return new ImportCall(view, format, request, options).run();
}

/** One asynchronous function runs a call and awaits only what there is to wait for: each more is paid for by every RPC. */
class ImportCall<F extends Format> {
  readonly #view: ImportView;
  readonly #format: F;
  readonly #request: RequestInputs<F>;
  readonly #options: CallOptions;
  readonly #opcode: number;
  #generation: number;
  readonly #bulk: Bulk<BulkSegment> | undefined;
  #lengths: readonly number[] = [];
  #replySize = 0;
  #xid = 0n;
  #mbits = 0n;
  #tag = 0;
  #resend = false;
  /** A server may have carried it out. */
  #mayBeDone = false;
  /** Of the last attempt. */
  #sentAt = 0;
  #requestPortal = 0;
  /** The server said EINPROGRESS: so often, and wait before the next attempt. */
  #inProgressDelays = 0;
  #delay = false;
  #transmission: Transmission | undefined;
  #memory: Memory | undefined;

  constructor(view: ImportView, format: F, request: RequestInputs<F>, options: CallOptions) {
    this.#view = view;
    this.#format = format;
    this.#request = request;
    this.#options = options;
    this.#opcode = options.opcode ?? format.opcodes[0] ?? 0;
    this.#generation = view.generation;
    // A bulk of nothing is no bulk: there would be no descriptor to wait for.
    const { bulk } = options;
    this.#bulk = bulk?.segments.some((s) => s.length > 0) ? bulk : undefined;
  }

  /** Slots first, then the XID, so that XIDs of one tag grow (guide 04 §3.4). */
  async run(): Promise<Reply<F>> {
    const view = this.#view;
    const { signal } = this.#options;
    const { modifySlots } = view;
    const closes = this.#opcode === Opcode.MDS_CLOSE;
    const flight = this.#flightSlots();
    let place = 0;
    let onAbort: (() => void) | undefined;
    view.began();
    try {
      if (signal !== undefined) {
        signal.throwIfAborted();
        onAbort = () => this.#transmission?.abort();
        signal.addEventListener('abort', onAbort, { once: true });
      }
      this.#lengths = bufferLengths(this.#format.request, this.#request);
      this.#replySize = this.#format.replySize + (this.#options.replyRoom ?? 0);
      if (flight !== undefined) place = flight.tryTake() || (await flight.take(signal));
      if (this.#options.modifies === true)
        this.#tag = modifySlots.tryTake(closes) || (await modifySlots.take(signal, closes));
      for (;;) {
        while (this.#delay || !this.#mayStart()) await this.#wait();
        const { connectCount } = view;
        const transmission = this.#attempt();
        const among = view.started(transmission);
        let outcome: Outcome;
        try {
          outcome = await transmission.outcome;
        } finally {
          this.#transmission = undefined;
          view.ended(among);
        }
        const reply = this.#interpret(outcome, connectCount);
        if (reply !== undefined) return reply;
        signal?.throwIfAborted();
      }
    } finally {
      if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
      if (this.#tag !== 0) modifySlots.give(this.#tag, closes);
      if (place !== 0) flight?.give(place);
      view.unreplied.remove(this.#xid);
      if (this.#memory !== undefined) view.ptlrpc.slabs.give(this.#memory);
      view.finished(this.#opcode);
    }
  }

  #flightSlots(): Slots | undefined {
    const kind = flightClass(this.#opcode);
    if (kind === 'bulk') return this.#view.bulkSlots;
    return kind === 'general' ? this.#view.generalSlots : undefined;
  }

  #mayStart(): boolean {
    this.#followGeneration();
    return this.#view.mayStart(this.#generation);
  }

  /** For the import, or for as long as the server wants to be left alone. Throws when it will never be. */
  async #wait(): Promise<void> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    if (this.#delay) {
      this.#delay = false;
      await this.#delayed();
    } else {
      await this.#view.ready(this.#generation, this.#options, this.#resend, this.#context());
    }
    signal?.throwIfAborted();
  }

  /** What outlives an eviction is a new request then, not one sent again. */
  #followGeneration(): void {
    const { generation, unreplied } = this.#view;
    if (generation === this.#generation || !BOUND_TO_NOTHING.has(this.#opcode)) return;
    if (this.#options.modifies === true && this.#mayBeDone) return;
    this.#generation = generation;
    unreplied.remove(this.#xid);
    this.#xid = 0n;
    this.#resend = false;
  }

  #attempt(): Transmission {
    const view = this.#view;
    const { slabs } = view.ptlrpc;
    this.#assignXids(bulkPieceCount(this.#bulk));
    this.#memory ??= slabs.take(messageSize(this.#lengths));
    const requestPortal = this.#options.requestPortal ?? requestPortalOf(view.kind, this.#opcode);
    this.#requestPortal = requestPortal;
    const timeout = requestTimeout(view.timeouts.estimate(requestPortal));
    const length = this.#encode(this.#memory.bytes, timeout);
    const latencyMs = view.timeouts.latency * 1000;
    this.#transmission = view.ptlrpc.send(
      {
        peer: view.nid,
        requestPortal,
        replyPortal: this.#options.replyPortal ?? replyPortalOf(requestPortal),
        xid: this.#xid,
        replyMatchBits: view.replyMbits ? this.#mbits : this.#xid,
        request: { memory: this.#memory, offset: 0, length },
        replySize: this.#replySize,
        adaptive: view.adaptive,
        timeoutMs: timeout * 1000 + latencyMs,
        latencyMs,
        bulk: this.#bulk,
        bulkMatchBits: this.#mbits,
      },
      this.#opcode,
      this.#resend,
    );
    this.#sentAt = view.runtime.now();
    return this.#transmission;
  }

  /** A resend keeps its XID and draws new match bits, so that what is late for the first attempt finds nothing. */
  #assignXids(pieces: number): void {
    const { ptlrpc, unreplied, bulkMbits, replyMbits } = this.#view;
    const span = BigInt(Math.max(0, pieces - 1));
    if (this.#xid === 0n) {
      this.#xid = ptlrpc.nextXid();
      this.#mbits = this.#xid + span;
    } else if (pieces > 0 || replyMbits) {
      this.#mbits = ptlrpc.nextXid() + span;
    }
    // Without BULK_MBITS the XID itself is the last bulk descriptor's match bits.
    if (pieces > 0 && !bulkMbits && this.#xid !== this.#mbits) {
      unreplied.remove(this.#xid);
      this.#xid = this.#mbits;
    }
    unreplied.add(this.#xid);
  }

  #encode(into: Uint8Array, timeout: number): number {
    const view = this.#view;
    const own = (this.#request as { ptlrpc_body?: { pb_flags?: number } }).ptlrpc_body;
    const body = {
      ...own,
      pb_handle: view.remoteHandle,
      pb_type: MsgType.PTL_RPC_MSG_REQUEST,
      pb_version: rpcVersion(this.#opcode) | RpcVersion.PTLRPC_MSG_VERSION,
      pb_opc: this.#opcode,
      pb_last_xid: view.unreplied.lastXid(),
      pb_tag: this.#tag,
      pb_flags: (own?.pb_flags ?? 0) | (this.#resend ? MsgFlag.MSG_RESENT : 0),
      pb_conn_cnt: view.connectCount,
      pb_timeout: timeout,
      pb_mbits: this.#mbits,
    };
    const header = { secflvr: view.flavour, repsize: this.#replySize, flags: view.headerFlags };
    const { current } = this.#options;
    const values = current === undefined ? this.#request : { ...this.#request, ...current() };
    return encodeInto(this.#format.request, this.#lengths, values, body, header, into);
  }

  /** The reply, or undefined to try again. Throws what the caller is to see. */
  #interpret(outcome: Outcome, connectCount: number): Reply<F> | undefined {
    if (outcome.kind !== 'reply') this.#mayBeDone = true;
    switch (outcome.kind) {
      case 'reply':
        return this.#onReply(outcome, connectCount);
      case 'truncated':
        if (this.#options.noResend === true) throw errnoError(Errno.EOVERFLOW, this.#context());
        this.#replySize = outcome.needed;
        this.#resend = true;
        return undefined;
      case 'malformed':
        throw new ProtocolError(
          'ERR_LUSTRE_REPLY',
          `malformed reply: ${outcome.error.message}`,
          this.#context(),
        );
      case 'timeout': {
        const error = errnoError(Errno.ETIMEDOUT, {
          ...this.#context(),
          hint: `No ${outcome.during} came in time; is the server up and reachable?`,
        });
        // A ping that got lost says nothing when something else was answered since (guide 04 §6).
        const answered = this.#opcode === Opcode.OBD_PING && this.#view.lastReplyAt > this.#sentAt;
        if (!answered) this.#view.lost(connectCount, error);
        if (this.#options.noResend === true) throw error;
        break;
      }
      case 'network':
        this.#view.lost(connectCount, outcome.error);
        if (this.#options.noResend === true) throw this.#networkError(outcome.error);
        break;
      case 'local':
        throw outcome.error;
      case 'aborted':
        this.#options.signal?.throwIfAborted();
        if (this.#options.noResend === true) throw errnoError(Errno.ECONNRESET, this.#context());
        // Interrupted because the import was lost already, or because the RPC layer is closing.
        this.#view.lost(connectCount, errnoError(Errno.ECONNRESET, this.#context()));
        break;
    }
    this.#resend = true;
    return undefined;
  }

  #onReply(outcome: Outcome & { kind: 'reply' }, connectCount: number): Reply<F> | undefined {
    const { body, message, bulkBytes, bulkChecksum, bulkFileError, elapsedMs } = outcome;
    const { runtime, timeouts } = this.#view;
    timeouts.measure(this.#requestPortal, body, elapsedMs, runtime.now());
    this.#view.replied(body, this.#opcode);
    let status = body.pb_status;
    if (body.pb_type === MsgType.PTL_RPC_MSG_ERR && status >= 0) status = -Errno.EINVAL;
    if (status === -Errno.ENOTCONN || status === -Errno.ENODEV) {
      const error = errnoError(status, this.#context());
      this.#view.lost(connectCount, error);
      if (this.#options.noResend === true) throw error;
      this.#resend = true;
      return undefined;
    }
    if (status === -Errno.EINPROGRESS && this.#options.noResend !== true) {
      this.#delay = true;
      return undefined;
    }
    const { accept, ends } = this.#options;
    if (status < 0 && accept?.includes(-status) !== true) {
      if (body.pb_transno !== 0n) this.#retain(body, undefined);
      else if (ends !== undefined) this.#view.replays.end(ends);
      throw errnoError(status, this.#context());
    }
    try {
      const values = decodeBuffers(this.#format.reply, message, body) as ReplyValues<F>;
      if (body.pb_transno !== 0n) this.#retain(body, values);
      else if (ends !== undefined) this.#view.replays.end(ends);
      const { pb_transno: transno } = body;
      return { values, status, xid: this.#xid, transno, bulkBytes, bulkChecksum, bulkFileError };
    } catch (cause) {
      const text = cause instanceof LustreError ? cause.message : String(cause);
      throw new ProtocolError('ERR_LUSTRE_REPLY', `malformed reply: ${text}`, { ...this.#context(), cause });
    }
  }

  /** Keeps what the server may lose (guide 06 §2.2), and what was made for longer. */
  #retain(body: PtlrpcBody, reply: object | undefined): void {
    const { replays, replayable } = this.#view;
    const { makes, ends, replayAs, current, noReplay, replyPortal, keep, lost } = this.#options;
    const { pb_transno: transno, pb_status: status, pb_pre_versions: preVersions } = body;
    const committed = transno <= replays.lastCommitted;
    if (committed && ends !== undefined) replays.end(ends);
    if (noReplay === true || (committed && (makes === undefined || reply === undefined))) return;
    const bulk = this.#bulk?.direction === 'source' ? this.#bulk : undefined;
    // What is fetched from the caller's memory is there for one call only, unless it says otherwise.
    const kept = replayable && bulk !== undefined ? keep?.() : undefined;
    if (!replayable || (bulk !== undefined && kept === undefined)) {
      replays.addUnkept(transno, lost);
      return;
    }
    const request =
      reply === undefined || replayAs === undefined
        ? copyBytes(this.#request)
        : replayAs(this.#request, reply);
    if (committed && makes?.made !== true) return;
    replays.add({
      transno,
      status,
      preVersions,
      xid: this.#xid,
      mbits: this.#mbits,
      tag: this.#tag,
      opcode: this.#opcode,
      format: this.#format,
      request,
      current,
      requestPortal: this.#requestPortal,
      replyPortal: replyPortal ?? replyPortalOf(this.#requestPortal),
      replySize: this.#replySize,
      makes: makes?.made === true ? makes : undefined,
      ends,
      bulk: bulk && kept && { ...bulk, segments: kept.segments },
      release: kept?.release,
      lost,
    });
  }

  /** -EINPROGRESS: for ever, with a new XID, one second later each time up to the request's timeout. */
  async #delayed(): Promise<void> {
    const { runtime, timeouts, kind, unreplied } = this.#view;
    const limit = requestTimeout(timeouts.estimate(requestPortalOf(kind, this.#opcode)));
    this.#inProgressDelays = Math.min(this.#inProgressDelays + 1, limit);
    unreplied.remove(this.#xid);
    this.#xid = 0n;
    this.#resend = false;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#options.signal?.removeEventListener('abort', wake);
        timer.cancel();
        resolve();
      };
      const timer = runtime.after(this.#inProgressDelays * 1000, wake);
      this.#options.signal?.addEventListener('abort', wake, { once: true });
    });
  }

  #networkError(cause: Error): LustreError {
    if (cause instanceof LustreError && cause.errno !== 0)
      return errnoError(cause.errno, { ...this.#context(), cause });
    return errnoError(Errno.EIO, { ...this.#context(), cause });
  }

  #context(): ErrorContext {
    const { targetName, nid } = this.#view;
    return { ...this.#options.context, opcode: opcodeName(this.#opcode), target: targetName, nid };
  }
}

/** A request's buffers of bytes are the caller's, who may use them again. */
function copyBytes(request: object): object {
  const values = request as Record<string, unknown>;
  let copy: Record<string, unknown> | undefined;
  for (const key in values) {
    const value = values[key];
    if (value instanceof Uint8Array && value.length > 0) {
      copy ??= { ...values };
      copy[key] = value.slice();
    }
  }
  return copy ?? values;
}
