/**
 * The RPC layer of one endpoint (guide 04): XIDs, reply buffers and attempts for those who call, services for those who
 * are called, counters for those who watch.
 */
import type { Endpoint } from '../lnet/network.ts';
import type { Nid } from '../lnet/nid.ts';
import type { Runtime, Timer } from '../runtime/runtime.ts';
import { defaultTimeouts, type TimeoutSettings } from './adaptive-timeout.ts';
import { RequestsInWork } from './requests-in-work.ts';
import { Resting } from './resting.ts';
import { RpcCounters, replyChannel, requestChannel } from './rpc-counters.ts';
import { Service, type ServiceContext, type ServiceOptions } from './service.ts';
import { SlabPool } from './slab-pool.ts';
import { type Attempt, type Outcome, Transmission, type TransmissionOwner } from './transmission.ts';
import { UnderWay } from './under-way.ts';
import { XidAllocator } from './xid.ts';

export interface PtlRpcOptions {
  readonly timeouts?: Partial<TimeoutSettings>;
}

export class PtlRpc implements TransmissionOwner {
  readonly endpoint: Endpoint;
  readonly runtime: Runtime;
  readonly timeouts: TimeoutSettings;
  readonly counters = new RpcCounters();
  /** Memory for requests; give back what `take` gave once an attempt's outcome is known. */
  readonly slabs: SlabPool;
  readonly #xids: XidAllocator;
  readonly #services = new Set<Service>();
  readonly #transmissions = new UnderWay<Transmission>();
  readonly #resting = new Resting(() => new Transmission(this));
  readonly #inWork = new RequestsInWork();
  readonly #downListeners = new Set<(nid: Nid, reason: Error) => void>();
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #closed = false;

  constructor(endpoint: Endpoint, runtime: Runtime, options: PtlRpcOptions = {}) {
    this.endpoint = endpoint;
    this.runtime = runtime;
    this.timeouts = { ...defaultTimeouts, ...options.timeouts };
    this.slabs = new SlabPool(endpoint);
    this.#xids = new XidAllocator(runtime.wallTime());
    endpoint.onPeerDown((nid, reason) => {
      for (const listener of [...this.#downListeners]) listener(nid, reason);
    });
  }

  /** Called when all connections to a peer are gone. Gives the function that ends it. */
  onPeerDown(listener: (nid: Nid, reason: Error) => void): () => void {
    this.#downListeners.add(listener);
    return () => this.#downListeners.delete(listener);
  }

  /** A new XID, or new match bits for the bulk of a resend: a multiple of 128. */
  nextXid(): number {
    return this.#xids.next();
  }

  /** Serves requests of these portals until closed. */
  serve(options: ServiceOptions): { close(): Promise<void>; readonly requests: number } {
    const context: ServiceContext = {
      endpoint: this.endpoint,
      runtime: this.runtime,
      slabs: this.slabs,
      counters: this.counters,
      timeouts: this.timeouts,
      inWork: this.#inWork,
    };
    const service = new Service(context, options);
    this.#services.add(service);
    return {
      close: () => {
        this.#services.delete(service);
        return service.close();
      },
      get requests() {
        return service.requests;
      },
    };
  }

  /** One attempt at one RPC. `opcode` and `resend` are for the counters. Never rejects: failures are outcomes. */
  send(attempt: Attempt, opcode: number, resend: boolean): Transmission {
    const transmission = this.#resting.take();
    transmission.begin(attempt, opcode);
    transmission.place = this.#transmissions.add(transmission);
    this.expiresAt(transmission.deadline);
    const counters = this.counters.of('client', opcode);
    counters.requests++;
    if (resend) counters.resends++;
    const { peer, requestPortal: portal, xid } = attempt;
    if (requestChannel.hasSubscribers)
      requestChannel.publish({ end: 'client', peer, portal, opcode, xid: BigInt(xid) });
    if (this.#closed) transmission.abort();
    transmission.start();
    return transmission;
  }

  /** For transmissions: one timer for all, since hardly any lasts until its deadline. */
  expiresAt(deadline: number): void {
    if (deadline >= this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = deadline;
    this.#timer = this.runtime.after(Math.max(0, deadline - this.runtime.now()), () => this.#onTimer());
  }

  /** For transmissions. */
  ended(transmission: Transmission, outcome: Outcome): void {
    const { place, attempt, opcode, earlyReplies } = transmission;
    this.#transmissions.remove(place);
    if (earlyReplies > 0) this.counters.of('client', opcode).earlyReplies += earlyReplies;
    this.#count(attempt, opcode, outcome);
  }

  /** For transmissions. */
  over(transmission: Transmission): void {
    this.#resting.give(transmission);
  }

  /** Ends all attempts (`aborted`) and services, and waits for both. The endpoint stays open. */
  async close(): Promise<void> {
    this.#closed = true;
    const transmissions = [...this.#transmissions];
    for (const transmission of transmissions) transmission.abort();
    const services = [...this.#services].map((service) => service.close());
    this.#services.clear();
    await Promise.all([...services, ...transmissions.map((t) => t.outcome)]);
    this.#timer?.cancel();
    this.slabs.close();
  }

  #onTimer(): void {
    this.#timerAt = Number.POSITIVE_INFINITY;
    const now = this.runtime.now();
    let next = Number.POSITIVE_INFINITY;
    for (const transmission of this.#transmissions) {
      if (transmission.deadline <= now) transmission.expire();
      else if (transmission.deadline < next) next = transmission.deadline;
    }
    this.expiresAt(next);
  }

  #count(attempt: Attempt, opcode: number, outcome: Outcome): void {
    if (outcome.kind === 'timeout') this.counters.of('client', opcode).timeouts++;
    if (outcome.kind !== 'reply') return;
    const status = outcome.body.pb_status;
    this.counters.replied('client', opcode, status, outcome.elapsedMs);
    if (!replyChannel.hasSubscribers) return;
    const { peer, requestPortal: portal, xid } = attempt;
    const ms = outcome.elapsedMs;
    replyChannel.publish({ end: 'client', peer, portal, opcode, xid: BigInt(xid), status, ms });
  }
}
