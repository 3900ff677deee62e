/** Histories of clients with caches (cache-histories.ts), those of the odd seeds, and whether their check finds what it must. */
import { describe, expect, it } from 'vitest';
import { type Call, check, contended, register, seeds } from './cache-histories.ts';
import { type Operation, unlinearizable } from './linearizable.ts';

describe('what several clients see', () => {
  it.each(seeds.odd)('fits one order of all they did (seed %i)', { timeout: 120_000 }, (seed) => check(seed));

  it.each(seeds.odd.slice(0, Math.max(5, seeds.odd.length / 10)))(
    'fits one order where they do without locks (seed %i)',
    { timeout: 120_000 },
    (seed) => check(seed, contended),
  );
});

describe('the check itself', () => {
  const op = (
    client: number,
    call: Call,
    result: string,
    start: number,
    end: number,
  ): Operation<Call, string> => ({
    client,
    call,
    result,
    start,
    end,
  });
  const write = (value: number, start: number, end: number) => op(0, { op: 'write', value }, '', start, end);
  const read = (value: number, start: number, end: number) =>
    op(1, { op: 'read' }, String(value), start, end);

  it.each([
    ['a read of what was written before', [write(1, 0, 1), read(1, 2, 3)], true],
    ['a read of what is being written', [write(1, 0, 10), read(0, 1, 2), read(1, 3, 4)], true],
    ['an old value after a write', [write(1, 0, 1), read(0, 2, 3)], false],
    [
      'an old value after another has read the new one',
      [write(1, 0, 10), read(1, 1, 2), read(0, 3, 4)],
      false,
    ],
    ['a value that nobody wrote', [write(1, 0, 1), read(2, 2, 3)], false],
  ])('%s', (_name, history, fits) => {
    expect(unlinearizable(history, register) === undefined).toBe(fits);
  });
});
