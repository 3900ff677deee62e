/** lustre_msg (guide 04 §1) taken apart: header, lengths, buffers by the request's format, padding. */
import { type AnyField, decodePtlrpcBody, type Format, type PtlrpcBody } from '../../wire/format.ts';
import { decodeMessage, type Message } from '../../wire/message.ts';
import { MsgType } from '../../wire/ptlrpc-constants.ts';
import { LustreMsgV2, PtlrpcBodyV2, PtlrpcBodyV3 } from '../../wire/ptlrpc-structs.ts';
import { WireError } from '../../wire/struct.ts';
import { type ContentContext, dissectContent } from './buffer-content.ts';
import type { Dissection } from './dissection.ts';
import { opcodeName, requestVariant, type Variant } from './rpc-variants.ts';

/** A request or reply as far as it could be read. */
export interface RpcMessage {
  readonly body: PtlrpcBody;
  readonly side: 'request' | 'reply';
  readonly variant: Variant | undefined;
  readonly message: Message;
  /** Decoded buffers by field name; those that are malformed are missing and among the problems. */
  readonly values: { readonly [key: string]: unknown };
}

/** Finds what a reply answers: its format and what its content depends on. */
export type FindRequest = (body: PtlrpcBody) => { variant: Variant | undefined; context: ContentContext } | undefined;

/**
 * Takes the bytes to come apart as one message. `find` is asked for replies. Throws WireError when there is no message with
 * a ptlrpc_body; anything less wrong ends up in `d.problems`.
 */
export function dissectMessage(d: Dissection, find: FindRequest): RpcMessage {
  const message = decodeMessage(d.peek());
  const body = decodePtlrpcBody(message.buffers[0] ?? new Uint8Array(0), message.littleEndian);
  const side = body.pb_type === MsgType.PTL_RPC_MSG_REQUEST ? 'request' : 'reply';
  if (![MsgType.PTL_RPC_MSG_REQUEST, MsgType.PTL_RPC_MSG_REPLY, MsgType.PTL_RPC_MSG_ERR].some((t) => t === body.pb_type))
    throw new WireError('ptlrpc_body', `unknown type ${body.pb_type}`);
  const opcode = body.pb_opc;
  const request = side === 'reply' ? find(body) : undefined;
  const variant = side === 'request' ? requestVariant(opcode, message) : (request?.variant ?? replyVariant(opcode, message));
  if (variant === undefined) d.problems.push(`${opcodeName(opcode)}: no format`);
  const context: ContentContext = request?.context ?? { opcode, detail: variant?.detail ?? '', key: '' };
  const fields = variant?.format[side] ?? [];
  const values = dissectBuffers(d, message, fields, { ...context, side });
  if (d.left > 0) d.raw('undecoded', 'behind_message');
  return { body, side, variant, message, values: { ...values, ptlrpc_body: body } };
}

/** The format of a reply whose request was not seen: only where the opcode leaves no choice. */
function replyVariant(opcode: number, message: Message): Variant | undefined {
  const bare: Message = { ...message, buffers: message.buffers.slice(0, 1) };
  return requestVariant(opcode, bare);
}

/** Header, length table and buffers of a message; `field i` of `fields` is in buffer i. */
export function dissectBuffers(
  d: Dissection,
  message: Message,
  fields: Format['request'],
  context: ContentContext & { side: 'request' | 'reply' },
): { [key: string]: unknown } {
  const start = d.at;
  dissectMessageHeader(d, message);
  const values: { [key: string]: unknown } = {};
  message.buffers.forEach((buffer, i) => {
    const field = fields[i];
    if (buffer.length > 0) {
      const name = field?.key ?? `buffer_${i}`;
      const well = d.within(name, buffer.length, (inner) => {
        if (field === undefined) throw new WireError(name, `has ${buffer.length} bytes, the format has no such buffer`);
        dissectField(inner, field, context);
      });
      if (well && field !== undefined) values[name] = field.decode(buffer, message.littleEndian);
    }
    d.align(8, start);
  });
  return values;
}

/** lustre_msg_v2 and its table of lengths. */
export function dissectMessageHeader(d: Dissection, message: Message): void {
  const start = d.at;
  d.littleEndian = message.littleEndian;
  d.struct('lustre_msg', LustreMsgV2);
  d.numbers('lm_buflens', 4, message.buffers.length);
  d.align(8, start);
}

function dissectField(d: Dissection, field: AnyField, context: ContentContext & { side: 'request' | 'reply' }): void {
  const { shape } = field;
  if (field.key === 'ptlrpc_body') {
    if (d.left >= PtlrpcBodyV3.size) d.struct(field.key, PtlrpcBodyV3);
    else d.struct(field.key, PtlrpcBodyV2);
  } else if (shape?.kind === 'struct') {
    d.struct(field.key, shape.type);
  } else if (shape?.kind === 'structs') {
    d.structs(field.key, shape.type, Math.floor(d.left / shape.type.size));
  } else if (shape?.kind === 'lock') {
    d.struct(field.key, shape.type);
    d.numbers('lock_handle', 8, Math.floor(d.left / 8));
  } else if (shape?.kind === 'u32' || shape?.kind === 'u32s') {
    d.numbers(field.key, 4, Math.floor(d.left / 4));
  } else if (shape?.kind === 'u64') {
    d.numbers(field.key, 8, Math.floor(d.left / 8));
  } else if (shape?.kind === 'text') {
    field.decode(d.peek(), d.littleEndian);
    d.text(field.key, d.left);
  } else dissectContent(d, field.key, context);
}
