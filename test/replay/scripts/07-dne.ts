/** Capture 07: remote and striped directories, renames and links between MDTs, a directory that was migrated. */
import { expect } from 'vitest';
import type { Replay } from '../replay.ts';

const numbers = Array.from({ length: 12 }, (_, i) => i + 1);

export async function directoriesOnManyMdts({
  filesystem: fs,
  session,
  step,
  dropLocks,
}: Replay): Promise<void> {
  const mdtOf = async (path: string): Promise<number> => {
    const { f_seq } = parse(await fs.fid(path));
    return session.location.locate({ f_seq, f_oid: 1, f_ver: 0 });
  };
  await step('lfs mkdir -i 1 /mnt/lustre/m1', async () => {
    await fs.mkdir('/m1', { mdtIndex: 1 });
    await (await fs.opendir('/m1')).close();
    expect(await fs.getDirectoryLayout('/m1')).toMatchObject({
      mdtIndex: 1,
      fid: '[0x2400013a1:0x1:0x0]',
      shards: [],
      hash: undefined,
    });
    await fs.writeFile('/m1/f', 'on-mdt1\n');
    expect(await fs.fid('/m1/f')).toBe('[0x2400013a1:0x2:0x0]');
    expect(await mdtOf('/m1/f')).toBe(1);
  });
  await step('lfs mkdir -c 2 /mnt/lustre/sd', async () => {
    await fs.mkdir('/sd', { mdtIndex: 0, mdtCount: 2 });
    await (await fs.opendir('/sd')).close();
    expect(await fs.getDirectoryLayout('/sd')).toMatchObject({
      mdtIndex: 0,
      fid: '[0x200001b74:0x1:0x0]',
      shards: [
        { mdtIndex: 0, fid: '[0x200001b70:0x1:0x0]' },
        { mdtIndex: 1, fid: '[0x2400013a2:0x1:0x0]' },
      ],
      hash: 'fnv_1a_64',
    });
    for (const n of numbers) await fs.writeFile(`/sd/n${n}`, `${n}\n`);
    const mdts = [];
    for (const n of numbers) mdts.push(await mdtOf(`/sd/n${n}`));
    expect(mdts).toEqual([0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0]);
  });
  await step('lru_size', dropLocks);
  await step('ls -l /mnt/lustre/sd', async () => {
    const names = await fs.readdir('/sd');
    expect(names.toSorted()).toEqual(numbers.map((n) => `n${n}`).toSorted());
    // The kernel knew n7 from a batch of attributes (MDS_BATCH) and opened it by FID: it is not read here.
    expect(await fs.stat('/sd', { bigint: true })).toMatchObject({
      size: 8192n,
      blocks: 16n,
      nlink: 2n,
      ino: 144115305986129921n,
      mode: 0o40755n,
    });
  });
  await step('lfs mkdir -i 0 -c 2 -H crush', async () => {
    const shards = async (path: string) => {
      await (await fs.opendir(path)).close();
      const place = await fs.getDirectoryLayout(path);
      return [place.hash, ...place.shards.map(({ mdtIndex, fid }) => `${mdtIndex} ${fid}`)];
    };
    await fs.mkdir('/crush', { mdtIndex: 0, mdtCount: 2, hash: 'crush' });
    expect(await shards('/crush')).toEqual(['crush', '0 [0x200001b70:0x4:0x0]', '1 [0x2400013a2:0x4:0x0]']);
    await fs.mkdir('/allc', { mdtIndex: 0, mdtCount: 2, hash: 'all_char' });
    expect(await shards('/allc')).toEqual(['all_char', '0 [0x200001b70:0x5:0x0]', '1 [0x2400013a2:0x5:0x0]']);
    await fs.mkdir('/defd', { mdtIndex: 1, mdtCount: 2, hash: 'fnv_1a_64' });
    expect(await fs.fid('/defd')).toBe('[0x2400013a1:0x8:0x0]');
    await fs.setDirectoryLayout('/defd', {
      mdtIndex: 1,
      mdtCount: 2,
      hash: 'fnv_1a_64',
      maxInherit: 3,
    });
    await fs.mkdir('/defd/kid');
    expect(await shards('/defd/kid')).toEqual([
      'fnv_1a_64',
      '1 [0x2400013a0:0x4:0x0]',
      '0 [0x200001b72:0x4:0x0]',
    ]);
  });
  await step('echo r > /mnt/lustre/plain', async () => {
    await fs.writeFile('/plain', 'r\n');
    await fs.rename('/plain', '/m1/moved');
    // The kernel had its two bytes in the cache: opened, but not read from the OST.
    await (await fs.open('/m1/moved', 'r')).close();
    expect(await fs.fid('/m1/moved')).toBe('[0x200001b74:0xb:0x0]');
    expect(await mdtOf('/m1/moved')).toBe(0);
    await fs.mkdir('/sub', { mdtIndex: 1 });
    await fs.rename('/sub', '/m1/sub');
    expect((await fs.readdir('/m1')).toSorted()).toEqual(['f', 'moved', 'sub']);
  });
  await step('ln /mnt/lustre/m1/f', async () => {
    await fs.link('/m1/f', '/sd/hard');
    expect(await fs.stat('/sd/hard', { bigint: true })).toMatchObject({
      nlink: 2n,
      ino: 162129670890848258n,
    });
    await fs.symlink('x', '/m1/s');
    await fs.unlink('/m1/f');
  });
}

function parse(text: string): { f_seq: bigint } {
  return { f_seq: BigInt(text.slice(1, text.indexOf(':'))) };
}
