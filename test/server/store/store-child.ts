/** Commits number after number to the store in argv[2], from argv[3] on, and says of each when it is answered, until it is killed. */
import { openLmdbStore } from '../../../lib/server/store/lmdb-store.ts';

const [path = '', first = '0'] = process.argv.slice(2);
const store = await openLmdbStore({ path, tables: ['numbers', 'last'] });
const word = (n: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n);
  return bytes;
};
let next = Number(first);
const commit = async (): Promise<void> => {
  for (;;) {
    const n = next++;
    await store.transact((tx) => {
      // Large, so that generations turn often.
      tx.table('numbers').put(word(n), Buffer.alloc(2000, n));
      tx.table('last').put(Buffer.from('last'), word(n));
    });
    process.stdout.write(`${n}\n`);
  }
};
await Promise.all(Array.from({ length: 4 }, commit));
