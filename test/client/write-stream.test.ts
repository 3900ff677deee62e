/** What a write stream has on its way: over a file of which the test ends each write, and over links in virtual time. */
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StreamOptions } from '../../lib/client/streams.ts';
import { type FlightBounds, Transfers } from '../../lib/client/transfers/transfers.ts';
import { LustreWriteStream, type WritableFile } from '../../lib/client/write-stream.ts';
import { VirtualTime } from '../../lib/sim/virtual-time.ts';
import { pattern, SERVER_NID, withCluster } from './sim-cluster.ts';

const MIB = 1 << 20;

interface Call {
  readonly buffers: readonly Buffer[];
  readonly position: number;
  readonly length: number;
  /** Takes the bytes as they are now, or fails. */
  end(error?: Error): void;
}

interface HeldFileOptions {
  readonly appending?: boolean;
  readonly time?: VirtualTime;
  readonly transfers?: Transfers;
  readonly bounds?: FlightBounds;
  /** Bytes that it keeps. */
  readonly size?: number;
}

/** Writes wait until the test ends them. */
class HeldFile implements WritableFile {
  readonly transfers: Transfers;
  readonly isAppending: boolean;
  readonly bounds: FlightBounds;
  readonly calls: Call[] = [];
  readonly content: Buffer;
  size = 0;
  inFlight = 0;
  highest = 0;
  begun = 0;
  /** Bytes under way when it was closed. */
  closedWith: number | undefined;
  readonly time: VirtualTime;
  #called: (() => void) | undefined;

  constructor(options: HeldFileOptions = {}) {
    const { appending = false, bounds, size = 64 * MIB, time = new VirtualTime() } = options;
    this.time = time;
    const clock = { now: () => time.now, after: (ms: number, fire: () => void) => time.after(ms, fire) };
    this.transfers = options.transfers ?? new Transfers(clock);
    this.content = Buffer.alloc(size);
    this.isAppending = appending;
    this.bounds = bounds ?? { width: 2, rpcBytes: 4 * MIB, rpcs: 8 };
  }

  flightBounds(): Promise<FlightBounds> {
    return Promise.resolve(this.bounds);
  }

  writev(buffers: readonly Buffer[], position: number): Promise<{ bytesWritten: number }> {
    const length = buffers.reduce((sum, bytes) => sum + bytes.length, 0);
    this.begun++;
    this.inFlight += length;
    this.highest = Math.max(this.highest, this.inFlight);
    return new Promise((resolve, reject) => {
      const end = (error?: Error): void => {
        this.calls.splice(this.calls.indexOf(call), 1);
        this.inFlight -= length;
        if (error !== undefined) {
          reject(error);
          return;
        }
        const at = this.isAppending ? this.size : position;
        let to = at;
        for (const bytes of buffers) to += bytes.copy(this.content, to);
        this.size = Math.max(this.size, at + length);
        resolve({ bytesWritten: length });
      };
      const call: Call = { buffers, position, length, end };
      this.calls.push(call);
      this.#called?.();
    });
  }

  /** Resolves when at least so many writes are under way. */
  async until(count: number): Promise<void> {
    while (this.calls.length < count) {
      await new Promise<void>((resolve) => {
        this.#called = resolve;
      });
    }
  }

  close(): Promise<void> {
    this.closedWith = this.inFlight;
    return Promise.resolve();
  }
}

/** A whole piece. */
const chunk = Buffer.alloc(8 * MIB);
const repeat = (what: string, count: number): string[] => Array.from({ length: count }, () => what);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Ends what is under way until the stream is closed, the nth of those that are there by what `choose` says. */
async function endAll(file: HeldFile, stream: LustreWriteStream, choose: () => number): Promise<void> {
  while (!stream.closed) {
    await turn();
    const { calls, time } = file;
    const call = calls[choose() % Math.max(1, calls.length)];
    if (call === undefined) time.step();
    else {
      time.advanceTo(time.now + 1);
      call.end();
    }
  }
}

function held(
  options: StreamOptions = {},
  of: HeldFileOptions = {},
): { file: HeldFile; stream: LustreWriteStream; ended: Promise<Error | undefined> } {
  const file = new HeldFile(of);
  const stream = new LustreWriteStream(file, options);
  const ended = new Promise<Error | undefined>((resolve) => {
    let failed: Error | undefined;
    stream.on('error', (error) => {
      failed = error;
    });
    stream.on('close', () => resolve(failed));
  });
  return { file, stream, ended };
}

const sizes = fc.array(
  fc.oneof(
    fc.constantFrom(0, 1, 4096, 65536, MIB, 3 * MIB),
    fc.integer({ min: 0, max: 300_000 }),
    fc.integer({ min: 0, max: 100 }),
  ),
  { maxLength: 40 },
);
const watermarks = fc.constantFrom(undefined, 1, 100_000, MIB, 8 * MIB, 12 * MIB);
const orders = fc.infiniteStream(fc.nat(100));

describe('a write stream', () => {
  it('writes what it was given in whatever order writes end, and gives each chunk back when it is written', () =>
    fc.assert(
      fc.asyncProperty(
        sizes,
        watermarks,
        orders,
        fc.constantFrom(0, 1, 5000, MIB),
        fc.boolean(),
        async (lengths, highWaterMark, order, start, appending) => {
          const { file, stream, ended } = held(
            { start, ...(highWaterMark !== undefined && { highWaterMark }) },
            { appending },
          );
          const bytes = pattern(lengths.reduce((sum, length) => sum + length, 0));
          const ending = endAll(file, stream, () => order.next().value);
          const back: number[] = [];
          let at = 0;
          for (const [i, length] of lengths.entries()) {
            const chunk = Buffer.from(bytes.subarray(at, at + length));
            at += length;
            const end = at;
            const room = stream.write(chunk, (error) => {
              expect(error ?? null).toBe(null);
              expect(stream.bytesWritten).toBeGreaterThanOrEqual(end);
              back.push(i);
              // Its producer uses it again.
              chunk.fill(0xee);
            });
            if (!room) await once(stream, 'drain');
          }
          stream.end();
          expect(await ended).toBe(undefined);
          await ending;
          expect(back).toEqual(lengths.map((_, i) => i));
          expect(stream.bytesWritten).toBe(bytes.length);
          const from = appending ? 0 : start;
          expect(file.content.subarray(from, from + bytes.length).equals(bytes)).toBe(true);
          expect(file.closedWith).toBe(0);
          if (appending) expect(file.highest).toBeLessThanOrEqual(8 * MIB);
          expect(file.transfers.behind.tryTake(128 * MIB)).toBe(true);
        },
      ),
      { numRuns: 40 },
    ));

  it('begins nothing after the first failure, and tells it when nothing is under way any more', () =>
    fc.assert(
      fc.asyncProperty(orders, fc.integer({ min: 1, max: 6 }), async (order, failing) => {
        const { file, stream, ended } = held({}, { size: 0 });
        const outcomes: (Error | undefined)[] = [];
        const failure = new Error('no space');
        let ends = 0;
        const source = (async () => {
          for (let i = 0; i < 40 && !stream.destroyed; i++) {
            const room = stream.write(chunk, (error) => outcomes.push(error ?? undefined));
            if (!room) await Promise.race([once(stream, 'drain'), ended]);
          }
        })();
        let begun: number | undefined;
        while (!stream.closed) {
          await turn();
          file.time.advanceTo(file.time.now + 1);
          const call = file.calls[order.next().value % Math.max(1, file.calls.length)];
          if (++ends === failing) begun = file.begun;
          call?.end(ends === failing ? failure : undefined);
          if (begun !== undefined && file.calls.length > 0) expect(stream.closed).toBe(false);
        }
        await source;
        expect(await ended).toBe(failure);
        expect(file.begun).toBe(begun);
        expect(file.closedWith).toBe(0);
        const first = outcomes.indexOf(failure);
        expect(first).toBeGreaterThanOrEqual(0);
        expect(outcomes.slice(0, first).every((outcome) => outcome === undefined)).toBe(true);
        // Of what comes behind it only what was under way may have been written.
        expect(stream.bytesWritten).toBe(first * chunk.length);
      }),
      { numRuns: 30 },
    ));

  it.each([
    ['destroyed', true],
    ['aborted', true],
    ['destroyed', false],
  ])('%s in the middle is not closed while memory is in use (autoClose %s)', async (how, autoClose) => {
    const controller = new AbortController();
    const { file, stream, ended } = held({ autoClose, signal: controller.signal }, { size: 0 });
    const outcomes: string[] = [];
    const write = (): boolean =>
      stream.write(chunk, (error) => {
        outcomes.push((error as NodeJS.ErrnoException | null)?.code ?? 'written');
      });
    write();
    // The first one goes alone.
    await turn();
    file.calls[0]!.end();
    await turn();
    for (let i = 1; i < 7; i++) write();
    await turn();
    const under = file.calls.length;
    expect(under).toBeGreaterThan(1);
    if (how === 'aborted') controller.abort();
    else stream.destroy();
    await turn();
    expect([stream.destroyed, stream.closed, outcomes]).toEqual([true, false, ['written']]);
    while (file.calls.length > 1) file.calls.at(-1)!.end();
    await turn();
    expect([stream.closed, outcomes.length]).toEqual([false, 1]);
    file.calls[0]!.end();
    expect((await ended)?.name).toBe(how === 'aborted' ? 'AbortError' : undefined);
    const why = how === 'aborted' ? 'ABORT_ERR' : 'ERR_STREAM_DESTROYED';
    expect(outcomes).toEqual([...repeat('written', 1 + under), ...repeat(why, 6 - under)]);
    expect([file.begun, file.closedWith]).toEqual([1 + under, autoClose ? 0 : undefined]);
    expect(file.transfers.behind.tryTake(128 * MIB)).toBe(true);
  });

  it('that is ended tells what became of its last write, and refuses what comes later', async () => {
    const endOf = (stream: LustreWriteStream, text: string): Promise<Error | null | undefined> =>
      new Promise((resolve) => stream.end(text, (error?: Error | null) => resolve(error)));
    const { file, stream, ended } = held();
    const failure = new Error('no space');
    const said = endOf(stream, 'text');
    await file.until(1);
    file.calls[0]!.end(failure);
    expect([await said, await ended]).toEqual([failure, failure]);

    const other = held();
    other.stream.write('some text, ', 'latin1');
    const end = endOf(other.stream, 'and more');
    const late = new Promise<Error | null | undefined>((resolve) => other.stream.write('too late', resolve));
    await endAll(other.file, other.stream, () => 0);
    const refused = { code: 'ERR_STREAM_WRITE_AFTER_END' };
    expect(await late).toMatchObject(refused);
    expect(await end).toMatchObject(refused);
    expect(await other.ended).toMatchObject(refused);
    expect(other.file.content.toString('latin1', 0, 19)).toBe('some text, and more');
  });

  it('gathers small chunks while nobody waits for them, and sends them in one write', async () => {
    const { file, stream, ended } = held();
    for (let i = 0; i < 300; i++) stream.write(Buffer.alloc(1000, i));
    await turn();
    expect(file.begun).toBe(0);
    // Nothing more comes.
    file.time.step();
    expect(file.calls.map(({ length, buffers }) => [length, buffers.length])).toEqual([[300_000, 1]]);
    for (let i = 0; i < 10; i++) stream.write(Buffer.alloc(1000, i));
    // Now somebody waits.
    stream.write(Buffer.alloc(1000, 10), () => undefined);
    expect(file.begun).toBe(1);
    file.calls[0]!.end();
    await turn();
    expect(file.calls.map(({ length, buffers }) => [length, buffers.length])).toEqual([[11_000, 11]]);
    stream.end();
    await Promise.all([ended, endAll(file, stream, () => 0)]);
    expect(
      file.content.subarray(0, 311_000).every((byte, i) => byte === (Math.floor(i / 1000) % 300) % 256),
    ).toBe(true);
  });

  it('has no more under way than the servers take', async () => {
    const bounds = { width: 1, rpcBytes: 4 * MIB, rpcs: 3 };
    const { file, stream } = held({ highWaterMark: 4 * MIB }, { bounds });
    const done = pipeline(Readable.from(Array.from({ length: 60 }, () => Buffer.alloc(MIB))), stream);
    await Promise.all([done, endAll(file, stream, () => 0)]);
    expect(file.highest).toBe(12 * MIB);
  });

  it('shares its bound with all streams of the mount, of which each has one piece at least', async () => {
    const time = new VirtualTime();
    const { transfers } = new HeldFile({ time, size: 0 });
    const bounds = { width: 8, rpcBytes: 16 * MIB, rpcs: 256 };
    const streams = Array.from({ length: 12 }, () => held({}, { time, transfers, bounds, size: 0 }));
    let highest = 0;
    const inFlight = (): number => streams.reduce((sum, { file }) => sum + file.inFlight, 0);
    await Promise.all(
      streams.map(({ file, stream }) =>
        Promise.all([
          pipeline(Readable.from(Array.from({ length: 12 }, () => chunk)), stream),
          endAll(file, stream, () => {
            highest = Math.max(highest, inFlight());
            return 1;
          }),
        ]),
      ),
    );
    expect(highest).toBeGreaterThan(128 * MIB);
    expect(highest).toBeLessThanOrEqual((128 + 12 * 16) * MIB);
    expect(transfers.behind.tryTake(128 * MIB)).toBe(true);
  });

  it('keeps as much on its way as a long path takes, in requests of whole pieces', () =>
    withCluster(async ({ mount, sim }) => {
      const fs = await mount();
      await fs.setLayout('/', { stripeCount: 2, stripeSize: MIB });
      sim.faults.delay(SERVER_NID, '127.0.1.1@tcp', 10);
      const bytes = Buffer.concat(Array.from({ length: 48 }, (_, i) => Buffer.alloc(MIB, i)));
      const chunks = Array.from({ length: 48 }, (_, i) => bytes.subarray(i * MIB, (i + 1) * MIB));
      const stream = await fs.createWriteStream('/f');
      const before = await fs.counters();
      const start = sim.now;
      await pipeline(Readable.from(chunks), stream);
      // 40 ms of a lock, and of each write; then a close. One batch after the other takes 400.
      expect(sim.now - start).toBeLessThan(200);
      const { rpcs } = await fs.counters();
      expect((rpcs.OST_WRITE ?? 0) - (before.rpcs.OST_WRITE ?? 0)).toBeLessThanOrEqual(14);
      expect((await fs.readFile('/f')).equals(bytes)).toBe(true);
    }));
});
