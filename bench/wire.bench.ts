/** Encode and decode of the messages that dominate traffic: `npx tsx bench/wire.bench.ts`. */
import { Bench } from 'tinybench';
import { decodeRequest, encodeBuffers } from '../lib/wire/format.ts';
import { RQF_LDLM_INTENT_GETATTR, RQF_OST_BRW_WRITE } from '../lib/wire/formats.ts';
import { LnetHdrNid4 } from '../lib/wire/lnet-structs.ts';
import { PtlrpcBodyV3 } from '../lib/wire/ptlrpc-structs.ts';

const bench = new Bench({ time: 500 });
const into = new Uint8Array(4096);
const fid = { f_seq: 0x200000401n, f_oid: 17, f_ver: 0 };
const body = { pb_opc: 4, pb_type: 4711, pb_version: 0x30003, pb_last_xid: 1n << 50n, pb_jobid: 'cp.1000' };
const write = {
  ptlrpc_body: body,
  ost_body: { oa: { o_valid: 0x7n, o_oi: { oi_fid: fid }, o_size: 1n << 30n } },
  obd_ioobj: [{ ioo_oid: { oi_fid: fid }, ioo_bufcnt: 1, ioo_max_brw: 3 << 16 }],
  niobuf_remote: [{ rnb_offset: 1n << 20n, rnb_len: 1 << 20, rnb_flags: 0 }],
};
const getattr = {
  ptlrpc_body: { ...body, pb_opc: 101 },
  dlm_req: { lock_desc: { l_req_mode: 4, l_policy_data: { l_inodebits: { bits: 3n } } } },
  ldlm_intent: { opc: 8n },
  mdt_body: { mbo_fid1: fid, mbo_valid: 0xffn },
  name: 'a-name-of-a-file.txt',
};
const writeBytes = encodeBuffers(RQF_OST_BRW_WRITE.request, write);
const getattrBytes = encodeBuffers(RQF_LDLM_INTENT_GETATTR.request, getattr);
const bodyBytes = PtlrpcBodyV3.encode(body);
const header = LnetHdrNid4.encode({ type: 1, payload_length: 488, dest_pid: 12345 });

bench
  .add('decode lnet header', () => LnetHdrNid4.decode(header))
  .add('decode ptlrpc_body', () => PtlrpcBodyV3.decode(bodyBytes))
  .add('encode ptlrpc_body', () => PtlrpcBodyV3.encodeInto(into, 0, body))
  .add('encode OST_WRITE request', () => encodeBuffers(RQF_OST_BRW_WRITE.request, write, {}, into))
  .add('decode OST_WRITE request', () => decodeRequest(RQF_OST_BRW_WRITE, writeBytes))
  .add('encode getattr intent', () => encodeBuffers(RQF_LDLM_INTENT_GETATTR.request, getattr, {}, into))
  .add('decode getattr intent', () => decodeRequest(RQF_LDLM_INTENT_GETATTR, getattrBytes));

await bench.run();
for (const task of bench.tasks) {
  const { result } = task;
  if ('latency' in result) {
    process.stdout.write(`${task.name.padEnd(28)}${(result.latency.p50 * 1e6).toFixed(0).padStart(8)} ns\n`);
  }
}
