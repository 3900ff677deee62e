/** A call's request as a message (guide 04 §1.2): its own buffers, and a ptlrpc_body that says what its import knows. */
import type { Slab } from '../rpc/slab.ts';
import type { Writable } from '../runtime/writable.ts';
import { encodeInto, type Format, type Inputs, rpcVersion } from '../wire/format.ts';
import { MsgFlag, MsgType, RpcVersion } from '../wire/ptlrpc-constants.ts';
import type { PtlrpcBodyV3 } from '../wire/ptlrpc-structs.ts';
import type { StructInput } from '../wire/struct.ts';
import type { ImportView } from './import-view.ts';

/** Of the request that is to be sent. */
export interface RequestParts {
  readonly opcode: number;
  /** Modify slot, or 0. */
  readonly tag: number;
  readonly resend: boolean;
  readonly bulkMatchBits: number;
  readonly replySize: number;
  readonly request: Slab;
}

/** Filled anew for each request: encoding one is over before another begins. */
const requestBody = {
  pb_type: MsgType.PTL_RPC_MSG_REQUEST,
  pb_handle: 0n,
  pb_version: 0,
  pb_opc: 0,
  pb_last_xid: 0,
  pb_tag: 0,
  pb_flags: 0,
  pb_conn_cnt: 0,
  pb_timeout: 0,
  pb_mbits: 0,
} satisfies Writable<StructInput<typeof PtlrpcBodyV3>>;
const requestHeader = { secflvr: 0, repsize: 0, flags: 0 };

/** Writes it into its slab. Gives its bytes. */
export function encodeRequest(
  view: ImportView,
  parts: RequestParts,
  format: Format,
  values: object,
  lengths: readonly number[],
  timeout: number,
): number {
  const own = (values as { ptlrpc_body?: { pb_flags?: number } }).ptlrpc_body;
  requestBody.pb_handle = view.remoteHandle;
  requestBody.pb_version = rpcVersion(parts.opcode) | RpcVersion.PTLRPC_MSG_VERSION;
  requestBody.pb_opc = parts.opcode;
  requestBody.pb_last_xid = view.unreplied.lastXid();
  requestBody.pb_tag = parts.tag;
  requestBody.pb_flags = (own?.pb_flags ?? 0) | (parts.resend ? MsgFlag.MSG_RESENT : 0);
  requestBody.pb_conn_cnt = view.connectCount;
  requestBody.pb_timeout = timeout;
  requestBody.pb_mbits = parts.bulkMatchBits;
  requestHeader.secflvr = view.flavour;
  requestHeader.repsize = parts.replySize;
  requestHeader.flags = view.headerFlags;
  const body = own === undefined ? requestBody : { ...own, ...requestBody };
  return encodeInto(format.request, lengths, values as Inputs, body, requestHeader, parts.request.bytes);
}
