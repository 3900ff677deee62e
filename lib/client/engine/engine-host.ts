/** The engine's end of a thread of its own (design: "Threads"): runs the calls that come, each on memory that was lent for it. */
import { BorrowedMemory } from '../../lnet/lent-memory.ts';
import { errorValue } from '../../runtime/error-values.ts';
import type { Engine } from '../engine.ts';
import { type Crossing, type EngineCall, engineCalls, type FromEngine } from './engine-calls.ts';

export class EngineHost {
  readonly #engine: Engine;
  readonly #send: (message: FromEngine) => void;
  readonly #onUnmount: () => void | Promise<void>;

  /** `onUnmount` is called when the file system has been unmounted. */
  constructor(
    engine: Engine,
    send: (message: FromEngine) => void,
    onUnmount: () => void | Promise<void> = () => undefined,
  ) {
    this.#engine = engine;
    this.#send = send;
    this.#onUnmount = onUnmount;
  }

  abort(operation: number): void {
    this.#engine.abort(operation);
  }

  /** The answer goes out when the call is settled and nothing works on its memory any more. */
  async call(number: number, call: EngineCall, args: readonly unknown[]): Promise<void> {
    const loans: BorrowedMemory[] = [];
    const rooms: Uint8Array[] = [];
    let answer: FromEngine;
    try {
      const values = engineCalls[call] === 'values' ? args : withMemory(args, loans, rooms);
      const run = this.#engine[call] as (...values: readonly unknown[]) => Promise<unknown>;
      const result = compact(await run.apply(this.#engine, [...values]));
      answer =
        rooms.length === 0 ? ['done', number, result] : ['done', number, result, filled(rooms, result)];
    } catch (error) {
      answer = ['failed', number, errorValue(error)];
    }
    for (const loan of loans) {
      const busy = loan.giveBack();
      if (busy !== undefined) await busy;
    }
    this.#send(answer);
  }

  async unmount(): Promise<void> {
    let error: unknown;
    try {
      await this.#engine.unmount();
      await this.#onUnmount();
    } catch (thrown) {
      error = thrown;
    }
    const counters = await this.#engine.counters();
    this.#send(['ended', counters, error === undefined ? undefined : errorValue(error)]);
  }
}

/** The arguments with memory in place of what stands for it. */
function withMemory(args: readonly unknown[], loans: BorrowedMemory[], rooms: Uint8Array[]): unknown[] {
  const [first, crossings, ...rest] = args;
  const buffers = (crossings as readonly Crossing[]).map((crossing) => {
    if (crossing instanceof Uint8Array) return crossing;
    if ('room' in crossing) {
      const room = new Uint8Array(crossing.room);
      rooms.push(room);
      return room;
    }
    const loan = new BorrowedMemory(crossing.lent);
    loans.push(loan);
    return loan.bytes;
  });
  return [first, buffers, ...rest];
}

/** The first `count` bytes of what was filled; a view would cross with all of its buffer. */
function filled(rooms: readonly Uint8Array[], count: unknown): Uint8Array[] {
  let left = Number(count);
  return rooms.map((room) => {
    const length = Math.min(left, room.length);
    left -= length;
    return length === room.length ? room : room.slice(0, length);
  });
}

/** A view crosses with all of its buffer: bytes that are a small part of a large one are cut out. */
function compact(result: unknown): unknown {
  return result instanceof Uint8Array && result.byteLength < result.buffer.byteLength
    ? new Uint8Array(result)
    : result;
}
