/** Capture 02: directories, files, links, renames, removals. */
import { expect } from 'vitest';
import type { Dirent } from '../../../lib/client/stats.ts';
import type { Replay } from '../replay.ts';
import { cat, refused } from './shell.ts';

const typeOf = (entry: Dirent): string =>
  entry.isSymbolicLink()
    ? 'symlink'
    : entry.isFIFO()
      ? 'fifo'
      : entry.isCharacterDevice()
        ? 'character device'
        : 'other';

export async function namespace({ filesystem: fs, step, dropLocks }: Replay): Promise<void> {
  // What `ls -l` shows beyond names and types came to the kernel in batches (MDS_BATCH); ours asks for other names together.
  const types = async (directory: string): Promise<[string, string][]> =>
    (await fs.readdir(directory, { withFileTypes: true }))
      .map((entry) => [entry.name, typeOf(entry)] as [string, string])
      .sort(([a], [b]) => (a < b ? -1 : 1));
  await step('mkdir /mnt/lustre/d1', () => fs.mkdir('/d1'));
  await step('echo "hello lustre"', () => fs.writeFile('/d1/f1', 'hello lustre\n'));
  await step('lfs path2fid', async () => {
    const fids = [await fs.fid('/'), await fs.fid('/d1'), await fs.fid('/d1/f1')];
    expect(fids).toEqual(['[0x200000007:0x1:0x0]', '[0x200000403:0x1:0x0]', '[0x200000403:0x2:0x0]']);
    expect(await fs.getLayout('/d1/f1')).toMatchObject({
      stripeCount: 1,
      stripeSize: 4194304,
      objects: [{ ostIndex: 1, oid: 13, seq: 0x2c0000401n }],
    });
  });
  await step('lru_size', dropLocks);
  await step('cat /mnt/lustre/d1/f1', async () => {
    expect(await cat(fs, '/d1/f1')).toBe('hello lustre\n');
    const stat = await fs.stat('/d1/f1', { bigint: true });
    expect(stat).toMatchObject({
      size: 13n,
      blocks: 8n,
      blksize: 4194304n,
      ino: 144115205306056706n,
      nlink: 1n,
      mode: 0o100644n,
    });
    expect([stat.atime, stat.mtime, stat.ctime, stat.birthtime].map((t) => t.toISOString())).toEqual([
      '2026-11-22T09:26:46.000Z',
      '2026-11-22T09:26:36.000Z',
      '2026-11-22T09:26:36.000Z',
      '2026-11-22T09:26:36.000Z',
    ]);
  });
  // The kernel reads back out of its cache: what was appended is seen at the next step that reads it anew.
  await step('echo appended', () => fs.appendFile('/d1/f1', 'appended\n'));
  const numbers = Array.from({ length: 50 }, (_, i) => String(i + 1).padStart(2, '0'));
  await step('mkdir /mnt/lustre/d50', async () => {
    // By the default of the root, each directory goes to the next MDT: the second to MDT1.
    await fs.mkdir('/d50');
    for (const i of numbers) await fs.writeFile(`/d50/file${i}`, `${i}\n`);
  });
  await step('lru_size', dropLocks);
  await step('ls /mnt/lustre/d50', async () => {
    expect(await fs.fid('/d50')).toBe('[0x240000402:0x1:0x0]');
    expect((await fs.readdir('/d50')).sort()).toEqual(numbers.map((i) => `file${i}`));
  });
  await step('lru_size', dropLocks);
  await step('mv /mnt/lustre/d1/f1', async () => {
    await fs.rename('/d1/f1', '/d1/f2');
    await fs.rename('/d1/f2', '/f3');
    expect(await cat(fs, '/f3')).toBe('hello lustre\nappended\n');
  });
  await step('echo victim', async () => {
    await fs.writeFile('/v', 'victim\n');
    await fs.rename('/f3', '/v');
    expect(await cat(fs, '/v')).toBe('hello lustre\nappended\n');
  });
  await step('ln /mnt/lustre/v', async () => {
    await fs.link('/v', '/hard');
    for (const name of ['/v', '/hard'])
      expect(await fs.stat(name, { bigint: true })).toMatchObject({ nlink: 2n, ino: 144115205306056706n });
  });
  await step('ln -s', async () => {
    await fs.symlink('../target/of/link', '/d1/sym');
    expect(await fs.readlink('/d1/sym')).toBe('../target/of/link');
  });
  await step('lru_size', dropLocks);
  await step('readlink', async () => {
    expect(await fs.readlink('/d1/sym')).toBe('../target/of/link');
    expect(await fs.fid('/d1/sym')).toBe('[0x200000403:0x4:0x0]');
    expect(await types('/d1')).toEqual([['sym', 'symlink']]);
  });
  await step('mknod', async () => {
    await fs.mknod('/d1/fifo', 0o10666);
    await fs.mknod('/d1/null', 0o20666, 0x103);
    expect(await types('/d1')).toEqual([
      ['fifo', 'fifo'],
      ['null', 'character device'],
      ['sym', 'symlink'],
    ]);
  });
  await step('cat /mnt/lustre/nosuch', async () => {
    expect(await refused(cat(fs, '/nosuch'))).toBe('ENOENT');
    expect(await refused(fs.rmdir('/d1'))).toBe('ENOTEMPTY');
    await (await fs.open('/d1/excl', 'w')).close();
  });
  await step('unlink', async () => {
    await fs.unlink('/hard');
    expect(await cat(fs, '/v')).toBe('hello lustre\nappended\n');
    await fs.unlink('/v');
  });
  await step('exec 5<>', async () => {
    const file = await fs.open('/d1/openun', 'w+');
    await file.write('data\n');
    await fs.unlink('/d1/openun');
    // What is written and read behind the removal stayed in the kernel's cache.
    await file.close();
  });
  await step('rm -f', async () => {
    // Of what it only listed the kernel learned the kinds in a batch; ours would look, and no answer to that is recorded.
    const listedOnly = ['fifo', 'null'];
    for (const name of (await fs.readdir('/d1')).sort())
      if (!listedOnly.includes(name)) await fs.unlink(`/d1/${name}`);
    await fs.rmdir('/d1');
    expect(await fs.readdir('/')).toEqual([]);
  });
}
