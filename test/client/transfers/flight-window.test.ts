/** How much is in flight on a link of a given speed, in virtual time. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlightWindow } from '../../../lib/client/transfers/flight-window.ts';
import { pieceBytes } from '../../../lib/client/transfers/transfers.ts';
import { VirtualTime } from '../../../lib/sim/virtual-time.ts';

const MIB = 1 << 20;
const PIECE = 8 * MIB;

/** One queue for all: bytes leave it at `bandwidth` (a millisecond), and what has left arrives, and is heard of, `latency` ms later. */
class Path {
  bandwidth: number;
  latency: number;
  readonly #time: VirtualTime;
  #free = 0;

  constructor(time: VirtualTime, bandwidth: number, latency: number) {
    this.#time = time;
    this.bandwidth = bandwidth;
    this.latency = latency;
  }

  send(bytes: number, jitter: number, arrived: () => void): void {
    this.#free = Math.max(this.#free, this.#time.now) + bytes / this.bandwidth;
    this.#time.at(this.#free + this.latency * (1 + jitter), arrived);
  }

  /** What is in flight when the path is full and nothing waits. */
  get product(): number {
    return this.bandwidth * this.latency + PIECE;
  }

  get roundTrip(): number {
    return this.latency + PIECE / this.bandwidth;
  }
}

/** A copy without end that keeps its window full. */
class Copy {
  delivered = 0;
  inFlight = 0;
  highest = 0;
  readonly window: FlightWindow;
  readonly #path: Path;
  readonly #jitter: () => number;

  constructor(time: VirtualTime, path: Path, most: number, jitter: () => number = () => 0) {
    this.window = new FlightWindow({ now: () => time.now }, most);
    this.#path = path;
    this.#jitter = jitter;
  }

  fill(): void {
    while (this.inFlight === 0 || this.inFlight + PIECE <= this.window.size(PIECE)) {
      this.inFlight += PIECE;
      this.highest = Math.max(this.highest, this.inFlight);
      const flight = this.window.sent(PIECE);
      this.#path.send(PIECE, this.#jitter(), () => {
        this.window.arrived(flight);
        this.delivered += PIECE;
        this.inFlight -= PIECE;
        this.fill();
      });
    }
  }
}

function runUntil(time: VirtualTime, end: number): void {
  while (time.nextAt !== undefined && time.nextAt <= end) time.step();
  time.advanceTo(end);
}

/** Bytes a millisecond of a copy, from a time on for as long as its path needs to show it. */
function rateFrom(time: VirtualTime, copy: Copy, from: number, path: Path): number {
  runUntil(time, from);
  const before = copy.delivered;
  runUntil(time, from + Math.max(40 * path.roundTrip, (60 * PIECE) / path.bandwidth));
  return (copy.delivered - before) / (time.now - from);
}

/** 10 MB/s to 10 GB/s. */
const bandwidths = fc
  .integer({ min: 4, max: 7 })
  .chain((n) => fc.integer({ min: 10 ** n, max: 10 ** n * 9 }));
const latencies = fc.integer({ min: 0, max: 300 });
const plenty = Number.MAX_SAFE_INTEGER;

/** An endless series of numbers below `most`. */
const jitters = fc
  .array(fc.double({ min: 0, max: 0.4, noNaN: true }), { minLength: 20, maxLength: 40 })
  .map((numbers) => {
    let i = 0;
    return () => numbers[i++ % numbers.length]!;
  });

it.each([
  // Two OSTs of 16 MiB, eight requests each: 4 MiB are enough for 64 MiB, more is more.
  [{ width: 2, rpcBytes: 16 * MIB, rpcs: 8 }, 16 * MIB, 8 * MIB],
  [{ width: 2, rpcBytes: 16 * MIB, rpcs: 8 }, 65 * MIB, 16 * MIB],
  [{ width: 2, rpcBytes: 16 * MIB, rpcs: 8 }, 1000 * MIB, 32 * MIB],
  [{ width: 3, rpcBytes: 4 * MIB, rpcs: 8 }, 1000 * MIB, 12 * MIB],
  [{ width: 1, rpcBytes: MIB, rpcs: 8 }, 1000 * MIB, 8 * MIB],
  [{ width: 1, rpcBytes: 4096, rpcs: 1 }, MIB, 8 * MIB],
])('pieces are whole requests to all OSTs: %o with %i in flight', (bounds, inFlight, bytes) => {
  expect(pieceBytes(bounds, inFlight, 8 * MIB)).toBe(bytes);
});

describe('the window of a copy', () => {
  it('fills a path within as many round trips as it doubles, and two', () =>
    fc.assert(
      fc.property(bandwidths, latencies, (bandwidth, latency) => {
        const time = new VirtualTime();
        const path = new Path(time, bandwidth, latency);
        const copy = new Copy(time, path, plenty);
        copy.fill();
        const trips = Math.ceil(Math.log2(Math.max(1, path.product / (2 * PIECE)))) + 2;
        const start = trips * path.roundTrip;
        const reached = rateFrom(time, copy, start, path);
        expect(reached).toBeGreaterThan(0.9 * bandwidth);
        // And does not pile up more than it holds once more.
        expect(copy.highest).toBeLessThan(3 * path.product + 4 * PIECE);
      }),
    ));

  it('does so when pieces take longer now and then', () =>
    fc.assert(
      fc.property(bandwidths, latencies, jitters, (bandwidth, latency, jitter) => {
        const time = new VirtualTime();
        const path = new Path(time, bandwidth, latency);
        const copy = new Copy(time, path, plenty, jitter);
        copy.fill();
        const start = 20 * path.roundTrip;
        const reached = rateFrom(time, copy, start, path);
        expect(reached).toBeGreaterThan(0.85 * bandwidth);
      }),
    ));

  it('never exceeds its bound, and is one piece at least', () =>
    fc.assert(
      fc.property(
        bandwidths,
        latencies,
        fc.integer({ min: 1, max: 40 * PIECE }),
        (bandwidth, latency, most) => {
          const time = new VirtualTime();
          const copy = new Copy(time, new Path(time, bandwidth, latency), most);
          copy.fill();
          runUntil(time, 20_000);
          expect(copy.highest).toBeLessThanOrEqual(Math.max(PIECE, most));
          expect(copy.delivered).toBeGreaterThan(0);
        },
      ),
      { numRuns: 30 },
    ));

  it('leaves another copy its part of the path, whichever came first', () =>
    fc.assert(
      fc.property(fc.integer({ min: 200_000, max: 5_000_000 }), latencies, (bandwidth, latency) => {
        const time = new VirtualTime();
        const path = new Path(time, bandwidth, latency);
        const most = 4 * path.product + 8 * PIECE;
        const [first, second] = [new Copy(time, path, most), new Copy(time, path, most)];
        first.fill();
        runUntil(time, 20 * path.roundTrip);
        second.fill();
        const from = time.now + 100 * path.roundTrip;
        runUntil(time, from);
        const before = [first.delivered, second.delivered] as const;
        runUntil(time, from + 200 * path.roundTrip);
        const [one, other] = [first.delivered - before[0], second.delivered - before[1]];
        expect(Math.max(one, other) / Math.min(one, other)).toBeLessThan(3);
        expect(one + other).toBeGreaterThan(0.9 * bandwidth * (time.now - from));
      }),
      { numRuns: 30 },
    ));

  it('follows a path that becomes slower, faster or longer', () =>
    fc.assert(
      fc.property(bandwidths, latencies, bandwidths, latencies, (bandwidth, latency, later, longer) => {
        const time = new VirtualTime();
        const path = new Path(time, bandwidth, latency);
        const copy = new Copy(time, path, plenty);
        copy.fill();
        runUntil(time, 100 * path.roundTrip);
        const most = Math.max(copy.inFlight, path.product);
        path.bandwidth = later;
        path.latency = longer;
        // What is under way first, then two epochs of what was measured before.
        const drained = most / Math.min(bandwidth, later);
        const from = time.now + 60 * (drained + path.roundTrip) + (200 * PIECE) / later;
        const reached = rateFrom(time, copy, from, path);
        expect(reached).toBeGreaterThan(0.85 * later);
      }),
      { numRuns: 30 },
    ));
});
