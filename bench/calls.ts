/** Reads and writes of a file, several under way: what most benches of data do. */
import type { FileHandle } from '../lib/index.ts';

/**
 * Moves `bytes` of a file from or to memory by calls of the buffers' size: one under way for each buffer, which is used again and
 * again. Round and round in the file's first `window` bytes, a multiple of that size.
 */
export async function move(
  file: FileHandle,
  way: 'read' | 'write',
  buffers: readonly Buffer[],
  bytes: number,
  window: number = bytes,
): Promise<void> {
  let next = 0;
  const lane = async (buffer: Buffer): Promise<void> => {
    while (next < bytes) {
      const length = Math.min(buffer.length, bytes - next);
      const position = next % window;
      next += length;
      if (way === 'write') await file.write(buffer, 0, length, position);
      else await file.read(buffer, 0, length, position);
    }
  };
  await Promise.all(buffers.map(lane));
}
