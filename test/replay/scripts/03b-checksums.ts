/** Capture 03b: bytes written and read back with each type of checksum that ours has; the kernel's servers checked theirs. */
import { constants } from 'node:fs';
import { expect } from 'vitest';
import type { BulkChecksumName } from '../../../lib/lnet/network.ts';
import type { Replay } from '../replay.ts';
import { KIB, lines as linesOf, md5, md5sum, setstripe } from './shell.ts';

/** `/tmp/q` of the notes. */
const lines = linesOf(256 * KIB);

/** One mount has one type: its step, of those of the capture. The short file is written, not read back: the size that a kernel
 * asked for while it wrote would be told again. */
export const checksummed =
  (checksum: BulkChecksumName) =>
  async (replay: Replay): Promise<void> => {
    const { filesystem: fs, step, dropLocks } = replay;
    const type = checksum === 'adler32' ? 'adler' : checksum;
    expect(md5(lines)).toBe('dc1d7947e7b376549bbb439ae69c09a3');
    await step(`checksum_type=${type};`, async () => {
      await setstripe(replay, `/${type}`, { stripeCount: 1, stripeOffset: 0 });
      {
        // conv=fsync
        await using file = await fs.open(`/${type}`, constants.O_WRONLY | constants.O_TRUNC);
        await file.write(lines);
        await file.sync();
      }
      await fs.writeFile(`/short-${type}`, `short io ${type}\n`);
      await dropLocks();
      // The kernel's read-ahead: the first 32 KiB, then the rest.
      expect(await md5sum(fs, `/${type}`, 32 * KIB, 256 * KIB)).toBe('dc1d7947e7b376549bbb439ae69c09a3');
    });
  };
