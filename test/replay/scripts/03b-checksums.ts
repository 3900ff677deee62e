/** Capture 03b: bytes written and read back with each type of checksum that ours has; the kernel's servers checked theirs. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { expect } from 'vitest';
import type { ChecksumName } from '../../../lib/lnet/network.ts';
import type { Replay } from '../replay.ts';

const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

/** `/tmp/q` of the notes: numbers in lines of 16 bytes. */
const lines = Buffer.concat(
  Array.from({ length: 262144 / 16 }, (_, i) => Buffer.from(`${String(i).padStart(15, '0')}\n`)),
);

const READS = [
  [0, 32768],
  [32768, 229376],
] as const;

/** One mount has one type: its step, of those of the capture. The short file is written, not read back: the size that a kernel
 * asked for while it wrote would be told again. */
export const checksummed =
  (checksum: ChecksumName) =>
  async ({ filesystem: fs, step, dropLocks }: Replay): Promise<void> => {
    const type = checksum === 'adler32' ? 'adler' : checksum;
    expect(md5(lines)).toBe('dc1d7947e7b376549bbb439ae69c09a3');
    await step(`checksum_type=${type};`, async () => {
      await (await fs.open(`/${type}`, 'wx', 0o644, { stripeCount: 1, stripeOffset: 0 })).close();
      await dropLocks();
      {
        // conv=fsync
        await using file = await fs.open(`/${type}`, constants.O_WRONLY | constants.O_TRUNC);
        await file.write(lines);
        await file.sync();
      }
      await fs.writeFile(`/short-${type}`, `short io ${type}\n`);
      await dropLocks();
      await using file = await fs.open(`/${type}`, 'r', 0, { direct: true });
      // The kernel's read-ahead: the first 32 KiB, then the rest.
      const sum = createHash('md5');
      for (const [position, length] of READS) {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(length), { position });
        sum.update(buffer.subarray(0, bytesRead));
      }
      expect(sum.digest('hex')).toBe('dc1d7947e7b376549bbb439ae69c09a3');
    });
  };
