/** Copies between local files and Lustre, straight between file and socket: real sockets, real files. */
import { createHash } from 'node:crypto';
import { readSync, truncateSync } from 'node:fs';
import { mkdtemp, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyOut, type FileOpener } from '../../lib/client/copy.ts';
import type { FileHandle } from '../../lib/client/file-handle.ts';
import { mountFilesystem } from '../../lib/client/mount.ts';
import { type Cluster, type Filesystem, startCluster } from '../../lib/index.ts';
import { createNativeNetwork } from '../../lib/lnet/native-network.ts';
import type { Endpoint, Network } from '../../lib/lnet/network.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';
import { startServerNode } from '../../lib/server/node.ts';
import { freePorts } from '../lnet/free-ports.ts';
import { pattern } from './sim-cluster.ts';

const MIB = 1 << 20;
const OST_BULK_PORTAL = 8;
const wide = { stripeCount: 2, stripeSize: MIB };
const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

let cluster: Cluster;
let dir: string;
beforeAll(async () => {
  cluster = await startCluster({ fsname: 'copies', osts: 2 });
  dir = await mkdtemp(join(tmpdir(), 'lustre-copies-'));
});
afterAll(async () => {
  await cluster.stop();
  await rm(dir, { recursive: true });
});

/** Opens files of which straight pieces come out as `copy` says. */
function withCopyOut(
  fs: Filesystem,
  copy: (file: FileHandle, ...piece: Parameters<FileHandle['copyOut']>) => ReturnType<FileHandle['copyOut']>,
): FileOpener {
  const wrap = (file: FileHandle): FileHandle =>
    new Proxy(file, {
      get(target, key) {
        if (key === 'copyOut') return copy.bind(undefined, target);
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  return { open: async (...args) => wrap(await fs.open(...args)) };
}

/** Copies in, out again, and says what came. */
async function roundTrip(fs: Filesystem, bytes: Uint8Array, striping: object): Promise<void> {
  const [from, to] = [join(dir, 'from'), join(dir, 'to')];
  await writeFile(from, bytes);
  await writeFile(to, 'what was there before, to be cut');
  let copied = 0;
  const options = { ...striping, onProgress: (count: number) => (copied += count) };
  expect(await fs.copyIn(from, '/copy', options)).toBe(bytes.length);
  expect(await fs.copyOut('/copy', to, options)).toBe(bytes.length);
  expect(copied).toBe(2 * bytes.length);
  expect((await fs.stat('/copy')).size).toBe(bytes.length);
  expect(sum(await readFile(to))).toBe(sum(bytes));
  expect(sum(await fs.readFile('/copy'))).toBe(sum(bytes));
  await fs.unlink('/copy');
}

it.each([
  ['inline', 'crc32c', wide],
  ['worker', 'crc32c', wide],
  ['worker', 'adler32', { stripeCount: 2, stripeSize: 4 * MIB }],
  ['inline', 't10crc4K', wide],
  ['worker', false, { stripeCount: 1, stripeSize: 65536 }],
  ['inline', 'crc32', { stripeCount: 2, stripeSize: 65536 }],
] as const)(
  'files of any size go in and out: engine %s, checksums %s, striped %o',
  async (engine, checksums, striping) => {
    await using fs = await cluster.mount({ engine, checksums });
    for (const size of [0, 100, MIB, MIB + 1, 9 * MIB + 100, 17 * MIB - 4096])
      await roundTrip(fs, pattern(size, size + 1), striping);
    expect((await fs.counters()).checksumErrors).toBe(0);
  },
);

describe.each(['inline', 'worker'] as const)('with the engine %s', (engine) => {
  it('bytes go straight, whatever the stripes', async () => {
    await using fs = await cluster.mount({ engine });
    await using other = await cluster.mount({ engine, checksums: 't10ip512' });
    await writeFile(join(dir, 'from'), pattern(10 * MIB));
    await using local = await open(join(dir, 'from'), 'r+');
    const file = { fd: local.fd, path: 'from' };
    for (const stripeSize of [MIB, 65536]) {
      await using remote = await fs.open('/straight', 'w+', 0o644, { stripeCount: 2, stripeSize });
      expect(await remote.copyIn({ file, offset: 0, length: 10 * MIB }, 0)).toBe(10 * MIB);
      expect(await remote.copyOut({ file, offset: 0, length: 11 * MIB }, 0)).toBe(10 * MIB);
      await using summed = await other.open('/straight', 'r+');
      expect(await summed.copyIn({ file, offset: 0, length: 10 * MIB }, 0)).toBe(undefined);
      expect(await summed.copyOut({ file, offset: 0, length: 11 * MIB }, 0)).toBe(undefined);
      await fs.unlink('/straight');
    }
  });

  it('what no object has is a hole of the copy too, where there was something before', async () => {
    await using fs = await cluster.mount({ engine });
    const size = 30 * MIB + 100_000;
    await using sparse = await fs.open('/sparse', 'w', 0o644, wide);
    await sparse.write(pattern(100_000), 0, 100_000, 30 * MIB);
    const to = join(dir, 'sparse');
    await writeFile(to, pattern(40 * MIB));
    expect(await fs.copyOut('/sparse', to)).toBe(size);
    const want = Buffer.alloc(size);
    want.set(pattern(100_000), 30 * MIB);
    expect(sum(await readFile(to))).toBe(sum(want));
    // The other object's half.
    expect((await stat(to)).blocks * 512).toBeLessThan(17 * MIB);
  });

  it('a file that becomes shorter meanwhile is an error that names it', async () => {
    await using fs = await cluster.mount({ engine });
    const from = join(dir, 'shrinking');
    await writeFile(from, pattern(64 * MIB));
    // Two pieces have begun when the first one ends; what follows is not there any more.
    const cut = fs.copyIn(from, '/cut', { ...wide, onProgress: () => truncateSync(from, MIB) });
    await expect(cut).rejects.toMatchObject({ code: 'EIO', path: from });
    await expect(cut).rejects.toThrow(/became shorter while it was copied/);
    await writeFile(from, pattern(MIB));
    await using local = await open(from, 'r');
    await using remote = await fs.open('/cut', 'w', 0o644, wide);
    const range = { file: { fd: local.fd, path: from }, offset: 0, length: 2 * MIB };
    await expect(remote.copyIn(range, 0)).rejects.toMatchObject({ code: 'EIO', path: from });
  });

  it('of a file on Lustre that is cut meanwhile comes what it had', async () => {
    await using fs = await cluster.mount({ engine });
    const bytes = pattern(17 * MIB);
    const to = join(dir, 'cut');
    for (const kept of [MIB + 100, 8 * MIB]) {
      await fs.writeFile('/to-cut', bytes, wide);
      let first: Promise<unknown> | undefined;
      let cut: Promise<void> | undefined;
      // Before any piece, or when the first one has gone.
      const opener = withCopyOut(fs, async (file, local, position) => {
        if (kept < 8 * MIB || position > 0) {
          cut ??= (async () => {
            await first;
            await fs.truncate('/to-cut', kept);
          })();
          await cut;
        }
        const piece = file.copyOut(local, position);
        first ??= piece;
        return piece;
      });
      expect(await copyOut(opener, '/to-cut', to, {})).toBe(kept);
      expect(sum(await readFile(to))).toBe(sum(bytes.subarray(0, kept)));
    }
  });

  it('a file that changes all the time is copied as it was at some time, block by block', async () => {
    await using fs = await cluster.mount({ engine });
    const from = join(dir, 'changing');
    const block = (value: number): Buffer => Buffer.alloc(4096, value);
    await writeFile(from, Buffer.alloc(24 * MIB, 1));
    const local = await open(from, 'r+');
    let value = 2;
    let copying = true;
    const change = (async () => {
      while (copying) {
        value = (value % 250) + 1;
        await local.write(block(value), 0, 4096, ((value * 7919) % 6144) * 4096);
      }
    })();
    expect(await fs.copyIn(from, '/changing', wide)).toBe(24 * MIB);
    copying = false;
    await change;
    await local.close();
    const bytes = await fs.readFile('/changing');
    expect(bytes.length).toBe(24 * MIB);
    expect(bytes.includes(0)).toBe(false);
    expect((await fs.counters()).checksumErrors).toBe(0);
  });

  it('what the local file cannot take is its own error', async () => {
    await using fs = await cluster.mount({ engine });
    await fs.writeFile('/f', pattern(2 * MIB), wide);
    await using remote = await fs.open('/f', 'r');
    await using full = await open('/dev/full', 'w');
    const range = { file: { fd: full.fd, path: '/dev/full' }, offset: 0, length: 2 * MIB };
    await expect(remote.copyOut(range, 0)).rejects.toMatchObject({ code: 'ENOSPC', path: '/dev/full' });
    await using closed = await open('/dev/null', 'w');
    const { fd } = closed;
    await closed.close();
    const gone = { file: { fd, path: 'closed' }, offset: 0, length: MIB };
    await expect(remote.copyOut(gone, 0)).rejects.toMatchObject({ code: 'EBADF' });
    // Neither has cost the connection.
    expect(sum(await fs.readFile('/f'))).toBe(sum(pattern(2 * MIB)));
  });

  it('an abort and an unmount end copies, and nothing is written afterwards', async () => {
    const bytes = pattern(40 * MIB);
    const [from, to] = [join(dir, 'source'), join(dir, 'target')];
    await writeFile(from, bytes);
    for (const end of ['abort', 'unmount'] as const) {
      const fs = await cluster.mount({ engine });
      await fs.copyIn(from, '/long', wide);
      for (const way of ['in', 'out'] as const) {
        const controller = new AbortController();
        let begin = (): void => undefined;
        const begun = new Promise<void>((resolve) => {
          begin = resolve;
        });
        const options = { signal: controller.signal, onProgress: begin };
        const copy =
          way === 'in'
            ? fs.copyIn(from, '/other', { ...options, ...wide })
            : fs.copyOut('/long', to, options);
        const ended = copy.then(
          () => undefined,
          (error: Error) => error,
        );
        await Promise.race([begun, ended]);
        if (end === 'abort') {
          controller.abort();
          const error = await ended;
          if (error !== undefined) expect(error).toMatchObject({ name: 'AbortError' });
          expect(sum(await fs.readFile('/long'))).toBe(sum(bytes));
        } else if (way === 'out') {
          await fs.unmount();
          await ended;
        } else await ended;
        if (way === 'in') continue;
        // The descriptor's number is another file's now.
        await using other = await open(join(dir, 'other'), 'w+');
        const before = await stat(to);
        await using again = await cluster.mount({ engine });
        expect(sum(await again.readFile('/long'))).toBe(sum(bytes));
        expect((await other.stat()).size).toBe(0);
        expect((await stat(to)).mtimeMs).toBe(before.mtimeMs);
      }
      await fs.unmount();
    }
  });

  it('a target that is replaced meanwhile is left alone', async () => {
    await using fs = await cluster.mount({ engine });
    const bytes = pattern(40 * MIB);
    await fs.writeFile('/replaced', bytes, wide);
    const [to, kept] = [join(dir, 'to-replace'), join(dir, 'replacement')];
    await writeFile(kept, 'mine');
    let replaced: Promise<void> | undefined;
    const onProgress = (): void => {
      replaced ??= rename(kept, to);
    };
    expect(await fs.copyOut('/replaced', to, { onProgress })).toBe(bytes.length);
    await replaced;
    expect(await readFile(to, 'utf8')).toBe('mine');
  });
});

it('servers that are killed and come back: a copy is whole, or says that it is not', async () => {
  const own = await startCluster({ fsname: 'killed', osts: 2 });
  try {
    await using fs = await own.mount();
    const bytes = pattern(64 * MIB);
    const [from, to] = [join(dir, 'before'), join(dir, 'after')];
    await writeFile(from, bytes);
    await fs.copyIn(from, '/whole', wide);
    await fs.sync();
    let restarted: Promise<void> | undefined;
    const onProgress = (): void => {
      restarted ??= own.kill().then(() => own.restart());
    };
    const [written, read] = await Promise.allSettled([
      fs.copyIn(from, '/during', { ...wide, onProgress }),
      fs.copyOut('/whole', to, { onProgress }),
    ]);
    await restarted;
    for (const result of [written, read])
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'EIO' });
    if (written.status === 'fulfilled') expect(sum(await fs.readFile('/during'))).toBe(sum(bytes));
    if (read.status === 'fulfilled') expect(sum(await readFile(to))).toBe(sum(bytes));
  } finally {
    await own.stop();
  }
}, 60_000);

/** Damages so many bulk transfers on their way: those to the client, and what the server says of those from it. */
function damaging(left: { reads: number; writes: number }, network: Network): Network {
  const wrap = (endpoint: Endpoint): Endpoint => {
    const put: Endpoint['put'] = (options, handler) => {
      const { file } = options;
      if (options.portal !== OST_BULK_PORTAL || file === undefined || left.reads === 0)
        return endpoint.put(options, handler);
      left.reads--;
      const bytes = Buffer.alloc(file.length);
      readSync(file.fd, bytes, 0, file.length, file.position);
      const memory = endpoint.pin(bytes);
      const segments = [{ memory, offset: 0, length: bytes.length }];
      const checksum = file.checksum === undefined ? 0 : endpoint.checksum(file.checksum, segments);
      bytes[bytes.length >> 1]! ^= 0x10;
      const { file: _, ...rest } = options;
      return endpoint.put({ ...rest, segments }, (event) => {
        handler(event.type === 'send' ? changed(event, { checksum }) : event);
      });
    };
    const get: Endpoint['get'] = (options, handler) =>
      endpoint.get(options, (event) => {
        const damages = options.file !== undefined && event.type === 'reply' && left.writes > 0;
        if (damages) left.writes--;
        handler(damages ? changed(event, { checksum: (event.checksum ?? 0) ^ 1 }) : event);
      });
    return new Proxy(endpoint, {
      get(target, key) {
        if (key === 'put') return put;
        if (key === 'get') return get;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
  return { open: async (options) => wrap(await network.open(options)) };
}

/** An event that says something else. */
function changed<E extends object>(event: E, what: Partial<E>): E {
  return new Proxy(event, {
    get: (target, key) =>
      Reflect.get(key in what ? what : target, key, key in what ? what : target) as unknown,
  });
}

it('bytes that arrive damaged go again, both ways', async () => {
  const runtime = nodeRuntime();
  const network = createNativeNetwork(runtime);
  const left = { reads: 0, writes: 0 };
  const [port] = await freePorts(['127.0.0.1']);
  const store = await mkdtemp(join(dir, 'store-'));
  const nid = '127.0.0.1@tcp';
  const common = { runtime, port: port! };
  const node = await startServerNode({
    ...common,
    network: damaging(left, network),
    dir: store,
    fsname: 'damaged',
    nid,
    osts: 2,
  });
  const fs = await mountFilesystem(node.spec, { ...common, network, nid: '127.0.0.2@tcp' });
  try {
    const bytes = pattern(20 * MIB);
    const [from, to] = [join(dir, 'undamaged'), join(dir, 'mended')];
    await writeFile(from, bytes);
    left.writes = 2;
    await fs.copyIn(from, '/f', wide);
    left.reads = 2;
    await fs.copyOut('/f', to);
    expect(left).toEqual({ reads: 0, writes: 0 });
    expect(sum(await readFile(to))).toBe(sum(bytes));
    // Two pieces of one request are one error.
    const { checksumErrors } = await fs.counters();
    expect(checksumErrors).toBeGreaterThanOrEqual(2);
    expect(checksumErrors).toBeLessThanOrEqual(4);
  } finally {
    await fs.unmount();
    await node.stop();
  }
});
