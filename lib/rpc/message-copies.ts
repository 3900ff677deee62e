/** Messages copied out of the memory that the network reads into (guide 04 §5). */
import { recycledChunk } from '../lnet/recycled-chunks.ts';
import { SideBySide } from '../runtime/side-by-side.ts';

/** Four messages of a page to a chunk. */
const copies = new SideBySide(17 << 10, recycledChunk);

export function copyMessage(bytes: Uint8Array): Uint8Array {
  return copies.copy(bytes);
}
