/**
 * One call over an import, from its slot to its reply, however many attempts that takes (guide 04 §3.3, §4.3, §4.4, §6;
 * guide 06 §3).
 */
import type { BulkSegment } from '../lnet/network.ts';
import type { Nid } from '../lnet/nid.ts';
import { requestTimeout } from '../rpc/adaptive-timeout.ts';
import { opcodeName, replyPortalOf, requestPortalOf } from '../rpc/portals.ts';
import type { Bulk, CallOptions, Reply } from '../rpc/rpc.ts';
import type { Slab } from '../rpc/slab.ts';
import { type Attempt, bulkPieceCount, type Outcome, type Transmission } from '../rpc/transmission.ts';
import { Errno, type ErrorContext, errnoError, LustreError, ProtocolError } from '../runtime/errors.ts';
import {
  bufferLengths,
  decodeBuffers,
  type Format,
  type Inputs,
  type PtlrpcBody,
  type ReplyValues,
  type RequestInputs,
} from '../wire/format.ts';
import { messageSize } from '../wire/message.ts';
import { Opcode } from '../wire/opcodes.ts';
import { MsgType } from '../wire/ptlrpc-constants.ts';
import type { ImportView } from './import-view.ts';
import { encodeRequest } from './request-message.ts';
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

type Resolve = (reply: Reply<Format>) => void;
type Reject = (error: unknown) => void;
let resolveMade: Resolve;
let rejectMade: Reject;
/** Of all promises of calls: one for each would be one more for every RPC. */
const keepSettlers = (resolve: Resolve, reject: Reject): void => {
  resolveMade = resolve;
  rejectMade = reject;
};

const NOTHING = {};

/**
 * The call is what each of its attempts sends, and hears how that went: objects and promises of their own for these would be paid
 * for by every RPC. Only what has to wait for something else is an asynchronous function. When it has ended it rests, and is the
 * next call.
 */
export class ImportCall implements Attempt {
  peer = '' as Nid;
  requestPortal = 0;
  replyPortal = 0;
  xid = 0;
  replyMatchBits = 0;
  request!: Slab;
  requestLength = 0;
  replySize = 0;
  adaptive = false;
  timeoutMs = 0;
  latencyMs = 0;
  bulk: Bulk<BulkSegment> | undefined;
  bulkMatchBits = 0;
  readonly #view: ImportView;
  readonly #over: (call: ImportCall) => void;
  #format!: Format;
  #values: object = NOTHING;
  #options: CallOptions = NOTHING;
  opcode = 0;
  #resolve!: Resolve;
  #reject!: Reject;
  #generation = 0;
  tag = 0;
  /** Its slot in flight, and where its attempt is among those of the import. */
  #place = 0;
  #among = -1;
  resend = false;
  /** A server may have carried it out. */
  #mayBeDone = false;
  #connectCount = 0;
  /** The server said EINPROGRESS: so often, and wait before the next attempt. */
  #inProgressDelays = 0;
  #delay = false;
  #transmission: Transmission | undefined;
  /** When the last attempt began. */
  #sentAt = 0;
  #slab: Slab | undefined;
  #onAbort: (() => void) | undefined;

  constructor(view: ImportView, over: (call: ImportCall) => void) {
    this.#view = view;
    this.#over = over;
  }

  begin<F extends Format>(format: F, values: RequestInputs<F>, options: CallOptions): Promise<Reply<Format>> {
    const promise = new Promise<Reply<Format>>(keepSettlers);
    this.#resolve = resolveMade;
    this.#reject = rejectMade;
    this.#format = format;
    this.#values = values;
    this.#options = options;
    this.opcode = options.opcode ?? format.opcodes[0] ?? 0;
    this.#generation = this.#view.generation;
    // A bulk of nothing is no bulk: there would be no descriptor to wait for.
    const { bulk } = options;
    this.bulk = bulk?.segments.some((s) => s.length > 0) ? bulk : undefined;
    this.replySize = format.replySize + (options.replyRoom ?? 0);
    this.#start();
    return promise;
  }

  /** Slots first, then the XID, so that XIDs of one tag grow (guide 04 §3.4). */
  #start(): void {
    const { signal } = this.#options;
    try {
      if (signal !== undefined) {
        signal.throwIfAborted();
        this.#onAbort = () => this.#transmission?.abort();
        signal.addEventListener('abort', this.#onAbort, { once: true });
      }
      if (this.#takeSlots() && this.#mayStart()) this.#attempt();
      else void this.#attemptLater();
    } catch (error) {
      this.#end(undefined, error);
    }
  }

  /** Of the last attempt. */
  ended(outcome: Outcome): void {
    this.#transmission = undefined;
    this.#view.ended(this.#among);
    try {
      const reply = this.#interpret(outcome);
      if (reply !== undefined) {
        this.#end(reply);
        return;
      }
      this.#options.signal?.throwIfAborted();
    } catch (error) {
      this.#end(undefined, error);
      return;
    }
    void this.#attemptLater();
  }

  async #attemptLater(): Promise<void> {
    const { signal, modifies } = this.#options;
    try {
      const flight = this.#flightSlots();
      if (this.#place === 0 && flight !== undefined) this.#place = await flight.take(signal);
      if (this.tag === 0 && modifies === true)
        this.tag = await this.#view.modifySlots.take(signal, this.#closes);
      while (this.#delay || !this.#mayStart()) await this.#wait();
      this.#attempt();
    } catch (error) {
      this.#end(undefined, error);
    }
  }

  /** Nobody has the call any more when its caller hears of it, so that it may be that one's next. */
  #end(reply: Reply<Format> | undefined, error?: unknown): void {
    const resolve = this.#resolve;
    const reject = this.#reject;
    const { opcode } = this;
    let failure = error;
    let outcome = reply;
    try {
      this.#release();
    } catch (thrown) {
      failure = thrown;
      outcome = undefined;
    }
    this.#rest();
    this.#view.finished(opcode);
    if (outcome === undefined) reject(failure);
    else resolve(outcome);
  }

  #release(): void {
    const view = this.#view;
    if (this.#onAbort !== undefined) this.#options.signal?.removeEventListener('abort', this.#onAbort);
    if (this.tag !== 0) view.modifySlots.give(this.tag, this.#closes);
    if (this.#place !== 0) this.#flightSlots()?.give(this.#place);
    view.unreplied.remove(this.xid);
    if (this.#slab !== undefined) view.ptlrpc.slabs.give(this.#slab);
  }

  #rest(): void {
    this.xid = 0;
    this.bulk = undefined;
    this.#values = NOTHING;
    this.#options = NOTHING;
    this.tag = 0;
    this.#place = 0;
    this.resend = false;
    this.#mayBeDone = false;
    this.#inProgressDelays = 0;
    this.#delay = false;
    this.#slab = undefined;
    this.#onAbort = undefined;
    this.#over(this);
  }

  get #closes(): boolean {
    return this.opcode === Opcode.MDS_CLOSE;
  }

  /** False when there is one to wait for. */
  #takeSlots(): boolean {
    const flight = this.#flightSlots();
    if (flight !== undefined) {
      this.#place = flight.tryTake();
      if (this.#place === 0) return false;
    }
    if (this.#options.modifies !== true) return true;
    this.tag = this.#view.modifySlots.tryTake(this.#closes);
    return this.tag !== 0;
  }

  #flightSlots(): Slots | undefined {
    const kind = flightClass(this.opcode);
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
      await this.#view.ready(this.#generation, this.#options, this.resend, this.#context());
    }
    signal?.throwIfAborted();
  }

  /** What outlives an eviction is a new request then, not one sent again. */
  #followGeneration(): void {
    const { generation, unreplied } = this.#view;
    if (generation === this.#generation || !BOUND_TO_NOTHING.has(this.opcode)) return;
    if (this.#options.modifies === true && this.#mayBeDone) return;
    this.#generation = generation;
    unreplied.remove(this.xid);
    this.xid = 0;
    this.resend = false;
  }

  #attempt(): void {
    const view = this.#view;
    // First: whoever is asked may begin a call, which fills the same body and lengths.
    const { current } = this.#options;
    const values = current === undefined ? this.#values : { ...this.#values, ...current() };
    this.#assignXids(bulkPieceCount(this.bulk));
    const lengths = bufferLengths(this.#format.request, values as Inputs);
    this.request = this.#slab ??= view.ptlrpc.slabs.take(messageSize(lengths));
    const requestPortal = this.#options.requestPortal ?? requestPortalOf(view.kind, this.opcode);
    const timeout = requestTimeout(view.timeouts.estimate(requestPortal));
    this.requestLength = encodeRequest(view, this, this.#format, values, lengths, timeout);
    this.peer = view.nid;
    this.requestPortal = requestPortal;
    this.replyPortal = this.#options.replyPortal ?? replyPortalOf(requestPortal);
    this.replyMatchBits = view.replyMbits ? this.bulkMatchBits : this.xid;
    this.adaptive = view.adaptive;
    this.latencyMs = view.timeouts.latency * 1000;
    this.timeoutMs = timeout * 1000 + this.latencyMs;
    this.#connectCount = view.connectCount;
    const transmission = view.ptlrpc.send(this, this.opcode, this.resend);
    this.#transmission = transmission;
    this.#among = view.started(transmission);
    this.#sentAt = transmission.sentAt;
  }

  /** A resend keeps its XID and draws new match bits, so that what is late for the first attempt finds nothing. */
  #assignXids(pieces: number): void {
    const { ptlrpc, unreplied, bulkMbits, replyMbits } = this.#view;
    if (this.xid === 0) {
      this.xid = ptlrpc.nextXid();
      this.bulkMatchBits = lastBits(this.xid, pieces);
    } else if (pieces > 0 || replyMbits) {
      this.bulkMatchBits = lastBits(ptlrpc.nextXid(), pieces);
    }
    // Without BULK_MBITS the XID itself is the last bulk descriptor's match bits.
    if (pieces > 0 && !bulkMbits && this.xid !== this.bulkMatchBits) {
      unreplied.remove(this.xid);
      this.xid = this.bulkMatchBits;
    }
    unreplied.add(this.xid);
  }

  /** The reply, or undefined to try again. Throws what the caller is to see. */
  #interpret(outcome: Outcome): Reply<Format> | undefined {
    if (outcome.kind !== 'reply') this.#mayBeDone = true;
    switch (outcome.kind) {
      case 'reply':
        return this.#onReply(outcome);
      case 'truncated':
        if (this.#options.noResend === true) throw errnoError(Errno.EOVERFLOW, this.#context());
        this.replySize = outcome.needed;
        this.resend = true;
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
        const answered = this.opcode === Opcode.OBD_PING && this.#view.lastReplyAt > this.#sentAt;
        if (!answered) this.#view.lost(this.#connectCount, error);
        if (this.#options.noResend === true) throw error;
        break;
      }
      case 'network':
        this.#view.lost(this.#connectCount, outcome.error);
        if (this.#options.noResend === true) throw this.#networkError(outcome.error);
        break;
      case 'local':
        throw outcome.error;
      case 'aborted':
        this.#options.signal?.throwIfAborted();
        if (this.#options.noResend === true) throw errnoError(Errno.ECONNRESET, this.#context());
        // Interrupted because the import was lost already, or because the RPC layer is closing.
        this.#view.lost(this.#connectCount, errnoError(Errno.ECONNRESET, this.#context()));
        break;
    }
    this.resend = true;
    return undefined;
  }

  #onReply(outcome: Outcome & { kind: 'reply' }): Reply<Format> | undefined {
    const { body, message, bulkBytes, bulkChecksum, bulkFileError, elapsedMs } = outcome;
    const { runtime, timeouts } = this.#view;
    timeouts.measure(this.requestPortal, body, elapsedMs, runtime.now());
    this.#view.replied(body, this.opcode);
    let status = body.pb_status;
    if (body.pb_type === MsgType.PTL_RPC_MSG_ERR && status >= 0) status = -Errno.EINVAL;
    if (status === -Errno.ENOTCONN || status === -Errno.ENODEV) {
      const error = errnoError(status, this.#context());
      this.#view.lost(this.#connectCount, error);
      if (this.#options.noResend === true) throw error;
      this.resend = true;
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
      const values = decodeBuffers(this.#format.reply, message, body) as ReplyValues<Format>;
      if (body.pb_transno !== 0n) this.#retain(body, values);
      else if (ends !== undefined) this.#view.replays.end(ends);
      const { pb_transno: transno } = body;
      return { values, status, xid: this.xid, transno, bulkBytes, bulkChecksum, bulkFileError };
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
    const bulk = this.bulk?.direction === 'source' ? this.bulk : undefined;
    // What is fetched from the caller's memory is there for one call only, unless it says otherwise.
    const kept = replayable && bulk !== undefined ? keep?.() : undefined;
    if (!replayable || (bulk !== undefined && kept === undefined)) {
      replays.addUnkept(transno, lost);
      return;
    }
    const request =
      reply === undefined || replayAs === undefined ? copyBytes(this.#values) : replayAs(this.#values, reply);
    if (committed && makes?.made !== true) return;
    replays.add({
      transno,
      status,
      preVersions,
      xid: this.xid,
      mbits: this.bulkMatchBits,
      tag: this.tag,
      opcode: this.opcode,
      format: this.#format,
      request,
      current,
      requestPortal: this.requestPortal,
      replyPortal: replyPortal ?? replyPortalOf(this.requestPortal),
      replySize: this.replySize,
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
    const limit = requestTimeout(timeouts.estimate(requestPortalOf(kind, this.opcode)));
    this.#inProgressDelays = Math.min(this.#inProgressDelays + 1, limit);
    unreplied.remove(this.xid);
    this.xid = 0;
    this.resend = false;
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
    return { ...this.#options.context, opcode: opcodeName(this.opcode), target: targetName, nid };
  }
}

/** Match bits of the last of so many descriptors. */
function lastBits(first: number, pieces: number): number {
  return pieces > 1 ? first + pieces - 1 : first;
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
