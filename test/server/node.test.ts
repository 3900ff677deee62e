/** A whole server node: on real sockets and a directory, and in the simulator. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { ManagementClient, readClientConfig } from '../../lib/config/management-client.ts';
import { Import } from '../../lib/connection/import.ts';
import { LockCallbacks } from '../../lib/ldlm/lock-callbacks.ts';
import { checksumTs } from '../../lib/lnet/checksum.ts';
import { createNativeNetwork } from '../../lib/lnet/native-network.ts';
import type { Endpoint, Network } from '../../lib/lnet/network.ts';
import { PtlRpc } from '../../lib/rpc/ptlrpc.ts';
import { nodeRuntime, type Runtime } from '../../lib/runtime/runtime.ts';
import { type ServerNode, startServerNode } from '../../lib/server/node.ts';
import { MemoryNodeStorage } from '../../lib/server/node-storage.ts';
import { createSimulation } from '../../lib/sim/simulation.ts';
import {
  RQF_OST_BRW_READ,
  RQF_OST_BRW_WRITE,
  RQF_OST_CREATE,
  RQF_OST_STATFS,
  RQF_SEQ_QUERY,
} from '../../lib/wire/formats.ts';
import { MdValid } from '../../lib/wire/mds-constants.ts';
import { BrwFlag, ObdoFlag } from '../../lib/wire/ost-constants.ts';
import type { Obdo } from '../../lib/wire/ost-structs.ts';
import type { StructInput } from '../../lib/wire/struct.ts';
import { freePorts } from '../lnet/free-ports.ts';
import { CLIENT_ASK } from './oss/ost-cluster.ts';

const NID = '127.0.0.1@tcp';
const runtime = nodeRuntime();
const network = createNativeNetwork(runtime);
const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function freePort(): Promise<number> {
  return (await freePorts(['127.0.0.1']))[0]!;
}

function directory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'node-lustre-'));
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

async function serve(dir: string, port: number, osts = 2, fsname = 'demo'): Promise<ServerNode> {
  const node = await startServerNode({ runtime, network, dir, fsname, nid: NID, port, osts });
  cleanups.push(() => node.stop());
  return node;
}

/** A client's view of the cluster: its configuration and OSTs. */
async function client(o: { runtime: Runtime; network: Network; nid: string; mgs: string; port?: number }) {
  const port = o.port === undefined ? {} : { port: o.port, accept: false };
  const endpoint = await o.network.open({ nid: o.nid, ...port });
  const ptlrpc = new PtlRpc(endpoint, o.runtime);
  const callbacks = new LockCallbacks(ptlrpc, o.runtime);
  const mgc = new ManagementClient({ runtime: o.runtime, ptlrpc, callbacks, nids: [o.mgs] });
  await mgc.connect();
  const config = await readClientConfig(mgc, 'demo', { runtime: o.runtime });
  const connectOst = async (index: number): Promise<Import> => {
    const { name, uuid, nids } = config.osts[index]!;
    const target = { name, uuid, kind: 'ost' } as const;
    const clientUuid = `test-${o.nid}`;
    const imp = new Import({ ...o, ptlrpc, target, nids: nids.flat(), clientUuid, ask: CLIENT_ASK });
    await imp.connect();
    return imp;
  };
  return {
    config,
    endpoint,
    connectOst,
    async close(imports: Import[] = []) {
      for (const imp of imports) await imp.disconnect();
      await mgc.disconnect();
      await callbacks.close();
      await ptlrpc.close();
      await endpoint.close();
    },
  };
}

/** An object in a sequence of the test's own: those that the MDT had made are cleaned up when it starts again. */
async function createObject(imp: Import, f_oid = 1): Promise<Oa> {
  const range = { seq_opc: 1, seq_range: { lsr_flags: 1 } };
  const { seq_range } = (await imp.call(RQF_SEQ_QUERY, range, { requestPortal: 31 })).values;
  const o_oi = { oi_fid: { f_seq: seq_range!.lsr_start, f_oid, f_ver: 0 } };
  await imp.call(RQF_OST_CREATE, { ost_body: { oa: { o_oi, o_valid: MdValid.OBD_MD_FLGROUP } } });
  return { o_oi, o_valid: MdValid.OBD_MD_FLID | MdValid.OBD_MD_FLGROUP };
}

type Oa = StructInput<typeof Obdo>;
type Pinning = Pick<Endpoint, 'pin'>;
interface Extent {
  readonly at: number;
  readonly length: number;
}

/** A read or write of these extents, with a checksum. */
function brw(oa: Oa, extents: readonly Extent[], data?: Uint8Array) {
  const sums = MdValid.OBD_MD_FLCKSUM | MdValid.OBD_MD_FLFLAGS;
  const sum = data === undefined ? {} : { o_nlink: checksumTs('crc32c', [data]) };
  const o_flags = ObdoFlag.OBD_FL_CKSUM_CRC32C;
  return {
    ost_body: { oa: { ...oa, ...sum, o_valid: (oa.o_valid ?? 0n) | sums, o_flags } },
    obd_ioobj: [{ ioo_bufcnt: extents.length, ioo_max_brw: 0xf0000 }],
    niobuf_remote: extents.map(({ at, length }) => ({
      rnb_offset: BigInt(at),
      rnb_len: length,
      rnb_flags: BrwFlag.OBD_BRW_SRVLOCK | BrwFlag.OBD_BRW_ASYNC,
    })),
    short_io: new Uint8Array(0),
  };
}

const bytesOf = (extents: readonly Extent[]): number => extents.reduce((sum, e) => sum + e.length, 0);
/** As kernels cut bulk: where its first byte lies in a page. */
const pageOffset = ([first]: readonly Extent[]): number => first!.at % 4096;

async function writeObject(imp: Import, oa: Oa, endpoint: Pinning, data: Uint8Array, extents?: Extent[]) {
  const segments = [{ memory: endpoint.pin(data), offset: 0, length: data.length }];
  const where = extents ?? [{ at: 0, length: data.length }];
  const bulk = { direction: 'source', portal: 8, segments, pageOffset: pageOffset(where) } as const;
  const { values } = await imp.call(RQF_OST_BRW_WRITE, brw(oa, where, data), { bulk });
  expect(values.ost_body!.oa.o_nlink).toBe(checksumTs('crc32c', [data]));
  expect(values.rcs).toEqual(where.map(() => 0));
}

async function readObject(
  imp: Import,
  oa: Oa,
  endpoint: Pinning,
  length: number,
  where: Extent[] = [{ at: 0, length }],
) {
  const into = new Uint8Array(length);
  const segments = [{ memory: endpoint.pin(into), offset: 0, length }];
  const bulk = { direction: 'sink', portal: 8, segments, pageOffset: pageOffset(where) } as const;
  const reply = await imp.call(RQF_OST_BRW_READ, brw(oa, where), { bulk });
  const data = into.subarray(0, reply.status);
  expect(reply.values.ost_body!.oa.o_nlink).toBe(checksumTs('crc32c', [data]));
  return data;
}

describe('a node on a directory', () => {
  it('serves, keeps what a killed process had written, and stops cleanly', async () => {
    const dir = directory();
    const port = await freePort();
    const child = await startChild(dir, port);
    const first = await client({ runtime, network, nid: '127.0.7.1@tcp', mgs: NID, port });
    expect(first.config.mdts.map((t) => t.name)).toEqual(['demo-MDT0000']);
    expect(first.config.osts.map((t) => [t.name, t.nids])).toEqual([
      ['demo-OST0000', [[NID]]],
      ['demo-OST0001', [[NID]]],
    ]);
    const ost = await first.connectOst(0);
    const data = Uint8Array.from({ length: 5 << 20 }, (_, i) => (i * 7 + (i >> 10)) & 255);
    const oa = await createObject(ost);
    await writeObject(ost, oa, first.endpoint, data);
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    // Its port may still be in TIME_WAIT for nobody but listeners of the same kind; the directory's lock is stale.
    const node = await serve(dir, port);
    const second = await client({ runtime, network, nid: '127.0.7.2@tcp', mgs: NID, port });
    const again = await second.connectOst(0);
    expect(Buffer.from(await readObject(again, oa, second.endpoint, 6 << 20)).equals(Buffer.from(data))).toBe(
      true,
    );
    expect((await again.call(RQF_OST_STATFS, {}, { requestPortal: 7 })).values.obd_statfs!.os_bsize).toBe(
      4096,
    );
    await second.close([again]);
    await first.endpoint.close();
    await node.stop();
    await expect(serve(dir, port).then((n) => n.stop())).resolves.toBeUndefined();
  });

  it('moves niobufs with holes between them, and nothing of the holes', async () => {
    const dir = directory();
    const port = await freePort();
    await serve(dir, port, 1);
    const { connectOst, endpoint, close } = await client({
      runtime,
      network,
      nid: '127.0.7.3@tcp',
      mgs: NID,
      port,
    });
    const ost = await connectOst(0);
    const every = (count: number, length: number, step: number, from = 0): Extent[] =>
      Array.from({ length: count }, (_, i) => ({ at: from + i * step, length }));
    const page = 4096;
    const requests: Extent[][] = [
      every(2, 3 * page, 1 << 20),
      // Two MiB of single pages: as many extents to each as the network takes.
      every(512, page, 2 * page),
      // A first and a last that are no whole pages, and two that lie together.
      [
        { at: 777, length: page - 777 },
        ...every(300, page, 3 * page, page),
        { at: 4 << 20, length: page },
        { at: (4 << 20) + page, length: 1 << 20 },
        { at: 6 << 20, length: 99 },
      ],
      // More extents to a MiB than the network takes.
      every(600, 100, 1000, 50),
      every(200, 9000, 12_345, 13),
    ];
    for (const [i, extents] of requests.entries()) {
      const oa = await createObject(ost, i + 1);
      const end = extents.at(-1)!.at + extents.at(-1)!.length;
      const object = Buffer.alloc(end + 500_000, 0xaa);
      await writeObject(ost, oa, endpoint, object);
      const data = randomBytes(bytesOf(extents));
      await writeObject(ost, oa, endpoint, data, extents);
      let from = 0;
      for (const { at, length } of extents) {
        data.copy(object, at, from, from + length);
        from += length;
      }
      expect(Buffer.compare(await readObject(ost, oa, endpoint, object.length + 10), object)).toBe(0);
      const back = await readObject(ost, oa, endpoint, data.length, extents);
      expect(Buffer.compare(back, data)).toBe(0);
      // The object ends in the middle of one extent; what lies behind it is not there.
      const beyond = [
        ...extents,
        { at: object.length - 400, length: 500 },
        { at: object.length + 1000, length: 10 },
      ];
      const short = await readObject(ost, oa, endpoint, bytesOf(beyond), beyond);
      expect(Buffer.compare(short, Buffer.concat([data, Buffer.alloc(400, 0xaa)]))).toBe(0);
    }
    await close([ost]);
  });

  it('refuses what cannot work, by name and with advice', async () => {
    const dir = directory();
    const port = await freePort();
    await serve(dir, port, 1);
    await expect(serve(dir, await freePort(), 1)).rejects.toMatchObject({
      code: 'EBUSY',
      message: expect.stringContaining(`Process ${process.pid}`),
    });
    await expect(serve(directory(), port, 1)).rejects.toMatchObject({
      code: 'EADDRINUSE',
      message: expect.stringContaining('--port'),
    });
    const other = directory();
    const node = await serve(other, await freePort(), 1);
    await node.stop();
    await expect(serve(other, await freePort(), 1, 'lab')).rejects.toMatchObject({
      code: 'ERR_LUSTRE_FSNAME',
    });
    const file = join(other, 'node-lustre.json');
    writeFileSync(file, readFileSync(file, 'utf8').replace('"format":1', '"format":99'));
    await expect(serve(other, await freePort(), 1)).rejects.toMatchObject({
      code: 'ERR_LUSTRE_STORE_VERSION',
      message: expect.stringMatching(/99.*format 1/),
    });
    await expect(serve(directory(), port, 1, 'no/name')).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(serve(directory(), port, -1)).rejects.toMatchObject({ code: 'EINVAL' });
    writeFileSync(join(other, 'plain'), '');
    await expect(serve(join(other, 'plain'), port, 1)).rejects.toMatchObject({ code: 'EEXIST' });
  });

  it.skipIf(process.getuid?.() === 0)('says when a directory may not be written', async () => {
    const dir = join(directory(), 'locked');
    mkdirSync(dir);
    chmodSync(dir, 0o500);
    await expect(serve(dir, await freePort(), 1)).rejects.toMatchObject({
      code: 'EACCES',
      message: expect.stringContaining('--dir'),
    });
  });
});

async function startChild(dir: string, port: number): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('serve-child.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', script, dir, String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanups.push(() => void child.kill('SIGKILL'));
  await new Promise<void>((resolve, reject) => {
    child.stdout!.on('data', (text: Buffer) => text.includes('ready') && resolve());
    child.once('exit', (code) => reject(new Error(`the servers ended with code ${code}`)));
  });
  return child;
}

describe('a node in the simulator', () => {
  it('comes back after a power cut with what was committed', async () => {
    const sim = createSimulation({ seed: 11 });
    await sim.run(
      (async () => {
        const storage = new MemoryNodeStorage(sim.runtime);
        const start = async () => {
          const process = sim.process('servers');
          const node = await startServerNode({
            ...process,
            dir: storage,
            fsname: 'demo',
            nid: '10.0.0.1@tcp',
            osts: 2,
          });
          return { process, node };
        };
        const { process, node } = await start();
        const mgs = '10.0.0.1@tcp';
        const first = await client({ ...sim, nid: '10.0.0.2@tcp', mgs });
        expect(first.config.osts).toHaveLength(2);
        await sim.sleep(1000);
        const ost = await first.connectOst(0);
        const oa = await createObject(ost);
        await writeObject(ost, oa, first.endpoint, new Uint8Array(70_000).fill(5));
        await node.commit();
        await writeObject(ost, oa, first.endpoint, new Uint8Array(90_000).fill(6));
        process.kill();
        storage.crash();
        const again = await start();
        const second = await client({ ...sim, nid: '10.0.0.3@tcp', mgs });
        expect(second.config).toEqual(first.config);
        const imp = await second.connectOst(0);
        expect(await readObject(imp, oa, second.endpoint, 100_000)).toEqual(new Uint8Array(70_000).fill(5));
        await second.close([imp]);
        await again.node.stop();
      })(),
    );
  });
});
