/** Handles and what they lead to (guide 08 §1). */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HandleTable } from '../../lib/ldlm/handle-table.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';

test('a handle leads to its lock as long as that is there, and never to another', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 99 }), { maxLength: 300 }), (steps) => {
      const table = new HandleTable<{ readonly handle: bigint }>(nodeRuntime());
      const there: { readonly handle: bigint }[] = [];
      const gone: bigint[] = [];
      for (const step of steps) {
        const old = step % 2 === 0 ? there.splice(step % Math.max(1, there.length), 1)[0] : undefined;
        if (old !== undefined) {
          table.delete(old);
          gone.push(old.handle);
          continue;
        }
        const lock = { handle: table.issue() };
        table.add(lock);
        there.push(lock);
      }
      for (const lock of there) expect(table.get(lock.handle)).toBe(lock);
      for (const handle of [...gone, 0n, 2n ** 64n - 1n]) expect(table.get(handle)).toBeUndefined();
      expect(table.size).toBe(there.length);
      expect(new Set(table.all())).toEqual(new Set(there));
      const all = [...there.map(({ handle }) => handle), ...gone];
      expect(new Set(all).size).toBe(all.length);
    }),
  );
});
