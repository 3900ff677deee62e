/**
 * A service: requests of some portals, unpacked, checked, queued fairly and handed to one handler (guide 04 §5), kept
 * alive by early replies while they take long (§8).
 */
import type { Endpoint, LnetEvent } from '../lnet/network.ts';
import type { Nid } from '../lnet/nid.ts';
import { errnoOf } from '../runtime/errors.ts';
import type { Runtime, Timer } from '../runtime/runtime.ts';
import { Opcode } from '../wire/opcodes.ts';
import { Estimator, type TimeoutSettings } from './adaptive-timeout.ts';
import { FairQueue } from './fair-queue.ts';
import { MessageMemory } from './message-memory.ts';
import { isConnect, opcodeName, replyPortalOf } from './portals.ts';
import { type RequestBuffer, RequestBuffers } from './request-buffers.ts';
import type { RequestsInWork } from './requests-in-work.ts';
import { Resting } from './resting.ts';
import type { IncomingRequest } from './rpc.ts';
import { type RpcCounters, replyChannel, requestChannel } from './rpc-counters.ts';
import { BulkError } from './server-bulk.ts';
import { type RequestOwner, ServiceRequest } from './service-request.ts';
import type { Slab } from './slab.ts';
import type { SlabPool } from './slab-pool.ts';
import { UnderWay } from './under-way.ts';

export interface ServiceOptions {
  readonly portals: readonly number[];
  /** Largest request accepted, bytes; default 65 KiB (guide 04 §2.2). */
  readonly requestSizeMax?: number;
  /** Answers now or later; the request is its own until it has answered and its promise has settled. A rejection or throw before
   * the answer becomes an error reply with that error's errno. */
  readonly handler: (request: IncomingRequest) => void | Promise<void>;
  /** Requests in the handler's hands at once; default 4096. */
  readonly inProgressMax?: number;
  /** Of them, from one peer; default 512. */
  readonly inProgressPerPeerMax?: number;
  /** Requests that free what others wait for: they pass those that are queued, and the limits too, up to a limit of their
   * own. Asked of queued requests only. */
  readonly isUrgent?: (request: IncomingRequest) => boolean;
  /** Request buffers per portal and the size of each; default 4 of 256 KiB or four times the largest request. */
  readonly buffers?: number;
  readonly bufferSize?: number;
}

/** What a service shares with the other services of its endpoint. */
export interface ServiceContext {
  readonly endpoint: Endpoint;
  readonly runtime: Runtime;
  readonly slabs: SlabPool;
  readonly counters: RpcCounters;
  readonly timeouts: TimeoutSettings;
  /** Of all services together. */
  readonly inWork: RequestsInWork;
}

const REQUEST_SIZE_MAX = 0x10400;
const IN_PROGRESS_MAX = 4096;
const IN_PROGRESS_PER_PEER_MAX = 512;
/** Peers without requests are remembered up to here: an entry that comes and goes costs more than one that stays. */
const IDLE_PEERS_MAX = 1024;
const CLOSE_GRACE_MS = 2000;
/** Requests kept for the next messages. */
const RESTING_MAX = 512;
const COPIED_BYTES_MAX = 64 << 20;
/** Urgent requests in the handler's hands beyond the limits. */
const URGENT_MAX = 512;
/**
 * Requests that are begun in one turn and not answered in it. What is begun together is answered together, for the steps of all
 * of them take turns: a client that has sent many at once would have nothing to do until they are done, and then we would not.
 */
const BEGUN_MAX = 4;
/** A queued request may become urgent later: how often they are looked at. */
const URGENCY_MS = 1000;

export class Service implements RequestOwner {
  readonly endpoint: Endpoint;
  readonly runtime: Runtime;
  readonly slabs: SlabPool;
  readonly empty: Slab;
  readonly bulkTimeoutMs: number;
  readonly #context: ServiceContext;
  readonly #options: ServiceOptions;
  readonly #estimator: Estimator;
  readonly #buffers: RequestBuffers[];
  readonly #requests = new UnderWay<ServiceRequest>();
  readonly #resting = new Resting(() => new ServiceRequest(this), RESTING_MAX);
  readonly #queue = new FairQueue<ServiceRequest>();
  readonly #perPeer = new Map<Nid, number>();
  #inProgress = 0;
  #handingOn = false;
  /** In this turn, and not answered at once. */
  #begun = 0;
  readonly #nextTurn = (): void => {
    this.#begun = 0;
    if (!this.#closing) this.#run();
  };
  #urgencyTimer: Timer | undefined;
  readonly #copies = new MessageMemory();
  #copiedBytes = 0;
  #closing = false;
  #timer: Timer | undefined;

  constructor(context: ServiceContext, options: ServiceOptions) {
    this.#context = context;
    this.#options = options;
    this.endpoint = context.endpoint;
    this.runtime = context.runtime;
    this.slabs = context.slabs;
    this.bulkTimeoutMs = context.timeouts.bulkTimeout * 1000;
    this.#estimator = new Estimator(context.timeouts, context.timeouts.initialServerEstimate);
    this.empty = context.slabs.take(1);
    const requestSizeMax = options.requestSizeMax ?? REQUEST_SIZE_MAX;
    this.#buffers = options.portals.map(
      (portal) =>
        new RequestBuffers({
          endpoint: context.endpoint,
          portal,
          requestSizeMax,
          buffers: options.buffers ?? 4,
          bufferSize: options.bufferSize ?? Math.max(256 << 10, 4 * requestSizeMax),
          onRequest: (event, bytes, within) => this.#onArrival(portal, event, bytes, within),
        }),
    );
  }

  get serviceEstimate(): number {
    return this.#estimator.current;
  }

  served(seconds: number): void {
    this.#estimator.measure(Math.max(seconds, 1), this.runtime.now());
  }

  /** Requests taken in and not yet done. */
  get requests(): number {
    return this.#requests.size;
  }

  replyPortal(requestPortal: number): number {
    return replyPortalOf(requestPortal);
  }

  /** Takes no more requests, drops the queued ones and waits for those in the handler's hands to be answered, but no
   * longer than a moment: those that wait for something (a lock) are then dropped. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const request of this.#queue.drain()) request.drop('service is closing');
    const idle = Promise.all(this.#buffers.map((buffers) => buffers.close()));
    let grace: Timer | undefined;
    const patience = new Promise<void>((resolve) => {
      grace = this.runtime.after(CLOSE_GRACE_MS, resolve);
    });
    await Promise.race([idle, patience]);
    grace?.cancel();
    for (const request of this.#requests) request.drop('service is closing');
    this.#timer?.cancel();
    this.#urgencyTimer?.cancel();
    this.slabs.give(this.empty);
  }

  /** Copied out of its buffer while copies are few, so that a request which waits for a lock does not keep a whole buffer
   * from being posted; beyond that it stays there, and full buffers are the back-pressure. */
  #onArrival(portal: number, event: LnetEvent, bytes: Uint8Array, within: RequestBuffer): void {
    if (this.#copiedBytes + bytes.length > COPIED_BYTES_MAX) {
      this.#onRequest(portal, event, bytes, bytes.length, within);
      return;
    }
    const memory = this.#copies.take(bytes.length);
    this.#copiedBytes += memory.length;
    memory.set(bytes);
    within.release();
    this.#onRequest(portal, event, memory, bytes.length, undefined);
  }

  #onRequest(
    portal: number,
    event: LnetEvent,
    bytes: Uint8Array,
    length: number,
    within: RequestBuffer | undefined,
  ): void {
    const request = this.#resting.take();
    const refused = request.take(event, portal, bytes, length, within);
    if (refused !== undefined) {
      this.#context.counters.drop(refused.startsWith('malformed') ? 'malformed' : refused);
      this.runtime.log.warn({ peer: request.peer, portal, reason: refused }, 'request dropped');
      this.#over(request);
      return;
    }
    this.#context.counters.of('server', request.opcode).requests++;
    if (requestChannel.hasSubscribers) requestChannel.publish(trace(request));
    const { inWork } = this.#context;
    const twin = inWork.find(request.xid, request.peer, request.body.pb_handle);
    if (twin !== undefined && !isConnect(request.opcode)) {
      twin.inherit(request);
      this.#context.counters.drop('duplicate of one in work');
      this.#over(request);
      return;
    }
    inWork.add(request);
    request.place = this.#requests.add(request);
    this.#armTimer(request);
    if (this.#queue.size === 0 && this.#hasRoom() && this.#allows(request.peer)) {
      this.#start(request);
      return;
    }
    this.#queue.push(request);
    this.#run();
  }

  /** Its bytes are no longer needed, and it may be the next one, unless the queue still has it. */
  #over(request: ServiceRequest, queued = false): void {
    const { copied, within } = request;
    request.rest();
    if (copied !== undefined) {
      this.#copiedBytes -= copied.length;
      this.#copies.give(copied);
    }
    if (!queued) this.#resting.give(request);
    within?.release();
  }

  #hasRoom(): boolean {
    return this.#begun < BEGUN_MAX && this.#inProgress < (this.#options.inProgressMax ?? IN_PROGRESS_MAX);
  }

  #allows(peer: Nid): boolean {
    return (this.#perPeer.get(peer) ?? 0) < (this.#options.inProgressPerPeerMax ?? IN_PROGRESS_PER_PEER_MAX);
  }

  /** Hands on what the limits allow. */
  #run(): void {
    // Of a request that is done at once: whoever started it goes on.
    if (this.#queue.size === 0 || this.#handingOn) return;
    this.#handingOn = true;
    const allowed = (peer: Nid): boolean => this.#allows(peer);
    while (this.#hasRoom()) {
      const request = this.#queue.shift(allowed);
      if (request === undefined) break;
      if (request.answered) continue;
      if (this.runtime.now() > request.deadline && request.opcode !== Opcode.LDLM_CANCEL) {
        request.drop('past its deadline');
        continue;
      }
      this.#start(request);
    }
    if (this.#begun < BEGUN_MAX) this.#hurry();
    this.#handingOn = false;
  }

  #start(request: ServiceRequest): void {
    this.#inProgress++;
    this.#perPeer.set(request.peer, (this.#perPeer.get(request.peer) ?? 0) + 1);
    request.started = true;
    request.running = true;
    let work: Promise<void> | undefined;
    try {
      const handling = this.#options.handler(request);
      if (handling !== undefined) work = handling;
    } catch (error) {
      this.#failed(request, error);
    }
    if (work === undefined) {
      this.#returned(request);
      return;
    }
    if (this.#begun++ === 0) this.runtime.soon(this.#nextTurn);
    void this.#await(request, work);
  }

  /** Those that have to wait are looked at now and then: what frees a lock must not wait behind what waits for it. */
  #hurry(): void {
    const { isUrgent } = this.#options;
    if (isUrgent === undefined || this.#queue.size === 0 || this.#urgencyTimer !== undefined) return;
    const room = (this.#options.inProgressMax ?? IN_PROGRESS_MAX) + URGENT_MAX - this.#inProgress;
    // What was dropped meanwhile has nothing to tell any more.
    const wanted = (request: ServiceRequest): boolean => request.answered || isUrgent(request);
    for (const request of this.#queue.take(wanted, room)) if (!request.answered) this.#start(request);
    if (this.#queue.size === 0) return;
    this.#urgencyTimer = this.runtime.after(URGENCY_MS, () => {
      this.#urgencyTimer = undefined;
      if (!this.#closing) this.#run();
    });
  }

  async #await(request: ServiceRequest, work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#failed(request, error);
    }
    this.#returned(request);
  }

  #returned(request: ServiceRequest): void {
    request.running = false;
    if (request.answered) this.#done(request);
  }

  #failed(request: ServiceRequest, error: unknown): void {
    const names = { peer: request.peer, opcode: opcodeName(request.opcode), xid: request.xid };
    this.runtime.log.error({ ...names, err: error }, 'request failed');
    if (request.answered) return;
    try {
      if (error instanceof BulkError) request.drop('bulk failed');
      else request.replyError(errnoOf(error));
    } catch (err) {
      request.drop('its error reply could not be sent');
      this.runtime.log.error({ ...names, err }, 'error reply not sent');
    }
  }

  answered(request: ServiceRequest, status: number | undefined, reason?: string): void {
    const elapsed = this.runtime.now() - request.arrivedAt;
    if (status === undefined) {
      this.#context.counters.drop(reason ?? 'dropped');
      this.runtime.log.warn(
        { peer: request.peer, opcode: opcodeName(request.opcode), xid: request.xid, reason },
        'request gets no reply',
      );
    } else {
      this.#context.counters.replied('server', request.opcode, status, elapsed);
      if (replyChannel.hasSubscribers) replyChannel.publish({ ...trace(request), status, ms: elapsed });
    }
    if (!request.running) this.#done(request);
  }

  /** Answered and out of the handler: its bytes may be overwritten. */
  #done(request: ServiceRequest): void {
    if (request.place < 0) return;
    this.#requests.remove(request.place);
    request.place = -1;
    this.#context.inWork.remove(request);
    if (request.started) {
      this.#inProgress--;
      const left = (this.#perPeer.get(request.peer) ?? 1) - 1;
      if (left > 0 || this.#perPeer.size <= IDLE_PEERS_MAX) this.#perPeer.set(request.peer, left);
      else this.#perPeer.delete(request.peer);
    }
    this.#over(request, !request.started);
    if (!this.#closing) this.#run();
  }

  /** One timer for the request that needs an early reply first. */
  #armTimer(request: ServiceRequest): void {
    if (this.#timer !== undefined) return;
    const due = request.deadline - this.#context.timeouts.atEarlyMargin * 1000;
    this.#timer = this.runtime.after(Math.max(0, due - this.runtime.now()), () => this.#onTimer());
  }

  #onTimer(): void {
    this.#timer = undefined;
    const marginMs = this.#context.timeouts.atEarlyMargin * 1000;
    let next: number | undefined;
    for (const request of this.#requests) {
      if (request.answered) continue;
      if (request.deadline - marginMs <= this.runtime.now() + 1) this.#extend(request);
      if (request.answered) continue;
      const due = Math.max(request.deadline - marginMs, this.runtime.now() + 1000);
      if (next === undefined || due < next) next = due;
    }
    if (next === undefined) return;
    this.#timer = this.runtime.after(next - this.runtime.now(), () => this.#onTimer());
  }

  /** Guide 04 §8: the new deadline is arrival + max(estimate, elapsed + 30), bounded by at_max. */
  #extend(request: ServiceRequest): void {
    const { atExtra, atMax } = this.#context.timeouts;
    const elapsed = (this.runtime.now() - request.arrivedAt) / 1000;
    if (elapsed > atMax + atExtra) {
      request.drop('no answer within at_max');
      return;
    }
    const allowance = Math.min(Math.max(this.#estimator.current, elapsed + atExtra), atMax);
    const deadline = request.arrivedAt + allowance * 1000;
    if (!request.adaptive || deadline <= request.deadline) return;
    try {
      request.sendEarlyReply(deadline);
      this.#context.counters.of('server', request.opcode).earlyReplies++;
    } catch (err) {
      this.runtime.log.warn({ peer: request.peer, err }, 'early reply not sent');
    }
  }
}

function trace(request: ServiceRequest): Record<string, unknown> {
  const { peer, portal, opcode, xid } = request;
  return { end: 'server', peer, portal, opcode, xid: BigInt(xid) };
}
