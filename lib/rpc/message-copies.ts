/**
 * Messages copied out of the memory that the network reads into (guide 04 §5). Small ones lie side by side in one backing
 * store: one of its own for each costs the allocator and the collector more than all the decoding.
 */

/** A copy that is kept keeps its whole chunk, so chunks are small: four messages of a page. */
const CHUNK = 17 << 10;
const SMALL_MAX = CHUNK / 4;

let chunk = new ArrayBuffer(CHUNK);
let used = 0;

/** A copy of its own, which nobody else's bytes overlap. */
export function copyMessage(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  if (length > SMALL_MAX) return new Uint8Array(bytes);
  if (used + length > CHUNK) {
    chunk = new ArrayBuffer(CHUNK);
    used = 0;
  }
  const copy = new Uint8Array(chunk, used, length);
  copy.set(bytes);
  used = (used + length + 7) & ~7;
  return copy;
}
