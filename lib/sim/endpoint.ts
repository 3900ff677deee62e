/**
 * An endpoint of the virtual network: LNet's four operations and their events (guide 01 §5, §6). Events reach their handlers
 * through a completion ring, as the native module's do, never inside the call that caused them.
 */
import {
  type BulkChecksumName,
  type Endpoint,
  type EndpointCounters,
  type GetOptions,
  type LnetEvent,
  type LnetHandler,
  type MatchEntry,
  type MdHandle,
  MdOption,
  type Memory,
  type PingResult,
  type PutOptions,
  type Segment,
} from '../lnet/network.ts';
import { LNET_PID_LUSTRE, type Nid } from '../lnet/nid.ts';
import { bulkChecksumTs } from '../lnet/t10.ts';
import { Errno, errnoError, LustreError } from '../runtime/errors.ts';
import type { Timer } from '../runtime/runtime.ts';
import { toBits64 } from '../wire/bits64.ts';
import { CompletionRing } from './completion-ring.ts';
import type {
  AckMessage,
  GetMessage,
  Link,
  LinkEnd,
  LnetMessage,
  Outgoing,
  PutMessage,
  ReplyMessage,
  WireHandle,
} from './link.ts';
import { type Awaiting, Descriptor, type Match, PortalTable } from './matching.ts';
import { checkSegments, gather, LNET_MTU, SimMemory, scatter } from './memory.ts';
import { Peers, type Switchboard } from './peers.ts';
import { isPing, ping, pingInfo } from './ping.ts';

/** lnet_transaction_timeout (guide 01 §10): an ACK or REPLY that has not come by then will not. */
const TRANSACTION_TIMEOUT_MS = 150_000;

type EventInput = Omit<LnetEvent, 'unlinked' | 'initiator' | 'target' | 'hdrData' | 'matchBits'> & {
  readonly matchBits: bigint;
  readonly peer: Nid;
  readonly hdrData?: bigint;
};

export class SimEndpoint implements Endpoint, LinkEnd {
  readonly movesFiles = false;
  readonly nid: Nid;
  readonly #board: Switchboard;
  readonly #peers: Peers;
  readonly #portals = new PortalTable();
  readonly #live = new Set<Descriptor>();
  readonly #awaiting = new Map<number, Awaiting>();
  readonly #ring: CompletionRing;
  readonly #downListeners: ((nid: Nid, reason: Error) => void)[] = [];
  readonly #counters = { sendMessages: 0, sendBytes: 0, receiveMessages: 0, receiveBytes: 0, dropped: 0 };
  readonly #lateSends = new Map<Timer, () => void>();
  #nextObject = 1;
  #state: 'open' | 'closed' | 'dead' = 'open';

  /** `iface` is the incarnation's interface cookie: late answers to an earlier one match nothing (guide 01 §3.3). */
  readonly iface: number;

  constructor(nid: Nid, board: Switchboard, iface: number) {
    this.nid = nid;
    this.#board = board;
    this.iface = iface;
    this.#peers = new Peers(this, board);
    this.#ring = new CompletionRing(board.time, board.random, board.guard);
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  attach(entry: MatchEntry, handler: LnetHandler): MdHandle {
    this.#mustBeOpen('attach');
    const length = checkSegments('the match entry', entry.segments);
    const descriptor = new Descriptor({
      segments: entry.segments,
      length,
      threshold: entry.threshold,
      options: entry.options,
      maxSize: entry.maxSize ?? 0,
      autoUnlink: entry.autoUnlink,
      checksum: entry.checksum,
      handler,
    });
    this.#live.add(descriptor);
    this.#portals.attach(entry, descriptor);
    return {
      unlink: () => this.#unlink(descriptor, 0, () => this.#portals.detach(entry.portal, descriptor)),
    };
  }

  put(options: PutOptions, handler: LnetHandler): MdHandle {
    this.#mustBeOpen('PUT');
    const length = checkSegments('the PUT', options.segments, LNET_MTU);
    const wantsAck = options.ack === true;
    const { descriptor, handle } = this.#bind(options, length, wantsAck ? 'ack' : undefined, handler);
    this.#send(options.peer.nid, {
      payloadLength: length,
      make: (): PutMessage => ({
        type: 'put',
        portal: options.portal,
        matchBits: BigInt(options.matchBits),
        hdrData: options.hdrData ?? 0n,
        offset: options.offset ?? 0,
        payload: gather(options.segments),
        ack: wantsAck ? handle : undefined,
      }),
      sent: (status) => this.#sent(descriptor, handle, options, length, status),
    });
    return { unlink: () => this.#unlink(descriptor, 0, () => this.#forget(handle.object)) };
  }

  send(options: PutOptions, handler: LnetHandler): MdHandle {
    return this.put(options, handler);
  }

  get(options: GetOptions, handler: LnetHandler): MdHandle {
    this.#mustBeOpen('GET');
    const length = checkSegments('the GET', options.segments, LNET_MTU);
    const { descriptor, handle } = this.#bind(options, length, 'reply', handler);
    this.#send(options.peer.nid, {
      payloadLength: 0,
      make: (): GetMessage => ({
        type: 'get',
        portal: options.portal,
        matchBits: BigInt(options.matchBits),
        offset: options.offset ?? 0,
        sinkLength: length,
        reply: handle,
      }),
      sent: (status) => this.#sent(descriptor, handle, options, length, status),
    });
    return { unlink: () => this.#unlink(descriptor, 0, () => this.#forget(handle.object)) };
  }

  setLazyPortal(portal: number): void {
    this.#portals.setLazy(portal);
  }

  allocate(bytes: number): Memory {
    if (!Number.isSafeInteger(bytes) || bytes < 0)
      throw new LustreError('EINVAL', `cannot allocate ${bytes} bytes`, {}, -Errno.EINVAL);
    return new SimMemory(new Uint8Array(bytes));
  }

  pin(bytes: Uint8Array): Memory {
    return new SimMemory(bytes);
  }

  checksum(type: BulkChecksumName, segments: readonly Segment[], pageOffset = 0): number {
    checkSegments('the checksum', segments);
    return bulkChecksumTs(
      type,
      segments.map(({ memory, offset, length }) => memory.bytes.subarray(offset, offset + length)),
      pageOffset,
    );
  }

  async checksumLater(type: BulkChecksumName, segments: readonly Segment[], pageOffset = 0): Promise<number> {
    return this.checksum(type, segments, pageOffset);
  }

  ping(nid: Nid, timeoutMs: number): Promise<PingResult> {
    return ping(this, this.#board.time, nid, timeoutMs);
  }

  lastError(nid: Nid): Error | undefined {
    return this.#peers.lastError(nid);
  }

  onPeerDown(listener: (nid: Nid, reason: Error) => void): void {
    this.#downListeners.push(listener);
  }

  counters(): EndpointCounters {
    return {
      ...this.#counters,
      connectionsOpen: this.#peers.connections,
      systemCalls: 0,
      wakeups: this.#ring.wakeups,
    };
  }

  async close(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'closed';
    this.#board.closed(this);
    for (const object of [...this.#awaiting.keys()]) this.#forget(object);
    for (const descriptor of this.#live) this.#unlink(descriptor, -Errno.ESHUTDOWN, () => {});
    this.#portals.clear();
    this.#peers.close(Errno.ESHUTDOWN);
    for (const [timer, post] of [...this.#lateSends]) {
      timer.cancel();
      post();
    }
    await new Promise<void>((resolve) => this.#ring.push(resolve));
  }

  /** The process is gone: no handler runs again, and peers' connections are reset. */
  kill(): void {
    if (this.#state === 'dead') return;
    this.#state = 'dead';
    this.#ring.kill();
    for (const object of [...this.#awaiting.keys()]) this.#forget(object);
    this.#board.closed(this);
    this.#peers.close(Errno.ECONNRESET);
  }

  // From the links.

  receive(link: Link, message: LnetMessage, payloadLength: number): void {
    if (this.#state !== 'open') return;
    const peer = link.other(this).nid;
    this.#counters.receiveMessages++;
    this.#counters.receiveBytes += payloadLength;
    const taken =
      message.type === 'put'
        ? this.#receivePut(peer, message)
        : message.type === 'get'
          ? this.#receiveGet(peer, message)
          : this.#receiveAnswer(peer, message);
    if (!taken) this.#counters.dropped++;
  }

  linkLost(link: Link, reason: LustreError): void {
    if (this.#state === 'dead') return;
    const nid = link.other(this).nid;
    this.#peers.lost(link, reason);
    for (const [object, waiting] of this.#awaiting) {
      if (waiting.peer === nid && waiting.sent) this.#answerLost(object, waiting, reason.errno);
    }
    for (const listener of this.#downListeners) this.#ring.push(() => listener(nid, reason));
  }

  connected(link: Link): void {
    this.#peers.connected(link);
  }

  connectFailed(nid: Nid, reason: LustreError): void {
    if (this.#state === 'open') this.#peers.failed(nid, reason);
  }

  /** The open link to a peer, if there is one. */
  linkTo(nid: Nid): Link | undefined {
    return this.#peers.linkTo(nid);
  }

  #receivePut(peer: Nid, message: PutMessage): boolean {
    const deliver = ({ descriptor, offset, mlength }: Match): void => {
      scatter(descriptor.segments, offset, message.payload.subarray(0, mlength));
      this.#post(descriptor, {
        type: 'put',
        status: 0,
        peer,
        matchBits: message.matchBits,
        hdrData: message.hdrData,
        offset,
        rlength: message.payload.length,
        mlength,
        checksum: descriptor.sum(message.payload.subarray(0, mlength)),
      });
      const { ack } = message;
      if (ack === undefined || (descriptor.options & MdOption.ACK_DISABLE) !== 0) return;
      this.#respond(peer, { type: 'ack', to: ack, matchBits: message.matchBits, mlength });
    };
    return this.#portals.receive(
      {
        operation: MdOption.OP_PUT,
        portal: message.portal,
        nid: peer,
        pid: LNET_PID_LUSTRE,
        matchBits: message.matchBits,
        offset: message.offset,
        rlength: message.payload.length,
      },
      deliver,
    );
  }

  #receiveGet(peer: Nid, message: GetMessage): boolean {
    if (isPing(message)) {
      const payload = pingInfo(this.nid).subarray(0, message.sinkLength);
      this.#respond(peer, { type: 'reply', to: message.reply, payload });
      return true;
    }
    const deliver = ({ descriptor, offset, mlength }: Match): void => {
      this.#send(peer, {
        payloadLength: mlength,
        make: (): ReplyMessage => ({
          type: 'reply',
          to: message.reply,
          payload: gather(descriptor.segments, offset, mlength),
        }),
        sent: (status) =>
          this.#post(descriptor, {
            type: 'get',
            status,
            peer,
            matchBits: message.matchBits,
            offset,
            rlength: message.sinkLength,
            mlength,
          }),
      });
    };
    return this.#portals.receive(
      {
        operation: MdOption.OP_GET,
        portal: message.portal,
        nid: peer,
        pid: LNET_PID_LUSTRE,
        matchBits: message.matchBits,
        offset: message.offset,
        rlength: message.sinkLength,
      },
      deliver,
    );
  }

  /** ACK or REPLY: straight to the descriptor that its handle names, if that still waits for one. */
  #receiveAnswer(peer: Nid, message: AckMessage | ReplyMessage): boolean {
    const kind = message.type;
    const waiting = message.to.iface === this.iface ? this.#awaiting.get(message.to.object) : undefined;
    if (waiting === undefined || waiting.kind !== kind || waiting.peer !== peer) return false;
    const { descriptor } = waiting;
    const rlength = kind === 'ack' ? message.mlength : message.payload.length;
    if (kind === 'reply') {
      if (rlength > descriptor.length) return false;
      scatter(descriptor.segments, 0, message.payload);
    }
    this.#forget(message.to.object);
    descriptor.threshold--;
    descriptor.inUse++;
    this.#post(descriptor, {
      type: kind,
      status: 0,
      peer,
      matchBits: waiting.matchBits,
      offset: 0,
      rlength,
      mlength: rlength,
      checksum: kind === 'reply' ? descriptor.sum(message.payload) : 0,
    });
    return true;
  }

  #respond(peer: Nid, message: AckMessage | ReplyMessage): void {
    const payloadLength = message.type === 'reply' ? message.payload.length : 0;
    this.#send(peer, { payloadLength, make: () => message, sent: () => {} });
  }

  /** Makes the descriptor of a PUT or GET of our own: one event for the send, one for the answer if it wants one. */
  #bind(
    options: PutOptions | GetOptions,
    length: number,
    answer: 'ack' | 'reply' | undefined,
    handler: LnetHandler,
  ): { descriptor: Descriptor; handle: WireHandle } {
    const descriptor = new Descriptor({
      segments: options.segments,
      length,
      threshold: answer === undefined ? 0 : 1,
      options: 0,
      maxSize: 0,
      autoUnlink: true,
      checksum: 'checksum' in options ? options.checksum : undefined,
      handler,
    });
    descriptor.inUse = 1;
    this.#live.add(descriptor);
    const handle: WireHandle = { iface: this.iface, object: this.#nextObject++ };
    if (answer !== undefined) {
      const timer = this.#board.time.after(TRANSACTION_TIMEOUT_MS, () => {
        const waiting = this.#awaiting.get(handle.object);
        if (waiting !== undefined) this.#answerLost(handle.object, waiting, -Errno.ETIMEDOUT);
      });
      this.#awaiting.set(handle.object, {
        descriptor,
        peer: options.peer.nid,
        kind: answer,
        matchBits: BigInt(options.matchBits),
        sent: false,
        cancelTimer: () => timer.cancel(),
      });
    }
    return { descriptor, handle };
  }

  #sent(
    descriptor: Descriptor,
    handle: WireHandle,
    options: PutOptions | GetOptions,
    length: number,
    status: number,
  ): void {
    if (this.#state === 'dead') return;
    const waiting = this.#awaiting.get(handle.object);
    if (waiting !== undefined) waiting.sent = true;
    if (status < 0) {
      this.#forget(handle.object);
      descriptor.zombie = true;
    }
    const post = (): void =>
      this.#post(descriptor, {
        type: 'send',
        status,
        peer: options.peer.nid,
        matchBits: BigInt(options.matchBits),
        offset: 0,
        rlength: length,
        mlength: status < 0 ? 0 : length,
      });
    // SEND may follow ACK or REPLY (guide 01 §5.2).
    const { time, random } = this.#board;
    if (status < 0 || !random.chance(0.1)) {
      post();
      return;
    }
    const timer = time.after(random.between(0, 5), () => {
      this.#lateSends.delete(timer);
      post();
    });
    this.#lateSends.set(timer, post);
  }

  #answerLost(object: number, waiting: Awaiting, status: number): void {
    this.#forget(object);
    const { descriptor } = waiting;
    descriptor.zombie = true;
    descriptor.inUse++;
    this.#post(descriptor, {
      type: waiting.kind,
      status,
      peer: waiting.peer,
      matchBits: waiting.matchBits,
      offset: 0,
      rlength: 0,
      mlength: 0,
    });
  }

  #forget(object: number): void {
    this.#awaiting.get(object)?.cancelTimer();
    this.#awaiting.delete(object);
  }

  #unlink(descriptor: Descriptor, status: number, detach: () => void): void {
    // After its last event a descriptor is gone: unlinking it does nothing.
    if (descriptor.zombie || !this.#live.has(descriptor)) return;
    descriptor.zombie = true;
    detach();
    if (descriptor.inUse > 0) return;
    descriptor.inUse = 1;
    const nowhere = { peer: this.nid, matchBits: 0n, offset: 0, rlength: 0, mlength: 0 };
    this.#post(descriptor, { type: 'unlink', status, ...nowhere });
  }

  #send(nid: Nid, outgoing: Outgoing): void {
    // A killed process's last microtasks may still call in: nothing comes of it.
    if (this.#state === 'dead') return;
    this.#counters.sendMessages++;
    this.#counters.sendBytes += outgoing.payloadLength;
    this.#peers.send(nid, outgoing);
  }

  /** Puts an event of a descriptor into the completion ring; what `unlinked` is, is decided when it leaves. */
  #post(descriptor: Descriptor, input: EventInput): void {
    const { peer, matchBits, ...rest } = input;
    this.#ring.push(() => {
      descriptor.inUse--;
      const unlinked = descriptor.finished;
      if (unlinked) this.#live.delete(descriptor);
      descriptor.handler({
        hdrData: 0n,
        ...rest,
        matchBits: toBits64(matchBits),
        initiator: { nid: peer, pid: LNET_PID_LUSTRE },
        target: this.nid,
        unlinked,
      });
    });
  }

  #mustBeOpen(what: string): void {
    if (this.#state === 'closed') throw errnoError(Errno.ESHUTDOWN, { syscall: what, nid: this.nid });
  }
}
