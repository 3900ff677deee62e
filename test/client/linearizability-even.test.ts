/** Histories of clients with caches (cache-histories.ts): those of the even seeds. */
import { describe, it } from 'vitest';
import { check, seeds } from './cache-histories.ts';

describe('what several clients see', () => {
  it.each(seeds.even)('fits one order of all they did (seed %i)', { timeout: 120_000 }, (seed) =>
    check(seed),
  );
});
