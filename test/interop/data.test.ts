/** Bytes: every size and stripe count, each checksum, several clients, and a kernel client beside them. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Filesystem } from '../../lib/index.ts';
import { pattern } from '../client/sim-cluster.ts';
import { clusterUnderTest, PATIENCE_MS } from './cluster-under-test.ts';
import { compare } from './comparison.ts';

const cluster = clusterUnderTest('data');
const MIB = 1 << 20;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function osts(fs: Filesystem): Promise<number> {
  return (await fs.statfsTargets()).filter((target) => target.kind === 'ost').length;
}

describe('data', { timeout: PATIENCE_MS }, () => {
  it('reads back what it wrote, at every size around pages, short i/o and RPCs', async () => {
    const { fs, dir } = cluster;
    for (const length of [0, 1, 4095, 4096, 4097, 16384, 16385, 65536, MIB + 1, 5 * MIB + 123]) {
      const bytes = pattern(length);
      await fs.writeFile(`${dir}/size${length}`, bytes, { stripeCount: 1 });
      expect((await fs.stat(`${dir}/size${length}`)).size).toBe(length);
      expect((await fs.readFile(`${dir}/size${length}`)).equals(bytes)).toBe(true);
    }
    // By another client, which has nothing in any cache.
    await using other = await cluster.mount();
    for (const length of [1, 4097, 16385, 5 * MIB + 123]) {
      expect((await other.readFile(`${dir}/size${length}`)).equals(pattern(length))).toBe(true);
      if (cluster.kernel !== undefined)
        expect(await cluster.kernel.sha256(`size${length}`)).toBe(sha256(pattern(length)));
    }
  });

  it('stripes over all OSTs', async () => {
    const { fs, dir } = cluster;
    const stripeCount = await osts(fs);
    const bytes = pattern(3 * MIB + 77, 3);
    const file = await fs.open(`${dir}/striped`, 'w+', 0o644, { stripeCount, stripeSize: 65536 });
    await file.write(bytes);
    await file.close();
    const layout = await fs.getLayout(`${dir}/striped`);
    expect([layout?.stripeCount, layout?.stripeSize]).toEqual([stripeCount, 65536]);
    expect((await fs.stat(`${dir}/striped`)).size).toBe(bytes.length);
    await using other = await cluster.mount();
    expect((await other.readFile(`${dir}/striped`)).equals(bytes)).toBe(true);
    if (cluster.kernel !== undefined) expect(await cluster.kernel.sha256('striped')).toBe(sha256(bytes));
  });

  it('reads holes as zeroes, extends and cuts', async () => {
    const { fs, dir } = cluster;
    const file = await fs.open(`${dir}/sparse`, 'w+', 0o644, {
      stripeCount: await osts(fs),
      stripeSize: 65536,
    });
    await file.write(Buffer.from('end'), 0, 3, 3 * MIB);
    await file.write(Buffer.from('mid'), 0, 3, MIB);
    const expected = Buffer.alloc(3 * MIB + 3);
    expected.write('mid', MIB);
    expected.write('end', 3 * MIB);
    expect((await fs.readFile(`${dir}/sparse`)).equals(expected)).toBe(true);
    await file.truncate(MIB + 2);
    expect((await file.stat()).size).toBe(MIB + 2);
    await file.truncate(2 * MIB);
    const cut = Buffer.alloc(2 * MIB);
    cut.write('mi', MIB);
    expect((await fs.readFile(`${dir}/sparse`)).equals(cut)).toBe(true);
    await file.close();
    if (cluster.kernel !== undefined) expect(await cluster.kernel.sha256('sparse')).toBe(sha256(cut));
  });

  for (const checksums of ['crc32c', 'crc32', 'adler32', false] as const) {
    it(`moves data with ${checksums === false ? 'no checksum' : checksums}`, async () => {
      const { dir } = cluster;
      const bytes = pattern(2 * MIB + 5, 7);
      await using fs = await cluster.mount(1, { checksums });
      await fs.writeFile(`${dir}/sum-${checksums}`, bytes);
      expect((await fs.readFile(`${dir}/sum-${checksums}`)).equals(bytes)).toBe(true);
      expect((await fs.counters()).checksumErrors).toBe(0);
    });
  }

  it('appends from two clients without losing a line', async () => {
    const { fs, dir } = cluster;
    await using other = await cluster.mount();
    await fs.writeFile(`${dir}/log`, '');
    const lines = async (client: Filesystem, name: string): Promise<void> => {
      const file = await client.open(`${dir}/log`, 'a');
      for (let i = 0; i < 10; i++) await file.appendFile(`${name} ${i}\n`);
      await file.close();
    };
    await Promise.all([lines(fs, 'a'), lines(other, 'b')]);
    const read = (await fs.readFile(`${dir}/log`, 'utf8')).trim().split('\n');
    const expected = [...Array(10).keys()].flatMap((i) => [`a ${i}`, `b ${i}`]);
    expect(read.sort()).toEqual(expected.sort());
  });

  it('takes turns with another client in one file, page by page', async () => {
    const { fs, dir } = cluster;
    await using other = await cluster.mount();
    const [ours, theirs] = [await fs.open(`${dir}/turns`, 'w+'), await other.open(`${dir}/turns`, 'r+')];
    const model = Buffer.alloc(16 * 4096);
    for (let i = 0; i < 16; i++) {
      const bytes = pattern(4096, i);
      await (i % 2 === 0 ? ours : theirs).write(bytes, 0, 4096, i * 4096);
      bytes.copy(model, i * 4096);
      const { buffer, bytesRead } = await (i % 2 === 0 ? theirs : ours).read({
        buffer: Buffer.alloc((i + 1) * 4096),
        position: 0,
      });
      expect(bytesRead).toBe((i + 1) * 4096);
      expect(buffer.equals(model.subarray(0, bytesRead))).toBe(true);
    }
    await ours.close();
    await theirs.close();
  });

  it('makes data durable', async () => {
    const { fs, dir } = cluster;
    const file = await fs.open(`${dir}/durable`, 'w');
    await file.write(pattern(100_000));
    await file.datasync();
    await file.sync();
    await file.close();
    await fs.sync();
  });

  compare('bytes both ways round', cluster, async (kernel) => {
    const { fs, dir } = cluster;
    await kernel.sh('seq 1 200000 > theirs');
    const bytes = await fs.readFile(`${dir}/theirs`);
    expect(sha256(bytes)).toBe(await kernel.sha256('theirs'));
    // Dirty pages of the kernel's, not written by it yet, must be seen as well.
    await kernel.sh('printf XX | dd of=theirs bs=1 seek=5 conv=notrunc 2>/dev/null');
    expect((await fs.readFile(`${dir}/theirs`)).subarray(4, 9).toString('latin1')).toMatch(/^.XX/s);
    const file = await fs.open(`${dir}/theirs`, 'r+');
    await file.write('YY', 1000);
    await file.truncate(5000);
    await file.close();
    expect(await kernel.sh('dd if=theirs bs=1 skip=1000 count=2 2>/dev/null')).toBe('YY');
    expect((await kernel.stat('theirs')).size).toBe(5000);
    expect(await kernel.sha256('theirs')).toBe(sha256(await fs.readFile(`${dir}/theirs`)));
    await kernel.sh('truncate -s 1M theirs');
    expect((await fs.stat(`${dir}/theirs`)).size).toBe(MIB);
  });
});
