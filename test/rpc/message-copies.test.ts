/** Copies of messages share backing stores and nothing else. */
import { describe, expect, test } from 'vitest';
import { copyMessage } from '../../lib/rpc/message-copies.ts';
import { MessageMemory } from '../../lib/rpc/message-memory.ts';

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
});

describe('memory of messages', () => {
  test('is used again, last in first out, by size, and never by two at once', () => {
    const memory = new MessageMemory();
    const taken = Array.from({ length: 600 }, (_, i) => memory.take(1 + ((i * 97) % 9000)));
    taken.forEach((bytes, i) => {
      expect(bytes.length).toBeGreaterThanOrEqual(1 + ((i * 97) % 9000));
      bytes.fill(i % 256);
    });
    for (const [i, bytes] of taken.entries()) expect(bytes.every((byte) => byte === i % 256)).toBe(true);
    for (const bytes of taken) memory.give(bytes);
    const small = memory.take(300);
    expect(taken).toContain(small);
    memory.give(small);
    expect(memory.take(512)).toBe(small);
    expect(memory.take(20_000).length).toBe(20_000);
  });
});
