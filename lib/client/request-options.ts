/** What every request may carry besides itself: names for its errors, and a way to give it up. */

import type { CallOptions } from '../rpc/rpc.ts';
import type { Writable } from '../runtime/writable.ts';

export interface RequestContext {
  readonly syscall?: string;
  readonly path?: string;
  readonly fid?: string;
}

export interface RequestOptions {
  readonly context?: RequestContext;
  readonly signal?: AbortSignal;
  /** Fail where the server is away, instead of waiting until it is back: there is another one to ask. */
  readonly failFast?: boolean;
}

/** Only what a call takes of an object that may have more. */
export function requestOptions(
  options: RequestOptions,
): Pick<CallOptions, 'context' | 'signal' | 'noDelay' | 'noResend'> {
  const taken: Writable<ReturnType<typeof requestOptions>> = {};
  if (options.context !== undefined) taken.context = options.context;
  if (options.signal !== undefined) taken.signal = options.signal;
  if (options.failFast === true) taken.noDelay = taken.noResend = true;
  return taken;
}

/** The same promise, which rejects as soon as the signal is aborted; the work goes on for others. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
    work.catch(() => undefined);
  }
}
