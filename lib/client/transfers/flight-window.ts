/**
 * How many bytes of one copy or stream should be in flight: what the path takes, found by what it delivers. As BBR does for packets
 * (Cardwell et al., "BBR: Congestion-Based Congestion Control", 2016): the highest rate at which pieces have arrived, times the least
 * time that one took, is what is on its way where nothing waits. So much or a multiple (`gain`) is in flight, and two pieces more, which
 * find out whether the path takes more, and let those who share it come to equal parts. Where the path is not full yet, more in
 * flight arrives in the same time, so that the window doubles; where it is, pieces take longer at the same rate, and it stays.
 */
import type { Runtime } from '../../runtime/runtime.ts';

/** Pieces beyond it. */
const MORE = 2;
/** What was measured counts for this many windows of pieces, and as many again. */
const EPOCH = 16;

/** A piece under way. */
export interface Flight {
  readonly bytes: number;
  readonly at: number;
  /** Of all pieces, when it left. */
  readonly delivered: number;
}

/** Of some time: the highest bytes a millisecond, and the shortest flight in milliseconds. */
interface Measured {
  rate: number;
  latency: number;
}

const nothing = (): Measured => ({ rate: 0, latency: Number.POSITIVE_INFINITY });

export class FlightWindow {
  readonly #clock: Pick<Runtime, 'now'>;
  readonly #most: number;
  readonly #gain: number;
  #delivered = 0;
  #now = nothing();
  #before = nothing();
  /** Delivered bytes at which the next epoch begins; and until which less is in flight, so that the least latency shows again. */
  #epochEnd = 0;
  #drainEnd = 0;

  /**
   * `most`: bytes, whatever the path would take. One piece may always be in flight. `gain`: how often what the path holds is in
   * flight. Once is enough where all pieces take the same time; of twice the second half waits somewhere, and fills the path when
   * something is late.
   */
  constructor(clock: Pick<Runtime, 'now'>, most: number, gain = 2) {
    this.#clock = clock;
    this.#most = most;
    this.#gain = gain;
  }

  /** Bytes that should be in flight now, with pieces of about `piece` bytes. */
  size(piece: number): number {
    const path = this.#path();
    const drained = this.#delivered < this.#drainEnd ? path : this.#gain * path;
    return Math.max(piece, Math.min(this.#most, drained + MORE * piece));
  }

  /** Bytes that are in flight where nothing waits, and those that find out whether the path takes more. */
  holds(piece: number): number {
    return this.#path() + MORE * piece;
  }

  #path(): number {
    const rate = Math.max(this.#now.rate, this.#before.rate);
    return rate === 0 ? 0 : rate * Math.min(this.#now.latency, this.#before.latency);
  }

  /** A piece leaves now. */
  sent(bytes: number): Flight {
    return { bytes, at: this.#clock.now(), delivered: this.#delivered };
  }

  /** It has arrived. */
  arrived({ bytes, at, delivered }: Flight): void {
    this.#delivered += bytes;
    // A clock of whole milliseconds may not have moved.
    const latency = Math.max(this.#clock.now() - at, 0.01);
    this.#now.latency = Math.min(this.#now.latency, latency);
    this.#now.rate = Math.max(this.#now.rate, (this.#delivered - delivered) / latency);
    if (this.#delivered < this.#epochEnd) return;
    // The first one ends with the first flight, when something is known.
    if (this.#epochEnd > 0) {
      this.#before = this.#now;
      this.#now = nothing();
      this.#drainEnd = this.#delivered + this.size(bytes);
    }
    this.#epochEnd = this.#delivered + EPOCH * this.size(bytes);
  }
}
