/** socklnd HELLO and message headers: guide 02. Fields and offsets are the reference's own. */
import { LnetNid } from './lnet-structs.ts';
import { array, type StructValue, struct, u32, u64 } from './struct.ts';

export const KsockHelloMsgNid4 = struct('ksock_hello_msg_nid4', 56, {
  kshm_magic: [0, u32],
  kshm_version: [4, u32],
  kshm_src_nid: [8, u64],
  kshm_dst_nid: [16, u64],
  kshm_src_pid: [24, u32],
  kshm_dst_pid: [28, u32],
  kshm_src_incarnation: [32, u64],
  kshm_dst_incarnation: [40, u64],
  kshm_ctype: [48, u32],
  kshm_nips: [52, u32],
  // kshm_ips follows: u32[]
});
export type KsockHelloMsgNid4 = StructValue<typeof KsockHelloMsgNid4>;

export const KsockHelloMsg = struct('ksock_hello_msg', 80, {
  kshm_magic: [0, u32],
  kshm_version: [4, u32],
  kshm_src_nid: [8, LnetNid],
  kshm_dst_nid: [28, LnetNid],
  kshm_src_pid: [48, u32],
  kshm_dst_pid: [52, u32],
  kshm_src_incarnation: [56, u64],
  kshm_dst_incarnation: [64, u64],
  kshm_ctype: [72, u32],
  kshm_nips: [76, u32],
  // kshm_ips follows: u32[]
});
export type KsockHelloMsg = StructValue<typeof KsockHelloMsg>;

export const KsockMsgHdr = struct('ksock_msg_hdr', 24, {
  ksh_type: [0, u32],
  ksh_csum: [4, u32],
  ksh_zc_cookies: [8, array(u64, 2)],
});
export type KsockMsgHdr = StructValue<typeof KsockMsgHdr>;
