/** Recorded replies cut to what our client asked for: a server grants no more. */
import type { RpcMessage } from '../../lib/cli/decode/rpc-messages.ts';
import { ObdConnectData } from '../../lib/wire/connection-structs.ts';
import { encodeBuffers } from '../../lib/wire/format.ts';
import { RQF_LDLM_CONVERT } from '../../lib/wire/formats.ts';
import { LdlmReply, type LdlmRequest } from '../../lib/wire/ldlm-structs.ts';
import { decodeMessage } from '../../lib/wire/message.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { MsgType } from '../../lib/wire/ptlrpc-constants.ts';
import { LustreMsgV2 } from '../../lib/wire/ptlrpc-structs.ts';
import type { LockLedger } from './lock-ledger.ts';
import { bufferOffset } from './recorded-bytes.ts';

const CONNECTS: readonly number[] = [Opcode.MGS_CONNECT, Opcode.MDS_CONNECT, Opcode.OST_CONNECT];

export const isConnect = ({ body }: RpcMessage): boolean => CONNECTS.includes(body.pb_opc);

/** Of pb_status in ptlrpc_body. */
const STATUS = 20;
/** Of lock_handle in ldlm_reply. */
const LOCK_HANDLE = LdlmReply.size - 24;
/** Of ocd_connect_flags2 in obd_connect_data. */
const CONNECT_FLAGS2 = 80;

/** A recorded reply as the answer to a request of ours that asked for less. */
export function answerTo(request: RpcMessage, payload: Uint8Array, locks: LockLedger): Uint8Array {
  if (isConnect(request)) return grantWhatWasAsked(payload, request);
  if (request.body.pb_opc === Opcode.LDLM_CONVERT) return withHandleOfOurs(payload, locks);
  return request.body.pb_opc === Opcode.OST_READ ? cutToSize(payload, bytesAsked(request)) : payload;
}

/** Where a data request begins and ends in its object. */
export function bytesOf({ values }: RpcMessage): { readonly start: number; readonly end: number } {
  const buffers = values.niobuf_remote as { rnb_offset: bigint; rnb_len: number }[];
  const [first, last] = [buffers[0], buffers.at(-1)];
  if (first === undefined || last === undefined) return { start: 0, end: 0 };
  return { start: Number(first.rnb_offset), end: Number(last.rnb_offset) + last.rnb_len };
}

export const bytesAsked = ({ values }: RpcMessage): number =>
  (values.niobuf_remote as { rnb_len: number }[]).reduce((sum, { rnb_len }) => sum + rnb_len, 0);

/** Kernel clients read whole pages. Who asks for less gets the beginning: the status says how much, inline or by bulk. */
function cutToSize(payload: Uint8Array, asked: number): Uint8Array {
  const { buffers } = decodeMessage(payload);
  const bytes = new Uint8Array(payload);
  const view = new DataView(bytes.buffer);
  const body = bufferOffset(bytes, 0);
  const sent = view.getInt32(body + STATUS, true);
  if (sent <= asked) return bytes;
  view.setInt32(body + STATUS, asked, true);
  const last = buffers.length - 1;
  if (buffers[last]?.length === sent) view.setUint32(LustreMsgV2.size + 4 * last, asked, true);
  return bytes.subarray(0, decodeMessage(bytes).size);
}

/** A convert's answer names the client's lock. */
function withHandleOfOurs(payload: Uint8Array, locks: LockLedger): Uint8Array {
  const bytes = new Uint8Array(payload);
  const at = bufferOffset(bytes, 1);
  const { lock_handle } = LdlmReply.decode(bytes, at);
  new DataView(bytes.buffer).setBigUint64(at + LOCK_HANDLE, locks.ours(lock_handle) ?? lock_handle, true);
  return bytes;
}

/** What a server says that takes a convert: nothing but the client's handle of the lock (guide 08 §6). */
export function answerToConvert(request: RpcMessage, locks: LockLedger): Uint8Array {
  const { values, body } = request;
  const { lock_desc } = values.dlm_req as LdlmRequest;
  const inputs = {
    ptlrpc_body: {
      pb_type: MsgType.PTL_RPC_MSG_REPLY,
      pb_version: body.pb_version,
      pb_opc: body.pb_opc,
    },
    dlm_rep: { lock_desc, lock_handle: locks.named(request) ?? 0n },
  };
  return encodeBuffers(RQF_LDLM_CONVERT.reply, inputs, { secflvr: 0, repsize: 0, flags: 0 });
}

/** Servers grant only what was asked (guide 05 §2): ours asks for less than the kernel. */
function grantWhatWasAsked(payload: Uint8Array, { values }: RpcMessage): Uint8Array {
  const asked = values.connect_data as ObdConnectData;
  // The target is not there.
  if (decodeMessage(payload).buffers.length === 1) return payload;
  const bytes = new Uint8Array(payload);
  const at = bufferOffset(bytes, 1);
  const granted = ObdConnectData.decode(bytes, at);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(at, granted.ocd_connect_flags & asked.ocd_connect_flags, true);
  const second = at + CONNECT_FLAGS2;
  view.setBigUint64(second, granted.ocd_connect_flags2 & asked.ocd_connect_flags2, true);
  return bytes;
}
