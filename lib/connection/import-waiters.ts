/** Who waits for an import: calls that cannot be sent now, and callers of connect(). */
import type { Runtime } from '../runtime/runtime.ts';

/** Calls that look again when woken. */
export class CallWaiters {
  readonly #waiting: { readonly resend: boolean; readonly wake: () => void }[] = [];

  /** Resolves when woken or when the signal aborts; the waiter finds out which. */
  wait(resend: boolean, signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      signal?.addEventListener('abort', wake, { once: true });
      this.#waiting.push({ resend, wake });
    });
  }

  /** Those that were sent before go first (guide 05 §3). */
  wakeAll(): void {
    const waiting = this.#waiting.splice(0);
    for (const { resend, wake } of waiting) if (resend) wake();
    for (const { resend, wake } of waiting) if (!resend) wake();
  }
}

interface Settler<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Callers of connect(), each with a limit to its patience. */
export class ConnectWaiters<T> {
  readonly #runtime: Runtime;
  readonly #waiting = new Set<Settler<T>>();

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Rejects with `timedOut()` after `timeoutMs`. */
  wait(timeoutMs: number, timedOut: () => Error): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const timer = this.#runtime.after(timeoutMs, () => {
        this.#waiting.delete(settler);
        reject(timedOut());
      });
      const settler: Settler<T> = {
        resolve: (value) => {
          timer.cancel();
          resolve(value);
        },
        reject: (error) => {
          timer.cancel();
          reject(error);
        },
      };
      this.#waiting.add(settler);
    });
  }

  resolve(value: T): void {
    for (const waiter of this.#take()) waiter.resolve(value);
  }

  reject(error: Error): void {
    for (const waiter of this.#take()) waiter.reject(error);
  }

  #take(): Settler<T>[] {
    const all = [...this.#waiting];
    this.#waiting.clear();
    return all;
  }
}
