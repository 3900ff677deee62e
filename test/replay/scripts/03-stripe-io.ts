/** Capture 03: a striped file, truncated; O_DIRECT; a sparse file; space reserved and freed; data versions. */
import { constants } from 'node:fs';
import { expect } from 'vitest';
import type { Replay } from '../replay.ts';
import { cat, lines as linesOf, MIB, md5, md5sum, setstripe, sizes } from './shell.ts';

/** `/tmp/5m` of the notes. */
const lines = linesOf(5 * MIB);

export async function stripeIo(replay: Replay): Promise<void> {
  const { filesystem: fs, step, dropLocks } = replay;
  const write = async (path: string, bytes: Uint8Array): Promise<void> => {
    await fs.writeFile(path, bytes);
  };

  expect(md5(lines)).toBe('a382a8b3862a8233fb2f32d003a23b2a');
  await step('lfs setstripe -c 2 -S 1M', async () => {
    await setstripe(replay, '/s2', { stripeCount: 2, stripeSize: MIB, stripeOffset: 0 });
    expect(await fs.getLayout('/s2')).toMatchObject({
      stripeCount: 2,
      stripeSize: MIB,
      stripeOffset: 0,
      objects: [
        { ostIndex: 0, oid: 15, seq: 0x280000401n },
        { ostIndex: 1, oid: 15, seq: 0x2c0000401n },
      ],
    });
    expect(await fs.fid('/s2')).toBe('[0x200000404:0x1:0x0]');
  });
  await step('cp /tmp/5m', async () => {
    // As `cp` opens what is there.
    await using file = await fs.open('/s2', constants.O_WRONLY | constants.O_TRUNC, 0, { direct: true });
    // That kernel's cache sent each stripe by itself; ours would send what an object has together.
    for (let at = 0; at < lines.length; at += MIB) await file.write(lines.subarray(at, at + MIB));
    expect(await sizes(fs, '/s2')).toEqual([5242880, 10240]);
  });
  await step('lru_size', dropLocks);
  await step('md5sum /mnt/lustre/s2', async () => {
    expect(await md5sum(fs, '/s2', 32768, 4 * MIB, 5 * MIB)).toBe('a382a8b3862a8233fb2f32d003a23b2a');
  });
  await step('truncate -s 2621447', async () => {
    {
      await using file = await fs.open('/s2', constants.O_WRONLY | constants.O_CREAT);
      await file.truncate(2621447);
    }
    expect(await sizes(fs, '/s2')).toEqual([2621447, 5128]);
  });
  await step('lru_size', dropLocks);
  await step('stat -c "%s %b" /mnt/lustre/s2', async () => {
    expect(await sizes(fs, '/s2')).toEqual([2621447, 5128]);
    expect(await md5sum(fs, '/s2', 32768, 2621447)).toBe('12cd206f29c6e9e80ce53070a9a0212a');
  });
  await step('head -c 1048576 /tmp/5m', async () => {
    await write('/adl', lines.subarray(0, MIB));
    expect(await fs.getLayout('/adl')).toMatchObject({
      stripeCount: 1,
      stripeSize: 4 * MIB,
      objects: [{ ostIndex: 1, oid: 16, seq: 0x2c0000401n }],
    });
  });
  await step('lru_size', dropLocks);
  await step('md5sum /mnt/lustre/adl', async () => {
    expect(await md5sum(fs, '/adl', 32768, MIB)).toBe('618e6fcfda61bb49b6dfe31caccbb708');
  });
  await step('crc32 checksummed', () => write('/crc', Buffer.from('crc32 checksummed\n')));
  await step('lru_size', dropLocks);
  await step('cat /mnt/lustre/crc', async () => {
    expect(await cat(fs, '/crc')).toBe('crc32 checksummed\n');
    for (const name of ['t10ip512', 't10ip4K', 't10crc512', 't10crc4K']) {
      await using file = await fs.open(`/${name}`, 'w', 0o644);
      await file.write(lines.subarray(0, 65536));
      await file.sync();
    }
  });
  await step('oflag=direct', async () => {
    await setstripe(replay, '/dio', { stripeCount: 2, stripeSize: 65536 });
    {
      await using file = await fs.open('/dio', 'w', 0o644, { direct: true });
      let at = 0;
      // How the kernel gathered stripes into RPCs; below, how it read them.
      for (const end of [2, 4, 6, 8, 9, 12, 16].map((n) => n * 65536)) {
        await file.write(lines.subarray(at, end));
        at = end;
      }
    }
    const ends = [1, 4, 6, 8, 10, 12, 14, 16].map((n) => n * 65536);
    expect(await md5sum(fs, '/dio', ...ends)).toBe('618e6fcfda61bb49b6dfe31caccbb708');
  });
  await step('seek=3145728', async () => {
    await setstripe(replay, '/sparse', { stripeCount: 2, stripeSize: MIB });
    await using file = await fs.open('/sparse', constants.O_WRONLY | constants.O_CREAT);
    await file.write(Buffer.from('tail'), { position: 3145728 });
  });
  await step('lru_size', dropLocks);
  await step('tail -c 8', async () => {
    await using file = await fs.open('/sparse', 'r+');
    const { size, blocks } = await file.stat();
    expect([size, blocks]).toEqual([3145732, 8]);
    await using reader = await fs.open('/sparse', 'r', 0, { direct: true });
    const all = Buffer.alloc(3145732, 1);
    await reader.read(all, 0, 8192, 0);
    await reader.read(all, 8192, all.length - 8192, 8192);
    expect(all.equals(Buffer.concat([Buffer.alloc(3145728), Buffer.from('tail')]))).toBe(true);
    await file.punchHole(3145728, 4096);
    await file.sync();
    await using reserved = await fs.open('/falloc', 'w', 0o644);
    // What `stat` says of it came out of the kernel's cache: no answer to that is recorded.
    await reserved.fallocate(0, 65536);
    await reserved.sync();
  });
  await step('lfs data_version', async () => {
    await using file = await fs.open('/s2', 'r');
    expect(await file.dataVersion()).toBe(8589934763n);
    await using sparse = await fs.open('/sparse', 'r');
    expect(await sparse.seekData(0)).toBeUndefined();
  });
  await step('rm -f', async () => {
    for (const name of await fs.readdir('/')) await fs.unlink(`/${name}`);
  });
}
