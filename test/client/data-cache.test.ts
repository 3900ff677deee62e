import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RangeSet } from '../../lib/client/data-cache/range-set.ts';
import { ReadAhead } from '../../lib/client/data-cache/read-ahead.ts';
import { rpcsOf } from './rpc-count.ts';
import { pattern, SERVER_NID, withCluster } from './sim-cluster.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const PAGE = 4 * KIB;

describe('small writes', () => {
  it('wait for each other, go in full RPCs, and are at the servers when close resolves', () =>
    withCluster(async ({ mount }) => {
      const [fs, other] = [await mount(), await mount()];
      const bytes = pattern(6 * MIB);
      const spent = await rpcsOf(fs, async () => {
        const file = await fs.open('/f', 'w', 0o666, { stripeCount: 1 });
        for (let at = 0; at < bytes.length; at += 16 * KIB)
          await file.write(bytes.subarray(at, at + 16 * KIB));
        await file.close();
      });
      // Less than the 16 MiB of a full RPC.
      expect(spent.OST_WRITE).toBe(1);
      expect((await other.readFile('/f')).equals(bytes)).toBe(true);
    }));

  it('of a MiB, in sequence, go in as few RPCs as a kernel client needs', () =>
    withCluster(async ({ mount }) => {
      const [fs, other] = [await mount({ maxPagesPerRpc: 1024 }), await mount()];
      const bytes = pattern(64 * MIB);
      const spent = await rpcsOf(fs, async () => {
        await using file = await fs.open('/f', 'w', 0o666, { stripeCount: 1 });
        for (let at = 0; at < bytes.length; at += MIB) await file.write(bytes.subarray(at, at + MIB));
        await file.sync();
      });
      // 64 MiB by 4 MiB, and the first MiB by itself; a kernel client took 70 for 256 MiB.
      expect(spent.OST_WRITE).toBeLessThanOrEqual(17);
      expect((await other.readFile('/f')).equals(bytes)).toBe(true);
    }));

  it('of a MiB, several under way, go in full RPCs too, also over stripes and with little memory', () =>
    withCluster(async ({ mount }) => {
      const [fs, other] = [await mount({ maxPagesPerRpc: 512, cacheBytes: 16 * MIB }), await mount()];
      const bytes = pattern(48 * MIB);
      const spent = await rpcsOf(fs, async () => {
        await using file = await fs.open('/f', 'w', 0o666, { stripeCount: 2, stripeSize: MIB });
        const starts = Array.from({ length: 48 }, (_, i) => i * MIB);
        for (let i = 0; i < starts.length; i += 4) {
          const some = starts.slice(i, i + 4);
          await Promise.all(some.map((at) => file.write(bytes.subarray(at, at + MIB), 0, MIB, at)));
        }
        await file.sync();
      });
      expect(spent.OST_WRITE).toBeLessThanOrEqual(28);
      expect((await other.readFile('/f')).equals(bytes)).toBe(true);
    }));

  it('are seen by others at once, and their size and times too', () =>
    withCluster(async ({ mount }) => {
      const [a, b] = [await mount(), await mount()];
      await using file = await a.open('/f', 'w', 0o666, { stripeCount: 2, stripeSize: 65536 });
      const bytes = pattern(200_000);
      expect(await rpcsOf(a, () => file.write(bytes.subarray(0, 1000)))).not.toHaveProperty('OST_WRITE');
      expect((await b.stat('/f')).size).toBe(1000);
      expect((await b.stat('/f')).blocks).toBeGreaterThan(0);
      expect((await b.readFile('/f')).equals(bytes.subarray(0, 1000))).toBe(true);
      await file.write(bytes.subarray(1000));
      expect((await b.readFile('/f')).equals(bytes)).toBe(true);
      // And back: what B writes A reads, though it had the same bytes in its cache.
      await using again = await b.open('/f', 'r+');
      await again.write(Buffer.from('new'), 0, 3, 70_000);
      expect((await a.readFile('/f')).subarray(70_000, 70_003).toString()).toBe('new');
    }));

  it('do not wait for ever', () =>
    withCluster(async ({ mount, sim }) => {
      const fs = await mount();
      await using file = await fs.open('/f', 'w');
      await file.write(Buffer.from('soon'));
      expect(await rpcsOf(fs, () => sim.sleep(3000))).toMatchObject({ OST_WRITE: 1 });
    }));

  it('are not sent when another client cuts them off', () =>
    withCluster(async ({ mount }) => {
      const [a, b] = [await mount(), await mount()];
      const file = await a.open('/f', 'w');
      await file.write(Buffer.from('never sent'));
      const spent = await rpcsOf(a, async () => {
        await b.truncate('/f', 0);
        await file.close();
      });
      expect(spent).not.toHaveProperty('OST_WRITE');
      expect((await b.readFile('/f')).length).toBe(0);
    }));

  it('are at the server before a page of theirs is cut', () =>
    withCluster(async ({ mount, sim }) => {
      const fs = await mount();
      await using file = await fs.open('/f', 'w', 0o666, { stripeCount: 1 });
      // One RPC, large enough that the server still fetches it when the MDT has been told of the new size.
      const bytes = pattern(16 * MIB - 100);
      for (let at = 0; at < bytes.length; at += 64 * KIB) await file.write(bytes.subarray(at, at + 64 * KIB));
      const written = file.datasync();
      await sim.sleep(0.01);
      const cut = file.truncate(bytes.length + 10);
      const sent = async (): Promise<Record<string, number>> => (await fs.counters()).rpcs;
      while (((await sent()).OST_PUNCH ?? 0) === 0) await sim.sleep(0.01);
      // What follows the write has been sent too.
      expect(await sent()).toMatchObject({ OST_WRITE: 1, OST_SYNC: 1 });
      await Promise.all([written, cut]);
      expect((await fs.readFile('/f')).equals(Buffer.concat([bytes, Buffer.alloc(10)]))).toBe(true);
    }));

  it('of bytes that are on their way wait until those have arrived', () =>
    withCluster(
      async ({ mount, sim }) => {
        const [fs, other] = [await mount(), await mount()];
        await using file = await fs.open('/f', 'w', 0o666, { stripeCount: 1 });
        // Large enough that the server fetches it; the later one is small and goes with its request.
        for (let at = 0; at < 4 * MIB; at += 64 * KIB) await file.write(Buffer.alloc(64 * KIB, 'a'));
        const first = file.datasync();
        await sim.sleep(0.5);
        await file.write(Buffer.alloc(PAGE, 'b'), 0, PAGE, MIB);
        await file.datasync();
        await first;
        const bytes = await other.readFile('/f');
        expect(bytes.subarray(MIB, MIB + PAGE).equals(Buffer.alloc(PAGE, 'b'))).toBe(true);
      },
      { seed: 3 },
    ));

  it('that wait for others of the same bytes are lost with the lock', () =>
    withCluster(async ({ mount, sim }) => {
      const [fs, other, third] = [await mount(), await mount(), await mount()];
      const file = await fs.open('/f', 'w', 0o666, { stripeCount: 1 });
      await file.write(Buffer.alloc(PAGE, 'a'));
      const first = file.datasync();
      await sim.sleep(0.01);
      sim.faults.partition(SERVER_NID, '127.0.1.1@tcp');
      await file.write(Buffer.alloc(PAGE, 'b'), 0, PAGE, 0);
      const second = file.datasync();
      // The server evicts the first client for it.
      await other.writeFile('/f', Buffer.alloc(PAGE, 'c'));
      sim.faults.heal(SERVER_NID, '127.0.1.1@tcp');
      const results = await Promise.allSettled([first, second]);
      expect(results).toContainEqual(expect.objectContaining({ status: 'rejected' }));
      expect((await third.readFile('/f')).equals(Buffer.alloc(PAGE, 'c'))).toBe(true);
      await file.close().catch(() => undefined);
    }));

  it('append without a request for each', () =>
    withCluster(async ({ mount }) => {
      const [a, b] = [await mount(), await mount()];
      const lines = Array.from({ length: 100 }, (_, i) => `line ${i}\n`);
      await using file = await a.open('/log', 'a');
      await file.write('first\n');
      const spent = await rpcsOf(a, async () => {
        for (const line of lines) await file.write(line);
      });
      expect(spent).toEqual({});
      await b.appendFile('/log', 'last\n');
      await file.write('after\n');
      expect(await b.readFile('/log', 'utf8')).toBe(`first\n${lines.join('')}last\nafter\n`);
    }));

  it('that were lost are told of by close', () =>
    withCluster(async ({ mount, sim }) => {
      const [a, b] = [await mount(), await mount()];
      await a.writeFile('/f', 'old');
      const files = [await a.open('/f', 'r+'), await a.open('/f', 'r+')] as const;
      await files[0].write(Buffer.from('lost'), 0, 4, 0);
      sim.faults.partition('127.0.1.1@tcp', SERVER_NID);
      // The lock is not given back in time: the server goes on without A.
      expect(await b.readFile('/f', 'utf8')).toBe('old');
      sim.faults.heal('127.0.1.1@tcp', SERVER_NID);
      await sim.sleep(60_000);
      // The MDT has evicted it too.
      await expect(files[0].sync()).rejects.toMatchObject({ code: 'ESTALE' });
      await expect(files[1].write(Buffer.from('x'))).rejects.toMatchObject({ code: 'ESTALE' });
      await expect(files[0].close()).rejects.toMatchObject({ code: 'EIO' });
      await files[1].close();
      expect(await a.readFile('/f', 'utf8')).toBe('old');
    }));
});

describe('reads', () => {
  it('of what is cached cost nothing, open and close included', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const bytes = pattern(100_000);
      await fs.writeFile('/f', bytes);
      const read = async (): Promise<void> => expect((await fs.readFile('/f')).equals(bytes)).toBe(true);
      await read();
      await read();
      expect(await rpcsOf(fs, read)).toEqual({});
    }));

  it('in sequence are few, large, and ahead', () =>
    withCluster(async ({ mount }) => {
      const [writer, fs] = [await mount(), await mount()];
      const bytes = pattern(8 * MIB);
      await writer.writeFile('/f', bytes, { stripeCount: 2, stripeSize: MIB });
      await using file = await fs.open('/f');
      const page = Buffer.alloc(16 * KIB);
      const spent = await rpcsOf(fs, async () => {
        for (let at = 0; at < bytes.length; at += page.length) {
          await file.read(page);
          if (!page.equals(bytes.subarray(at, at + page.length))) throw new Error(`wrong bytes at ${at}`);
        }
      });
      expect(spent.OST_READ).toBeLessThanOrEqual(16);
    }));

  for (const parallel of [1, 4])
    it(`of a MiB, in sequence, ${parallel} under way, are as few as a kernel client's`, () =>
      withCluster(async ({ mount }) => {
        const [writer, fs] = [await mount(), await mount({ maxPagesPerRpc: 1024 })];
        const bytes = pattern(64 * MIB);
        await writer.writeFile('/f', bytes, { stripeCount: 1 });
        await using file = await fs.open('/f');
        const buffers = Array.from({ length: parallel }, () => Buffer.alloc(MIB));
        const spent = await rpcsOf(fs, async () => {
          for (let at = 0; at < bytes.length; at += parallel * MIB)
            await Promise.all(
              buffers.map(async (buffer, i) => {
                const from = at + i * MIB;
                await file.read(buffer, 0, MIB, from);
                if (!buffer.equals(bytes.subarray(from, from + MIB)))
                  throw new Error(`wrong bytes at ${from}`);
              }),
            );
        });
        // 64 MiB by 4 MiB and four more, as many as a kernel client took beyond the 64 of 256 MiB.
        expect(spent.OST_READ).toBeLessThanOrEqual(20);
      }));

  it('at equal distances are ahead as well', () =>
    withCluster(async ({ mount }) => {
      const [writer, fs] = [await mount(), await mount()];
      const bytes = pattern(4 * MIB);
      await writer.writeFile('/f', bytes, { stripeCount: 1 });
      await using file = await fs.open('/f');
      const page = Buffer.alloc(PAGE);
      let waited = 0;
      for (let i = 1; i < 60; i++) {
        const at = i * 16 * PAGE;
        const spent = await rpcsOf(fs, () => file.read(page, 0, PAGE, at));
        expect(page.equals(bytes.subarray(at, at + PAGE))).toBe(true);
        if (spent.OST_READ === 1) waited++;
      }
      expect(waited).toBeLessThan(20);
    }));

  it('that are large or direct go round the cache, and in step with it', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const bytes = pattern(3 * MIB);
      await fs.writeFile('/f', bytes);
      await using cached = await fs.open('/f', 'r+');
      await using direct = await fs.open('/f', 'r+', 0, { direct: true });
      await cached.write(Buffer.from('cached'), 0, 6, 5000);
      const some = Buffer.alloc(6);
      await direct.read(some, 0, 6, 5000);
      expect(some.toString()).toBe('cached');
      await cached.read(some, 0, 6, 5000);
      await direct.write(Buffer.from('direct'), 0, 6, 5000);
      await cached.read(some, 0, 6, 5000);
      expect(some.toString()).toBe('direct');
      expect(await rpcsOf(fs, () => direct.read(some, 0, 6, 5000))).toEqual({ OST_READ: 1 });
      bytes.write('direct', 5000);
      await cached.write(Buffer.from('tail'), 0, 4, 2 * MIB);
      bytes.write('tail', 2 * MIB);
      expect((await fs.readFile('/f')).equals(bytes)).toBe(true);
    }));
});

describe('memory', () => {
  it('stays within its limit, whatever is read and written', () =>
    withCluster(async ({ mount }) => {
      const cacheBytes = MIB;
      const [fs, other] = [await mount({ cacheBytes }), await mount()];
      const bytes = pattern(5 * MIB);
      const file = await fs.open('/f', 'w+', 0o666, { stripeCount: 2, stripeSize: 65536 });
      let most = 0;
      const note = async (): Promise<void> => {
        most = Math.max(most, (await fs.counters()).cachedBytes);
      };
      for (let at = 0; at < bytes.length; at += 50_000) {
        await file.write(bytes.subarray(at, at + 50_000));
        await note();
      }
      const page = Buffer.alloc(20_000);
      for (let at = 0; at < bytes.length; at += page.length) {
        const { bytesRead } = await file.read(page, 0, page.length, at);
        if (!page.subarray(0, bytesRead).equals(bytes.subarray(at, at + page.length)))
          throw new Error(`wrong bytes at ${at}`);
        await note();
      }
      await file.close();
      // A block in hand may be above it.
      expect(most).toBeLessThanOrEqual(cacheBytes + 4 * 65536);
      expect((await other.readFile('/f')).equals(bytes)).toBe(true);
    }));
});

describe('sets of ranges', () => {
  it('are sets of their bytes', () =>
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('add', 'remove'), fc.nat(60), fc.nat(20)), { maxLength: 30 }),
        fc.nat(60),
        fc.nat(30),
        (changes, start, length) => {
          const set = new RangeSet();
          const model = new Set<number>();
          for (const [what, from, size] of changes) {
            if (what === 'add') set.add(from, from + size);
            else set.remove(from, from + size);
            for (let i = from; i < from + size; i++) what === 'add' ? model.add(i) : model.delete(i);
          }
          const bytes = (ranges: Iterable<readonly [number, number]>): number[] =>
            [...ranges].flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i));
          const inOrder = [...model].sort((a, b) => a - b);
          const asked = Array.from({ length }, (_, i) => start + i);
          expect(bytes(set)).toEqual(inOrder);
          expect(bytes(set.within(start, start + length))).toEqual(asked.filter((i) => model.has(i)));
          expect(bytes(set.gaps(start, start + length))).toEqual(asked.filter((i) => !model.has(i)));
          let reach = start;
          while (model.has(reach)) reach++;
          expect(set.reach(start)).toBe(reach);
          // Neither overlapping nor touching.
          const bounds = [...set].flat();
          expect(bounds).toEqual([...new Set(bounds)].sort((a, b) => a - b));
        },
      ),
    ));
});

describe('read-ahead', () => {
  it('grows with a sequence up to its limit, and stops at a jump', () => {
    const ahead = new ReadAhead(4 * MIB);
    let asked = 0;
    for (let at = 0; at < 16 * MIB; at += 64 * KIB)
      for (const { start, length } of ahead.read(at, 64 * KIB)) {
        expect(start).toBeGreaterThanOrEqual(asked);
        expect(length).toBeLessThanOrEqual(4 * MIB);
        asked = start + length;
      }
    expect(asked).toBeGreaterThanOrEqual(16 * MIB);
    expect(ahead.read(100 * MIB, 1000)).toEqual([]);
  });
});
