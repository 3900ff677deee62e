/** Ranges of a file beside their bytes: space, holes, extents, advice, data versions; as a kernel client sees them. */
import { describe, expect, it } from 'vitest';
import { pattern } from '../client/sim-cluster.ts';
import { clusterUnderTest, PATIENCE_MS } from './cluster-under-test.ts';
import { compare } from './comparison.ts';
import { quote } from './kernel-view.ts';

const cluster = clusterUnderTest('ranges');
const MIB = 1 << 20;
const KIB64 = 1 << 16;

/** Prints where SEEK_DATA and SEEK_HOLE lead from each offset; a shell without Python prints nothing. */
const seekScript = (
  name: string,
  offsets: readonly number[],
): string => `command -v python3 > /dev/null || exit 0
python3 - <<'END'
import os
f = os.open(${JSON.stringify(name)}, os.O_RDONLY)
def seek(at, how):
    try: return os.lseek(f, at, how)
    except OSError: return -1
for at in [${offsets.join(',')}]: print(seek(at, os.SEEK_DATA), seek(at, os.SEEK_HOLE))
END`;

describe('ranges', { timeout: PATIENCE_MS }, () => {
  it('tells data from holes, frees space and reserves it', async () => {
    const { fs, dir } = cluster;
    await using file = await fs.open(`${dir}/holes`, 'w+', 0o644, { stripeCount: 2, stripeSize: KIB64 });
    await file.write(pattern(KIB64), 0, KIB64, 0);
    await file.write(pattern(KIB64), 0, KIB64, MIB);
    await file.sync();
    expect([await file.seekHole(0), await file.seekData(KIB64)]).toEqual([KIB64, MIB]);
    expect([await file.seekHole(MIB), await file.seekData(MIB + KIB64)]).toEqual([MIB + KIB64, undefined]);
    const { blocks } = await file.stat();
    await file.punchHole(MIB, KIB64 / 2);
    await file.sync();
    expect(await file.seekData(KIB64)).toBe(MIB + KIB64 / 2);
    expect((await file.stat()).blocks).toBeLessThan(blocks);
    const bytes = await fs.readFile(`${dir}/holes`);
    expect(bytes.subarray(MIB, MIB + KIB64 / 2).every((byte) => byte === 0)).toBe(true);
    expect(bytes.subarray(MIB + KIB64 / 2).equals(pattern(KIB64).subarray(KIB64 / 2))).toBe(true);

    await file.fallocate(2 * MIB, MIB, { keepSize: true });
    expect((await file.stat()).size).toBe(MIB + KIB64);
    await file.fallocate(2 * MIB, MIB);
    expect((await file.stat()).size).toBe(3 * MIB);
    await using other = await cluster.mount();
    expect((await other.stat(`${dir}/holes`)).size).toBe(3 * MIB);
  });

  it('says where the servers have a file on their disks', async () => {
    const { fs, dir } = cluster;
    await using file = await fs.open(`${dir}/extents`, 'w+', 0o644, { stripeCount: 2, stripeSize: KIB64 });
    await file.write(pattern(KIB64), 0, KIB64, 0);
    await file.write(pattern(KIB64), 0, KIB64, KIB64);
    await file.write(pattern(KIB64), 0, KIB64, MIB);
    await file.sync();
    const extents = await file.extents();
    const covered = extents.reduce((sum, { length }) => sum + length, 0);
    expect(covered).toBe(3 * KIB64);
    expect(extents.map(({ offset }) => offset).sort((a, b) => a - b)).toEqual([0, KIB64, MIB]);
    expect(new Set(extents.map(({ target }) => target)).size).toBe(2);
    const last = extents.filter(({ flags }) => flags.includes('last'));
    expect(new Set(last.map(({ object }) => object)).size).toBe(last.length);
  });

  it('takes advice', async () => {
    const { fs, dir } = cluster;
    await fs.writeFile(`${dir}/advice`, pattern(MIB), { stripeCount: 1 });
    await using file = await fs.open(`${dir}/advice`, 'r+');
    await file.advise('willread');
    await file.advise('dontneed', { start: KIB64, length: KIB64, background: true });
    await file.advise('lockwrite', { start: 0, length: KIB64 });
    await file.write(Buffer.from('ahead'), 0, 5, 0);
    expect((await fs.readFile(`${dir}/advice`)).subarray(0, 5).toString()).toBe('ahead');
  });

  it('changes the data version with every change, by whomever', async () => {
    const { fs, dir } = cluster;
    await fs.writeFile(`${dir}/version`, pattern(KIB64), { stripeCount: 1 });
    await using file = await fs.open(`${dir}/version`, 'r+');
    const versions = [await file.dataVersion()];
    expect(await file.dataVersion()).toBe(versions[0]);
    await using other = await cluster.mount();
    await using writer = await other.open(`${dir}/version`, 'r+');
    await writer.write('x');
    versions.push(await file.dataVersion());
    await file.truncate(10);
    versions.push(await file.dataVersion({ flush: 'write' }));
    expect(new Set(versions).size).toBe(versions.length);
  });

  compare('holes, space and data versions both ways round', cluster, async (kernel) => {
    const { fs, dir } = cluster;
    const path = `${dir}/both`;
    const file = await fs.open(path, 'w+', 0o644, { stripeCount: 2, stripeSize: KIB64 });
    await file.write(pattern(KIB64 + 100), 0, KIB64 + 100, 0);
    await file.write(pattern(500), 0, 500, 5 * KIB64);
    await file.sync();
    const offsets = [0, KIB64, 2 * KIB64, 5 * KIB64 + 10, 6 * KIB64];
    const seeks = async (): Promise<string> => {
      let text = '';
      for (const at of offsets)
        text += `${(await file.seekData(at)) ?? -1} ${(await file.seekHole(at)) ?? -1}\n`;
      return text;
    };
    const same = async (): Promise<void> => {
      const theirs = await kernel.sh(seekScript('both', offsets));
      if (theirs !== '') expect(await seeks()).toBe(theirs);
    };
    await same();
    await kernel.sh(`fallocate -p -o 4096 -l 8192 both`);
    await same();
    expect(await file.seekHole(0)).toBe(4096);
    await file.punchHole(5 * KIB64, 500);
    await same();
    await kernel.sh(`fallocate -o ${6 * KIB64} -l ${KIB64} both`);
    expect((await file.stat()).size).toBe(7 * KIB64);
    await file.fallocate(7 * KIB64, KIB64);
    expect((await kernel.stat('both')).size).toBe(8 * KIB64);
    const blocks = await kernel.sh(`stat -c %b ${quote('both')}`);
    expect((await file.stat()).blocks).toBe(Number(blocks));
    const version = await kernel.sh('command -v lfs > /dev/null || exit 0; lfs data_version both');
    if (version !== '') expect(await file.dataVersion()).toBe(BigInt(version.trim()));
    await file.close();
  });
});
