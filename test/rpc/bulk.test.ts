/** Bulk in both directions, through resends (guide 04 §3.3, §7). */
import { describe, expect, test } from 'vitest';
import type { Operation } from '../../lib/connection/target.ts';
import { checksumTs } from '../../lib/lnet/checksum.ts';
import { splitBulk, splitFile } from '../../lib/rpc/bulk-pieces.ts';
import type { Segment } from '../../lib/rpc/rpc.ts';
import { announcedPieces } from '../../lib/rpc/server-bulk.ts';
import { ConnectFlag } from '../../lib/wire/connection-constants.ts';
import { RQF_OBD_PING, RQF_OST_BRW_READ, RQF_OST_BRW_WRITE } from '../../lib/wire/formats.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { Cluster, clientNid, fullOffer, serverNid, testTarget } from '../connection/cluster.ts';

const MiB = 1 << 20;
const BRW_MAX = 16 * MiB;
const BULK_PORTAL = 8;

function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 12)) & 255;
  return bytes;
}

/** An OST of one object, and a client of it. */
async function bulkCluster(seed: number, offer: Record<string, unknown> = fullOffer) {
  const cluster = new Cluster(seed);
  const state: { object: Uint8Array; reads: number; writes: number; mbits: bigint[] } = {
    object: new Uint8Array(0),
    reads: 0,
    writes: 0,
    mbits: [],
  };
  let memoryOf: (bytes: Uint8Array) => Segment[] = () => [];
  const read: Operation<typeof RQF_OST_BRW_READ> = {
    format: RQF_OST_BRW_READ,
    async handle(call) {
      state.reads++;
      state.mbits.push(call.request.body.pb_mbits);
      await call.request.bulkPut(BULK_PORTAL, memoryOf(state.object), BRW_MAX);
      call.reply({}, { status: state.object.length });
    },
  };
  const write: Operation<typeof RQF_OST_BRW_WRITE> = {
    format: RQF_OST_BRW_WRITE,
    async handle(call) {
      state.writes++;
      const size = Number(call.values.ost_body?.oa.o_size ?? 0n);
      const bytes = new Uint8Array(size);
      const got = await call.request.bulkGet(BULK_PORTAL, memoryOf(bytes), BRW_MAX, 0, 'crc32c');
      expect(got).toEqual({ bytes: size, checksum: checksumTs('crc32c', [bytes]), fileError: 0 });
      state.object = bytes;
      call.reply({});
    },
  };
  const operations = new Map<number, Operation>([
    [Opcode.OST_READ, read],
    [Opcode.OST_WRITE, write],
  ]);
  const target = testTarget(operations, {
    name: 'demo-OST0000',
    uuid: 'demo-OST0000_UUID',
    connect: () => offer,
  });
  const { endpoint } = await cluster.server([target]);
  memoryOf = (bytes) =>
    bytes.length === 0 ? [] : [{ memory: endpoint.pin(bytes), offset: 0, length: bytes.length }];
  const client = await cluster.client({
    target: { name: 'demo-OST0000', uuid: 'demo-OST0000_UUID', kind: 'ost' },
  });
  await cluster.sim.run(client.imp.connect());
  const bulk = (direction: 'sink' | 'source', bytes: Uint8Array, at = 0) => ({
    direction,
    portal: BULK_PORTAL,
    segments: [{ memory: client.endpoint.pin(bytes), offset: at, length: bytes.length - at }],
  });
  return { cluster, state, bulk, ...client };
}

const noMbits = {
  ...fullOffer,
  ocd_connect_flags: fullOffer.ocd_connect_flags & ~ConnectFlag.OBD_CONNECT_BULK_MBITS,
};

describe.each([
  ['with BULK_MBITS', fullOffer],
  ['without BULK_MBITS', noMbits],
])('%s', (_, offer) => {
  test.each([1, MiB - 1, MiB, MiB + 1, 16 * MiB])('%d bytes go there and come back', async (size) => {
    const { cluster, state, bulk, imp } = await bulkCluster(1, offer);
    await cluster.sim.run(
      (async () => {
        const data = pattern(size);
        const request = { ost_body: { oa: { o_size: BigInt(size) } } };
        const wrote = await imp.call(RQF_OST_BRW_WRITE, request, { bulk: bulk('source', data) });
        expect(wrote.bulkBytes).toBe(size);
        expect(Buffer.compare(state.object, data)).toBe(0);
        const back = new Uint8Array(size);
        const reply = await imp.call(RQF_OST_BRW_READ, {}, { bulk: bulk('sink', back) });
        expect(reply).toMatchObject({ status: size, bulkBytes: size });
        expect(Buffer.compare(back, data)).toBe(0);
      })(),
    );
  });
});

test('a read shorter than its buffers still ends every descriptor', async () => {
  const { cluster, state, bulk, imp } = await bulkCluster(1);
  state.object = pattern(MiB + 5);
  const back = new Uint8Array(8 * MiB);
  const reply = await cluster.sim.run(imp.call(RQF_OST_BRW_READ, {}, { bulk: bulk('sink', back) }));
  expect(reply).toMatchObject({ status: MiB + 5, bulkBytes: MiB + 5 });
  state.object = new Uint8Array(0);
  const nothing = await cluster.sim.run(imp.call(RQF_OST_BRW_READ, {}, { bulk: bulk('sink', back) }));
  expect(nothing).toMatchObject({ status: 0, bulkBytes: 0 });
});

test('a failed operation waits for no bulk', async () => {
  const { cluster, bulk, imp, ptlrpc } = await bulkCluster(1);
  // The server's memory holds more than the client announced: the operation fails before any transfer.
  const fail = imp.call(
    RQF_OST_BRW_WRITE,
    { ost_body: { oa: { o_size: BigInt(17 * MiB) } } },
    {
      bulk: bulk('source', pattern(MiB)),
    },
  );
  await expect(cluster.sim.run(fail)).rejects.toMatchObject({ code: 'EPROTO' });
  expect(ptlrpc.counters.client.OST_WRITE?.resends).toBe(0);
});

test.each([1, 2, 3, 4, 5, 6])(
  'breaking connections cost resends with new match bits, never data (seed %d)',
  async (seed) => {
    const { cluster, state, bulk, imp } = await bulkCluster(seed);
    cluster.sim.faults.drop(clientNid, serverNid, 0.05);
    await cluster.sim.run(
      (async () => {
        for (let i = 1; i <= 12; i++) {
          const data = pattern(i * 300_000);
          await imp.call(
            RQF_OST_BRW_WRITE,
            { ost_body: { oa: { o_size: BigInt(data.length) } } },
            {
              bulk: bulk('source', data),
            },
          );
          expect(Buffer.compare(state.object, data)).toBe(0);
          const back = new Uint8Array(data.length);
          const sink = { ...bulk('sink', back), checksum: 'crc32' } as const;
          const reply = await imp.call(RQF_OST_BRW_READ, {}, { bulk: sink });
          expect(Buffer.compare(back, data)).toBe(0);
          expect(reply.bulkChecksum).toBe(checksumTs('crc32', [data]));
        }
      })(),
    );
    expect(new Set(state.mbits).size).toBe(state.mbits.length);
  },
);

test('a server that fails to move bulk gives no reply, and the client resends', async () => {
  const { cluster, state, bulk, imp, ptlrpc } = await bulkCluster(1);
  state.object = pattern(4 * MiB);
  await cluster.sim.run(
    (async () => {
      const back = new Uint8Array(4 * MiB);
      const read = imp.call(RQF_OST_BRW_READ, {}, { bulk: bulk('sink', back) });
      await cluster.sim.sleep(1);
      cluster.sim.faults.partition(clientNid, serverNid);
      await cluster.sim.sleep(70_000);
      cluster.sim.faults.heal(clientNid, serverNid);
      await read.catch(() => {});
      await imp.call(RQF_OST_BRW_READ, {}, { bulk: bulk('sink', back) });
      expect(Buffer.compare(back, state.object)).toBe(0);
    })(),
  );
  expect(ptlrpc.counters.client.OST_READ?.requests).toBeGreaterThan(1);
});

test('splits at whole MiB of the concatenation', () => {
  const memory = { bytes: new Uint8Array(3 * MiB), release() {} };
  const pieces = splitBulk([
    { memory, offset: 10, length: MiB - 100 },
    { memory, offset: 0, length: 200 },
    { memory, offset: 0, length: MiB },
  ]);
  expect(pieces.map((piece) => piece.reduce((sum, s) => sum + s.length, 0))).toEqual([MiB, MiB, 100]);
  const unaligned = splitBulk([{ memory, offset: 0, length: 2 * MiB }], 8192 + 100);
  expect(unaligned.map((piece) => piece[0]?.length)).toEqual([MiB - 100, MiB, 100]);
  expect(() => splitBulk([{ memory, offset: 0, length: 17 * MiB }])).toThrow(/at most 16/);
  expect(() => splitBulk(Array.from({ length: 300 }, () => ({ memory, offset: 0, length: 1 })))).toThrow(
    /fragments/,
  );
});

test('splits a file as it splits memory', () => {
  const file = { fd: 3, position: 4196n, length: 2 * MiB };
  expect(splitFile(file, 100, 4)).toEqual([
    { fd: 3, position: 4196n, length: MiB - 100 },
    { fd: 3, position: 4096n + BigInt(MiB), length: MiB },
    { fd: 3, position: 4096n + BigInt(2 * MiB), length: 100 },
    { fd: 3, position: 4196n + BigInt(2 * MiB), length: 0 },
  ]);
  expect(() => splitFile(file, 100, 2)).toThrow(/where 2 MiB fit/);
});

test('splits extents of a file in the middle of one, and keeps no more of them together than go', () => {
  const checksum = 'crc32c';
  const rest = [
    { position: 1n << 40n, length: MiB },
    { position: 1n << 41n, length: 10 },
  ];
  const file = { fd: 3, position: 5n, length: 100, rest, checksum } as const;
  expect(splitFile(file, 5, 3)).toEqual([
    { fd: 3, position: 5n, length: 100, rest: [{ position: 1n << 40n, length: MiB - 105 }], checksum },
    {
      fd: 3,
      position: (1n << 40n) + BigInt(MiB - 105),
      length: 105,
      rest: [{ position: 1n << 41n, length: 10 }],
      checksum,
    },
    { fd: 3, position: 105n, length: 0, checksum },
  ]);
  const small = Array.from({ length: 256 }, (_, i) => ({ position: BigInt(1000 + 2 * i), length: 1 }));
  expect(() => splitFile({ fd: 3, position: 0n, length: 1, rest: small }, 0, 1)).toThrow(/256 extents/);
});

test('counts descriptors by the low bits of the last match bits', () => {
  expect(announcedPieces(0x6b02b50500f80n, 16)).toBe(1);
  expect(announcedPieces(0x6b02b50500f81n, 16)).toBe(2);
  expect(announcedPieces(0x6b02b50500f8fn, 16)).toBe(16);
  expect(announcedPieces(0x6b02b50500f81n, 1)).toBe(1);
});

test('what cannot be sent is refused at once, and the connection stays', () => {
  const cluster = new Cluster();
  return cluster.sim.run(
    (async () => {
      await cluster.server([testTarget(new Map())]);
      const { imp, endpoint } = await cluster.client();
      await imp.connect();
      const memory = endpoint.allocate(300);
      const segments = Array.from({ length: 300 }, (_, offset) => ({ memory, offset, length: 1 }));
      const bulk = { direction: 'source', portal: 8, segments } as const;
      await expect(imp.call(RQF_OBD_PING, {}, { bulk })).rejects.toMatchObject({ code: 'EINVAL' });
      expect(imp.state).toBe('FULL');
    })(),
  );
});
