/** Copies of messages share backing stores and nothing else. */
import { describe, expect, test } from 'vitest';
import { copyCost, copyMessage } from '../../lib/rpc/message-copies.ts';

describe('copies of messages', () => {
  test('hold what was copied, aligned to 8, whatever is copied after them', () => {
    const sizes = Array.from({ length: 300 }, (_, i) => (i * 37) % 2500);
    const copies = sizes.map((size, i) => {
      const source = new Uint8Array(size).fill(i);
      const copy = copyMessage(source);
      source.fill(255);
      return copy;
    });
    copies.forEach((copy, i) => {
      expect(copy.byteOffset % 8).toBe(0);
      expect(copy.length).toBe(sizes[i]);
      expect(copy.every((byte) => byte === i % 256)).toBe(true);
    });
  });

  test('are charged at what they may keep in memory', () => {
    const backing = new Set<ArrayBufferLike>();
    let cost = 0;
    for (let i = 0; i < 1000; i++) {
      backing.add(copyMessage(new Uint8Array(200)).buffer);
      cost += copyCost(200);
    }
    const kept = [...backing].reduce((sum, buffer) => sum + buffer.byteLength, 0);
    expect(kept).toBeLessThanOrEqual(cost);
  });
});
