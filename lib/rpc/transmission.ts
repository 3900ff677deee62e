/**
 * One attempt to get one RPC through (guide 04 §4, §6, §7): posts bulk descriptors, the reply buffer and the request PUT,
 * in that order, and is over when the outcome is known *and* the network has let go of all the memory. What to do
 * after a failed attempt is the import's business.
 */
import { crc32 } from 'node:zlib';
import { combineAll } from '../lnet/checksum-combine.ts';
import type {
  BulkSegment,
  ChecksumName,
  Endpoint,
  FileExtent,
  LnetEvent,
  LnetHandler,
  MatchEntry,
  MdHandle,
  Segment,
} from '../lnet/network.ts';
import { MdOption } from '../lnet/network.ts';
import type { Nid } from '../lnet/nid.ts';
import { errnoError, ProtocolError } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Writable } from '../runtime/writable.ts';
import { type PtlrpcBody, viewPtlrpcBody } from '../wire/format.ts';
import { Message, NO_BODY } from '../wire/message.ts';
import { MsgType, RpcVersion } from '../wire/ptlrpc-constants.ts';
import { BULK_PAGE, BULK_PIECE, splitBulk } from './bulk-pieces.ts';
import { copyMessage } from './message-copies.ts';
import type { Bulk, BulkMoved } from './rpc.ts';
import type { Slab } from './slab.ts';
import type { SlabPool } from './slab-pool.ts';

/** lustre_msg_early_size: a message of one ptlrpc_body; a real reply lands behind it where AT was granted. */
export const EARLY_REPLY_SIZE = 224;
/** What goes wrong with the descriptor of a file that is to be moved, and what cannot be sent as it is. */
const LOCAL_ERRORS: ReadonlySet<string> = new Set(['EBADF', 'EMFILE', 'ENFILE', 'EINVAL']);
/** No reply is longer: what a truncated one claims is believed up to here. */
export const REPLY_SIZE_MAX = 4 << 20;

export interface Attempt {
  readonly peer: Nid;
  readonly requestPortal: number;
  readonly replyPortal: number;
  readonly xid: number;
  /** The XID, or pb_mbits with REP_MBITS. */
  readonly replyMatchBits: number;
  /** Begins with the encoded request, of so many bytes; stays the caller's. */
  readonly request: Slab;
  readonly requestLength: number;
  /** Bytes of reply expected. */
  readonly replySize: number;
  /** The request carries MSGHDR_AT_SUPPORT: what arrives at offset 0 is an early reply. */
  readonly adaptive: boolean;
  /** pb_timeout plus network latency, milliseconds. */
  readonly timeoutMs: number;
  /** Network latency that an early reply's allowance is extended by, milliseconds. */
  readonly latencyMs: number;
  readonly bulk?: Bulk<BulkSegment> | undefined;
  /** Match bits of the last bulk descriptor. */
  readonly bulkMatchBits: number;
  /** Called once with the outcome, never within the call that sends. Must not throw. */
  ended?(outcome: Outcome): void;
}

export interface ReplyOutcome {
  readonly kind: 'reply';
  readonly message: Message;
  readonly body: PtlrpcBody;
  readonly bulkBytes: number;
  readonly bulkChecksum: number;
  readonly bulkFileError: number;
  readonly elapsedMs: number;
}

export type Outcome =
  | ReplyOutcome
  | { readonly kind: 'truncated'; readonly needed: number }
  | { readonly kind: 'timeout'; readonly during: string }
  | { readonly kind: 'network'; readonly error: Error }
  /** It could not be sent for a reason that is not the network's. */
  | { readonly kind: 'local'; readonly error: Error }
  | { readonly kind: 'malformed'; readonly error: Error }
  | { readonly kind: 'aborted' };

/** Who sends, and hears how it went. */
export interface TransmissionOwner {
  readonly endpoint: Endpoint;
  readonly runtime: Runtime;
  readonly slabs: SlabPool;
  /** Its deadline is an earlier one than was known. */
  expiresAt(deadline: number): void;
  /** Called once, before the attempt hears of it and `outcome` resolves. */
  ended(transmission: Transmission, outcome: Outcome): void;
  /** The last that is heard of it: it may begin another attempt. */
  over(transmission: Transmission): void;
}

/**
 * Used again and again where the attempt hears of the outcome by `ended`: an RPC makes none, nor what it is described to the
 * network with. What an attempt is given then is its own until `ended` returns.
 */
export class Transmission {
  attempt!: Attempt;
  opcode = 0;
  /** Among those under way. */
  place = -1;
  /** Runtime.now() at which it began, and at which `expire` is to be called. */
  sentAt = 0;
  deadline = 0;
  /** Early replies that were accepted. */
  earlyReplies = 0;
  readonly #owner: TransmissionOwner;
  #replySlab: Slab | undefined;
  #outcome: Promise<Outcome> | undefined;
  #resolve: ((outcome: Outcome) => void) | undefined;
  /** Descriptors posted whose last event has not come, and a hold while they are being posted. */
  #linked = 0;
  #replyLinked = false;
  #sendHandle: MdHandle | undefined;
  #bulkHandles: MdHandle[] | undefined;
  #bulkPending = 0;
  #bulkBytes = 0;
  #bulkFileError = 0;
  /** By descriptor, where a checksum is taken. */
  #bulkSums: Omit<BulkMoved, 'fileError'>[] | undefined;
  #result: Outcome | undefined;
  #replied = false;
  #sent = false;
  readonly #onMessage: LnetHandler = (event) => this.#onEvent(event);
  readonly #onBulk: LnetHandler = (event) => this.#onBulkEvent(event);
  readonly #peer = { nid: '' };
  readonly #entry: Writable<MatchEntry> = {
    portal: 0,
    matchBits: 0,
    peer: this.#peer,
    segments: [],
    // Any number of early replies, then the reply: nobody has to unlink what is exhausted.
    threshold: Number.POSITIVE_INFINITY,
    finalOffset: 0,
    options: MdOption.OP_PUT | MdOption.MANAGE_REMOTE | MdOption.TRUNCATE,
    autoUnlink: true,
  };
  #replyHandle: MdHandle | undefined;
  readonly #message = new Message();
  readonly #reply: Writable<ReplyOutcome> = {
    kind: 'reply',
    message: this.#message,
    body: NO_BODY,
    bulkBytes: 0,
    bulkChecksum: 0,
    bulkFileError: 0,
    elapsedMs: 0,
  };

  constructor(owner: TransmissionOwner) {
    this.#owner = owner;
  }

  /** Becomes this attempt's. */
  begin(attempt: Attempt, opcode: number): void {
    const { slabs, runtime } = this.#owner;
    this.attempt = attempt;
    this.opcode = opcode;
    this.earlyReplies = 0;
    this.#replySlab = slabs.take(attempt.replySize + EARLY_REPLY_SIZE);
    this.sentAt = runtime.now();
    this.deadline = this.sentAt + attempt.timeoutMs;
    this.#linked = 1;
    this.#replyLinked = false;
    // The handle is the slab's, and another's by now.
    this.#sendHandle = undefined;
    this.#bulkHandles = undefined;
    this.#bulkPending = 0;
    this.#bulkBytes = 0;
    this.#bulkFileError = 0;
    this.#bulkSums = undefined;
    this.#result = undefined;
    this.#replied = false;
    this.#sent = false;
  }

  /** How it went, for those who do not hear of it by the attempt. */
  get outcome(): Promise<Outcome> {
    this.#outcome ??= new Promise((resolve) => {
      if (this.#linked === 0 && this.#result !== undefined) resolve(this.#result);
      else this.#resolve = resolve;
    });
    return this.#outcome;
  }

  /** Posts all of it; called once. */
  start(): void {
    if (this.#result === undefined) {
      try {
        this.#post();
      } catch (thrown) {
        const error = thrown instanceof Error ? thrown : new Error(String(thrown));
        const local = 'code' in error && LOCAL_ERRORS.has(error.code as string);
        this.#finish({ kind: local ? 'local' : 'network', error });
      }
    }
    // Nothing was posted: no event will tell that this is over.
    if (this.#linked === 1 && this.#result !== undefined) void resolved.then(() => this.#unlinked());
    else this.#unlinked();
  }

  /** Gives up: the outcome becomes `aborted` unless it is already known. */
  abort(): void {
    this.#finish({ kind: 'aborted' });
  }

  /** The deadline has passed. */
  expire(): void {
    const during = this.#replied ? 'bulk' : this.#sent ? 'reply' : 'send';
    this.#finish({ kind: 'timeout', during });
  }

  /** No event comes before the call that it is about has returned, so a descriptor is counted when it is posted. */
  #post(): void {
    const { peer, requestPortal, replyPortal, xid, replyMatchBits, bulk, adaptive } = this.attempt;
    const { request, requestLength } = this.attempt;
    const { endpoint } = this.#owner;
    this.#peer.nid = peer;
    if (bulk !== undefined) this.#postBulk(bulk);
    const entry = this.#entry;
    entry.portal = replyPortal;
    entry.matchBits = replyMatchBits;
    entry.segments = this.#replySlab!.whole;
    entry.finalOffset = adaptive ? 1 : 0;
    this.#replyHandle = endpoint.attach(entry, this.#onMessage, this.#replyHandle);
    this.#replyLinked = true;
    this.#linked++;
    this.#sendHandle = request.send(endpoint, peer, requestPortal, xid, 0, requestLength, this.#onMessage);
    if (this.#sendHandle === undefined) this.#sent = true;
    else this.#linked++;
  }

  #postBulk(bulk: Bulk<BulkSegment>): void {
    const pieces = splitBulk(bulk.segments, bulk.pageOffset);
    const first = this.attempt.bulkMatchBits - (pieces.length - 1);
    const options = bulk.direction === 'sink' ? MdOption.OP_PUT : MdOption.OP_GET;
    this.#bulkHandles = [];
    if (bulk.checksum !== undefined) this.#bulkSums = [];
    for (let i = 0; i < pieces.length; i++) {
      const entry = {
        portal: bulk.portal,
        matchBits: first + i,
        peer: this.#peer,
        threshold: 1,
        options,
        autoUnlink: true,
        ...payloadOf(pieces[i]!, bulk.checksum),
      };
      this.#bulkHandles.push(this.#owner.endpoint.attach(entry, this.#onBulk));
      this.#linked++;
      this.#bulkPending++;
    }
  }

  /** After each event of a descriptor. */
  #after(event: LnetEvent): void {
    // Unlinked though nobody here asked for it: the endpoint was closed.
    if (event.type === 'unlink' && this.#result === undefined)
      this.#finish({ kind: 'network', error: this.#networkError(event.status || -108) });
    if (event.unlinked) this.#unlinked();
  }

  #unlinked(): void {
    this.#linked--;
    if (this.#linked > 0 || this.#result === undefined) return;
    const { attempt } = this;
    const result = this.#result;
    this.#owner.slabs.give(this.#replySlab!);
    this.#replySlab = undefined;
    this.#owner.ended(this, result);
    attempt.ended?.(result);
    this.#resolve?.(result);
    if (attempt.ended !== undefined && this.#outcome === undefined) this.#rest();
  }

  /** Nobody knows it any more: it may be another's. */
  #rest(): void {
    this.#bulkHandles = undefined;
    this.#bulkSums = undefined;
    this.#reply.body = NO_BODY;
    this.#owner.over(this);
  }

  #finish(outcome: Outcome): void {
    if (this.#result !== undefined) return;
    this.#result = outcome;
    if (this.#replyLinked) this.#replyHandle?.unlink();
    this.#sendHandle?.unlink();
    if (this.#bulkHandles !== undefined) for (const handle of this.#bulkHandles) handle.unlink();
  }

  /** Of the request or of the reply's descriptor. */
  #onEvent(event: LnetEvent): void {
    if (event.type === 'send') {
      if (event.unlinked) this.#sendHandle = undefined;
      if (event.status === 0) this.#sent = true;
      else this.#finish({ kind: 'network', error: this.#networkError(event.status) });
    } else if (event.type === 'put') {
      if (event.unlinked) this.#replyLinked = false;
      if (this.#result === undefined && !this.#replied) this.#onReplyPut(event);
    }
    this.#after(event);
  }

  #onBulkEvent(event: LnetEvent): void {
    if (event.type === 'put' || event.type === 'get') this.#onTransfer(event);
    this.#after(event);
  }

  #onTransfer(event: LnetEvent): void {
    if (event.status !== 0) {
      this.#finish({ kind: 'network', error: this.#networkError(event.status) });
      return;
    }
    this.#bulkPending--;
    this.#bulkBytes += event.mlength;
    this.#bulkFileError ||= event.fileError ?? 0;
    if (this.#bulkSums !== undefined) {
      const fromLast = this.attempt.bulkMatchBits - Number(event.matchBits);
      this.#bulkSums[this.#bulkHandles!.length - 1 - fromLast] = {
        bytes: event.mlength,
        checksum: event.checksum ?? 0,
      };
    }
    this.#complete();
  }

  #onReplyPut(event: LnetEvent): void {
    if (event.status !== 0) {
      this.#finish({ kind: 'network', error: this.#networkError(event.status) });
      return;
    }
    const early = this.attempt.adaptive && event.offset === 0;
    if (event.mlength < event.rlength) {
      if (early) return;
      const needed = event.offset + event.rlength;
      if (needed <= REPLY_SIZE_MAX) this.#finish({ kind: 'truncated', needed: event.rlength });
      else
        this.#finish({
          kind: 'malformed',
          error: new Error(`a reply of ${event.rlength} bytes is longer than any may be`),
        });
      return;
    }
    // A copy: values decoded from it outlive the slab.
    const bytes = copyMessage(this.#replySlab!.part(event.offset, event.mlength));
    try {
      const message = this.#message;
      message.read(bytes);
      const body = viewPtlrpcBody(message);
      if (early) this.#onEarlyReply(message, body);
      else this.#onReply(body);
    } catch (error) {
      if (!early) this.#finish({ kind: 'malformed', error: error as Error });
    }
  }

  #onReply(body: PtlrpcBody): void {
    const type = body.pb_type;
    if (type !== MsgType.PTL_RPC_MSG_REPLY && type !== MsgType.PTL_RPC_MSG_ERR)
      throw new ProtocolError('EPROTO', `pb_type ${type} is not that of a reply`);
    if ((body.pb_version & 0xffff) !== RpcVersion.PTLRPC_MSG_VERSION)
      throw new ProtocolError('EPROTO', `pb_version 0x${body.pb_version.toString(16)} is not ours`);
    this.#reply.body = body;
    this.#replied = true;
    this.#complete();
  }

  /** A reply of a failed operation means that no bulk will come; else every descriptor has its transfer first. */
  #complete(): void {
    const reply = this.#reply;
    if (!this.#replied || (reply.body.pb_status >= 0 && this.#bulkPending > 0)) return;
    reply.elapsedMs = this.#owner.runtime.now() - this.sentAt;
    reply.bulkBytes = this.#bulkBytes;
    reply.bulkChecksum = this.#checksum();
    reply.bulkFileError = this.#bulkFileError;
    this.#finish(reply);
  }

  #checksum(): number {
    const type = this.attempt.bulk?.checksum;
    if (type === undefined || this.#bulkSums === undefined || this.#bulkPending > 0) return 0;
    return combineAll(type, this.#bulkSums);
  }

  /** Guide 04 §4.2: one buffer, checksum right, and the deadline moves. */
  #onEarlyReply(message: Message, body: PtlrpcBody): void {
    if (message.count !== 1 || message.cksum !== earlyReplyChecksum(message.buffers[0]!)) return;
    if (body.pb_type !== MsgType.PTL_RPC_MSG_REPLY || body.pb_timeout === 0) return;
    this.earlyReplies++;
    this.deadline = this.sentAt + Math.min(body.pb_timeout, 3600) * 1000 + this.attempt.latencyMs;
    this.#owner.expiresAt(this.deadline);
  }

  #networkError(status: number): Error {
    const { peer } = this.attempt;
    return this.#owner.endpoint.lastError(peer) ?? errnoError(status, { syscall: 'send', nid: peer });
  }
}

const resolved = Promise.resolve();

/** What one descriptor moves: memory, or extents of one file, which lie in it in this order. */
function payloadOf(
  segments: readonly BulkSegment[],
  checksum: ChecksumName | undefined,
): Pick<MatchEntry, 'segments' | 'file' | 'checksum'> {
  const [first, ...others] = segments;
  if (first === undefined || 'memory' in first) return { segments: segments as readonly Segment[], checksum };
  const { fd } = first.file;
  const rest = others.map(extentOf);
  const file = { fd, ...extentOf(first), ...(rest.length > 0 && { rest }) };
  return { segments: [], file: checksum === undefined ? file : { ...file, checksum } };
}

const extentOf = ({ offset, length }: BulkSegment): FileExtent => ({ position: BigInt(offset), length });

/** crc32_le(~0, body) without the final inversion that zlib's has. */
export function earlyReplyChecksum(body: Uint8Array): number {
  return (crc32(body) ^ 0xffff_ffff) >>> 0;
}

/** How many bulk descriptors a payload of this many bytes takes. */
export function bulkPieceCount(bulk: Bulk<BulkSegment> | undefined): number {
  if (bulk === undefined) return 0;
  const bytes = bulk.segments.reduce((sum, s) => sum + s.length, 0);
  return Math.max(1, Math.ceil((bytes + ((bulk.pageOffset ?? 0) % BULK_PAGE)) / BULK_PIECE));
}
