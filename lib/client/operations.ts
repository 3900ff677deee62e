/** Calls of one mount's engine: a signal cannot cross a thread, the number of an operation can; and what its copies share. */
import type { Runtime } from '../runtime/runtime.ts';
import type { Engine } from './engine.ts';
import { Transfers } from './transfers/transfers.ts';

export interface SignalOption {
  /** Aborting it makes the call reject with an AbortError. */
  readonly signal?: AbortSignal | undefined;
}

export class Operations {
  readonly #engine: Engine;
  readonly transfers: Transfers;
  #next = 1;

  constructor(engine: Engine, clock: Pick<Runtime, 'now' | 'after'>) {
    this.#engine = engine;
    this.transfers = new Transfers(clock);
  }

  /** Runs a call of the engine under a signal. Rejects as soon as it is aborted, with the signal's reason. */
  async run<T>({ signal }: SignalOption, call: (operation: number | undefined) => Promise<T>): Promise<T> {
    if (signal === undefined) return call(undefined);
    signal.throwIfAborted();
    const operation = this.#next++;
    const abort = (): void => this.#engine.abort(operation);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await call(operation);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }
}
