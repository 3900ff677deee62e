/** An OST under requests of any content: each gets an answer, and the next client is served (preamble of guide 16 §2). */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BulkError } from '../../../lib/rpc/server-bulk.ts';
import { LustreError } from '../../../lib/runtime/errors.ts';
import type { Format, RequestInputs } from '../../../lib/wire/format.ts';
import {
  RQF_OST_BRW_READ,
  RQF_OST_BRW_WRITE,
  RQF_OST_CREATE,
  RQF_OST_DESTROY,
  RQF_OST_FALLOCATE,
  RQF_OST_GET_INFO,
  RQF_OST_GETATTR,
  RQF_OST_LADVISE,
  RQF_OST_PUNCH,
  RQF_OST_QUOTACTL,
  RQF_OST_SEEK,
  RQF_OST_SET_GRANT_INFO,
  RQF_OST_SETATTR,
  RQF_OST_STATFS,
  RQF_OST_SYNC,
  RQF_SEQ_QUERY,
} from '../../../lib/wire/formats.ts';
import { MDT_ASK, OstCluster } from './ost-cluster.ts';

const SEQ = 0x400200000400n;
const u64 = fc.oneof(
  fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  fc.constantFrom(0n, 1n, 4096n, SEQ, 0xffffffffffffffffn, 1n << 63n, 0xffffffff000n),
);
const u32 = fc.oneof(fc.nat(0xffffffff), fc.constantFrom(0, 1, 2, 3, 4, 0xffffffff));
const oid = fc.oneof(fc.nat(40), fc.nat(0xffffffff));
const seq = fc.oneof(fc.constant(SEQ), u64);
const oa = fc.record({
  o_valid: fc.oneof(u64, fc.constant(0xffffffffffffffffn), fc.constant(0x1000001n)),
  o_oi: fc.record({ oi_fid: fc.record({ f_seq: seq, f_oid: oid, f_ver: fc.constantFrom(0, 0, 0, 1) }) }),
  o_size: u64,
  o_blocks: u64,
  o_grant: u64,
  o_mode: u32,
  o_nlink: u32,
  o_misc: fc.nat(50),
  o_data_version: u64,
  o_layout_version: u32,
  o_handle: fc.constantFrom(0n, 1n),
  // Server-side locks are of no interest here: nobody holds one.
  o_flags: u32.map((flags) => flags | 0x400000),
});
const niobuf_remote = fc.array(fc.record({ rnb_offset: u64, rnb_len: u32, rnb_flags: u32 }), {
  maxLength: 3,
});
const obd_ioobj = fc.array(fc.record({ ioo_max_brw: u32, ioo_bufcnt: fc.nat(4) }), { maxLength: 2 });
const bytes = fc.uint8Array({ maxLength: 300 });

const withBody = [
  RQF_OST_GETATTR,
  RQF_OST_SETATTR,
  RQF_OST_CREATE,
  RQF_OST_DESTROY,
  RQF_OST_PUNCH,
  RQF_OST_FALLOCATE,
  RQF_OST_SYNC,
  RQF_OST_SEEK,
];
const request: fc.Arbitrary<{ format: Format; values: object }> = fc.oneof(
  fc.record({
    format: fc.constantFrom<Format>(...withBody),
    values: fc.record({ ost_body: fc.record({ oa }) }),
  }),
  fc.record({
    format: fc.constantFrom<Format>(RQF_OST_BRW_READ, RQF_OST_BRW_WRITE),
    values: fc.record({ ost_body: fc.record({ oa }), obd_ioobj, niobuf_remote, short_io: bytes }),
  }),
  fc.record({ format: fc.constant<Format>(RQF_OST_GET_INFO), values: fc.record({ getinfo_key: bytes }) }),
  fc.record({
    format: fc.constant<Format>(RQF_OST_SET_GRANT_INFO),
    values: fc.record({
      setinfo_key: fc.constant(Buffer.from('grant_shrink\0')),
      ost_body: fc.record({ oa }),
    }),
  }),
  fc.record({
    format: fc.constant<Format>(RQF_OST_LADVISE),
    values: fc.record({
      ost_body: fc.record({ oa }),
      ost_ladvise_hdr: fc.record({ lah_magic: fc.constant(0x1adf1ce0), lah_count: fc.nat(5) }),
      ost_ladvise: fc.array(fc.record({ lla_advice: fc.nat(6), lla_start: u64, lla_end: u64 }), {
        maxLength: 4,
      }),
    }),
  }),
  fc.record({ format: fc.constant<Format>(RQF_OST_QUOTACTL), values: fc.constant({}) }),
  fc.record({
    format: fc.constant<Format>(RQF_SEQ_QUERY),
    values: fc.record({
      seq_opc: u32.filter((opcode) => opcode !== 0),
      seq_range: fc.record({ lsr_start: u64, lsr_flags: u32 }),
    }),
  }),
);

/** What makes a client connect again, or says that the server failed: a bad request may not have it. */
const reconnects = /^(ENODEV|ENOTCONN|ETIMEDOUT|EIO)$/;

it('answers every request and goes on', async () => {
  const cluster = new OstCluster();
  await cluster.sim.run(
    (async () => {
      await cluster.start();
      const mdt = await cluster.connect({ ...MDT_ASK, ocd_index: 0 });
      const range = { seq_opc: 1, seq_range: { lsr_flags: 1 } };
      await mdt.imp.call(RQF_SEQ_QUERY, range, { requestPortal: 31 });
      const o_oi = { oi_fid: { f_seq: SEQ, f_oid: 32, f_ver: 0 } };
      await mdt.imp.call(RQF_OST_CREATE, { ost_body: { oa: { o_oi, o_valid: 0x1000000n } } });
      const { imp } = await cluster.connect();
      await fc.assert(
        fc.asyncProperty(request, async ({ format, values }) => {
          try {
            await imp.call(format, values as RequestInputs<Format>, { noResend: true });
          } catch (error) {
            expect(error).toBeInstanceOf(LustreError);
            expect(error).not.toBeInstanceOf(BulkError);
            expect({ format: format.name, code: (error as LustreError).code }).not.toMatchObject({
              code: expect.stringMatching(reconnects),
            });
          }
        }),
        { numRuns: 600, seed: 42 },
      );
      const statfs = await mdt.imp.call(RQF_OST_STATFS, {}, { requestPortal: 7 });
      expect(statfs.values.obd_statfs!.os_bsize).toBe(4096);
    })(),
  );
});
