/** What every request may carry besides itself: names for its errors, and a way to give it up. */

export interface RequestContext {
  readonly syscall?: string;
  readonly path?: string;
  readonly fid?: string;
}

export interface RequestOptions {
  readonly context?: RequestContext;
  readonly signal?: AbortSignal;
}

/** Only these two of an object that may have more. */
export function requestOptions(options: RequestOptions): RequestOptions {
  return {
    ...(options.context !== undefined && { context: options.context }),
    ...(options.signal !== undefined && { signal: options.signal }),
  };
}
