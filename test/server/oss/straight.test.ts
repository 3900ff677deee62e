/** Which way the bytes of reads and writes go in an OST with real files and sockets. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { Import } from '../../../lib/connection/import.ts';
import { TargetNode } from '../../../lib/connection/target-node.ts';
import { checksumTs } from '../../../lib/lnet/checksum.ts';
import { createNativeNetwork } from '../../../lib/lnet/native-network.ts';
import { openNativeStorage } from '../../../lib/lnet/native-storage.ts';
import type { BulkChecksumName } from '../../../lib/lnet/network.ts';
import { bulkChecksumTs } from '../../../lib/lnet/t10.ts';
import { PtlRpc } from '../../../lib/rpc/ptlrpc.ts';
import { nodeRuntime } from '../../../lib/runtime/runtime.ts';
import { createOst, OST_TABLES } from '../../../lib/server/oss/ost.ts';
import { OBJECT_TABLES, openFileObjectStore } from '../../../lib/server/store/file-object-store.ts';
import { MemoryDisk, openMemoryStore } from '../../../lib/server/store/memory-store.ts';
import type { ObjectStore } from '../../../lib/server/store/object-store.ts';
import {
  RQF_OST_BRW_READ,
  RQF_OST_BRW_WRITE,
  RQF_OST_CREATE,
  RQF_SEQ_QUERY,
} from '../../../lib/wire/formats.ts';
import { MdValid } from '../../../lib/wire/mds-constants.ts';
import { BrwFlag, ObdoFlag } from '../../../lib/wire/ost-constants.ts';
import { pattern } from '../../client/sim-cluster.ts';
import { freePorts } from '../../lnet/free-ports.ts';
import { CLIENT_ASK, MDT_ASK } from './ost-cluster.ts';

const PAGE = 4096;
const CHECKSUMS = { crc32c: ObdoFlag.OBD_FL_CKSUM_CRC32C, t10crc4K: ObdoFlag.OBD_FL_CKSUM_T10CRC4K } as const;
type Checksum = keyof typeof CHECKSUMS;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** `available`: what the store says is free, blocks. */
async function startOst(available?: () => bigint) {
  const dir = await mkdtemp(join(tmpdir(), 'lustre-straight-'));
  closing.push(() => rm(dir, { recursive: true }));
  const runtime = nodeRuntime();
  const network = createNativeNetwork(runtime);
  const [port] = await freePorts(['127.0.0.1']);
  const nid = '127.0.0.1@tcp';
  const endpoint = await network.open({ nid, port: port! });
  closing.push(() => endpoint.close());
  const store = openMemoryStore({ disk: new MemoryDisk(), tables: [...OST_TABLES, ...OBJECT_TABLES] });
  const files = openFileObjectStore({ runtime, dir, attributes: store, storage: openNativeStorage() });
  const objects = available === undefined ? files : withSpace(files, available);
  const ost = await createOst({ runtime, endpoint, fsname: 'demo', index: 0, objects, store });
  closing.push(() => ost.stop());
  const servers = new TargetNode(new PtlRpc(endpoint, runtime), runtime);
  servers.add(ost);
  const own = await network.open({ nid: '127.0.0.2@tcp', port: port! });
  closing.push(() => own.close());
  const ptlrpc = new PtlRpc(own, runtime);
  const connect = async (clientUuid: string, ask: object): Promise<Import> => {
    const target = { name: ost.name, uuid: ost.uuid, kind: 'ost' } as const;
    const imp = new Import({ runtime, ptlrpc, target, nids: [nid], clientUuid, ask });
    await imp.connect();
    closing.push(() => imp.disconnect());
    return imp;
  };
  const mdt = await connect('mdt', { ...MDT_ASK, ocd_index: 0 });
  const range = { lsr_index: 0, lsr_flags: 1 };
  const given = await mdt.call(RQF_SEQ_QUERY, { seq_opc: 1, seq_range: range }, { requestPortal: 31 });
  const sequence = given.values.seq_range!.lsr_start;
  const { OBD_MD_FLGROUP, OBD_MD_FLFLAGS } = MdValid;
  const { OBD_FL_DELORPHAN } = ObdoFlag;
  for (const oa of [
    { o_valid: OBD_MD_FLGROUP | OBD_MD_FLFLAGS, o_oi: oi(sequence, 0), o_flags: OBD_FL_DELORPHAN },
    { o_valid: OBD_MD_FLGROUP, o_oi: oi(sequence, 1), o_flags: 0 },
  ])
    await mdt.call(RQF_OST_CREATE, { ost_body: { oa } });
  return { ost, client: await connect('client', CLIENT_ASK), endpoint: own, object: oi(sequence, 1) };
}

/** The store, with less free space than it has. */
function withSpace(files: ObjectStore, available: () => bigint): ObjectStore {
  return new Proxy(files, {
    get(target, key) {
      if (key === 'statfs') return async () => ({ ...(await target.statfs()), available: available() });
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

const oi = (f_seq: bigint, f_oid: number) => ({ oi_fid: { f_seq, f_oid, f_ver: 0 } });

/** A request for every other page, with the checksum that a client sends. */
function request(object: ReturnType<typeof oi>, pages: number, checksum: Checksum, value: number) {
  const { OBD_MD_FLID, OBD_MD_FLGROUP, OBD_MD_FLCKSUM, OBD_MD_FLFLAGS } = MdValid;
  return {
    ost_body: {
      oa: {
        o_oi: object,
        o_valid: OBD_MD_FLID | OBD_MD_FLGROUP | OBD_MD_FLCKSUM | OBD_MD_FLFLAGS,
        o_flags: CHECKSUMS[checksum],
        o_nlink: value,
      },
    },
    obd_ioobj: [{ ioo_max_brw: 0xf0000, ioo_bufcnt: pages }],
    niobuf_remote: Array.from({ length: pages }, (_, i) => ({
      rnb_offset: BigInt(2 * i * PAGE),
      rnb_len: PAGE,
      rnb_flags: BrwFlag.OBD_BRW_SRVLOCK | BrwFlag.OBD_BRW_ASYNC,
    })),
    short_io: new Uint8Array(0),
  };
}

const sumOf = (checksum: BulkChecksumName, bytes: Uint8Array): number =>
  checksum === 'crc32c' ? checksumTs(checksum, [bytes]) : bulkChecksumTs(checksum, [bytes], 0);

/** Writes every other page and reads them back. */
async function writeAndRead(
  { client, endpoint, object }: Awaited<ReturnType<typeof startOst>>,
  pages: number,
  checksum: Checksum,
): Promise<void> {
  const bytes = pattern(pages * PAGE);
  const segments = (memory: Uint8Array) => [
    { memory: endpoint.pin(memory), offset: 0, length: memory.length },
  ];
  const wanted = request(object, pages, checksum, sumOf(checksum, bytes));
  const written = await client.call(RQF_OST_BRW_WRITE, wanted, {
    bulk: { direction: 'source', portal: 8, segments: segments(bytes) },
  });
  expect(written.values.rcs).toEqual(new Array(pages).fill(0));
  expect(written.values.ost_body!.oa.o_nlink).toBe(sumOf(checksum, bytes));
  const into = new Uint8Array(bytes.length);
  const read = await client.call(RQF_OST_BRW_READ, request(object, pages, checksum, 0), {
    bulk: { direction: 'sink', portal: 8, segments: segments(into) },
  });
  expect(read.status).toBe(bytes.length);
  expect(Buffer.from(into).equals(Buffer.from(bytes))).toBe(true);
  expect(read.values.ost_body!.oa.o_nlink).toBe(sumOf(checksum, bytes));
}

test('niobufs with holes between them go straight, but for T10 checksums', async () => {
  const started = await startOst();
  const { moved } = started.ost.context;
  // More than one MiB of bulk has place for, each niobuf an extent of its own.
  await writeAndRead(started, 300, 'crc32c');
  const straight = { straight: 300 * PAGE, slabs: 0, messages: 0 };
  expect(moved).toEqual({ read: straight, written: straight });
  await writeAndRead(started, 7, 't10crc4K');
  const both = { ...straight, slabs: 7 * PAGE };
  expect(moved).toEqual({ read: both, written: both });
});

test('what is there already is written straight where no space is left, the rest of it is ENOSPC', async () => {
  let available = 1n << 20n;
  const started = await startOst(() => available);
  const { ost, client, endpoint, object } = started;
  await writeAndRead(started, 3, 'crc32c');
  available = 0n;
  // Older than a second it is asked for.
  await vi.waitFor(async () => expect(ost.context.space.availableBytes).toBe(0), 5000);
  await writeAndRead(started, 3, 'crc32c');
  expect(ost.context.moved.written).toEqual({ straight: 6 * PAGE, slabs: 0, messages: 0 });
  const bytes = pattern(4 * PAGE);
  const segments = [{ memory: endpoint.pin(bytes), offset: 0, length: bytes.length }];
  const wanted = request(object, 4, 'crc32c', sumOf('crc32c', bytes));
  const bulk = { direction: 'source', portal: 8, segments } as const;
  const more = await client.call(RQF_OST_BRW_WRITE, wanted, { bulk });
  expect(more.values.rcs?.map((rc) => rc | 0)).toEqual([0, 0, 0, -28]);
});
