/**
 * TCP streams out of segments: order restored, retransmissions trimmed, beginnings that were not captured tolerated,
 * and lost bytes reported as gaps. Memory is bounded per direction and in the number of directions.
 */
import type { TcpSegment } from './link-layer.ts';

/** Takes the bytes of one direction in order. */
export interface StreamSink {
  /** `fresh` is false when the stream's beginning was not captured. */
  start(fresh: boolean): void;
  bytes(data: Uint8Array, time: bigint, frame: number): void;
  /** `length` bytes were not captured. */
  gap(length: number): void;
  end(): void;
}

/** Bytes and segments kept ahead of a hole before it is given up; bytes of all directions together. */
const AHEAD_BYTES = 16 << 20;
const AHEAD_BYTES_ALL = 128 << 20;
const AHEAD_SEGMENTS = 8192;
const DIRECTIONS_MAX = 8192;

interface Held {
  readonly sequence: number;
  readonly data: Uint8Array;
  readonly missing: number;
  readonly time: bigint;
  readonly frame: number;
}

interface Direction {
  readonly sink: StreamSink;
  next: number | undefined;
  held: Held[];
  heldBytes: number;
}

/** Sequence numbers are modulo 2^32; the sign of the result says which is ahead. */
const distance = (a: number, b: number): number => (a - b) | 0;

export class TcpStreams {
  private readonly directions = new Map<string, Direction>();
  private readonly open: (segment: TcpSegment) => StreamSink;
  private heldBytes = 0;
  /** Payload bytes seen again. */
  retransmitted = 0;

  constructor(open: (segment: TcpSegment) => StreamSink) {
    this.open = open;
  }

  segment(segment: TcpSegment, time: bigint, frame: number): void {
    const key = `${segment.source} ${segment.sourcePort} ${segment.destination} ${segment.destinationPort}`;
    let direction = this.directions.get(key);
    if (segment.syn) {
      const next = (segment.sequence + 1) >>> 0;
      if (direction !== undefined && direction.next === next) return;
      if (direction !== undefined) this.finish(key, direction);
      direction = this.begin(key, segment, true, next);
    }
    if (segment.payload.length + segment.missing > 0) {
      direction ??= this.begin(key, segment, false, segment.sequence);
      const { sequence, payload: data, missing } = segment;
      this.take(direction, { sequence: segment.syn ? sequence + 1 : sequence, data, missing, time, frame });
    }
    if (segment.end && direction !== undefined && direction.held.length === 0) this.finish(key, direction);
  }

  /** Ends every stream: what is held behind holes is delivered, the holes as gaps. */
  finishAll(): void {
    for (const [key, direction] of this.directions) this.finish(key, direction);
  }

  private begin(key: string, segment: TcpSegment, fresh: boolean, next: number): Direction {
    if (this.directions.size >= DIRECTIONS_MAX) {
      const [oldest, direction] = this.directions.entries().next().value!;
      this.finish(oldest, direction);
    }
    const direction: Direction = { sink: this.open(segment), next, held: [], heldBytes: 0 };
    this.directions.set(key, direction);
    direction.sink.start(fresh);
    return direction;
  }

  private finish(key: string, direction: Direction): void {
    while (direction.held.length > 0) this.skipHole(direction);
    direction.sink.end();
    this.directions.delete(key);
  }

  private take(direction: Direction, segment: Held): void {
    if (distance(segment.sequence, direction.next!) <= 0) {
      this.deliver(direction, segment);
      this.drain(direction);
      return;
    }
    let at = direction.held.length;
    while (at > 0 && distance(direction.held[at - 1]!.sequence, segment.sequence) > 0) at--;
    direction.held.splice(at, 0, { ...segment, data: segment.data.slice() });
    direction.heldBytes += segment.data.length;
    this.heldBytes += segment.data.length;
    const tooMuch = direction.heldBytes > AHEAD_BYTES || this.heldBytes > AHEAD_BYTES_ALL;
    if (tooMuch || direction.held.length > AHEAD_SEGMENTS) this.skipHole(direction);
  }

  private deliver(direction: Direction, segment: Held): void {
    const seen = Math.max(0, distance(direction.next!, segment.sequence));
    this.retransmitted += Math.min(seen, segment.data.length);
    const total = segment.data.length + segment.missing;
    if (seen >= total) return;
    direction.next = (segment.sequence + total) >>> 0;
    const data = segment.data.subarray(Math.min(seen, segment.data.length));
    if (data.length > 0) direction.sink.bytes(data, segment.time, segment.frame);
    const missing = total - seen - data.length;
    if (missing > 0) direction.sink.gap(missing);
  }

  private drain(direction: Direction): void {
    while (direction.held.length > 0 && distance(direction.held[0]!.sequence, direction.next!) <= 0) {
      const segment = direction.held.shift()!;
      direction.heldBytes -= segment.data.length;
      this.heldBytes -= segment.data.length;
      this.deliver(direction, segment);
    }
  }

  private skipHole(direction: Direction): void {
    const first = direction.held[0]!;
    const hole = distance(first.sequence, direction.next!);
    direction.next = first.sequence;
    if (hole > 0) direction.sink.gap(hole);
    this.drain(direction);
  }
}
