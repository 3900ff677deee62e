/** Memory on large pages is memory like any other. */
import { expect, test } from 'vitest';
import { allocateLarge } from '../../lib/lnet/large-buffer.ts';

test.each([0, 1, 4096, (2 << 20) - 1, 2 << 20, (5 << 20) + 3])('%d bytes are all there', (size) => {
  const pair = [allocateLarge(size), allocateLarge(size)];
  for (const [i, buffer] of pair.entries()) buffer.fill(i + 1);
  for (const [i, buffer] of pair.entries()) {
    expect(buffer.length).toBe(size);
    expect(buffer.equals(Buffer.alloc(size, i + 1))).toBe(true);
  }
});
