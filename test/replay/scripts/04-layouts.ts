/** Capture 04: data on the MDT, components made as they are written, mirrors, overstriping, inherited layouts. */
import { constants } from 'node:fs';
import { expect } from 'vitest';
import type { Replay } from '../replay.ts';
import { cat, KIB, lines as linesOf, MIB, md5, md5sum, setstripe, sizes } from './shell.ts';

/** `/tmp/1m` of the notes. */
const lines = linesOf(MIB);

export async function layouts(replay: Replay): Promise<void> {
  const { filesystem: fs, step, between, dropLocks } = replay;
  /** What `lfs getstripe -v` shows of a composite layout. */
  const components = async (path: string): Promise<unknown> => {
    const layout = await fs.getLayout(path);
    const { state, components: parts } = layout?.composite ?? { state: '', components: [] };
    const of = (part: (typeof parts)[number]): string =>
      [
        part.id,
        part.flags.join(','),
        `${part.start}-${part.end}`,
        part.pattern.join(','),
        ...part.objects.map(
          ({ ostIndex, seq, oid }) => `${ostIndex}:${seq.toString(16)}:${oid.toString(16)}`,
        ),
      ].join(' ');
    return [layout?.generation, state, ...parts.map(of)];
  };
  expect(md5(lines)).toBe('618e6fcfda61bb49b6dfe31caccbb708');
  await step('lfs setstripe -E 64K -L mdt', () =>
    setstripe(replay, '/dom', {
      components: [
        { end: 64 * KIB, pattern: 'mdt' },
        { end: Number.POSITIVE_INFINITY, stripeCount: 2, stripeSize: MIB },
      ],
    }),
  );
  await step('echo "small data on mdt"', async () => {
    await fs.writeFile('/dom', 'small data on mdt\n');
    expect(await components('/dom')).toEqual([2, '0', '1 init 0-65536 mdt', '2  65536-Infinity raid0']);
    expect(await sizes(fs, '/dom')).toEqual([18, 8]);
  });
  await step('lru_size', dropLocks);
  await step('cat /mnt/lustre/dom', async () => {
    // The bytes came to the kernel with the answer to the open; ours would ask for them, and no answer to that is recorded.
    await using file = await fs.open('/dom', 'r');
    expect((await file.stat()).size).toBe(18);
  });
  await step('cat /tmp/1m >> /mnt/lustre/dom', async () => {
    await fs.appendFile('/dom', lines);
    expect(await components('/dom')).toEqual([
      3,
      '0',
      '1 init 0-65536 mdt',
      '2 init 65536-Infinity raid0 0:280000401:15 1:2c0000401:16',
    ]);
    expect(await sizes(fs, '/dom')).toEqual([1048594, 2056]);
  });
  await step('lru_size', dropLocks);
  await step('md5sum /mnt/lustre/dom', async () => {
    // What the MDT keeps came to the kernel with the open.
    const whole = Buffer.concat([Buffer.from('small data on mdt\n'), lines]);
    expect(md5(whole)).toBe('c96cb0da1a8edde3d6a673bf3c3136c1');
    {
      await using file = await fs.open('/dom', 'r', 0, { direct: true });
      const { bytesRead, buffer } = await file.read(Buffer.alloc(MIB), { position: 65536 });
      expect(md5(buffer.subarray(0, bytesRead))).toBe(md5(whole.subarray(65536)));
    }
    {
      await using file = await fs.open('/dom', constants.O_WRONLY | constants.O_CREAT);
      await file.truncate(10);
    }
    expect(await cat(fs, '/dom')).toBe('small data');
  });
  await step('lfs setstripe -E 256K', () =>
    setstripe(replay, '/pfl', {
      components: [
        { end: 256 * KIB, stripeCount: 1, stripeSize: 64 * KIB },
        { end: 512 * KIB, stripeCount: 2, stripeSize: 64 * KIB },
        { end: Number.POSITIVE_INFINITY, stripeCount: -1, stripeSize: 128 * KIB },
      ],
    }),
  );
  await step('dd if=/tmp/1m', async () => {
    {
      await using file = await fs.open('/pfl', constants.O_WRONLY | constants.O_CREAT);
      for (const at of [0, 65536]) await file.write(lines.subarray(at, at + 65536));
    }
    expect(await components('/pfl')).toEqual([
      3,
      '0',
      '1 init 0-262144 raid0 0:280000401:16',
      '2  262144-524288 raid0',
      '3  524288-Infinity raid0',
    ]);
    {
      // As `cp`.
      await using file = await fs.open('/pfl', constants.O_WRONLY | constants.O_TRUNC);
      await file.write(lines);
    }
    expect(await sizes(fs, '/pfl')).toEqual([1048576, 2048]);
  });
  await step('lru_size', dropLocks);
  await step('md5sum /mnt/lustre/pfl', async () => {
    expect(await md5sum(fs, '/pfl', 32768, 262144, MIB)).toBe('618e6fcfda61bb49b6dfe31caccbb708');
  });
  await step('lfs mirror create', () =>
    setstripe(replay, '/flr', {
      components: [
        { end: Number.POSITIVE_INFINITY, stripeCount: 1, stripeOffset: 0, newMirror: true },
        { end: Number.POSITIVE_INFINITY, stripeCount: 1, stripeOffset: 1, newMirror: true },
      ],
    }),
  );
  await step('echo "mirrored contents"', async () => {
    await fs.writeFile('/flr', 'mirrored contents\n');
  });
  await step('lfs mirror resync', async () => {
    await between(2463, 2537, async () => {
      expect(await components('/flr')).toEqual([
        3,
        'wp',
        '65537 init 0-Infinity raid0 0:280000401:19',
        '131074 init,stale 0-Infinity raid0 1:2c0000401:19',
      ]);
      expect(await fs.resyncMirrors('/flr')).toEqual([131074]);
    });
    // The MDT took the layout back from the lock that the kernel had asked for behind the resync: ours had it from the look-up.
    await dropLocks('[0x200000405:0x5:0x0]');
    await between(2540, 2562, async () => {
      expect(await fs.verifyMirrors('/flr')).toEqual({ mirrors: [1, 2], stale: [], differences: [] });
    });
  });
  await dropLocks();
  await step('cat /mnt/lustre/flr', async () => {
    expect(await cat(fs, '/flr')).toBe('mirrored contents\n');
    expect(await components('/flr')).toEqual([
      5,
      'ro',
      '65537 init 0-Infinity raid0 0:280000401:19',
      '131074 init 0-Infinity raid0 1:2c0000401:19',
    ]);
  });
  await step('lfs setstripe -C 4', async () => {
    await setstripe(replay, '/over', { stripeCount: 4, stripeSize: 64 * KIB, overstripe: true });
    {
      // As `cp`.
      await using file = await fs.open('/over', constants.O_WRONLY | constants.O_TRUNC);
      await file.write(lines);
    }
    const layout = await fs.getLayout('/over');
    expect(layout).toMatchObject({ stripeCount: 4, stripeSize: 64 * KIB, pattern: ['raid0', 'overstriped'] });
    expect(layout?.objects.map(({ ostIndex, oid }) => [ostIndex, oid])).toEqual([
      [0, 0x1a],
      [1, 0x1a],
      [0, 0x1b],
      [1, 0x1b],
    ]);
  });
  await step('lru_size', dropLocks);
  await step('md5sum /mnt/lustre/over', async () => {
    expect(await md5sum(fs, '/over', 32768, MIB)).toBe('618e6fcfda61bb49b6dfe31caccbb708');
  });
  await dropLocks();
  // What the kernel has swapped is read.
  const swapped = async (): Promise<void> => {
    expect(await md5sum(fs, '/over', 32768, 262144, MIB)).toBe('618e6fcfda61bb49b6dfe31caccbb708');
    expect(await fs.getLayout('/over')).toMatchObject({ composite: { state: '0' } });
    expect(await md5sum(fs, '/pfl', 32768, MIB)).toBe('618e6fcfda61bb49b6dfe31caccbb708');
    expect(await fs.getLayout('/pfl')).toMatchObject({ pattern: ['raid0', 'overstriped'] });
  };
  await between(3840, Number.POSITIVE_INFINITY, swapped);
  await step('mkdir /mnt/lustre/dd', async () => {
    await fs.mkdir('/dd');
    await fs.setLayout('/dd', { stripeCount: 2, stripeSize: 256 * KIB });
    expect(await fs.getLayout('/dd')).toMatchObject({
      stripeCount: 2,
      stripeSize: 256 * KIB,
      stripeOffset: -1,
    });
    await fs.writeFile('/dd/x', 'inherited\n');
    const layout = await fs.getLayout('/dd/x');
    expect(layout).toMatchObject({ stripeCount: 2, stripeSize: 256 * KIB });
    expect(layout?.objects.map(({ ostIndex, oid }) => [ostIndex, oid])).toEqual([
      [1, 0x1c],
      [0, 0x1c],
    ]);
    expect(await sizes(fs, '/dom')).toEqual([10, 8]);
  });
  // What the kernel has moved is read.
  const migrated = async (): Promise<void> => {
    expect(await cat(fs, '/dd/x')).toBe('inherited\n');
    expect(await fs.getLayout('/dd/x')).toMatchObject({
      stripeCount: 1,
      stripeSize: 4 * MIB,
      generation: 1,
      objects: [{ ostIndex: 1, oid: 0x1d }],
    });
  };
  await step('lfs migrate', () => dropLocks('[0x200000405:0xa:0x0]'));
  await between(4322, Number.POSITIVE_INFINITY, migrated);
  await step('rm -rf', async () => {
    await fs.unlink('/dd/x');
    await fs.rmdir('/dd');
    for (const name of ['dom', 'flr', 'over', 'pfl']) await fs.unlink(`/${name}`);
  });
}
