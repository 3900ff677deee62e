/** The buffers of a lustre_msg (guide 04 §1), each taken apart by its field of the request's format; and batches of
 * requests in one RPC (MDS_BATCH: guide 09), which are such messages without a ptlrpc_body, their opcode in lm_opc. */
import type { AnyField, Format } from '../../wire/format.ts';
import { RQF_BUT_GETATTR } from '../../wire/formats.ts';
import { Dir } from '../../wire/mds-constants.ts';
import { decodeMessage, type Message } from '../../wire/message.ts';
import { Opcode } from '../../wire/opcodes.ts';
import { BatchOpcode } from '../../wire/ptlrpc-constants.ts';
import {
  BatchUpdateReply,
  BatchUpdateRequest,
  ButUpdateHeader,
  LustreMsgV2,
  PtlrpcBodyV2,
  PtlrpcBodyV3,
} from '../../wire/ptlrpc-structs.ts';
import { WireError } from '../../wire/struct.ts';
import { dissectContent } from './buffer-content.ts';
import type { SidedContext } from './content-context.ts';
import type { Dissection } from './dissection.ts';

/** Header, length table and buffers of a message; `field i` of `fields` is in buffer i. */
export function dissectBuffers(
  d: Dissection,
  message: Message,
  fields: Format['request'],
  context: SidedContext,
): { [key: string]: unknown } {
  const start = d.at;
  dissectMessageHeader(d, message);
  const values: { [key: string]: unknown } = {};
  message.buffers.forEach((buffer, i) => {
    const field = fields[i];
    if (buffer.length > 0) {
      const name = field?.key ?? `buffer_${i}`;
      const well = d.within(name, buffer.length, (inner) => {
        if (field === undefined)
          throw new WireError(name, `has ${buffer.length} bytes, the format has no such buffer`);
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

function dissectField(d: Dissection, field: AnyField, context: SidedContext): void {
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
  } else if (field.key === 'but_header') dissectBatchRequest(d);
  else if (field.key === 'but_reply') dissectBatchReply(d);
  else dissectContent(d, field.key, context);
}

/** The inline form: its header, then the batch itself. */
function dissectBatchRequest(d: Dissection): void {
  d.struct('but_update_header', ButUpdateHeader);
  if (d.left > 0) dissectBatch(d);
}

/** Batches of requests, inline or by bulk; each starts on a page of its own. */
export function dissectBatch(d: Dissection): void {
  const start = d.at;
  while (d.left > 0) {
    const { burq_count } = d.struct('batch_update_request', BatchUpdateRequest);
    dissectParts(d, burq_count, 'request');
    d.align(Dir.LU_PAGE_SIZE, start);
  }
}

/** What a server had begun to write before a request of the batch failed stays behind those that its count names. */
function dissectBatchReply(d: Dissection): void {
  const { burp_count } = d.struct('batch_update_reply', BatchUpdateReply);
  dissectParts(d, burp_count, 'reply');
  d.raw('padding', 'abandoned');
}

function dissectParts(d: Dissection, count: number, side: 'request' | 'reply'): void {
  for (let i = 0; i < count && d.left > 0; i++) {
    const message = decodeMessage(d.peek());
    // In replies the word of the opcode holds the result.
    const known = side === 'reply' || message.opc === BatchOpcode.BUT_GETATTR;
    const fields: readonly AnyField[] = known ? RQF_BUT_GETATTR[side] : [];
    d.within(`batch[${i}]`, message.size, (inner) => {
      dissectBuffers(inner, message, fields, { opcode: Opcode.MDS_BATCH, detail: '', key: '', side });
    });
  }
}
