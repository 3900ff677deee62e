/** AbortSignals on engine calls: a signal cannot cross a thread, the number of an operation can. */
import type { Engine } from './engine.ts';

export interface SignalOption {
  /** Aborting it makes the call reject with an AbortError. */
  readonly signal?: AbortSignal | undefined;
}

export class Operations {
  readonly #engine: Engine;
  #next = 1;

  constructor(engine: Engine) {
    this.#engine = engine;
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
