/** lustre_msg (guide 04 §1) taken apart: header, lengths, buffers by the request's format, padding. */
import { decodePtlrpcBody, type PtlrpcBody } from '../../wire/format.ts';
import { decodeMessage, type Message } from '../../wire/message.ts';
import { MsgType } from '../../wire/ptlrpc-constants.ts';
import { WireError } from '../../wire/struct.ts';
import type { ContentContext } from './content-context.ts';
import type { Dissection } from './dissection.ts';
import { dissectBuffers } from './message-buffers.ts';
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
export type FindRequest = (
  body: PtlrpcBody,
) => { variant: Variant | undefined; context: ContentContext } | undefined;

/**
 * Takes the bytes to come apart as one message. `find` is asked for replies. Throws WireError when there is no message with
 * a ptlrpc_body; anything less wrong ends up in `d.problems`.
 */
export function dissectMessage(d: Dissection, find: FindRequest): RpcMessage {
  const message = decodeMessage(d.peek());
  const body = decodePtlrpcBody(message.buffers[0] ?? new Uint8Array(0), message.littleEndian);
  const side = body.pb_type === MsgType.PTL_RPC_MSG_REQUEST ? 'request' : 'reply';
  if (
    ![MsgType.PTL_RPC_MSG_REQUEST, MsgType.PTL_RPC_MSG_REPLY, MsgType.PTL_RPC_MSG_ERR].some(
      (t) => t === body.pb_type,
    )
  )
    throw new WireError('ptlrpc_body', `unknown type ${body.pb_type}`);
  const opcode = body.pb_opc;
  const request = side === 'reply' ? find(body) : undefined;
  const variant =
    side === 'request'
      ? requestVariant(opcode, message)
      : (request?.variant ?? replyVariant(opcode, message));
  if (variant === undefined) d.problems.push(`${opcodeName(opcode)}: no format`);
  const context: ContentContext = request?.context ?? { opcode, detail: variant?.detail ?? '', key: '' };
  const fields = variant?.format[side] ?? [];
  const values = dissectBuffers(d, message, fields, { ...context, side });
  if (d.left > 0) d.raw('undecoded', 'behind_message');
  return { body, side, variant, message, values: { ...values, ptlrpc_body: body } };
}

/** The format of a reply whose request was not seen: only where the opcode leaves no choice. */
function replyVariant(opcode: number, message: Message): Variant | undefined {
  const { buffers, littleEndian } = message;
  return requestVariant(opcode, { buffers: buffers.slice(0, 1), littleEndian });
}
