/** o2iblnd messages (guide 03 §2), and which RDMA writes belong to which LNet message. */
import { O2iblnd } from '../../wire/lnet-constants.ts';
import {
  KibCompletionMsg,
  KibConnparams,
  KibPutackMsg,
  KibRdmaDesc,
  KibRdmaFrag,
} from '../../wire/o2iblnd-structs.ts';
import { type StructValue, struct, u8, u16, u32, u64, WireError } from '../../wire/struct.ts';
import type { Dissection } from './dissection.ts';
import { dissectHeader, type LnetHeader } from './lnet-messages.ts';

/** The part of kib_msg before its union. */
const KibHeader = struct('kib_msg', 48, {
  ibm_magic: [0, u32],
  ibm_version: [4, u16],
  ibm_type: [6, u8],
  ibm_credits: [7, u8],
  ibm_nob: [8, u32],
  ibm_cksum: [12, u32],
  ibm_srcnid: [16, u64],
  ibm_srcstamp: [24, u64],
  ibm_dstnid: [32, u64],
  ibm_dststamp: [40, u64],
});
const Cookie = struct('cookie', 8, { cookie: [0, u64] });

/** Memory that a peer may write to. */
export interface RdmaTarget {
  readonly key: number;
  readonly fragments: readonly { readonly address: bigint; readonly size: number }[];
}

export interface KibMessage {
  readonly type: keyof typeof typeNames | number;
  readonly name: string;
  readonly source: bigint;
  readonly destination: bigint;
  /** The LNet header of IMMEDIATE, PUT_REQ and GET_REQ; an IMMEDIATE's payload is still to be taken. */
  readonly header?: LnetHeader;
  readonly cookie?: bigint;
  /** PUT_ACK: the cookie that PUT_DONE will have. */
  readonly sinkCookie?: bigint;
  readonly target?: RdmaTarget;
  readonly status?: number;
}

const typeNames = {
  [O2iblnd.IBLND_MSG_CONNREQ]: 'CONNREQ',
  [O2iblnd.IBLND_MSG_CONNACK]: 'CONNACK',
  [O2iblnd.IBLND_MSG_NOOP]: 'NOOP',
  [O2iblnd.IBLND_MSG_IMMEDIATE]: 'IMMEDIATE',
  [O2iblnd.IBLND_MSG_PUT_REQ]: 'PUT_REQ',
  [O2iblnd.IBLND_MSG_PUT_NAK]: 'PUT_NAK',
  [O2iblnd.IBLND_MSG_PUT_ACK]: 'PUT_ACK',
  [O2iblnd.IBLND_MSG_PUT_DONE]: 'PUT_DONE',
  [O2iblnd.IBLND_MSG_GET_REQ]: 'GET_REQ',
  [O2iblnd.IBLND_MSG_GET_DONE]: 'GET_DONE',
} as const;

/** Takes a message apart up to an IMMEDIATE's payload. Throws WireError for what is none. */
export function dissectKib(d: Dissection): KibMessage {
  const word = d.word(0, true);
  d.littleEndian = word === O2iblnd.IBLND_MSG_MAGIC;
  const header = d.struct('kib_msg', KibHeader);
  if (header.ibm_magic !== O2iblnd.IBLND_MSG_MAGIC)
    throw new WireError('kib_msg', `wrong magic 0x${word.toString(16)}`);
  const type = header.ibm_type;
  const name = (typeNames as Record<number, string | undefined>)[type];
  if (name === undefined) throw new WireError('kib_msg', `unknown type ${type}`);
  const about = { type, name, source: header.ibm_srcnid, destination: header.ibm_dstnid };
  switch (type) {
    case O2iblnd.IBLND_MSG_CONNREQ:
    case O2iblnd.IBLND_MSG_CONNACK:
      d.struct('connparams', KibConnparams);
      return about;
    case O2iblnd.IBLND_MSG_NOOP:
      return about;
    case O2iblnd.IBLND_MSG_IMMEDIATE:
      return { ...about, header: dissectHeader(d, false) };
    case O2iblnd.IBLND_MSG_PUT_REQ: {
      const lnet = dissectHeader(d, false);
      return { ...about, header: lnet, cookie: d.struct('ibprm_cookie', Cookie).cookie };
    }
    case O2iblnd.IBLND_MSG_GET_REQ: {
      const lnet = dissectHeader(d, false);
      const { cookie } = d.struct('ibgm_cookie', Cookie);
      return { ...about, header: lnet, cookie, target: targetOf(d, d.struct('ibgm_rd', KibRdmaDesc)) };
    }
    case O2iblnd.IBLND_MSG_PUT_ACK: {
      const ack = d.struct('putack', KibPutackMsg);
      return {
        ...about,
        cookie: ack.ibpam_src_cookie,
        sinkCookie: ack.ibpam_dst_cookie,
        target: targetOf(d, ack.ibpam_rd),
      };
    }
    default: {
      const completion = d.struct('completion', KibCompletionMsg);
      return { ...about, cookie: completion.ibcm_cookie, status: completion.ibcm_status };
    }
  }
}

function targetOf(d: Dissection, descriptor: StructValue<typeof KibRdmaDesc>): RdmaTarget {
  if (descriptor.rd_nfrags > O2iblnd.IBLND_MAX_RDMA_FRAGS)
    throw new WireError('kib_rdma_desc', `has ${descriptor.rd_nfrags} fragments`);
  const fragments = d
    .structs('rd_frags', KibRdmaFrag, descriptor.rd_nfrags)
    .map(({ rf_addr, rf_nob }) => ({ address: rf_addr, size: rf_nob }));
  return { key: descriptor.rd_key, fragments };
}
