/** What is kept of directories that were read. */
import { expect, it } from 'vitest';
import type { DirectoryPages } from '../../lib/client/mdc/readpage.ts';
import { DirectoryPageCache } from '../../lib/client/namespace/directory-pages.ts';
import type { Inode } from '../../lib/client/namespace/inodes.ts';
import { makeFid } from '../../lib/fid/fid.ts';
import { LockMode } from '../../lib/wire/ldlm-constants.ts';
import { bits, inSimulation, lockClient, lockServer, take } from '../ldlm/lock-cluster.ts';

const PAGE = 50_000;

const entries = Array.from({ length: PAGE }, (_, i) => ({
  name: `f${i}`,
  fid: makeFid(0x200000403n, i + 1),
  type: 0o100000,
  hash: BigInt(i),
}));

/** Page `n` of so many. */
const page = (n: number, of: number): DirectoryPages => ({
  entries,
  next: n + 1 < of ? BigInt((n + 1) * PAGE) : undefined,
});

it(
  'a large directory is kept while it was read last, whatever is kept in all, up to a bound of its own',
  inSimulation(async (sim) => {
    await lockServer(sim);
    const client = await lockClient(sim);
    const { lock } = await take(client, LockMode.LCK_PR, bits(3));
    const cache = new DirectoryPageCache();
    const read = (key: string, pages: number): Pick<Inode, 'key'> => {
      const directory = { key };
      for (let n = 0; n < pages; n++) cache.put(directory, BigInt(n * PAGE), page(n, pages), lock!);
      return directory;
    };
    const small = read('small', 1);
    expect(cache.names(small)).toHaveLength(PAGE);
    const large = read('large', 3);
    expect(cache.names(large)).toHaveLength(3 * PAGE);
    expect(cache.names(small)).toBeUndefined();
    // Another one read takes its place.
    read('small', 1);
    expect(cache.names(large)).toBeUndefined();
    expect(cache.names(read('huge', 21))).toBeUndefined();
  }),
);
