/**
 * Memory for what JavaScript keeps of messages. The collector counts an ArrayBuffer's bytes among the old generation's, though hardly
 * any of these live for long, and would go through all of that every few hundred messages. So it does not know of these chunks, up
 * to a bound, and those that it has found are used again. (The typed face of native/chunk_binding.cc.)
 */
import { nativeOr } from './native-loader.ts';

type Take = () => ArrayBuffer | undefined;
let take: Take | undefined;

/** With whatever is in it; it cannot be transferred to another thread. Undefined when there are too many of them that somebody
 * keeps, or no native module. */
export function recycledChunk(): ArrayBuffer | undefined {
  take ??= nativeOr<Take>('takeChunk', () => undefined);
  return take();
}
