/**
 * The connections between two endpoints (guide 02 §3): a control connection for small messages and bulk connections each
 * way. Each keeps its order; messages on different ones overtake each other. A break loses what is in flight on
 * all of them, which is the only way TCP loses anything.
 */
import { errnoError, type LustreError } from '../runtime/errors.ts';
import type { Timer } from '../runtime/runtime.ts';
import type { SeededRandom } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Messages of at least this many bytes, headers included, take a bulk connection. */
const MIN_BULK = 1024;
/** Bytes a virtual millisecond: 1 GB/s. */
const BANDWIDTH = 1e6;
/** Headers of one message: socklnd's and LNet's. */
const HEADERS = 24 + 72;

export interface PutMessage {
  readonly type: 'put';
  readonly portal: number;
  readonly matchBits: bigint;
  readonly hdrData: bigint;
  readonly offset: number;
  readonly payload: Uint8Array;
  readonly ack: WireHandle | undefined;
}
export interface GetMessage {
  readonly type: 'get';
  readonly portal: number;
  readonly matchBits: bigint;
  readonly offset: number;
  readonly sinkLength: number;
  readonly reply: WireHandle;
}
export interface AckMessage {
  readonly type: 'ack';
  readonly to: WireHandle;
  readonly matchBits: bigint;
  readonly mlength: number;
}
export interface ReplyMessage {
  readonly type: 'reply';
  readonly to: WireHandle;
  readonly payload: Uint8Array;
}
export type LnetMessage = PutMessage | GetMessage | AckMessage | ReplyMessage;

/** Names a descriptor of one incarnation of an endpoint (guide 01 §3.3). */
export interface WireHandle {
  readonly iface: number;
  readonly object: number;
}

/** A message handed over for sending. Its payload is read when it leaves, not when it was queued. */
export interface Outgoing {
  readonly payloadLength: number;
  make(): LnetMessage;
  /** 0 when it has left, or a negative errno. */
  sent(status: number): void;
}

/** One end of a link. */
export interface LinkEnd {
  readonly nid: string;
  receive(link: Link, message: LnetMessage, payloadLength: number): void;
  linkLost(link: Link, reason: LustreError): void;
}

interface Stream {
  lastLeft: number;
  lastArrival: number;
  readonly flight: { readonly message: LnetMessage; readonly payloadLength: number; readonly at: number }[];
  pump: Timer | undefined;
}

/** The weather between two endpoints; faults change it. */
export interface Weather {
  latencyMs: readonly [number, number];
  partitioned: boolean;
  /** Counts partitions, so that a timeout begun in an earlier one ends nothing. */
  partitions: number;
  /** Probability that a message meets a connection reset instead of its receiver. */
  breakProbability: number;
}

export class Link {
  readonly ends: readonly [LinkEnd, LinkEnd];
  readonly weather: Weather;
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #streams: readonly [readonly Stream[], readonly Stream[]];
  readonly #leaving = new Set<{ readonly outgoing: Outgoing; readonly timer: Timer }>();
  #nextBulk = 0;
  readonly #reset: (link: Link) => void;
  open = true;

  constructor(
    ends: readonly [LinkEnd, LinkEnd],
    o: {
      weather: Weather;
      time: VirtualTime;
      random: SeededRandom;
      bulkConnections: number;
      onReset: (link: Link) => void;
    },
  ) {
    this.ends = ends;
    this.weather = o.weather;
    this.#time = o.time;
    this.#random = o.random;
    this.#reset = o.onReset;
    const streams = (): Stream[] =>
      Array.from({ length: 1 + o.bulkConnections }, () => ({
        lastLeft: 0,
        lastArrival: 0,
        flight: [],
        pump: undefined,
      }));
    this.#streams = [streams(), streams()];
  }

  other(end: LinkEnd): LinkEnd {
    return this.ends[0] === end ? this.ends[1] : this.ends[0];
  }

  /** Connections of this link, as a kernel counts them. */
  get connections(): number {
    return this.open ? 2 * this.#streams[0].length - 1 : 0;
  }

  send(from: LinkEnd, outgoing: Outgoing): void {
    const direction = this.ends[0] === from ? 0 : 1;
    const streams = this.#streams[direction];
    const bulk = HEADERS + outgoing.payloadLength >= MIN_BULK;
    const stream = bulk ? streams[1 + (this.#nextBulk++ % (streams.length - 1))]! : streams[0]!;
    stream.lastLeft = Math.max(stream.lastLeft, this.#time.now + this.#random.between(0, 0.02));
    const leaving = {
      outgoing,
      timer: this.#time.at(stream.lastLeft, () => {
        this.#leaving.delete(leaving);
        this.#depart(direction, stream, outgoing);
      }),
    };
    this.#leaving.add(leaving);
  }

  #depart(direction: 0 | 1, stream: Stream, outgoing: Outgoing): void {
    const message = outgoing.make();
    outgoing.sent(0);
    if (this.#random.chance(this.weather.breakProbability)) {
      this.#reset(this);
      return;
    }
    const [low, high] = this.weather.latencyMs;
    const arrival = this.#time.now + this.#random.between(low, high) + outgoing.payloadLength / BANDWIDTH;
    stream.lastArrival = Math.max(stream.lastArrival, arrival);
    stream.flight.push({ message, payloadLength: outgoing.payloadLength, at: stream.lastArrival });
    this.#pump(direction, stream);
  }

  #pump(direction: 0 | 1, stream: Stream): void {
    const head = stream.flight[0];
    if (stream.pump !== undefined || head === undefined || this.weather.partitioned || !this.open) return;
    stream.pump = this.#time.at(head.at, () => {
      stream.pump = undefined;
      if (this.weather.partitioned || !this.open) return;
      stream.flight.shift();
      this.ends[1 - direction]!.receive(this, head.message, head.payloadLength);
      this.#pump(direction, stream);
    });
  }

  /** After a partition has healed: what was held flows again. */
  resume(): void {
    for (const direction of [0, 1] as const) {
      for (const stream of this.#streams[direction]) this.#pump(direction, stream);
    }
  }

  /** Ends all connections: messages in flight vanish, queued ones fail with `errno`, both ends are told. */
  break(errno: number): void {
    if (!this.open) return;
    this.open = false;
    for (const streams of this.#streams) {
      for (const stream of streams) {
        stream.pump?.cancel();
        stream.flight.length = 0;
      }
    }
    for (const { outgoing, timer } of this.#leaving) {
      timer.cancel();
      outgoing.sent(-errno);
    }
    this.#leaving.clear();
    for (const end of new Set(this.ends))
      end.linkLost(this, errnoError(errno, { syscall: 'read', nid: this.other(end).nid }));
  }
}
