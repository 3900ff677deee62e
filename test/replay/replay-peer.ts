/**
 * The servers' side of a recording, on the simulated network. A request of our client is answered with what the kernel's
 * servers answered the kernel client's request for the same purpose: bulk, callbacks and reply, as they were sent, only
 * addressed by our XIDs, match bits and handles. It keeps account of what was asked and what was not.
 */

import type { RpcMessage } from '../../lib/cli/decode/rpc-messages.ts';
import type { Endpoint, LnetEvent } from '../../lib/lnet/network.ts';
import type { Bits64 } from '../../lib/wire/bits64.ts';
import { Opcode, Portal } from '../../lib/wire/opcodes.ts';
import { MsgType } from '../../lib/wire/ptlrpc-constants.ts';
import { answerTo, answerToConvert, bytesAsked, isConnect } from './answer-bytes.ts';
import { CallbackPlayer, type Damage } from './callback-player.ts';
import { ExchangeSearch, within } from './exchange-search.ts';
import { LockLedger } from './lock-ledger.ts';
import { PeerWire } from './peer-wire.ts';
import { dissect, withBody } from './recorded-bytes.ts';
import {
  type Exchange,
  type Purpose,
  purposeOfMessage,
  purposeText,
  type Recording,
  type Step,
} from './recording.ts';

const REQUEST_PORTALS = [
  Portal.OST_IO_PORTAL,
  Portal.OST_CREATE_PORTAL,
  Portal.MDS_REQUEST_PORTAL,
  Portal.MDS_IO_PORTAL,
  Portal.LDLM_CANCEL_REQUEST_PORTAL,
  Portal.MDS_READPAGE_PORTAL,
  Portal.OUT_PORTAL,
  Portal.MGS_REQUEST_PORTAL,
  Portal.OST_REQUEST_PORTAL,
  Portal.FLD_REQUEST_PORTAL,
  Portal.SEQ_METADATA_PORTAL,
  Portal.SEQ_DATA_PORTAL,
];
/** Which lock a cancel names differs by caching and batching: they are accounted for by handle, not by request. Pings come
 * when they come, but for those that end a recovery. */
const UNSCRIPTED: readonly string[] = ['LDLM_CANCEL', 'OBD_PING'];
const ENOTCONN = -107;
/** Of pb_type, pb_opc and pb_status in ptlrpc_body. */
const TYPE = 8;
const OPCODE = 16;
const STATUS = 20;

/** A request of ours and what it was answered with. */
export interface Match {
  readonly purpose: Purpose;
  readonly request: RpcMessage;
  readonly portal: number;
  readonly exchange: Exchange;
  /** The exchange had been used before: ours asked once more. */
  readonly again: boolean;
  /** Bytes that ours sent by bulk. */
  readonly bulk: Uint8Array[];
}

/** Ours asked what nobody had asked the kernel's servers. */
export class RecordingEnds extends Error {}

export class ReplayPeer {
  readonly matches: Match[] = [];
  /** Rejects when ours asks what nobody had asked the kernel's servers. */
  readonly broken: Promise<never>;
  #fail!: (error: Error) => void;
  readonly locks: LockLedger = new LockLedger();
  readonly callbacks: CallbackPlayer;
  /** A target that is down: what it is asked has no answer. */
  down: string | undefined;
  readonly #recording: Recording;
  readonly #wire: PeerWire;
  readonly #search: ExchangeSearch;
  readonly #targets = new Map<bigint, string>();
  /** Nodes of our mounts, in the order in which they came. */
  readonly #nodes: string[] = [];
  /** By mount and XID: what is asked again is answered as before. */
  readonly #answered = new Map<string, Exchange>();
  readonly #windows: Step[] = [];
  /** The last step that was entered, of which the last window may be a part. */
  #entered!: Step;
  #closing: Step | undefined;
  /** Handles of connections to servers that were started again since. */
  #stale: ReadonlySet<bigint> = new Set();

  constructor(recording: Recording, endpoint: Endpoint) {
    this.#recording = recording;
    this.#search = new ExchangeSearch(recording);
    this.broken = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.broken.catch(() => undefined);
    this.#wire = new PeerWire(endpoint);
    this.callbacks = new CallbackPlayer(recording, this.#wire, this.locks);
    for (const { reply, purpose, header } of recording.exchanges) {
      if (reply?.rpc !== undefined && header.matchBits !== 0n && reply.rpc.body.pb_handle !== 0n)
        this.#targets.set(reply.rpc.body.pb_handle, purpose.target);
    }
    for (const portal of REQUEST_PORTALS)
      this.#wire.listen(portal, (bytes, event) => this.#request(bytes, event, portal));
  }

  /** Changes what is sent: for those who test what a client makes of damaged replies. */
  set damage(damage: Damage) {
    this.callbacks.damage = damage;
  }

  /** Bulk comes behind the reply that says it is there: out of order. */
  replyFirst: (kind: string) => boolean = () => false;

  /** From now on requests are those of this step. */
  enter(step: Step): void {
    this.#entered = step;
    this.#windows.push(step);
  }

  /** From now on requests are those of a part of the step that was entered. */
  narrow(time: number, until = this.#entered.until): void {
    this.#windows.push({ ...this.#entered, time, until: Math.min(until, this.#entered.until) });
  }

  /** The servers were started again: they know nobody who has not connected since. */
  restart(window: Step): void {
    const last = this.#windows.pop();
    if (last !== undefined) this.#windows.push({ ...last, until: window.time });
    this.#windows.push(window);
    this.#stale = new Set(
      this.#recording.exchanges
        .filter(({ time, request }) => time < window.time && isConnect(request))
        .map(({ reply }) => reply?.rpc?.body.pb_handle ?? 0n),
    );
    this.#answered.clear();
  }

  /** Only the unmount is left, somewhere in this step. */
  close(step: Step): void {
    this.#closing = step;
  }

  /** Kernel clients convert locks only where an MDT keeps data: most recordings have no answer to that. */
  get #converts(): boolean {
    return this.#recording.exchanges.some(({ request }) => request.body.pb_opc === Opcode.LDLM_CONVERT);
  }

  get #window(): Step {
    const step = this.#closing ?? this.#windows[this.#windows.length - 1];
    if (step === undefined) throw new Error('no step was entered');
    return step;
  }

  /** Requests of the kernel client in the steps entered that ours did without. */
  unused(): Exchange[] {
    return this.#recording.exchanges.filter(
      (exchange) =>
        !this.#search.isUsed(exchange) &&
        !UNSCRIPTED.includes(exchange.purpose.operation) &&
        this.#windows.some((step) => within(exchange, step)),
    );
  }

  stepOf(exchange: Exchange): Step | undefined {
    return this.#recording.steps.find((step) => within(exchange, step));
  }

  get recording(): string {
    return this.#recording.name;
  }

  #mountOf(nid: string): number {
    if (!this.#nodes.includes(nid)) this.#nodes.push(nid);
    return this.#nodes.indexOf(nid);
  }

  #request(bytes: Uint8Array, event: LnetEvent, portal: number): void {
    const request = dissect(bytes);
    const purpose = purposeOfMessage(request, this.#targetOf(request));
    const mount = this.#mountOf(event.initiator.nid);
    if (isConnect(request)) this.callbacks.connected(mount, purpose.target, request, event.initiator);
    if (purpose.target === this.down) return;
    if (this.#stale.has(request.body.pb_handle) && !isConnect(request))
      return this.#unscripted(request, purpose.target, event, ENOTCONN);
    if (UNSCRIPTED.includes(purpose.operation)) return this.#unscripted(request, purpose.target, event);
    if (request.body.pb_opc === Opcode.LDLM_CONVERT && !this.#converts) {
      const { initiator, matchBits } = event;
      const portal = Portal.LDLM_CANCEL_REPLY_PORTAL;
      for (const answer of this.callbacks.damage(answerToConvert(request, this.locks), 'LDLM_CONVERT'))
        this.#wire.put(initiator, portal, replyBits(request, matchBits), 0, answer);
      return;
    }
    const xid = `${mount} ${event.matchBits}`;
    const before = this.#answered.get(xid);
    const resent: [Exchange, boolean] | undefined = before === undefined ? undefined : [before, true];
    const found = resent ?? this.#search.find(purpose, this.#window, mount, request);
    if (found === undefined) {
      const left = this.unused().map((exchange) => purposeText(exchange.purpose));
      const text = `the recording knows no answer to ${purposeText(purpose)} at the step '${this.#window.command}'`;
      this.#fail(new RecordingEnds(`${text}, only to\n  ${left.join('\n  ')}`));
      return;
    }
    const [exchange, again] = found;
    const status = exchange.reply?.rpc?.body.pb_status;
    // To whom is not connected nothing was done: it may be asked once more, and answered.
    if (status !== ENOTCONN) this.#answered.set(xid, exchange);
    this.locks.learn(exchange, request);
    if (isConnect(request) && status === 0 && request.body.pb_handle !== 0n)
      this.locks.connected(purpose.target);
    const match: Match = { purpose, request, portal, exchange, again, bulk: [] };
    this.matches.push(match);
    this.#answer(match, event).catch(this.#fail);
  }

  #targetOf(request: RpcMessage): string {
    if (isConnect(request)) return String(request.values.tgtuuid).replace(/_UUID$/, '');
    return this.#targets.get(request.body.pb_handle) ?? '';
  }

  /** Cancels and pings: any is answered as the kernel's servers answered theirs. */
  #unscripted(request: RpcMessage, target: string, { initiator, matchBits }: LnetEvent, status = 0): void {
    const cancel = request.body.pb_opc === Opcode.LDLM_CANCEL;
    if (cancel && status === 0) this.locks.cancel(request);
    const models = this.#recording.exchanges.filter(
      ({ purpose: { operation }, reply }) => UNSCRIPTED.includes(operation) && reply !== undefined,
    );
    const sent = (models.find(({ purpose }) => purpose.target === target) ?? models[0])?.reply;
    if (sent === undefined) throw new Error(`${this.#recording.name} has neither a ping nor a cancel`);
    const portal = cancel ? Portal.LDLM_CANCEL_REPLY_PORTAL : replyPortalOf(target);
    const opcoded = withBody(sent.payload, (view, at) => {
      view.setUint32(at + OPCODE, request.body.pb_opc, true);
      if (status === 0) return;
      view.setUint32(at + TYPE, MsgType.PTL_RPC_MSG_ERR, true);
      view.setInt32(at + STATUS, status, true);
    });
    for (const bytes of this.callbacks.damage(opcoded, purposeOfMessage(request, target).operation))
      this.#wire.put(initiator, portal, replyBits(request, matchBits), sent.header.offset, bytes);
  }

  async #answer(match: Match, { initiator, matchBits }: LnetEvent): Promise<void> {
    const { exchange, request } = match;
    const { reply } = exchange;
    const { damage } = this.callbacks;
    const { pb_mbits: bits } = request.body;
    for (const { sent } of exchange.gets) {
      const { portal } = sent.header;
      // Kernels write whole pages: ours may have less.
      const length = Math.min(sent.header.length, bytesAsked(request));
      match.bulk.push(await this.#wire.get(initiator, portal, bits - sent.bitsBelow, length));
    }
    const kind = match.purpose.operation;
    const bulk = (): void => {
      let room = request.body.pb_opc === Opcode.OST_READ ? bytesAsked(request) : Number.POSITIVE_INFINITY;
      for (const { header, payload, bitsBelow } of exchange.puts) {
        const piece = payload.subarray(0, room);
        room -= piece.length;
        for (const bytes of damage(piece, `${kind} bulk`))
          this.#wire.put(initiator, header.portal, bits - bitsBelow, header.offset, bytes);
      }
    };
    const disorder = this.replyFirst(kind);
    if (!disorder) bulk();
    const callbacks = match.again ? [] : this.callbacks.after(exchange);
    for (const callback of callbacks.filter(({ index }) => reply === undefined || index < reply.index))
      await this.callbacks.send(callback);
    if (reply !== undefined) {
      const { header, payload } = reply;
      for (const bytes of damage(answerTo(request, payload, this.locks), kind))
        this.#wire.put(initiator, header.portal, replyBits(request, matchBits), header.offset, bytes);
    }
    if (disorder) bulk();
    for (const callback of callbacks) await this.callbacks.send(callback);
  }
}

const replyBits = ({ body }: RpcMessage, xid: Bits64): bigint =>
  body.pb_mbits === 0n ? BigInt(xid) : body.pb_mbits;

const replyPortalOf = (target: string): number =>
  target === 'MGS'
    ? Portal.MGC_REPLY_PORTAL
    : target.includes('-MDT')
      ? Portal.MDC_REPLY_PORTAL
      : Portal.OSC_REPLY_PORTAL;
