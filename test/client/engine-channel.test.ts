/** What the threads of a program and of its engine say to each other: values, their order, and that no ring is missed. */
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  channelMemory,
  EngineChannel,
  type Numbered,
  ValueRingReader,
  ValueRingWriter,
} from '../../lib/engine-channel.ts';
import { Doorbell, ringDoorbell } from '../../lib/lnet/doorbell.ts';
import { PlainReader, PlainWriter } from '../../lib/runtime/plain-values.ts';

describe('plain values', () => {
  const plain = fc.anything({
    withBigInt: true,
    withTypedArray: true,
    withDate: true,
    withMap: true,
    maxDepth: 4,
  });

  it('come out as a structured clone would, or are refused', () => {
    const writer = new PlainWriter(1 << 16);
    const reader = new PlainReader(writer.bytes.buffer, writer.bytes.byteOffset, writer.bytes.length);
    fc.assert(
      fc.property(plain, (value) => {
        if (writer.encode(value) === 0) return;
        expect(reader.decode(0)).toEqual(structuredClone(value));
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['numbers', [0, -0, 1.5, -(2 ** 31), 2 ** 31, Number.NaN, Number.POSITIVE_INFINITY]],
    ['bigints', [0n, -1n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 63n)]],
    ['strings', ['', 'a', '\u00ff', '\u0100', '\ud800', 'Zürich €']],
    ['properties', { __proto__: null, a: undefined, b: null, c: [true, false, { a: 1 }] }],
    ['bytes', [Buffer.from('abc'), new Uint8Array(0)]],
  ])('%s', (_, value) => {
    const writer = new PlainWriter(4096);
    const reader = new PlainReader(writer.bytes.buffer, writer.bytes.byteOffset, writer.bytes.length);
    expect(writer.encode(value)).toBeGreaterThan(0);
    expect(reader.decode(0)).toEqual(structuredClone(value));
  });

  it('refuses what is not plain, too deep or too long, and forgets the names in it', () => {
    const writer = new PlainWriter(256);
    const reader = new PlainReader(writer.bytes.buffer, writer.bytes.byteOffset, writer.bytes.length);
    const circle: { self?: object } = {};
    circle.self = circle;
    for (const value of [() => 1, new Date(), 2n ** 64n, Symbol('s'), circle, 'x'.repeat(300), new Map()])
      expect(writer.encode({ name: 1, value })).toBe(0);
    expect(writer.encode({ value: 1, name: 2 })).toBeGreaterThan(0);
    expect(reader.decode(0)).toEqual({ value: 1, name: 2 });
  });
});

/** The step that each end may do next, in every order; `build` makes the ends anew, for each order is a run of its own. */
function everyOrder(build: () => { readonly ends: readonly Iterator<unknown>[]; check(): void }): number {
  let runs = 0;
  const run = (order: number[]): void => {
    const { ends, check } = build();
    const done = ends.map(() => false);
    for (const end of order) done[end] = ends[end]!.next().done === true;
    const open = [...ends.keys()].filter((end) => !done[end]);
    if (open.length === 0) {
      runs++;
      check();
    }
    for (const end of open) run([...order, end]);
  };
  run([]);
  return runs;
}

describe('the ring of values', () => {
  /** A page, a small one, and one that has to go round; or what is refused and goes through the port. */
  const messages: readonly (readonly unknown[])[] = [
    ['a', 'b', 'c'],
    ['x'.repeat(20), 'y'.repeat(20), 'z'.repeat(20)],
    ['a', new Date(0), 'c'],
    [new Date(0), 'b', new Date(1)],
  ];

  it.each(messages)('gives all in order whoever is when: %s, %s, %s', (...values) => {
    const runs = everyOrder(() => {
      const memory = new SharedArrayBuffer(256 + 128);
      const writer = new ValueRingWriter(memory);
      const reader = new ValueRingReader(memory);
      const words = new Int32Array(memory);
      const port: Numbered<unknown>[] = [];
      const got: unknown[] = [];
      let rung = false;
      const drain = (): void => {
        for (const written = reader.written(); ; ) {
          const next = reader.take(got.length, written);
          if (next === undefined) return;
          got.push(next[0]);
        }
      };
      const write = function* (): Generator<void> {
        for (const [number, value] of values.entries()) {
          if (writer.put(number, value)) {
            yield;
            rung = words[32] !== 0 || rung;
          } else {
            port.push([number, value]);
          }
          yield;
        }
      };
      /** The event loop: a bell that was rung, or a message of the port. */
      const turn = (): void => {
        const message = port.shift();
        if (rung) {
          rung = false;
          drain();
        }
        if (message === undefined) return;
        drain();
        expect(message[0]).toBe(got.length);
        got.push(message[1]);
        drain();
      };
      const read = function* (): Generator<void> {
        reader.hang(1);
        yield;
        drain();
        for (let i = 0; i < 3; i++) {
          yield;
          turn();
        }
      };
      return {
        ends: [write(), read()],
        check: () => {
          while (rung || port.length > 0) turn();
          expect(got).toEqual(values);
        },
      };
    });
    expect(runs).toBeGreaterThan(50);
  });

  it('goes on at the beginning, and says when it is full', () => {
    const memory = new SharedArrayBuffer(256 + 256);
    const writer = new ValueRingWriter(memory);
    const reader = new ValueRingReader(memory);
    // Just before the counters begin anew.
    new Int32Array(memory)[0] = new Int32Array(memory)[16] = 2 ** 31 - 256;
    const values = fc.array(fc.record({ put: fc.boolean(), length: fc.nat({ max: 100 }) }), {
      maxLength: 200,
    });
    const waiting: [number, string][] = [];
    let [put, taken] = [0, 0];
    fc.assert(
      fc.property(values, (steps) => {
        for (const step of steps) {
          const text = String.fromCharCode(97 + (put % 26)).repeat(step.length);
          if (!step.put) {
            expect(reader.take(taken, reader.written())).toEqual(waiting[0] && [waiting[0][1]]);
            if (waiting.shift() !== undefined) taken++;
          } else if (writer.put(put, text)) {
            waiting.push([put++, text]);
          } else {
            expect(waiting.length).toBeGreaterThan(0);
          }
        }
      }),
    );
  });
});

describe('a channel between threads', () => {
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))}).then(async ({ register }) => {
      register();
      const { EngineChannel } = await import(${JSON.stringify(new URL('../../lib/engine-channel.ts', import.meta.url).href)});
      const { toEngine, fromEngine } = workerData;
      const channel = new EngineChannel(parentPort, fromEngine, toEngine, (message) => channel.send(message));
      parentPort.on('message', (message) => channel.fromPort(message));
      channel.listen();
    });`;

  interface Echo {
    readonly worker: Worker;
    readonly channel: EngineChannel<unknown, unknown>;
    readonly got: unknown[];
    until(count: number): Promise<void>;
  }

  function echo(bytes: number, refused: (message: unknown) => void = () => {}): Echo {
    const memory = channelMemory(bytes);
    const worker = new Worker(program, { eval: true, workerData: memory });
    const got: unknown[] = [];
    let [wanted, enough] = [0, (): void => {}];
    const channel = new EngineChannel<unknown, unknown>(
      worker,
      memory.toEngine,
      memory.fromEngine,
      (message) => {
        if (got.push(message) === wanted) enough();
      },
      refused,
    );
    worker.on('message', (message: Numbered<unknown>) => channel.fromPort(message));
    channel.listen();
    const until = (count: number): Promise<void> =>
      new Promise((resolve) => {
        wanted = count;
        enough = resolve;
        if (got.length >= count) resolve();
      });
    return { worker, channel, got, until };
  }

  it('brings back all in order, whichever way each goes', async () => {
    const { worker, channel, got, until } = echo(4096);
    const sent: unknown[] = [];
    for (let i = 0; i < 3000; i++) {
      const value = i % 17 === 0 ? { big: new Uint8Array(5000).fill(i) } : i % 29 === 0 ? new Date(i) : { i };
      sent.push(value);
      channel.send(value);
      if (i % 50 === 0) await until(Math.max(0, i - 200));
    }
    await until(sent.length);
    expect(got).toEqual(sent);
    await worker.terminate();
    channel.close();
  });

  it('fails a message that can cross in no way, and no other', async () => {
    const refused: unknown[] = [];
    const { worker, channel, got, until } = echo(4096, (message) => refused.push(message));
    const nothing = (): void => {};
    for (const message of [1, nothing, 2]) channel.send(message);
    await until(2);
    expect(got).toEqual([1, 2]);
    expect(refused).toEqual([nothing]);
    await worker.terminate();
    channel.close();
  });

  it('rings a bell whose thread is being terminated, or is gone, without harm', async () => {
    for (let i = 0; i < 5; i++) {
      const { worker, channel, until } = echo(1 << 16);
      channel.send('hello');
      await until(1);
      const ended = worker.terminate();
      let going = true;
      void ended.then(() => {
        going = false;
      });
      while (going) {
        for (let n = 0; n < 100; n++) channel.send({ n });
        await new Promise((resolve) => setImmediate(resolve));
      }
      channel.send('nobody hears it');
      channel.flush();
      channel.close();
      channel.close();
    }
  });

  it('takes in what follows a message that its reader failed on', async () => {
    const bell = new Doorbell(() => {});
    ringDoorbell(bell.number);
    bell.close();
    ringDoorbell(bell.number);
    const memory = channelMemory(4096);
    const got: unknown[] = [];
    const reader = new EngineChannel<unknown, unknown>(
      { postMessage: () => {} },
      memory.toEngine,
      memory.fromEngine,
      (message) => {
        got.push(message);
        if (message === 1) throw new Error('one fails');
      },
    );
    const writer = new ValueRingWriter(memory.fromEngine);
    for (const number of [0, 1, 2]) writer.put(number, number);
    expect(() => reader.drain()).toThrow('one fails');
    reader.drain();
    expect(got).toEqual([0, 1, 2]);
    reader.close();
  });
});
