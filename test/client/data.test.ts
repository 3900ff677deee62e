import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pattern, withCluster } from './sim-cluster.ts';

const MIB = 1 << 20;
const striped = { stripeCount: 2, stripeSize: 65536 };
const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('data', () => {
  it('is striped over OSTs as asked, and read back whole', () =>
    withCluster(async ({ mount, node }) => {
      const fs = await mount();
      const bytes = pattern(5 * MIB + 777);
      await fs.writeFile('/f', bytes, { ...striped, stripeOffset: 1 });
      const layout = await fs.getLayout('/f');
      expect(layout).toMatchObject({ stripeCount: 2, stripeSize: 65536, stripeOffset: 1 });
      expect(layout?.objects.map((o) => o.ostIndex)).toEqual([1, 0]);
      expect(sum(await fs.readFile('/f'))).toBe(sum(bytes));
      const stats = await fs.stat('/f');
      expect(stats.size).toBe(bytes.length);
      expect(stats.blocks * 512).toBeGreaterThanOrEqual(bytes.length);
      expect(node.osts.length).toBe(2);
    }));

  it('is on exactly the OSTs that are listed, in their order', () =>
    withCluster(
      async ({ mount }) => {
        const fs = await mount();
        const ostsOf = async (path: string): Promise<number[] | undefined> =>
          (await fs.getLayout(path))?.objects.map((o) => o.ostIndex);
        await fs.writeFile('/f', pattern(300_000), { stripeSize: 65536, osts: [3, 0, 2] });
        expect(await ostsOf('/f')).toEqual([3, 0, 2]);
        expect(sum(await fs.readFile('/f'))).toBe(sum(pattern(300_000)));
        await expect(fs.open('/g', 'wx', 0o666, { osts: [0, 9] })).rejects.toMatchObject({ code: 'EINVAL' });
        await expect(fs.open('/g', 'wx', 0o666, { osts: [1, 1] })).rejects.toMatchObject({ code: 'EINVAL' });
        await fs.mkdir('/d');
        await expect(fs.setLayout('/d', { osts: [1, 2] })).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
      },
      { osts: 4 },
    ));

  it('asks for one lock of each object when reads or writes of it begin side by side', () =>
    withCluster(async ({ mount }) => {
      const [fs, other] = [await mount(), await mount()];
      const bytes = pattern(16 * MIB);
      const locksFor = async (client: typeof fs, flags: string): Promise<number> => {
        await using file = await client.open('/f', flags, 0o666, { stripeCount: 2, stripeSize: MIB });
        const before = (await client.counters()).rpcs.LDLM_ENQUEUE ?? 0;
        const parts = Array.from({ length: 4 }, (_, i) => bytes.subarray(i * 4 * MIB, (i + 1) * 4 * MIB));
        await Promise.all(
          parts.map((part, i) =>
            flags === 'w'
              ? file.write(part, { position: i * 4 * MIB })
              : file.read(Buffer.alloc(4 * MIB), { position: i * 4 * MIB }),
          ),
        );
        return ((await client.counters()).rpcs.LDLM_ENQUEUE ?? 0) - before;
      };
      expect(await locksFor(fs, 'w')).toBe(2);
      expect(await locksFor(other, 'r')).toBe(2);
      expect(sum(await other.readFile('/f'))).toBe(sum(bytes));
    }));

  it('follows a directory default', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.mkdir('/wide', { stripeCount: -1, stripeSize: 131072 });
      expect(await fs.getLayout('/wide')).toMatchObject({ stripeCount: -1, stripeSize: 131072, objects: [] });
      await fs.writeFile('/wide/f', 'x');
      expect(await fs.getLayout('/wide/f')).toMatchObject({ stripeCount: 2, stripeSize: 131072 });
      await expect(fs.setLayout('/wide/f', { stripeCount: 1 })).rejects.toMatchObject({ code: 'EEXIST' });
      await expect(fs.setLayout('/wide', { stripeSize: 1 })).rejects.toMatchObject({ code: 'EINVAL' });
    }));

  it('keeps the layout of a file that is there, whatever an open asks for', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const other = await mount();
      await fs.writeFile('/f', 'laid out', { stripeCount: 2, stripeSize: 131072 });
      for (const flag of ['r', 'r+', 'a', 'a+', 'w']) {
        for (const client of [fs, other]) {
          const file = await client.open('/f', flag, 0o666, { stripeCount: 1, stripeSize: 65536 });
          await file.close();
        }
      }
      await fs.writeFile('/f', 'anew', { stripeCount: 1 });
      expect(await other.readFile('/f', 'utf8')).toBe('anew');
      expect(await other.getLayout('/f')).toMatchObject({ stripeCount: 2, stripeSize: 131072 });
      await expect(fs.open('/f', 'wx', 0o666, { stripeCount: 1 })).rejects.toMatchObject({ code: 'EEXIST' });
    }));

  it('knows the size of what it writes after it has set times into the past', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await using file = await fs.open('/dated', 'w+');
      await file.utimes(1000, 1000);
      expect((await file.stat()).mtimeMs).toBe(1_000_000);
      await file.write(Buffer.from('late'), 0, 4, 70_000);
      expect((await file.stat()).size).toBe(70_004);
      expect((await file.read(Buffer.alloc(100), 0, 100, 4000)).bytesRead).toBe(100);
    }));

  it('has zeroes where nothing was written', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await using file = await fs.open('/sparse', 'w+', 0o666, striped);
      await file.write(Buffer.from('end'), 0, 3, 1_000_000);
      await file.write(Buffer.from('mid'), 0, 3, 300_000);
      const want = Buffer.alloc(1_000_003);
      want.write('mid', 300_000);
      want.write('end', 1_000_000);
      const have = Buffer.alloc(1_000_100, 0xff);
      const { bytesRead } = await file.read(have, 0, have.length, 0);
      expect(bytesRead).toBe(1_000_003);
      expect(sum(have.subarray(0, bytesRead))).toBe(sum(want));
      expect((await file.stat()).size).toBe(1_000_003);
      await file.truncate(2_000_000);
      expect((await file.stat()).size).toBe(2_000_000);
      const tail = Buffer.alloc(10, 0xff);
      expect((await file.read(tail, 0, 10, 1_999_995)).bytesRead).toBe(5);
      expect([...tail.subarray(0, 5)]).toEqual([0, 0, 0, 0, 0]);
      expect((await file.read(tail, 0, 10, 2_000_000)).bytesRead).toBe(0);
    }));

  it(
    'is what any sequence of writes, truncations and reads makes of it',
    () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.oneof(
              fc.record({ op: fc.constant('write' as const), at: fc.nat(400_000), length: fc.nat(150_000) }),
              fc.record({
                op: fc.constant('truncate' as const),
                at: fc.nat(500_000),
                length: fc.constant(0),
              }),
              fc.record({ op: fc.constant('read' as const), at: fc.nat(500_000), length: fc.nat(200_000) }),
              fc.record({ op: fc.constant('append' as const), at: fc.constant(0), length: fc.nat(5000) }),
            ),
            { minLength: 1, maxLength: 12 },
          ),
          (steps) =>
            withCluster(async ({ mount }) => {
              const fs = await mount();
              await using file = await fs.open('/f', 'w+', 0o666, striped);
              await using appender = await fs.open('/f', 'a');
              let model = Buffer.alloc(0);
              for (const [i, { op, at, length }] of steps.entries()) {
                if (op === 'read') {
                  const have = Buffer.alloc(length, 0xee);
                  const { bytesRead } = await file.read(have, 0, length, at);
                  const want = model.subarray(at, at + length);
                  expect(bytesRead).toBe(want.length);
                  expect(sum(have.subarray(0, bytesRead))).toBe(sum(want));
                } else if (op === 'truncate') {
                  await file.truncate(at);
                  const next = Buffer.alloc(at);
                  model.copy(next, 0, 0, at);
                  model = next;
                } else {
                  const bytes = pattern(length, i + 1);
                  const start = op === 'append' ? model.length : at;
                  if (op === 'append') await appender.write(bytes);
                  else await file.write(bytes, 0, length, at);
                  if (length > 0) {
                    const next = Buffer.alloc(Math.max(model.length, start + length));
                    model.copy(next);
                    bytes.copy(next, start);
                    model = next;
                  }
                }
              }
              expect((await file.stat()).size).toBe(model.length);
              expect(sum(await fs.readFile('/f'))).toBe(sum(model));
            }),
        ),
        { numRuns: 12, seed: 7 },
      ),
    120_000,
  );

  it('goes through readv and writev', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const bytes = pattern(200_000);
      await using file = await fs.open('/f', 'w+', 0o666, striped);
      await file.writev([bytes.subarray(0, 10), bytes.subarray(10, 100_001), bytes.subarray(100_001)]);
      const [a, b] = [Buffer.alloc(65_000), Buffer.alloc(200_000)];
      const { bytesRead } = await file.readv([a, b], 0);
      expect(bytesRead).toBe(200_000);
      expect(sum(Buffer.concat([a, b.subarray(0, 135_000)]))).toBe(sum(bytes));
    }));

  it('of an unlinked file stays until it is closed', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const file = await fs.open('/f', 'w+');
      await file.write(Buffer.from('one'));
      await fs.unlink('/f');
      await file.write(Buffer.from('two'));
      expect(await file.readFile('utf8')).toBe('');
      const all = Buffer.alloc(10);
      expect((await file.read(all, 0, 10, 0)).bytesRead).toBe(6);
      expect((await file.stat()).nlink).toBe(0);
      await file.close();
      await expect(fs.stat('/f')).rejects.toMatchObject({ code: 'ENOENT' });
    }));

  it('handles say what they were opened for', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.writeFile('/f', 'abc');
      await using reader = await fs.open('/f', 'r');
      await expect(reader.write(Buffer.from('x'))).rejects.toMatchObject({ code: 'EBADF' });
      await expect(reader.truncate(1)).rejects.toMatchObject({ code: 'EINVAL' });
      await using writer = await fs.open('/f', 'r+');
      await writer.write('X', 1);
      expect(await fs.readFile('/f', 'utf8')).toBe('aXc');
      await writer.close();
      await expect(writer.read(Buffer.alloc(1))).rejects.toMatchObject({ code: 'EBADF' });
      await using directory = await fs.open('/', 'r');
      await expect(directory.read(Buffer.alloc(1))).rejects.toMatchObject({ code: 'EISDIR' });
    }));

  it('can be durable', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await using file = await fs.open('/f', 'w');
      await file.write(Buffer.from('x'));
      await file.datasync();
      await file.sync();
      await fs.sync();
      await fs.writeFile('/g', 'y', { flush: true });
      await using synchronous = await fs.open(
        '/h',
        constants.O_WRONLY | constants.O_CREAT | constants.O_SYNC,
      );
      await synchronous.write(Buffer.from('z'));
      expect((await fs.counters()).rpcs.OST_SYNC).toBeGreaterThan(2);
    }));

  it.each(['crc32c', 'crc32', 'adler32', 't10ip512', 't10ip4K', 't10crc512', 't10crc4K', false] as const)(
    'is checked with %s',
    (checksums) =>
      withCluster(async ({ mount }) => {
        const fs = await mount({ checksums });
        const bytes = pattern(MIB + 5);
        await fs.writeFile('/f', bytes, striped);
        expect(sum(await fs.readFile('/f'))).toBe(sum(bytes));
        // From the middle of a page, by bulk and inside the message.
        await using file = await fs.open('/f', 'r+', 0, { direct: true });
        for (const [position, length] of [
          [1001, 70_001],
          [5003, 99],
        ] as const) {
          await file.write(bytes.subarray(0, length), { position });
          const back = Buffer.alloc(length);
          await file.read(back, 0, length, position);
          expect(sum(back)).toBe(sum(bytes.subarray(0, length)));
        }
        expect((await fs.counters()).checksumErrors).toBe(0);
      }),
  );
});

describe('many small buffers', () => {
  it.each([
    [280, 4000],
    [3000, 700],
    [1100, 16_000],
  ])('%d of %d bytes are written and read, cached and direct', (count, length) =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const bytes = pattern(count * length);
      const cut = (from: Buffer): Buffer[] =>
        Array.from({ length: count }, (_, i) => from.subarray(i * length, (i + 1) * length));
      for (const direct of [false, true]) {
        await using file = await fs.open(`/f${direct}`, 'w+', 0o644, { direct, ...striped });
        expect((await file.writev(cut(bytes), 0)).bytesWritten).toBe(bytes.length);
        await file.sync();
        const back = Buffer.alloc(bytes.length + 2 * length);
        const into = [...cut(back), back.subarray(bytes.length)];
        expect((await file.readv(into, 0)).bytesRead).toBe(bytes.length);
        expect(sum(back.subarray(0, bytes.length))).toBe(sum(bytes));
        expect(back.subarray(bytes.length).every((byte) => byte === 0)).toBe(true);
      }
    }),
  );
});

describe('streams and copies', () => {
  it('move data with back-pressure', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const bytes = pattern(3 * MIB + 11);
      await fs.writeFile('/f', bytes, striped);
      await using from = await fs.open('/f', 'r');
      await using to = await fs.open('/g', 'w');
      await pipeline(from.createReadStream({ highWaterMark: 100_000 }), to.createWriteStream());
      expect(sum(await fs.readFile('/g'))).toBe(sum(bytes));
      await using part = await fs.open('/g', 'r');
      const chunks: Buffer[] = [];
      for await (const chunk of part.createReadStream({ start: 5, end: 70_004 }))
        chunks.push(chunk as Buffer);
      expect(sum(Buffer.concat(chunks))).toBe(sum(bytes.subarray(5, 70_005)));
      await using web = await fs.open('/g', 'r');
      let length = 0;
      for await (const chunk of web.readableWebStream()) length += chunk.length;
      expect(length).toBe(bytes.length);
      async function* pieces() {
        yield 'one ';
        yield Buffer.from('two');
      }
      await fs.writeFile('/h', pieces());
      expect(await fs.readFile('/h', 'utf8')).toBe('one two');
    }));

  it('have several reads on their way, in order, to the end and no further', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const bytes = pattern(20 * MIB + 7);
      await fs.writeFile('/f', bytes, striped);
      for (const { length } of [bytes, bytes.subarray(0, 9 * MIB), bytes.subarray(0, 0)]) {
        await fs.truncate('/f', length);
        await using file = await fs.open('/f', 'r');
        let under = 0;
        let most = 0;
        const read = file.read.bind(file) as (...args: unknown[]) => Promise<unknown>;
        const watched = (...args: unknown[]): Promise<unknown> => {
          most = Math.max(most, ++under);
          return read(...args).finally(() => under--);
        };
        Object.assign(file, { read: watched });
        const chunks: Buffer[] = [];
        for await (const chunk of file.createReadStream({ highWaterMark: MIB, autoClose: false }))
          chunks.push(chunk as Buffer);
        expect(sum(Buffer.concat(chunks))).toBe(sum(bytes.subarray(0, length)));
        expect(most).toBeLessThanOrEqual(20);
        if (length > 0) expect(most).toBeGreaterThan(1);
        // A consumer that goes away in the middle leaves nothing that would come back to it.
        const left = file.createReadStream({ highWaterMark: MIB });
        for await (const _ of left) break;
        expect(left.destroyed).toBe(true);
      }
    }));

  it('give a producer its buffers back when they are written, many of them at once', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const bytes = pattern(6 * MIB);
      await using file = await fs.open('/f', 'w');
      const stream = file.createWriteStream({ autoClose: false });
      const given: Promise<void>[] = [];
      for (let at = 0; at < bytes.length; at += 32_768) {
        const piece = Buffer.from(bytes.subarray(at, at + 32_768));
        // Used again at once: what was written must not change.
        given.push(new Promise((resolve) => stream.write(piece, () => resolve(void piece.fill(0xff)))));
      }
      await Promise.all(given);
      await new Promise<void>((resolve) => stream.end(() => resolve()));
      expect(stream.bytesWritten).toBe(bytes.length);
      expect(sum(await fs.readFile('/f'))).toBe(sum(bytes));
    }));

  it('copy in, out and within', () =>
    withCluster(
      async ({ mount }) => {
        const dir = await mkdtemp(join(tmpdir(), 'node-lustre-test-'));
        try {
          const fs = await mount();
          const bytes = pattern(9 * MIB + 3);
          await writeFile(join(dir, 'in'), bytes, { mode: 0o750 });
          let progress = 0;
          const moved = await fs.copyIn(join(dir, 'in'), '/f', {
            ...striped,
            onProgress: (n) => {
              progress += n;
            },
          });
          expect([moved, progress]).toEqual([bytes.length, bytes.length]);
          expect((await fs.stat('/f')).mode & 0o777).toBe(0o750);
          await fs.copyFile('/f', '/g');
          await expect(fs.copyFile('/f', '/g', constants.COPYFILE_EXCL)).rejects.toMatchObject({
            code: 'EEXIST',
          });
          await fs.copyOut('/g', join(dir, 'out'));
          expect(sum(await readFile(join(dir, 'out')))).toBe(sum(bytes));
          await expect(fs.copyOut('/nope', join(dir, 'x'))).rejects.toMatchObject({ code: 'ENOENT' });
          await expect(fs.copyIn(join(dir, 'nope'), '/x')).rejects.toMatchObject({ code: 'ENOENT' });
        } finally {
          await rm(dir, { recursive: true });
        }
      },
      { realFiles: true },
    ));

  it('stop when they are aborted, and leave the mount in order', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.writeFile('/f', pattern(MIB), striped);
      const controller = new AbortController();
      const reading = fs.readFile('/f', { signal: controller.signal });
      controller.abort();
      await expect(reading).rejects.toMatchObject({ name: 'AbortError' });
      await expect(fs.stat('/f', { signal: controller.signal })).rejects.toMatchObject({
        name: 'AbortError',
      });
      expect((await fs.readFile('/f')).length).toBe(MIB);
    }));
});

describe('two clients', () => {
  it("see each other's names, bytes, sizes and attributes at once", () =>
    withCluster(async ({ mount }) => {
      const [a, b] = [await mount(), await mount()];
      await a.mkdir('/d');
      expect(await b.readdir('/')).toEqual(['d']);
      await b.writeFile('/d/f', 'from b');
      expect(await a.readFile('/d/f', 'utf8')).toBe('from b');
      await a.appendFile('/d/f', ' and a');
      expect((await b.stat('/d/f')).size).toBe(12);
      expect(await b.readFile('/d/f', 'utf8')).toBe('from b and a');
      await b.truncate('/d/f', 4);
      expect(await a.readFile('/d/f', 'utf8')).toBe('from');
      await a.chmod('/d/f', 0o600);
      expect((await b.stat('/d/f')).mode & 0o777).toBe(0o600);
      await a.rename('/d/f', '/d/g');
      await expect(b.stat('/d/f')).rejects.toMatchObject({ code: 'ENOENT' });
      expect(await b.readFile('/d/g', 'utf8')).toBe('from');
      await b.unlink('/d/g');
      await expect(a.readFile('/d/g')).rejects.toMatchObject({ code: 'ENOENT' });
      await a.writeFile('/d/f', 'a new one');
      expect(await b.readFile('/d/f', 'utf8')).toBe('a new one');
    }));

  it('append to one file without losing a line', () =>
    withCluster(async ({ mount }) => {
      const clients = [await mount(), await mount(), await mount()];
      await clients[0]!.writeFile('/log', '', striped);
      await Promise.all(
        clients.map(async (client, c) => {
          await using file = await client.open('/log', 'a');
          for (let i = 0; i < 20; i++) await file.write(`client ${c} line ${i}\n`);
        }),
      );
      const lines = (await clients[0]!.readFile('/log', 'utf8')).trimEnd().split('\n');
      expect(lines.length).toBe(60);
      expect(new Set(lines).size).toBe(60);
    }));

  it('never read half of a write that lies on one stripe', () =>
    withCluster(async ({ mount }) => {
      const [writer, reader] = [await mount(), await mount()];
      const LENGTH = 20_000;
      await writer.writeFile('/f', Buffer.alloc(LENGTH));
      await using w = await writer.open('/f', 'r+');
      await using r = await reader.open('/f', 'r');
      const writing = (async () => {
        for (let i = 1; i <= 30; i++) await w.write(Buffer.alloc(LENGTH, i), 0, LENGTH, 0);
      })();
      for (let i = 0; i < 30; i++) {
        const have = Buffer.alloc(LENGTH);
        expect((await r.read(have, 0, LENGTH, 0)).bytesRead).toBe(LENGTH);
        expect(have.every((byte) => byte === have[0])).toBe(true);
      }
      await writing;
    }));

  it('make one file only, however many race for it', () =>
    withCluster(async ({ mount }) => {
      const clients = [await mount(), await mount(), await mount()];
      const results = await Promise.allSettled(clients.map((client) => client.open('/once', 'wx')));
      expect(results.filter((r) => r.status === 'fulfilled')).toHaveLength(1);
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'EEXIST' });
        else await result.value.close();
      }
    }));
});
