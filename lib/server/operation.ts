/** Operations of a target, typed by their format (guide 16 §1). */
import type { Call, Operation } from '../connection/target.ts';
import type { Format } from '../wire/format.ts';

/** An operation whose handler sees the buffers of `format`. */
export function operation<F extends Format>(
  format: F,
  handle: (call: Call<F>) => void | Promise<void>,
): Operation {
  const made: Operation<F> = { format, handle };
  return made as Operation;
}
