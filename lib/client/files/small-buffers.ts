/** Many small buffers go as one: a MiB of bulk may be of 256 fragments (LNET_MAX_IOV: guide 04 §7). */

/** Smaller ones are copied rather than sent from where they are, when there are more than so many. */
const SMALL = 16 << 10;
const SMALL_MAX = 128;

export function areManySmall(buffers: readonly Uint8Array[]): boolean {
  if (buffers.length <= SMALL_MAX) return false;
  let small = 0;
  for (const { length } of buffers) if (length < SMALL) small++;
  return small > SMALL_MAX;
}

/** Puts bytes into the buffers, one behind the other. */
export function fill(buffers: readonly Uint8Array[], bytes: Uint8Array): void {
  let at = 0;
  for (const buffer of buffers) {
    const part = bytes.subarray(at, at + buffer.length);
    buffer.set(part);
    at += part.length;
  }
}
