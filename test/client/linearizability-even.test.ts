/** Histories of clients with caches (cache-histories.ts): those of the even seeds. */
import { describe, it } from 'vitest';
import { check, crowded, listed, seeds } from './cache-histories.ts';

describe('what several clients see', () => {
  it.each(seeds.even)('fits one order of all they did (seed %i)', { timeout: 120_000 }, (seed) =>
    check(seed),
  );

  it.each(seeds.even.slice(0, Math.max(5, seeds.even.length / 20)))(
    'fits one order where locks make room for each other (seed %i)',
    { timeout: 120_000 },
    (seed) => check(seed, crowded),
  );

  it.each(seeds.even.slice(0, Math.max(5, seeds.even.length / 50)))(
    'fits one order where attributes come many at once (seed %i)',
    { timeout: 120_000 },
    (seed) => check(seed, listed),
  );
});
