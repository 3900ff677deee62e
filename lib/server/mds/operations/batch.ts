/**
 * MDS_BATCH (guide 09 §9, guide 10 §11): many getattr intents in one request. None waits for a lock: what cannot be answered
 * at once is refused, and the client asks for it alone. Kernels end the batch there; each answer has room for a result of its
 * own, so that here the others go on.
 */
import type { Call, Operation } from '../../../connection/target.ts';
import { type BegunIntent, beginIntent } from '../../../ldlm/server-operations.ts';
import { Errno, errnoError, ProtocolError } from '../../../runtime/errors.ts';
import {
  buffersSize,
  decodeBuffers,
  encodeBuffers,
  type ReplyInputs,
  required,
} from '../../../wire/format.ts';
import { RQF_BUT_GETATTR, RQF_MDS_BATCH } from '../../../wire/formats.ts';
import { Disposition, IntentOpcode } from '../../../wire/ldlm-constants.ts';
import { Dir } from '../../../wire/mds-constants.ts';
import { decodeMessage, MESSAGE_BUFFER_SIZE_MAX, type Message } from '../../../wire/message.ts';
import { Portal } from '../../../wire/opcodes.ts';
import { BatchOpcode, Magic, RpcLimit } from '../../../wire/ptlrpc-constants.ts';
import { BatchUpdateReply, BatchUpdateRequest, ButUpdateHeader } from '../../../wire/ptlrpc-structs.ts';
import type { MetadataTarget } from '../metadata-target.ts';
import { nameBytes } from '../request-fields.ts';
import { type GetattrAnswer, getattr } from './intent-getattr.ts';
import { intentReply } from './intent-reply.ts';

/** Most requests of one batch: kernels send 64 (statahead_batch_max), 1024 at most. */
const REQUESTS_MAX = 1024;

type BatchCall = Call<typeof RQF_MDS_BATCH>;
type SubReply = ReplyInputs<typeof RQF_BUT_GETATTR>;

interface Answered {
  readonly answer: GetattrAnswer;
  readonly intent: BegunIntent;
  /** Positive; 0 for an answer with a lock. */
  readonly errno: number;
}

export function batch(mdt: MetadataTarget): Operation<typeof RQF_MDS_BATCH> {
  return {
    format: RQF_MDS_BATCH,
    async handle(call) {
      const { littleEndian } = call.request.message;
      const bytes = required(call.values, 'but_header');
      const header = ButUpdateHeader.decode(bytes, 0, littleEndian);
      if (header.buh_magic !== Magic.BUT_HEADER_MAGIC) throw malformed('has a wrong magic');
      const blocks =
        header.buh_inline_length > 0
          ? [inline(bytes, header.buh_inline_length)]
          : await fetched(mdt, call, header.buh_count);
      const messages = blocks.flatMap((block) => requestsOf(block, littleEndian));
      if (messages.length === 0 || messages.length > REQUESTS_MAX)
        throw malformed(`has ${messages.length} requests`);
      answerAll(mdt, call, messages, Math.min(header.buh_reply_size, MESSAGE_BUFFER_SIZE_MAX));
    },
  };
}

const malformed = (what: string): ProtocolError => new ProtocolError('EPROTO', `a batch of requests ${what}`);

function inline(header: Uint8Array, length: number): Uint8Array {
  if (ButUpdateHeader.size + length > header.length) throw malformed('is cut off');
  return header.subarray(ButUpdateHeader.size, ButUpdateHeader.size + length);
}

/** Batches of more than a page lie in the client's memory, each block in pages of its own. */
async function fetched(mdt: MetadataTarget, call: BatchCall, count: number): Promise<Uint8Array[]> {
  const sizes = (call.values.but_buf ?? []).map(({ bub_size }) => bub_size);
  if (count === 0 || sizes.length !== count) throw malformed(`has ${sizes.length} of ${count} blocks`);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total >= RpcLimit.OUT_MAXREQSIZE || sizes.some((size) => size === 0 || size % Dir.LU_PAGE_SIZE !== 0))
    throw malformed(`has blocks of ${sizes.join(', ')} bytes`);
  const bytes = new Uint8Array(total);
  const memory = mdt.ptlrpc.endpoint.pin(bytes);
  try {
    await call.request.bulkGet(Portal.MDS_BULK_PORTAL, [{ memory, offset: 0, length: total }]);
  } finally {
    memory.release();
  }
  let at = 0;
  return sizes.map((size) => {
    at += size;
    return bytes.subarray(at - size, at);
  });
}

function requestsOf(block: Uint8Array, littleEndian: boolean): Message[] {
  const { burq_magic, burq_count } = BatchUpdateRequest.decode(block, 0, littleEndian);
  if (burq_magic !== Magic.BUT_REQUEST_MAGIC) throw malformed('has a block with a wrong magic');
  if (burq_count > REQUESTS_MAX) throw malformed(`has ${burq_count} requests`);
  const messages: Message[] = [];
  for (let at = BatchUpdateRequest.size; messages.length < burq_count; at += messages.at(-1)!.size)
    messages.push(decodeMessage(block.subarray(at)));
  return messages;
}

/** All at one moment, so that no lock waits for its reply while another client waits for the lock. */
function answerAll(
  mdt: MetadataTarget,
  call: BatchCall,
  messages: readonly Message[],
  replySize: number,
): void {
  const done: Answered[] = [];
  try {
    let size = BatchUpdateReply.size;
    for (const message of messages) {
      const one = answerOne(mdt, call, message);
      size += buffersSize(RQF_BUT_GETATTR.reply, { dlm_rep: {}, ...one.answer.reply }, true);
      if (size > replySize) {
        one.intent.cancel();
        break;
      }
      done.push(one);
    }
    const but_reply = encodeReply(done);
    if (done.length === messages.length) call.reply({ but_reply });
    else call.fail(Errno.EOVERFLOW, { but_reply });
  } catch (error) {
    for (const { intent } of done) intent.cancel();
    throw error;
  }
}

function answerOne(mdt: MetadataTarget, call: BatchCall, message: Message): Answered {
  if (message.opc !== BatchOpcode.BUT_GETATTR) throw malformed(`asks for operation ${message.opc}`);
  const values = decodeBuffers(RQF_BUT_GETATTR.request, message);
  const opcode = Number(required(values, 'ldlm_intent').opc & 0xffff_ffffn);
  if (opcode !== IntentOpcode.IT_GETATTR && opcode !== IntentOpcode.IT_LOOKUP)
    throw malformed(`has intent 0x${opcode.toString(16)}`);
  const intent = beginIntent(mdt.locks, call, values.dlm_req, opcode);
  if ('errno' in intent) throw errnoError(intent.errno, { syscall: 'getattr', hint: intent.reason });
  const answer = getattr(mdt, {
    client: call.export,
    body: required(values, 'mdt_body'),
    name: nameBytes({ message }, RQF_BUT_GETATTR, 'name'),
    context: {
      ...intent,
      // Only what is free: who waited here would keep the locks of the requests before from whoever wants them.
      grant: (resource, mode, { inodeBits = 0n, tryBits = 0n }) =>
        intent.grant(resource, mode, { inodeBits: 0n, tryBits: inodeBits | tryBits }),
    },
  });
  if (answer instanceof Promise) throw malformed('waits for a lock');
  return { answer, intent, errno: errnoOf(answer) };
}

function errnoOf({ disposition, errno, lock }: GetattrAnswer): number {
  if (errno !== 0) return errno;
  if (lock !== undefined) return 0;
  return (disposition & Disposition.DISP_LOOKUP_NEG) !== 0 ? Errno.ENOENT : Errno.EBUSY;
}

/** The locks' own fields are made last: from then on conflicts are told to the client. */
function encodeReply(done: readonly Answered[]): Uint8Array {
  const parts = done.map(({ answer, errno }) => {
    const values: SubReply =
      errno === 0 ? { dlm_rep: intentReply(answer).dlm_rep, ...answer.reply } : { dlm_rep: {} };
    // In replies the word of the opcode is the result.
    const opc = -errno >>> 0;
    return encodeBuffers<(typeof RQF_BUT_GETATTR)['reply']>(RQF_BUT_GETATTR.reply, values, {
      allSlots: true,
      opc,
    });
  });
  const head = BatchUpdateReply.encode({ burp_magic: Magic.BUT_REPLY_MAGIC, burp_count: done.length });
  return Buffer.concat([head, ...parts]);
}
