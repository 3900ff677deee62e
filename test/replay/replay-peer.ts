/**
 * The servers' side of a recording, on the simulated network. A request of our client is answered with what the kernel's
 * servers answered the kernel client's request for the same purpose: bulk, callbacks and reply, as they were sent, only
 * addressed by our XIDs, match bits and handles. It keeps account of what was asked and what was not.
 */
import type { Unit } from '../../lib/cli/decode/conversation.ts';
import { Dissection } from '../../lib/cli/decode/dissection.ts';
import type { LnetHeader } from '../../lib/cli/decode/lnet-messages.ts';
import { dissectMessage, type RpcMessage } from '../../lib/cli/decode/rpc-messages.ts';
import { type Endpoint, type LnetEvent, MdOption } from '../../lib/lnet/network.ts';
import { ObdConnectData } from '../../lib/wire/connection-structs.ts';
import { LdlmRequest } from '../../lib/wire/ldlm-structs.ts';
import { decodeMessage, messageHeaderSize } from '../../lib/wire/message.ts';
import { Opcode, Portal } from '../../lib/wire/opcodes.ts';
import { LustreMsgV2 } from '../../lib/wire/ptlrpc-structs.ts';
import {
  type Callback,
  type Exchange,
  type Purpose,
  purposeOf,
  purposeText,
  type Recording,
  type Sent,
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
/** For all requests to one portal, one behind the other. */
const ROOM = 1 << 20;
const CONNECTS: readonly number[] = [Opcode.MGS_CONNECT, Opcode.MDS_CONNECT, Opcode.OST_CONNECT];
/** Which lock a cancel names differs by caching and batching: they are accounted for by handle, not by request. */
const ANY_TIME = /^OST_(WRITE|SYNC|PUNCH)|_DISCONNECT$/;
const WRITES = /^OST_(WRITE|SYNC|PUNCH)/;
/** Requests whose replies have the same format: ours asks by FID where `lfs` asks by name in an open directory; passes
 * through where the kernel wants the attributes, too, and the other way round. */
const STAND_INS = new Map([
  ['MDS_GETATTR', ['MDS_GETATTR_NAME']],
  ['LDLM_ENQUEUE lookup', ['LDLM_ENQUEUE getattr']],
  ['LDLM_ENQUEUE getattr', ['LDLM_ENQUEUE getattr', 'LDLM_ENQUEUE lookup']],
]);
const UNSCRIPTED: readonly number[] = [Opcode.LDLM_CANCEL, Opcode.OBD_PING];

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

type Answer = (reply: Uint8Array) => Uint8Array;

export class ReplayPeer {
  readonly matches: Match[] = [];
  /** Rejects when ours asks what nobody had asked the kernel's servers. */
  readonly broken: Promise<never>;
  #fail!: (error: Error) => void;
  readonly callbackStatus: { readonly purpose: string; readonly status: number }[] = [];
  /** Our handles of locks by theirs. */
  readonly lockHandles = new Map<bigint, bigint>();
  /** Server handles that were granted, and those given back. */
  readonly granted = new Set<bigint>();
  readonly cancelled = new Set<bigint>();
  /** Changes what is sent: for those who test what a client makes of damaged replies. */
  damage: Answer = (bytes) => bytes;
  /** A target that is down: what it is asked has no answer. */
  down: string | undefined;
  readonly #recording: Recording;
  readonly #endpoint: Endpoint;
  readonly #used = new Set<Exchange>();
  readonly #sentCallbacks = new Set<Callback>();
  readonly #callbackHandles = new Map<string, bigint>();
  readonly #targets = new Map<bigint, string>();
  readonly #callbackReplies = new Map<bigint, (status: number) => void>();
  readonly #windows: Step[] = [];
  #closing: Step | undefined;
  #nextXid = 0x7000_0000_0000_0000n;

  constructor(recording: Recording, endpoint: Endpoint) {
    this.#recording = recording;
    this.broken = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.broken.catch(() => undefined);
    this.#endpoint = endpoint;
    for (const { reply, purpose, header } of recording.exchanges) {
      if (reply?.rpc !== undefined && header.matchBits !== 0n && reply.rpc.body.pb_handle !== 0n)
        this.#targets.set(reply.rpc.body.pb_handle, purpose.target);
    }
    for (const portal of REQUEST_PORTALS)
      this.#listen(portal, (bytes, event) => this.#request(bytes, event, portal));
    this.#listen(Portal.LDLM_CB_REPLY_PORTAL, (bytes, event) => {
      const { pb_status } = dissect(bytes).body;
      this.#callbackReplies.get(event.matchBits)?.(pb_status);
    });
  }

  /** From now on requests are those of this step. */
  enter(step: Step): void {
    this.#windows.push(step);
  }

  /** Only the unmount is left, somewhere in this step. */
  close(step: Step): void {
    this.#closing = step;
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
        !this.#used.has(exchange) &&
        !UNSCRIPTED.includes(exchange.request.body.pb_opc) &&
        this.#windows.some((step) => within(exchange, step)),
    );
  }

  #listen(portal: number, take: (bytes: Uint8Array, event: LnetEvent) => void): void {
    const memory = this.#endpoint.allocate(ROOM);
    this.#endpoint.attach(
      {
        portal,
        matchBits: 0n,
        ignoreBits: 0xffff_ffff_ffff_ffffn,
        peer: { nid: '*' },
        segments: [{ memory, offset: 0, length: ROOM }],
        threshold: Number.POSITIVE_INFINITY,
        options: MdOption.OP_PUT,
        autoUnlink: false,
      },
      (event) => {
        if (event.type !== 'put') return;
        take(memory.bytes.slice(event.offset, event.offset + event.mlength), event);
      },
    );
  }

  #request(bytes: Uint8Array, event: LnetEvent, portal: number): void {
    const request = dissect(bytes);
    const { body } = request;
    const purpose = purposeOfOurs(request, this.#targetOf(request));
    if (CONNECTS.includes(body.pb_opc))
      this.#callbackHandles.set(purpose.target, request.values.conn as bigint);
    if (purpose.target === this.down) return;
    const xid = event.matchBits;
    if (UNSCRIPTED.includes(body.pb_opc)) return this.#unscripted(request, purpose.target, xid);
    const found = this.#find(purpose);
    if (found === undefined) {
      this.#fail(
        new RecordingEnds(
          `the recording knows no answer to ${purposeText(purpose)} at the step '${this.#window.command}', only to\n  ${this.unused()
            .map((exchange) => purposeText(exchange.purpose))
            .join('\n  ')}`,
        ),
      );
      return;
    }
    const [exchange, again] = found;
    this.#used.add(exchange);
    this.#learnHandles(exchange, request);
    const match: Match = { purpose, request, portal, exchange, again, bulk: [] };
    this.matches.push(match);
    void this.#answer(match, event);
  }

  /** The first unused exchange of the step that is for the same, if possible one that came when the files were as ours has
   * made them; then one for the same that was used, in any step so far. */
  #find(purpose: Purpose): [Exchange, boolean] | undefined {
    const { exchanges } = this.#recording;
    const changed = Math.max(-1, ...this.matches.map(({ exchange: e }) => (modifies(e) ? e.index : -1)));
    // That a name was not there holds only until something was made.
    const now = exchanges.filter((e) => within(e, this.#window) && (e.index > changed || !isNegative(e)));
    const fresh = now.filter((exchange) => !this.#used.has(exchange));
    for (const list of [fresh.filter(({ index }) => index > changed), fresh]) {
      for (const keyOf of keys) {
        const key = keyOf(purpose);
        const found =
          list.find((exchange) => keyOf(exchange.purpose) === key) ?? this.#standIn(purpose, list);
        if (found !== undefined) return [found, false];
      }
      const opened = this.#openedByFid(purpose, list);
      if (opened !== undefined) return [opened, false];
    }
    const written = this.#writtenLater(purpose);
    if (written !== undefined) return [written, false];
    const other = this.#standIn(purpose, now);
    if (other !== undefined) return [other, true];
    const key = keys[2](purpose);
    const used = exchanges.findLast(
      (exchange) => exchange.time < this.#window.until && keys[2](exchange.purpose) === key,
    );
    // Nothing is made or removed twice.
    if (used !== undefined && !modifies(used)) return [used, this.#used.has(used)];
    // A mount that failed says goodbye at another step. What the kernel had no need to write: a file that was gone before its data had to leave the cache.
    const { target, operation } = purpose;
    const model = exchanges.find((e) => e.purpose.target === target && e.purpose.operation === operation);
    return model !== undefined && ANY_TIME.test(operation) ? [model, true] : undefined;
  }

  /** A kernel client writes when it must, ours perhaps at once: the same bytes, at a later step. */
  #writtenLater(purpose: Purpose): Exchange | undefined {
    if (!WRITES.test(purpose.operation)) return undefined;
    const { exchanges } = this.#recording;
    const later = exchanges.filter((e) => e.time >= this.#window.until && !this.#used.has(e));
    const key = purposeText(purpose);
    return later.find((exchange) => purposeText(exchange.purpose) === key);
  }

  /** A kernel client opens what it has in its cache by FID, without a name. */
  #openedByFid({ target, operation, objects }: Purpose, list: readonly Exchange[]): Exchange | undefined {
    if (!/ open/.test(operation)) return undefined;
    return list.find(
      ({ purpose, request }) =>
        purpose.target === target &&
        purpose.operation === operation &&
        (request.values.name ?? '') === '' &&
        (purpose.objects.split(' ')[0] === objects.split(' ')[0] ||
          purpose.objects.split(' ').at(-1) === objects.split(' ').at(-1)),
    );
  }

  /** Another request of the kernel's that tells of the same object in a reply of the same format. */
  #standIn(purpose: Purpose, now: readonly Exchange[]): Exchange | undefined {
    const others = STAND_INS.get(purpose.operation) ?? [];
    return now.find(
      ({ purpose: { target, operation, objects }, reply }) =>
        target === purpose.target &&
        others.includes(operation) &&
        reply?.rpc !== undefined &&
        (objects === purpose.objects || purposeOfOurs(reply.rpc, target).objects === purpose.objects),
    );
  }

  #targetOf({ body, values }: RpcMessage): string {
    if (CONNECTS.includes(body.pb_opc)) return String(values.tgtuuid).replace(/_UUID$/, '');
    return this.#targets.get(body.pb_handle) ?? '';
  }

  #learnHandles(exchange: Exchange, request: RpcMessage): void {
    const [theirs] = handlesOf(exchange.request);
    const [ours, ...given] = handlesOf(request);
    const enqueue = request.body.pb_opc === Opcode.LDLM_ENQUEUE;
    // Early cancels: an enqueue's first handle is that of the new lock.
    for (const handle of enqueue || ours === undefined ? given : [ours, ...given]) this.cancelled.add(handle);
    if (exchange.request.body.pb_opc !== Opcode.LDLM_ENQUEUE || theirs === undefined || ours === undefined)
      return;
    this.lockHandles.set(theirs, ours);
    const reply = exchange.reply?.rpc?.values.dlm_rep as { lock_handle: bigint } | undefined;
    if (reply !== undefined && reply.lock_handle !== 0n) this.granted.add(reply.lock_handle);
  }

  /** Cancels and pings: any is answered as the kernel's servers answered theirs. */
  #unscripted(request: RpcMessage, target: string, xid: bigint): void {
    if (request.body.pb_opc === Opcode.LDLM_CANCEL)
      for (const handle of handlesOf(request)) this.cancelled.add(handle);
    const model = this.#recording.exchanges.find(
      ({ request: { body }, purpose, reply }) =>
        UNSCRIPTED.includes(body.pb_opc) && purpose.target === target && reply !== undefined,
    );
    const any =
      model ?? this.#recording.exchanges.find(({ request: { body } }) => UNSCRIPTED.includes(body.pb_opc));
    const sent = any?.reply;
    if (sent === undefined) throw new Error(`${this.#recording.name} has neither a ping nor a cancel`);
    const portal =
      request.body.pb_opc === Opcode.LDLM_CANCEL ? Portal.LDLM_CANCEL_REPLY_PORTAL : replyPortalOf(target);
    const opcoded = withBody(sent.payload, (view, at) =>
      view.setUint32(at + OPCODE, request.body.pb_opc, true),
    );
    this.#put(portal, replyBits(request, xid), sent.header.offset, opcoded);
  }

  async #answer(match: Match, event: LnetEvent): Promise<void> {
    const { exchange, request } = match;
    const { reply } = exchange;
    const { pb_mbits: bits } = request.body;
    for (const { sent } of exchange.gets)
      match.bulk.push(await this.#get(sent.header.portal, bits - sent.bitsBelow, sent.header.length));
    let room = request.body.pb_opc === Opcode.OST_READ ? bytesAsked(request) : Number.POSITIVE_INFINITY;
    for (const sent of exchange.puts) {
      const piece = sent.payload.subarray(0, room);
      room -= piece.length;
      this.#put(sent.header.portal, bits - sent.bitsBelow, sent.header.offset, this.damage(piece));
    }
    const callbacks = match.again ? [] : this.#callbacksAfter(exchange);
    for (const callback of callbacks.filter(({ index }) => reply === undefined || index < reply.index))
      await this.#callback(callback);
    if (reply !== undefined) {
      const { header, payload } = reply;
      const bytes = answerTo(request, payload);
      this.#put(header.portal, replyBits(request, event.matchBits), header.offset, this.damage(bytes));
    }
    for (const callback of callbacks) await this.#callback(callback);
  }

  /** What the servers sent between this request and the next that is no cancel or ping. */
  #callbacksAfter({ index, purpose }: Exchange): Callback[] {
    const next = this.#recording.exchanges.find(
      (exchange) =>
        exchange.index > index &&
        exchange.purpose.target === purpose.target &&
        !UNSCRIPTED.includes(exchange.request.body.pb_opc),
    );
    return this.#recording.callbacks.filter(
      (callback) =>
        callback.index > index &&
        callback.index < (next?.index ?? Number.POSITIVE_INFINITY) &&
        callback.purpose.target === purpose.target,
    );
  }

  /** Sends a callback for a lock that ours has, too, and waits for its answer. */
  async #callback(callback: Callback): Promise<void> {
    if (this.#sentCallbacks.has(callback)) return;
    this.#sentCallbacks.add(callback);
    const { rpc, payload, header } = callback.sent;
    const target = this.#callbackHandles.get(callback.purpose.target);
    const theirs = rpc === undefined ? [] : handlesOf(rpc);
    const ours = theirs.map((handle) => this.lockHandles.get(handle)).find((handle) => handle !== undefined);
    if (rpc === undefined || target === undefined || ours === undefined) return;
    // Of a lock that ours has given back already no server would have asked.
    if (theirs.some((handle) => this.cancelled.has(handle))) return;
    const bytes = withBody(payload, (view, at) => view.setBigUint64(at, target, true));
    const dlmAt = payload.indexOf(0) < 0 ? 0 : bufferOffset(bytes, 1);
    new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(dlmAt + LdlmRequest.size, ours, true);
    this.#nextXid += 128n;
    const answered = new Promise<number>((resolve) => this.#callbackReplies.set(this.#nextXid, resolve));
    this.#put(header.portal, this.#nextXid, header.offset, this.damage(bytes));
    this.callbackStatus.push({ purpose: purposeText(callback.purpose), status: await answered });
  }

  #put(portal: number, matchBits: bigint, offset: number, bytes: Uint8Array): void {
    const memory = this.#endpoint.pin(bytes.length === 0 ? new Uint8Array(1) : bytes);
    const segments = [{ memory, offset: 0, length: bytes.length }];
    this.#endpoint.put(
      { peer: { nid: this.#recording.client }, portal, matchBits, segments, offset },
      () => {},
    );
  }

  #get(portal: number, matchBits: bigint, length: number): Promise<Uint8Array> {
    const memory = this.#endpoint.allocate(length);
    return new Promise((resolve) => {
      this.#endpoint.get(
        {
          peer: { nid: this.#recording.client },
          portal,
          matchBits,
          segments: [{ memory, offset: 0, length }],
        },
        (event) => {
          if (event.type === 'reply') resolve(memory.bytes.slice(0, event.mlength));
        },
      );
    });
  }
}

const keys = [
  (p: Purpose) => purposeText(p),
  // The same lock mode, whatever the extent.
  (p: Purpose) => [p.target, p.operation, p.objects, p.detail.split(' ')[0]].join('  '),
  (p: Purpose) => [p.target, p.operation, p.objects].join('  '),
] as const;

/** A name that was looked up and is not there. */
const isNegative = ({ purpose: { operation, target }, reply }: Exchange): boolean =>
  /^LDLM_ENQUEUE (getattr|lookup|open)/.test(operation) &&
  reply?.rpc !== undefined &&
  purposeOfOurs(reply.rpc, target).objects === '';

const modifies = ({ purpose: { operation } }: Exchange): boolean => /^MDS_REINT|creat$/.test(operation);

const within = (exchange: Exchange, step: Step): boolean =>
  exchange.time >= step.time && exchange.time < step.until;

/** Offsets in ptlrpc_body. */
const OPCODE = 16;
const STATUS = 20;
/** Of ocd_connect_flags2 in obd_connect_data. */
const CONNECT_FLAGS2 = 80;

function answerTo(request: RpcMessage, payload: Uint8Array): Uint8Array {
  if (CONNECTS.includes(request.body.pb_opc)) return grantWhatWasAsked(payload, request);
  return request.body.pb_opc === Opcode.OST_READ ? cutToSize(payload, bytesAsked(request)) : payload;
}

const bytesAsked = ({ values }: RpcMessage): number =>
  (values.niobuf_remote as { rnb_len: number }[]).reduce((sum, { rnb_len }) => sum + rnb_len, 0);

/** Kernel clients read whole pages. Who asks for less gets the beginning: the status says how much, inline or by bulk. */
function cutToSize(payload: Uint8Array, asked: number): Uint8Array {
  const { buffers } = decodeMessage(payload);
  const bytes = new Uint8Array(payload);
  const view = new DataView(bytes.buffer);
  const body = bufferOffset(bytes, 0);
  const sent = view.getInt32(body + STATUS, true);
  if (sent <= asked) return bytes;
  view.setInt32(body + STATUS, asked, true);
  const last = buffers.length - 1;
  if (buffers[last]?.length === sent) view.setUint32(LustreMsgV2.size + 4 * last, asked, true);
  return bytes.subarray(0, decodeMessage(bytes).size);
}

/** Servers grant only what was asked (guide 05 §2): ours asks for less than the kernel. */
function grantWhatWasAsked(payload: Uint8Array, { values }: RpcMessage): Uint8Array {
  const asked = values.connect_data as ObdConnectData;
  const bytes = new Uint8Array(payload);
  const at = bufferOffset(bytes, 1);
  const granted = ObdConnectData.decode(bytes, at);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(at, granted.ocd_connect_flags & asked.ocd_connect_flags, true);
  const second = at + CONNECT_FLAGS2;
  view.setBigUint64(second, granted.ocd_connect_flags2 & asked.ocd_connect_flags2, true);
  return bytes;
}

export function dissect(bytes: Uint8Array): RpcMessage {
  return dissectMessage(new Dissection(bytes), () => undefined);
}

function purposeOfOurs(rpc: RpcMessage, target: string): Purpose {
  const unit: Unit = {
    kind: 'request',
    time: 0n,
    frame: 0,
    source: '',
    destination: '',
    bytes: new Uint8Array(0),
    parts: [],
    problems: [],
    rpc,
  };
  return purposeOf(unit, target);
}

export function handlesOf({ values }: RpcMessage): bigint[] {
  const request = values.dlm_req as { lock_handle: bigint[] } | undefined;
  return (request?.lock_handle ?? []).filter((handle) => handle !== 0n);
}

function bufferOffset(bytes: Uint8Array, which: number): number {
  const { buffers } = decodeMessage(bytes);
  return buffers
    .slice(0, which)
    .reduce((sum, buffer) => sum + ((buffer.length + 7) & ~7), messageHeaderSize(buffers.length));
}

/** A copy with something in its ptlrpc_body changed. */
function withBody(payload: Uint8Array, change: (view: DataView, at: number) => void): Uint8Array {
  const bytes = new Uint8Array(payload);
  change(new DataView(bytes.buffer), bufferOffset(bytes, 0));
  return bytes;
}

const replyBits = ({ body }: RpcMessage, xid: bigint): bigint => (body.pb_mbits === 0n ? xid : body.pb_mbits);

const replyPortalOf = (target: string): number =>
  target === 'MGS'
    ? Portal.MGC_REPLY_PORTAL
    : target.includes('-MDT')
      ? Portal.MDC_REPLY_PORTAL
      : Portal.OSC_REPLY_PORTAL;

export type { LnetHeader, Sent };
