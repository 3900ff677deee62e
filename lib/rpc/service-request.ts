/**
 * A request in a service's hands, from unpacking (guide 04 §5) to its one answer: a reply, an error reply, an early reply
 * in between, or nothing.
 */
import type { ChecksumName, Endpoint, FileRange, LnetEvent, Segment } from '../lnet/network.ts';
import type { Nid } from '../lnet/nid.ts';
import { Errno, errnoError, LustreError } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Bits64 } from '../wire/bits64.ts';
import {
  bodyBits,
  bufferLengths,
  decodeBuffers,
  encodeBuffers,
  encodeInto,
  type Format,
  type PtlrpcBody,
  ptlrpcBodyField,
  type ReplyInputs,
  type RequestValues,
  viewPtlrpcBody,
} from '../wire/format.ts';
import { decodeMessage, Message, type MessageHeader, messageSize, NO_BODY } from '../wire/message.ts';
import { MsgFlag, MsgHeaderFlag, MsgType, RpcVersion } from '../wire/ptlrpc-constants.ts';
import { LustreMsgV2, type PtlrpcBodyV3 } from '../wire/ptlrpc-structs.ts';
import type { StructInput } from '../wire/struct.ts';
import { BULK_PIECE } from './bulk-pieces.ts';
import { opcodeName } from './portals.ts';
import type { RequestBuffer } from './request-buffers.ts';
import type { BulkMoved, IncomingRequest, ReplyOptions } from './rpc.ts';
import { BulkError, type BulkPayload, type RunningBulk, startBulk } from './server-bulk.ts';
import type { Slab } from './slab.ts';
import type { SlabPool } from './slab-pool.ts';
import { EARLY_REPLY_SIZE, earlyReplyChecksum } from './transmission.ts';

/** What a request needs from the service that took it in. */
export interface RequestOwner {
  readonly endpoint: Endpoint;
  readonly runtime: Runtime;
  readonly slabs: SlabPool;
  /** Where nothing is sent from. */
  readonly empty: Slab;
  readonly bulkTimeoutMs: number;
  /** Seconds, for pb_timeout of replies. */
  readonly serviceEstimate: number;
  /** Feeds the estimate with a request that took so many seconds. */
  served(seconds: number): void;
  replyPortal(requestPortal: number): number;
  /** Called once: a reply was sent (status as given) or none will be. */
  answered(request: ServiceRequest, status: number | undefined, reason?: string): void;
}

/** Errors that even a reply without buffers carries as an ordinary one (guide 04 §4.4). */
const ordinaryErrors = new Set<number>([
  Errno.ENOSPC,
  Errno.EACCES,
  Errno.EPERM,
  Errno.ENOENT,
  Errno.EINPROGRESS,
  Errno.EDQUOT,
  Errno.EROFS,
]);

const NO_VERSIONS: readonly bigint[] = [];
const NO_OPTIONS: ReplyOptions = {};
const NO_HEADER: MessageHeader = {};

/** Filled anew for each reply: encoding one is over before another begins. */
const replyBody = {
  pb_handle: 0n,
  pb_type: 0,
  pb_version: RpcVersion.PTLRPC_MSG_VERSION,
  pb_opc: 0,
  pb_status: 0,
  pb_last_committed: 0n,
  pb_transno: 0n,
  pb_flags: 0,
  pb_op_flags: 0,
  pb_timeout: 0,
  pb_service_time: 0,
  pb_limit: 0,
  pb_slv: 0n,
  pb_pre_versions: NO_VERSIONS,
};

/** One after the other: when it is done it rests, and is the next request. */
export class ServiceRequest implements IncomingRequest {
  turn = 0;
  peer: Nid = '';
  self: Nid = '';
  portal = 0;
  xid: Bits64 = 0;
  opcode = 0;
  body: PtlrpcBody = NO_BODY;
  readonly message = new Message();
  arrivedAt = 0;
  deadline = 0;
  replyMatchBits: Bits64 = 0;
  bulkMatchBits: Bits64 = 0;
  usesReplyMbits = false;
  usesBulkMbits = false;
  /** The handler has been called ... */
  started = false;
  /** ... and has not settled. */
  running = false;
  /** Among those of its service, until it is done. */
  place = -1;
  /** In the chains of requests-in-work.ts. */
  nextInWork: ServiceRequest | undefined;
  /** What its message was copied into, or the buffer that it still lies in. */
  copied: Uint8Array | undefined;
  within: RequestBuffer | undefined;
  readonly #owner: RequestOwner;
  #adaptive = false;
  #answered = false;
  #bulk: RunningBulk | undefined;
  /** A resend replaced the client's descriptors: what is in transfer starts again. */
  #bulkMoved = false;
  #bulkEnded: Error | undefined;

  constructor(owner: RequestOwner) {
    this.#owner = owner;
  }

  /** Becomes the request of this message. Gives the reason where the kernel drops it without reply (guide 04 §5, steps 1, 2 and 5). */
  take(
    event: LnetEvent,
    portal: number,
    bytes: Uint8Array,
    length: number,
    within: RequestBuffer | undefined,
  ): string | undefined {
    const { runtime } = this.#owner;
    this.turn++;
    this.copied = within === undefined ? bytes : undefined;
    this.within = within;
    this.peer = event.initiator.nid;
    this.self = event.target;
    this.portal = portal;
    this.xid = event.matchBits;
    this.usesReplyMbits = false;
    this.usesBulkMbits = false;
    this.started = false;
    this.running = false;
    this.#answered = false;
    this.#bulkMoved = false;
    this.#bulkEnded = undefined;
    const refused = this.#unpack(bytes, length);
    if (refused !== undefined) return refused;
    this.opcode = this.body.pb_opc;
    this.arrivedAt = runtime.now();
    this.deadline = this.arrivedAt + this.body.pb_timeout * 1000;
    this.replyMatchBits = this.xid;
    this.bulkMatchBits = this.xid;
    this.#adaptive = (this.message.flags & MsgHeaderFlag.MSGHDR_AT_SUPPORT) !== 0;
    return undefined;
  }

  #unpack(bytes: Uint8Array, length: number): string | undefined {
    const { message } = this;
    try {
      message.read(bytes, length);
      if ((message.secflvr & 0xff_ffff) !== 0) return 'security flavour is not null';
      this.body = viewPtlrpcBody(message, this.body === NO_BODY ? undefined : this.body);
    } catch (error) {
      return `malformed: ${(error as Error).message}`;
    }
    const { body } = this;
    if ((body.pb_version & 0xffff) !== RpcVersion.PTLRPC_MSG_VERSION) return 'wrong ptlrpc version';
    if (body.pb_type !== MsgType.PTL_RPC_MSG_REQUEST) return 'not a request';
    return body.pb_timeout === 0 ? 'timeout of zero' : undefined;
  }

  /** Its bytes may be another's from now on. */
  rest(): void {
    this.turn++;
    this.copied = undefined;
    this.within = undefined;
  }

  useMbits(reply: boolean, bulk: boolean): void {
    const mbits = bodyBits(this.message, 'pb_mbits');
    this.usesReplyMbits = reply;
    this.usesBulkMbits = bulk;
    if (reply) this.replyMatchBits = mbits;
    if (bulk) this.bulkMatchBits = mbits;
  }

  get answered(): boolean {
    return this.#answered;
  }

  /** May be kept waiting by early replies. */
  get adaptive(): boolean {
    return this.#adaptive;
  }

  decode<F extends Format>(format: F): RequestValues<F> {
    return decodeBuffers(format.request, this.message, this.body) as RequestValues<F>;
  }

  reply<F extends Format>(format: F, values: ReplyInputs<F>, options: ReplyOptions = NO_OPTIONS): void {
    const status = options.status ?? 0;
    // Before the reply is made, so that it tells of itself; failed and resent requests say nothing (guide 04 §8).
    if (status >= 0 && (this.body.pb_flags & MsgFlag.MSG_RESENT) === 0)
      this.#owner.served((this.#owner.runtime.now() - this.arrivedAt) / 1000);
    const body = this.#replyBody(status, MsgType.PTL_RPC_MSG_REPLY, options);
    const lengths = bufferLengths(format.reply, values, true);
    this.#checkUnanswered();
    const slab = this.#owner.slabs.take(messageSize(lengths));
    let size: number;
    try {
      size = encodeInto(format.reply, lengths, values, body, NO_HEADER, slab.bytes);
      options.keptBy?.keep(this.body.pb_tag, this.xid, slab.part(0, size));
    } catch (error) {
      this.#owner.slabs.give(slab);
      throw error;
    }
    this.#answer(slab, size, status);
  }

  replyError(errno: number): void {
    const status = -Math.abs(errno);
    const type = ordinaryErrors.has(-status) ? MsgType.PTL_RPC_MSG_REPLY : MsgType.PTL_RPC_MSG_ERR;
    const body = { ...this.#replyBody(status, type, NO_OPTIONS), pb_timeout: 0 };
    this.#send(EARLY_REPLY_SIZE, status, (into) => encodeBody(body, into));
  }

  replyAgain(bytes: Uint8Array): void {
    this.#send(bytes.length, 0, (into) => {
      into.set(bytes);
      return bytes.length;
    });
  }

  drop(reason: string): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#bulk?.abort(errnoError(-125, { syscall: 'bulk' }));
    this.#owner.answered(this, undefined, reason);
  }

  /** Guide 04 §4.2: tells the client to wait until `deadline`. */
  sendEarlyReply(deadline: number): void {
    this.deadline = deadline;
    const body = {
      ...this.#replyBody(0, MsgType.PTL_RPC_MSG_REPLY, NO_OPTIONS),
      pb_timeout: Math.ceil((deadline - this.arrivedAt) / 1000),
    };
    const slab = this.#owner.slabs.take(EARLY_REPLY_SIZE);
    const length = this.#encode(slab, (into) => {
      const size = encodeBody(body, into);
      const message = decodeMessage(into.subarray(0, size));
      LustreMsgV2.encodeInto(into, 0, {
        ...LustreMsgV2.decode(into),
        lm_cksum: earlyReplyChecksum(message.buffers[0]!),
      });
      return size;
    });
    this.#put(slab, length, 0);
  }

  /** The same XID came again while this one is in work (guide 04 §5.6). */
  inherit(duplicate: ServiceRequest): void {
    this.deadline = Math.max(this.deadline, duplicate.deadline);
    const mbits = bodyBits(duplicate.message, 'pb_mbits');
    if (this.usesReplyMbits) this.replyMatchBits = mbits;
    if (this.usesBulkMbits && this.bulkMatchBits !== mbits) {
      this.bulkMatchBits = mbits;
      this.#bulkMoved = true;
      this.#bulk?.abort(errnoError(-104, { syscall: 'bulk' }));
    }
  }

  bulkGet(
    portal: number,
    segments: readonly Segment[],
    brwSize?: number,
    pageOffset?: number,
    checksum?: ChecksumName,
  ): Promise<BulkMoved> {
    return this.#transfer('get', portal, { segments, checksum }, brwSize, pageOffset);
  }

  async bulkPut(
    portal: number,
    segments: readonly Segment[],
    brwSize?: number,
    pageOffset?: number,
  ): Promise<void> {
    await this.#transfer('put', portal, { segments }, brwSize, pageOffset);
  }

  get movesFiles(): boolean {
    return this.#owner.endpoint.movesFiles;
  }

  abortBulk(reason: Error): void {
    this.#bulkEnded = reason;
    this.#bulk?.abort(reason);
  }

  async bulkGetFile(portal: number, file: FileRange, brwSize?: number, pageOffset?: number): Promise<number> {
    const payload = { segments: [], file };
    const { checksum, fileError } = await this.#transfer('get', portal, payload, brwSize, pageOffset);
    if (fileError !== 0) throw errnoError(fileError, { syscall: 'write what comes to a file' });
    return checksum;
  }

  async bulkPutFile(portal: number, file: FileRange, brwSize?: number, pageOffset?: number): Promise<number> {
    const { checksum } = await this.#transfer('put', portal, { segments: [], file }, brwSize, pageOffset);
    return checksum;
  }

  async #transfer(
    direction: 'get' | 'put',
    portal: number,
    payload: BulkPayload,
    brwSize = BULK_PIECE,
    pageOffset = 0,
  ): Promise<BulkMoved> {
    const { endpoint, runtime, empty, bulkTimeoutMs } = this.#owner;
    const context = { opcode: opcodeName(this.opcode), nid: this.peer };
    for (;;) {
      if (this.#answered) throw new BulkError(errnoError(-125), context);
      if (this.#bulkEnded !== undefined) throw new BulkError(this.#bulkEnded, context);
      this.#bulkMoved = false;
      this.#bulk = startBulk({
        endpoint,
        runtime,
        direction,
        peer: this.peer,
        portal,
        lastMatchBits: this.bulkMatchBits,
        piecesMax: piecesMax(brwSize),
        ...payload,
        pageOffset,
        empty: empty.memory,
        timeoutMs: bulkTimeoutMs,
      });
      try {
        return await this.#bulk.done;
      } catch (error) {
        if (!this.#bulkMoved) throw new BulkError(error as Error, context);
      } finally {
        this.#bulk = undefined;
      }
    }
  }

  #replyBody(status: number, type: number, options: ReplyOptions): typeof replyBody {
    const { runtime, serviceEstimate } = this.#owner;
    replyBody.pb_handle = options.handle ?? 0n;
    replyBody.pb_type = type;
    replyBody.pb_opc = this.opcode;
    replyBody.pb_status = status;
    replyBody.pb_last_committed = options.lastCommitted ?? 0n;
    replyBody.pb_transno = options.transno ?? 0n;
    replyBody.pb_flags = options.flags ?? 0;
    replyBody.pb_op_flags = options.opFlags ?? 0;
    replyBody.pb_timeout = serviceEstimate;
    replyBody.pb_service_time = Math.round((runtime.now() - this.arrivedAt) / 1000);
    replyBody.pb_limit = options.limit ?? 0;
    replyBody.pb_slv = options.slv ?? 0n;
    replyBody.pb_pre_versions = options.versions ?? NO_VERSIONS;
    return replyBody;
  }

  #send(size: number, status: number, encode: (into: Uint8Array) => number): void {
    this.#checkUnanswered();
    const slab = this.#owner.slabs.take(size);
    this.#answer(slab, this.#encode(slab, encode), status);
  }

  #checkUnanswered(): void {
    if (!this.#answered) return;
    throw new LustreError('ERR_LUSTRE_ANSWERED_TWICE', 'a request has one reply', {
      opcode: opcodeName(this.opcode),
      nid: this.peer,
    });
  }

  #answer(slab: Slab, length: number, status: number): void {
    this.#put(slab, length, this.#adaptive ? EARLY_REPLY_SIZE : 0);
    this.#answered = true;
    this.#owner.answered(this, status);
  }

  #encode(slab: Slab, encode: (into: Uint8Array) => number): number {
    try {
      return encode(slab.bytes);
    } catch (error) {
      this.#owner.slabs.give(slab);
      throw error;
    }
  }

  /** The memory is the pool's again when it has been sent, or could not be. */
  #put(slab: Slab, length: number, offset: number): void {
    const { endpoint, slabs } = this.#owner;
    const portal = this.#owner.replyPortal(this.portal);
    try {
      // A reply that does not arrive is resent on the client's asking.
      const { peer, replyMatchBits } = this;
      const sending = slab.send(endpoint, peer, portal, replyMatchBits, offset, length, slab.givesBack);
      if (sending === undefined) slabs.give(slab);
    } catch (error) {
      slabs.give(slab);
      throw error;
    }
  }
}

function encodeBody(body: StructInput<typeof PtlrpcBodyV3>, into: Uint8Array): number {
  return encodeBuffers([ptlrpcBodyField], { ptlrpc_body: body }, {}, into).length;
}

/** The count that a bulk size stands for, made a power of two as the mask needs. */
function piecesMax(brwSize: number): number {
  return Math.max(1, 2 ** Math.ceil(Math.log2(Math.max(1, brwSize / BULK_PIECE))));
}
