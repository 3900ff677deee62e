import { expect, test } from 'vitest';
import { asFileTransfer, FILE_TRANSFERS_MAX } from '../../../lib/server/oss/file-transfers.ts';

test('a client moves so much bulk out of files and into them at once, in order; another client is not kept waiting', async () => {
  const greedy = { state: new Map<symbol, unknown>() };
  const other = { state: new Map<symbol, unknown>() };
  const started: number[] = [];
  const ends: { resolve: () => void; reject: (error: Error) => void }[] = [];
  const reads = Array.from({ length: FILE_TRANSFERS_MAX + 3 }, (_, i) =>
    asFileTransfer(greedy, () => {
      started.push(i);
      return new Promise<void>((resolve, reject) => ends.push({ resolve, reject }));
    }),
  );
  for (const read of reads) read.catch(() => undefined);
  expect(started).toHaveLength(FILE_TRANSFERS_MAX);
  expect(await asFileTransfer(other, async () => 'served')).toBe('served');
  // One that fails makes room as well as one that is done.
  ends[0]!.reject(new Error('the peer is gone'));
  await expect(reads[0]).rejects.toThrow('the peer is gone');
  ends[5]!.resolve();
  await reads[5];
  await Promise.resolve();
  expect(started.slice(FILE_TRANSFERS_MAX)).toEqual([FILE_TRANSFERS_MAX, FILE_TRANSFERS_MAX + 1]);
  for (const [i, read] of reads.entries()) {
    ends[i]!.resolve();
    await Promise.allSettled([read]);
  }
  expect(started).toEqual(reads.map((_, i) => i));
});
