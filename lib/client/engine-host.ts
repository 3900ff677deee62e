/** The engine's end of a thread of its own (design: "Threads"): runs the calls that come, each on memory that was lent for it. */
import { BorrowedMemory } from '../lnet/lent-memory.ts';
import { errorValue } from '../runtime/error-values.ts';
import type { Engine } from './engine.ts';
import { type EngineCall, engineCalls, type FromEngine } from './engine-calls.ts';

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
    let answer: FromEngine;
    try {
      const values = engineCalls[call] === 'memory' ? withMemory(args, loans) : args;
      const run = this.#engine[call] as (...values: readonly unknown[]) => Promise<unknown>;
      answer = ['done', number, compact(await run.apply(this.#engine, [...values]))];
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

/** The arguments with the lender's bytes in place of their numbers. */
function withMemory(args: readonly unknown[], loans: BorrowedMemory[]): unknown[] {
  const [first, numbers, ...rest] = args;
  const buffers = (numbers as readonly number[]).map((number) => {
    if (number === 0) return new Uint8Array(0);
    const loan = new BorrowedMemory(number);
    loans.push(loan);
    return loan.bytes;
  });
  return [first, buffers, ...rest];
}

/** A view crosses with all of its buffer: bytes that are a small part of a large one are cut out. */
function compact(result: unknown): unknown {
  return result instanceof Uint8Array && result.byteLength < result.buffer.byteLength
    ? new Uint8Array(result)
    : result;
}
