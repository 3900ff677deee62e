/** An OST over the simulated network, spoken to as an MDT and as a kernel client do (guides 07 §7, 12). */
import { describe, expect, it } from 'vitest';
import { checksumTs } from '../../../lib/lnet/checksum.ts';
import { bulkChecksumTs } from '../../../lib/lnet/t10.ts';
import { FilterFid } from '../../../lib/wire/fid-structs.ts';
import {
  RQF_OST_BRW_READ,
  RQF_OST_BRW_WRITE,
  RQF_OST_CREATE,
  RQF_OST_DESTROY,
  RQF_OST_GET_INFO_LAST_FID,
  RQF_OST_GETATTR,
  RQF_OST_PUNCH,
  RQF_OST_SEEK,
  RQF_OST_SETATTR,
  RQF_OST_STATFS,
  RQF_OST_SYNC,
  RQF_SEQ_QUERY,
} from '../../../lib/wire/formats.ts';
import { MdValid } from '../../../lib/wire/mds-constants.ts';
import { BrwFlag, ObdoFlag } from '../../../lib/wire/ost-constants.ts';
import type { NiobufRemote, Obdo } from '../../../lib/wire/ost-structs.ts';
import type { StructInput } from '../../../lib/wire/struct.ts';
import { MDT_ASK, type OstClient, OstCluster } from './ost-cluster.ts';

type Oa = Partial<StructInput<typeof import('../../../lib/wire/ost-structs.ts').Obdo>>;
const V = MdValid;
const ID = V.OBD_MD_FLID | V.OBD_MD_FLGROUP;
const { OBD_BRW_SRVLOCK, OBD_BRW_ASYNC, OBD_BRW_FROM_GRANT } = BrwFlag;

const fid = (seq: bigint, oid: number) => ({ oi_fid: { f_seq: seq, f_oid: oid, f_ver: 0 } });
const body = (oa: Oa) => ({ ost_body: { oa } });

async function sequence(mdt: OstClient): Promise<bigint> {
  const reply = await mdt.imp.call(
    RQF_SEQ_QUERY,
    { seq_opc: 1, seq_range: { lsr_index: 0, lsr_flags: 1 } },
    { requestPortal: 31 },
  );
  expect(reply.values.seq_range).toMatchObject({ lsr_flags: 1, lsr_index: 0 });
  return reply.values.seq_range!.lsr_start;
}

async function create(mdt: OstClient, seq: bigint, oid: number, flags = 0): Promise<number> {
  const valid = flags === 0 ? V.OBD_MD_FLGROUP : V.OBD_MD_FLGROUP | V.OBD_MD_FLFLAGS;
  const reply = await mdt.imp.call(
    RQF_OST_CREATE,
    body({ o_valid: valid, o_oi: fid(seq, oid), o_flags: flags }),
  );
  return reply.values.ost_body!.oa.o_oi.oi_fid.f_oid;
}

interface WriteOptions {
  readonly oa?: Oa;
  readonly flags?: number;
  readonly short?: boolean;
}

/** Writes pieces in one RPC with a CRC32C, under the server's lock unless told otherwise. */
async function write(
  client: OstClient,
  seq: bigint,
  oid: number,
  pieces: readonly { at: bigint; data: Uint8Array }[],
  o: WriteOptions = {},
) {
  const all = Buffer.concat(pieces.map((p) => p.data));
  const niobuf_remote = pieces.map((p) => ({
    rnb_offset: p.at,
    rnb_len: p.data.length,
    rnb_flags: o.flags ?? OBD_BRW_SRVLOCK | OBD_BRW_ASYNC,
  }));
  const oa: Oa = {
    o_oi: fid(seq, oid),
    o_valid: ID | V.OBD_MD_FLCKSUM | V.OBD_MD_FLFLAGS,
    o_flags: ObdoFlag.OBD_FL_CKSUM_CRC32C | (o.short === true ? ObdoFlag.OBD_FL_SHORT_IO : 0),
    o_nlink: checksumTs('crc32c', [all]),
    ...o.oa,
  };
  const common = { ...body(oa), obd_ioobj: [ioobj(niobuf_remote.length)], niobuf_remote };
  if (o.short === true) return client.imp.call(RQF_OST_BRW_WRITE, { ...common, short_io: all });
  const bulk = { direction: 'source', portal: 8, segments: client.memory(all) } as const;
  return client.imp.call(RQF_OST_BRW_WRITE, { ...common, short_io: new Uint8Array(0) }, { bulk });
}

const ioobj = (count: number) => ({ ioo_max_brw: 0xf0000, ioo_bufcnt: count });

async function read(
  client: OstClient,
  seq: bigint,
  oid: number,
  ranges: readonly { at: bigint; length: number }[],
  o: { short?: boolean; t10?: boolean } = {},
): Promise<{ data: Uint8Array; oa: Obdo; status: number }> {
  const niobuf_remote: Partial<NiobufRemote>[] = ranges.map((r) => ({
    rnb_offset: r.at,
    rnb_len: r.length,
    rnb_flags: OBD_BRW_SRVLOCK,
  }));
  const total = ranges.reduce((sum, r) => sum + r.length, 0);
  const into = new Uint8Array(total).fill(0xee);
  const short = o.short === true ? ObdoFlag.OBD_FL_SHORT_IO : 0;
  const kind = o.t10 === true ? ObdoFlag.OBD_FL_CKSUM_T10CRC512 : ObdoFlag.OBD_FL_CKSUM_ADLER;
  const oa: Oa = {
    o_oi: fid(seq, oid),
    o_valid: ID | V.OBD_MD_FLCKSUM | V.OBD_MD_FLFLAGS,
    o_flags: kind | short,
  };
  const bulk = { direction: 'sink', portal: 8, segments: client.memory(into) } as const;
  const reply = await client.imp.call(
    RQF_OST_BRW_READ,
    { ...body(oa), obd_ioobj: [ioobj(ranges.length)], niobuf_remote, short_io: new Uint8Array(0) },
    o.short === true ? { replyRoom: total } : { bulk },
  );
  const data =
    o.short === true ? (reply.values.short_io ?? new Uint8Array(0)) : into.subarray(0, reply.status);
  const answered = reply.values.ost_body!.oa;
  const sum = bulkChecksumTs(o.t10 === true ? 't10crc512' : 'adler32', [data], Number(ranges[0]!.at % 4096n));
  expect(answered.o_nlink).toBe(sum);
  expect(answered.o_flags & 0xf000).toBe(kind);
  return { data, oa: answered, status: reply.status };
}

const getattr = async (client: OstClient, seq: bigint, oid: number) =>
  (await client.imp.call(RQF_OST_GETATTR, body({ o_valid: ID, o_oi: fid(seq, oid) }))).values.ost_body!.oa;

const noise = (length: number, salt = 7) =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * salt) & 255);

/** One OST, an MDT of it with objects 1 to 32 of a sequence, and a client. */
async function prepared(cluster: OstCluster) {
  await cluster.start();
  const mdt = await cluster.connect({ ...MDT_ASK, ocd_index: 0 });
  const seq = await sequence(mdt);
  expect(await create(mdt, seq, 0, ObdoFlag.OBD_FL_DELORPHAN)).toBe(0);
  expect(await create(mdt, seq, 32)).toBe(32);
  const client = await cluster.connect();
  return { mdt, seq, client };
}

function scenario(name: string, work: (cluster: OstCluster) => Promise<void>, capacity?: number): void {
  it(name, async () => {
    const cluster = new OstCluster(1, capacity);
    await cluster.sim.run(work(cluster));
  });
}

describe('OST connect', () => {
  scenario('grants what a kernel client may have, as a kernel OST does', async (cluster) => {
    const { client, mdt } = await prepared(cluster);
    expect(client.granted).toMatchObject({
      ocd_connect_flags: 0xa0025af2e3440038n,
      ocd_connect_flags2: 0x140202n,
      ocd_brw_size: 16 << 20,
      ocd_cksum_types: 7,
      ocd_grant_blkbits: 12,
      ocd_grant_tax_kb: 24,
      ocd_grant_max_blks: 0x4000,
      ocd_grant: 2 * ((16 << 20) + 24 * 1024),
      ocd_maxbytes: 0xffffffff000n,
    });
    expect(mdt.granted.ocd_connect_flags & MDT_ASK.ocd_connect_flags).toBe(MDT_ASK.ocd_connect_flags);
    await expect(cluster.connect({ ...MDT_ASK, ocd_index: 3 })).rejects.toMatchObject({ code: 'EBADF' });
  });
});

describe('objects made ahead', () => {
  scenario('come in order, survive a crash and are cleaned up when nobody used them', async (cluster) => {
    const { mdt, seq } = await prepared(cluster);
    expect(await create(mdt, seq, 10)).toBe(33);
    expect(await sequence(mdt)).toBe(seq + 1n);
    cluster.process.kill();
    cluster.objects.crash();
    await cluster.start();
    const again = await cluster.connect({ ...MDT_ASK, ocd_index: 0 });
    const key = Buffer.from('last_fid\0');
    const last = await again.imp.call(RQF_OST_GET_INFO_LAST_FID, { getinfo_key: key, fid: { f_seq: seq } });
    expect(last.values.fid).toEqual({ f_seq: seq, f_oid: 32, f_ver: 0 });
    expect(await create(again, seq, 5, ObdoFlag.OBD_FL_DELORPHAN)).toBe(32);
    await getattr(again, seq, 5);
    await expect(getattr(again, seq, 6)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await create(again, seq, 40)).toBe(40);
    await expect(create(again, 0x2_0000_0777n, 4)).rejects.toMatchObject({ code: 'EINVAL' });
    expect(await sequence(again)).toBe(seq + 2n);
  });

  scenario('are destroyed once', async (cluster) => {
    const { mdt, seq } = await prepared(cluster);
    const destroy = () => mdt.imp.call(RQF_OST_DESTROY, body({ o_valid: ID, o_oi: fid(seq, 3) }));
    expect((await destroy()).transno).toBeGreaterThan(0n);
    await expect(destroy()).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(
      mdt.imp.call(RQF_OST_DESTROY, body({ o_valid: V.OBD_MD_FLGROUP, o_oi: fid(seq, 3) })),
    ).rejects.toMatchObject({ code: 'EPROTO' });
  });
});

describe('reading and writing', () => {
  scenario('moves up to 16 MiB in one RPC and finds holes and the end', async (cluster) => {
    const { client, seq } = await prepared(cluster);
    const data = noise((16 << 20) - 4096);
    const reply = await write(client, seq, 1, [{ at: 4096n, data }]);
    expect(reply.values.rcs).toEqual([0]);
    expect(reply.transno).toBeGreaterThan(0n);
    const oa = reply.values.ost_body!.oa;
    expect(oa).toMatchObject({ o_size: 16n << 20n, o_nlink: checksumTs('crc32c', [data]) });
    expect(oa.o_valid & (V.OBD_MD_FLMTIME | V.OBD_MD_FLATIME)).toBe(0n);
    const back = await read(client, seq, 1, [{ at: 0n, length: 16 << 20 }]);
    expect(back.status).toBe(16 << 20);
    expect(Buffer.from(back.data.subarray(4096)).equals(Buffer.from(data))).toBe(true);
    expect(back.data.subarray(0, 4096).every((b) => b === 0)).toBe(true);
    expect((await read(client, seq, 1, [{ at: (16n << 20n) - 10n, length: 4096 }])).status).toBe(10);
    expect((await read(client, seq, 1, [{ at: 1n << 30n, length: 4096 }])).status).toBe(0);
    expect((await read(client, seq, 2, [{ at: 0n, length: 4096 }])).status).toBe(0);
  });

  scenario('takes several niobufs and short I/O', async (cluster) => {
    const { client, seq } = await prepared(cluster);
    const pieces = [
      { at: 0n, data: noise(8192) },
      { at: 1n << 20n, data: noise(4096, 3) },
    ];
    await write(client, seq, 1, pieces);
    const both = [
      { at: 0n, length: 8192 },
      { at: 1n << 20n, length: 4096 },
    ];
    const { data } = await read(client, seq, 1, both);
    expect(Buffer.from(data).equals(Buffer.concat(pieces.map((p) => p.data)))).toBe(true);
    await write(client, seq, 2, [{ at: 3n, data: noise(1000) }], { short: true });
    const short = await read(client, seq, 2, [{ at: 0n, length: 4096 }], { short: true });
    expect(short.status).toBe(1003);
    expect(Buffer.from(short.data.subarray(3)).equals(Buffer.from(noise(1000)))).toBe(true);
  });

  scenario('answers a write with the fields of captures/03b', async (cluster) => {
    const { client, seq } = await prepared(cluster);
    // The request's o_valid as a kernel client sends it, but for FLHANDLE: here the server locks.
    const o_valid = 0x018000000b184f2dn & ~V.OBD_MD_FLHANDLE;
    const data = noise(262_144);
    const reply = await write(client, seq, 1, [{ at: 0n, data }], {
      oa: { o_valid, o_flags: 0x4000, o_parent_seq: 0x200000bd1n, o_parent_oid: 1, o_mtime: 5n, o_ctime: 6n },
    });
    const { oa } = reply.values.ost_body!;
    expect(oa.o_valid).toBe(0x018000006b584fb9n & ~V.OBD_MD_FLHANDLE);
    expect(oa).toMatchObject({
      o_size: 262_144n,
      o_blocks: 512n,
      o_mode: 0o100666,
      o_flags: 0x4000,
      o_ctime: 6n,
    });
    expect(oa.o_parent_seq).toBe(0x200000bd1n);
    const back = await read(client, seq, 1, [{ at: 0n, length: 32_768 }]);
    expect(back.oa.o_valid).toBe(V.OBD_MD_FLCKSUM | V.OBD_MD_FLFLAGS);
  });

  scenario('answers its own checksum where the data does not match the one sent', async (cluster) => {
    const { client, seq } = await prepared(cluster);
    const data = noise(4096);
    const reply = await write(client, seq, 1, [{ at: 0n, data }], { oa: { o_nlink: 12345 } });
    expect(reply.values.ost_body!.oa.o_nlink).toBe(checksumTs('crc32c', [data]));
  });

  scenario('sums by T10 guard tags from where in its page each niobuf begins', async (cluster) => {
    const { client, seq } = await prepared(cluster);
    const oa = { o_flags: ObdoFlag.OBD_FL_CKSUM_T10CRC512 };
    const data = noise(412 + 5000);
    // The first ends with a sector and the second begins with one: the tags are those of one run.
    const pieces = [
      { at: 100n, data: data.subarray(0, 412) },
      { at: 8192n, data: data.subarray(412) },
    ];
    const expected = bulkChecksumTs('t10crc512', [data], 100);
    const written = await write(client, seq, 1, pieces, { oa });
    expect(written.values.ost_body!.oa).toMatchObject({ ...oa, o_nlink: expected });
    await read(
      client,
      seq,
      1,
      pieces.map(({ at, data: { length } }) => ({ at, length })),
      { t10: true },
    );
    const short = [{ at: 777n, data: noise(999) }];
    const inMessage = await write(client, seq, 1, short, {
      oa: { o_flags: oa.o_flags | ObdoFlag.OBD_FL_SHORT_IO },
      short: true,
    });
    expect(inMessage.values.ost_body!.oa.o_nlink).toBe(bulkChecksumTs('t10crc512', [short[0]!.data], 777));
    await read(client, seq, 1, [{ at: 777n, length: 999 }], { t10: true, short: true });
    // Short at the end of the object.
    await read(client, seq, 1, [{ at: 8193n, length: 65_536 }], { t10: true });
  });

  scenario('grants T10 checksums to who asks for them, not to who offers all', async (cluster) => {
    const { client } = await prepared(cluster);
    expect(client.imp.granted.ocd_cksum_types & 0xf0).toBe(0);
    const other = await cluster.connect({ ...client.imp.granted, ocd_cksum_types: 0x12 });
    expect(other.imp.granted.ocd_cksum_types).toBe(0x12);
  });

  scenario('refuses what breaks the rules, and goes on', async (cluster) => {
    const { client, seq } = await prepared(cluster);
    const bad = (niobufs: Partial<NiobufRemote>[], io = ioobj(niobufs.length), oa: Oa = {}) =>
      client.imp.call(RQF_OST_BRW_READ, {
        ...body({ o_valid: ID, o_oi: fid(seq, 1), ...oa }),
        obd_ioobj: [io],
        niobuf_remote: niobufs,
        short_io: new Uint8Array(0),
      });
    const one = { rnb_offset: 0n, rnb_len: 4096, rnb_flags: OBD_BRW_SRVLOCK };
    const eproto = { code: 'EPROTO' };
    await expect(bad([one, one])).rejects.toMatchObject(eproto);
    await expect(bad([{ ...one, rnb_len: 0 }])).rejects.toMatchObject(eproto);
    await expect(bad([{ ...one, rnb_len: 17 << 20 }])).rejects.toMatchObject(eproto);
    await expect(bad([one], { ioo_max_brw: 0x20000, ioo_bufcnt: 1 })).rejects.toMatchObject(eproto);
    await expect(bad([one], ioobj(2))).rejects.toMatchObject(eproto);
    await expect(bad([one], undefined, { o_oi: fid(seq, 0) })).rejects.toMatchObject(eproto);
    await expect(bad([one], undefined, { o_oi: fid(5n, 1) })).rejects.toMatchObject(eproto);
    await expect(bad([{ ...one, rnb_offset: 1n << 62n }])).rejects.toMatchObject({ code: 'EFBIG' });
    const mixed = [one, { ...one, rnb_offset: 8192n, rnb_flags: 0 }];
    await expect(bad(mixed)).rejects.toMatchObject({ code: 'EFAULT' });
    await expect(
      bad([{ ...one, rnb_flags: 0 }], undefined, { o_valid: ID | V.OBD_MD_FLHANDLE, o_handle: 77n }),
    ).rejects.toMatchObject({ code: 'ESTALE' });
    await expect(write(client, seq, 99, [{ at: 0n, data: noise(10) }])).rejects.toMatchObject({
      code: 'ENOENT',
    });
    await getattr(client, seq, 1);
  });

  scenario(
    'runs out of space with ENOSPC for what was not granted',
    async (cluster) => {
      const { client, seq } = await prepared(cluster);
      const data = noise(3 << 20);
      const full = await write(client, seq, 1, [{ at: 0n, data }]);
      expect(full.values.rcs).toEqual([0]);
      const refused = await write(client, seq, 2, [{ at: 0n, data }]);
      expect(refused.values.rcs!.map((rc) => rc | 0)).toEqual([-28]);
    },
    4 << 20,
  );
});

describe('grants', () => {
  scenario('are kept as captures/02 pkt 132 shows', async (cluster) => {
    const { client, seq } = await prepared(cluster);
    const whole = client.granted.ocd_grant;
    const reply = await write(client, seq, 1, [{ at: 0n, data: noise(13) }], {
      flags: OBD_BRW_SRVLOCK | OBD_BRW_ASYNC | OBD_BRW_FROM_GRANT,
      oa: {
        o_valid: ID | V.OBD_MD_FLBLOCKS | V.OBD_MD_FLGRANT,
        o_blocks: 0x7000n,
        o_grant: BigInt(whole - 0x7000),
        o_mode: 0x26a1e000,
        o_data_version: 0x7000n,
      },
    });
    expect(reply.values.ost_body!.oa.o_grant).toBe(BigInt(whole));
    expect(cluster.ost.context.grants.ledger('client-2')).toMatchObject({
      granted: 2 * whole - 0x7000,
      pending: 0,
    });
    await client.imp.disconnect();
    expect(cluster.ost.context.grants.totalGranted).toBe(0);
  });
});

describe('attributes', () => {
  scenario('are set by writes and SETATTR, in the order they were sent', async (cluster) => {
    const { client, seq, mdt } = await prepared(cluster);
    expect((await getattr(client, seq, 1)).o_mode).toBe(0o107666);
    await write(client, seq, 1, [{ at: 0n, data: noise(5000) }], {
      oa: {
        o_valid: ID | V.OBD_MD_FLUID | V.OBD_MD_FLGID | V.OBD_MD_FLMTIME | V.OBD_MD_FLFID | V.OBD_MD_FLPROJID,
        o_uid: 1000,
        o_gid: 100,
        o_mtime: 1234n,
        o_parent_seq: 0x200000402n,
        o_parent_oid: 9,
        o_stripe_idx: 1,
      },
    });
    const first = await getattr(client, seq, 1);
    expect(first).toMatchObject({ o_uid: 1000, o_gid: 100, o_mtime: 1234n, o_size: 5000n, o_mode: 0o100666 });
    expect(first.o_flags).toBe(ObdoFlag.OBD_FL_FLUSH);
    const { parent } = await cluster.objects.getAttributes({ seq, oid: 1 });
    expect(FilterFid.decode(parent).ff_parent).toEqual({ f_seq: 0x200000402n, f_oid: 9, f_ver: 1 });
    const set = await mdt.imp.call(
      RQF_OST_SETATTR,
      body({ o_valid: ID | V.OBD_MD_FLUID | V.OBD_MD_FLATIME, o_oi: fid(seq, 1), o_uid: 5, o_atime: 77n }),
    );
    expect(set.values.ost_body!.oa).toMatchObject({ o_uid: 5, o_gid: 100, o_atime: 77n, o_mtime: 1234n });
    expect(set.values.ost_body!.oa.o_valid).toBe(0x1000000010007bfn);
    const data = (await getattr(client, seq, 1)).o_data_version;
    expect(data).toBe(set.transno);
    await expect(
      mdt.imp.call(RQF_OST_SETATTR, body({ o_valid: ID | V.OBD_MD_FLSIZE, o_oi: fid(seq, 1), o_size: 5n })),
    ).rejects.toMatchObject({ code: 'EPERM' });
  });

  scenario('PUNCH truncates both ways, SEEK finds data and SYNC commits', async (cluster) => {
    const { client, seq } = await prepared(cluster);
    await write(client, seq, 1, [{ at: 200_000n, data: noise(5000) }]);
    const range = V.OBD_MD_FLSIZE | V.OBD_MD_FLBLOCKS;
    const eof = 0xffffffffffffffffn;
    const punch = (size: bigint, blocks = eof) =>
      client.imp.call(
        RQF_OST_PUNCH,
        body({
          o_valid: ID | range | V.OBD_MD_FLFLAGS,
          o_flags: 0x800,
          o_oi: fid(seq, 1),
          o_size: size,
          o_blocks: blocks,
        }),
      );
    const reply = await punch(202_000n);
    expect(reply.values.ost_body!.oa.o_valid).toBe(V.OBD_MD_FLID | V.OBD_MD_FLBLOCKS);
    expect((await getattr(client, seq, 1)).o_size).toBe(202_000n);
    const seek = async (at: bigint, whence: number) =>
      (
        await client.imp.call(
          RQF_OST_SEEK,
          body({ o_valid: ID, o_oi: fid(seq, 1), o_size: at, o_mode: whence }),
        )
      ).values.ost_body!.oa.o_size;
    expect(await seek(0n, 3)).toBe(196_608n);
    expect(await seek(0n, 4)).toBe(0n);
    expect(BigInt.asIntN(64, await seek(300_000n, 3))).toBe(-6n);
    await punch(400_000n);
    expect((await getattr(client, seq, 1)).o_size).toBe(400_000n);
    await expect(punch(5n, 100n)).rejects.toMatchObject({ code: 'EPROTO' });
    const before = cluster.ost.lastCommitted();
    await client.imp.call(RQF_OST_SYNC, body({ o_valid: ID, o_oi: fid(seq, 1) }));
    expect(cluster.ost.lastCommitted()).toBeGreaterThan(before);
    cluster.objects.crash();
    expect((await getattr(client, seq, 1)).o_size).toBe(400_000n);
  });

  scenario('STATFS leaves out what is promised', async (cluster) => {
    const { client } = await prepared(cluster);
    const s = (await client.imp.call(RQF_OST_STATFS, {}, { requestPortal: 7 })).values.obd_statfs!;
    expect(s).toMatchObject({ os_bsize: 4096, os_blocks: 262144n, os_namelen: 255, os_state: 0 });
    expect(s.os_bfree - s.os_bavail).toBe(BigInt(client.granted.ocd_grant / 4096));
  });
});

describe('an OST that loses its power', () => {
  scenario('keeps what was committed and never repeats a transaction number', async (cluster) => {
    const { client, seq } = await prepared(cluster);
    const first = await write(client, seq, 1, [{ at: 0n, data: noise(100) }]);
    await cluster.sim.sleep(6000);
    expect(cluster.ost.lastCommitted()).toBeGreaterThanOrEqual(first.transno);
    await write(client, seq, 1, [{ at: 0n, data: noise(9000) }]);
    cluster.process.kill();
    cluster.objects.crash();
    await cluster.start();
    expect(cluster.ost.lastCommitted()).toBe(first.transno);
    const other = await cluster.connect();
    expect((await getattr(other, seq, 1)).o_size).toBe(100n);
    const later = await write(other, seq, 1, [{ at: 0n, data: noise(10) }], { flags: OBD_BRW_SRVLOCK });
    expect(later.transno).toBeGreaterThan(first.transno);
    // Written without ASYNC: on disk before the reply.
    cluster.objects.crash();
    expect((await getattr(other, seq, 1)).o_mtime).toBeGreaterThan(0n);
  });
});
