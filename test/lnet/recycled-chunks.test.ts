/** Chunks are memory of their own, and there is an end to them. */
import { expect, test } from 'vitest';
import { recycledChunk } from '../../lib/lnet/recycled-chunks.ts';

test('none is another that somebody has, and those that are kept are few', () => {
  const chunks: Uint32Array[] = [];
  for (let chunk = recycledChunk(); chunk !== undefined; chunk = recycledChunk())
    chunks.push(new Uint32Array(chunk));
  expect(chunks.length).toBeGreaterThan(10);
  expect(chunks.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThanOrEqual(32 << 20);
  for (const [i, chunk] of chunks.entries()) chunk.fill(i);
  for (const [i, chunk] of chunks.entries()) expect(chunk.every((word) => word === i)).toBe(true);
});
