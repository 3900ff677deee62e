import { expect, test } from 'vitest';
import {
  asFileTransfer,
  endFileTransfers,
  FILE_TRANSFERS_MAX,
} from '../../../lib/server/oss/file-transfers.ts';

const client = () => ({ state: new Map<symbol, unknown>(), connected: true });
const request = { abortBulk: () => undefined };

test('a client moves so much bulk out of files and into them at once, in order; another client is not kept waiting', async () => {
  const greedy = client();
  const other = client();
  const started: number[] = [];
  const ends: { resolve: () => void; reject: (error: Error) => void }[] = [];
  const reads = Array.from({ length: FILE_TRANSFERS_MAX + 3 }, (_, i) =>
    asFileTransfer(greedy, request, () => {
      started.push(i);
      return new Promise<void>((resolve, reject) => ends.push({ resolve, reject }));
    }),
  );
  for (const read of reads) read.catch(() => undefined);
  expect(started).toHaveLength(FILE_TRANSFERS_MAX);
  expect(await asFileTransfer(other, request, async () => 'served')).toBe('served');
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

test('of a client that is gone what runs is ended before anything else happens, and what waits does not begin', async () => {
  const evicted = client();
  const ended: number[] = [];
  let begun = 0;
  const transfers = Array.from({ length: FILE_TRANSFERS_MAX + 2 }, (_, i) => {
    let end: (reason: Error) => void = () => undefined;
    const moving = {
      abortBulk(reason: Error): void {
        ended.push(i);
        end(reason);
      },
    };
    const transfer = asFileTransfer(evicted, moving, () => {
      begun++;
      return new Promise<void>((_resolve, reject) => {
        end = reject;
      });
    });
    transfer.catch(() => undefined);
    return transfer;
  });
  evicted.connected = false;
  endFileTransfers(evicted);
  expect(ended).toEqual(Array.from({ length: FILE_TRANSFERS_MAX }, (_, i) => i));
  for (const transfer of transfers) await expect(transfer).rejects.toMatchObject({ code: 'ENOTCONN' });
  expect(begun).toBe(FILE_TRANSFERS_MAX);
  endFileTransfers(client());
});
