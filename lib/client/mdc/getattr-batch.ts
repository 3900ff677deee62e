/**
 * Getattr intents that wait for each other's answers go many in one request (MDS_BATCH: guide 09 §9, guide 10 §11) where the
 * server takes that. What it cannot answer at once is asked alone, and so is what was behind it where it stopped there, as
 * kernels do.
 */
import type { Caller, CallOptions, Reply } from '../../rpc/rpc.ts';
import { Errno, ProtocolError } from '../../runtime/errors.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import { ConnectFlag2 } from '../../wire/connection-constants.ts';
import type { ObdConnectData } from '../../wire/connection-structs.ts';
import { decodeBuffers, encodeBuffers, type RequestInputs, required } from '../../wire/format.ts';
import { RQF_BUT_GETATTR, RQF_LDLM_INTENT_GETATTR, RQF_MDS_BATCH } from '../../wire/formats.ts';
import { decodeMessage } from '../../wire/message.ts';
import { BatchOpcode, Magic } from '../../wire/ptlrpc-constants.ts';
import { BatchUpdateReply, BatchUpdateRequest, ButUpdateHeader } from '../../wire/ptlrpc-structs.ts';

type Request = RequestInputs<typeof RQF_LDLM_INTENT_GETATTR>;
type Answer = Reply<typeof RQF_LDLM_INTENT_GETATTR>;
type BatchReply = Reply<typeof RQF_MDS_BATCH>;

/** Kernels: statahead_batch_max. */
const REQUESTS_MAX = 64;
/** Full batches under way; one that is not full waits for what is under way. */
const BATCHES_MAX = 4;
/** Room for one answer: what kernels announce, with a layout and an ACL of some length. */
const ANSWER_ROOM = 968;
/** OUT_UPDATE_REPLY_SIZE: the least that is announced for all. */
const REPLY_SIZE_MIN = 4096;
/** Where servers stop; the status of a batch is that of its first request which was not answered. */
const STOPS = [
  Errno.ENOENT,
  Errno.EBUSY,
  Errno.EREMOTE,
  Errno.ECANCELED,
  Errno.EOVERFLOW,
  Errno.ESTALE,
  Errno.EACCES,
  Errno.EPERM,
  Errno.ENOTDIR,
  Errno.EINVAL,
  Errno.EIO,
  Errno.EOPNOTSUPP,
];

interface Entry {
  readonly request: Request;
  readonly options: CallOptions;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

export interface BatchConnection {
  readonly name: string;
  readonly runtime: Runtime;
  readonly caller: Caller;
  readonly granted: ObdConnectData | undefined;
}

export class GetattrBatch {
  readonly #connection: BatchConnection;
  readonly #waiting: Entry[] = [];
  #underWay = 0;

  constructor(connection: BatchConnection) {
    this.#connection = connection;
  }

  /** As `Caller.call` of the intent. */
  readonly call = (request: Request, options: CallOptions): Promise<Answer> => {
    const flags2 = this.#connection.granted?.ocd_connect_flags2 ?? 0n;
    if ((flags2 & ConnectFlag2.OBD_CONNECT2_BATCH_RPC) === 0n || options.signal !== undefined)
      return this.#alone({ request, options });
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, options, resolve, reject });
      this.#send();
    });
  };

  /** What comes while a request is under way waits for its answer, which never takes long: batches wait for no lock. */
  #send(): void {
    while (this.#waiting.length > 0) {
      const most = this.#waiting.length >= REQUESTS_MAX ? BATCHES_MAX : 1;
      if (this.#underWay >= most) return;
      const entries = this.#waiting.splice(0, REQUESTS_MAX);
      this.#underWay++;
      void this.#ask(entries).finally(() => {
        this.#underWay--;
        this.#send();
      });
    }
  }

  #alone({ request, options }: Pick<Entry, 'request' | 'options'>): Promise<Answer> {
    return this.#connection.caller.call(RQF_LDLM_INTENT_GETATTR, request, options);
  }

  async #ask(entries: readonly Entry[]): Promise<void> {
    const { caller, name, runtime } = this.#connection;
    const replySize = replySizeOf(entries.length);
    const but_header = encodeBatch(entries, replySize);
    let answers: readonly (Answer | undefined)[] = [];
    try {
      const reply = await caller.call(RQF_MDS_BATCH, { but_header }, { replyRoom: replySize, accept: STOPS });
      answers = answersOf(reply, entries.length);
    } catch (err) {
      const level = err instanceof ProtocolError ? 'warn' : 'debug';
      runtime.log[level]({ err, target: name, opcode: 'MDS_BATCH' }, 'a batch of requests failed');
    }
    for (const [i, entry] of entries.entries()) {
      const answer = answers[i];
      if (answer !== undefined) entry.resolve(answer);
      else void this.#alone(entry).then(entry.resolve, entry.reject);
    }
  }
}

const replySizeOf = (requests: number): number =>
  Math.max(REPLY_SIZE_MIN, BatchUpdateReply.size + requests * ANSWER_ROOM);

/** The inline form: a server takes as much as it takes of any request. */
export function encodeBatch(
  entries: readonly Pick<Entry, 'request'>[],
  replySize = replySizeOf(entries.length),
): Uint8Array {
  const parts = entries.map(({ request: { dlm_req, ldlm_intent, mdt_body, name } }) =>
    encodeBuffers(
      RQF_BUT_GETATTR.request,
      // Kernels count no handles here (guide 08 §2).
      { dlm_req: { ...dlm_req, lock_count: 0 }, ldlm_intent, mdt_body, name },
      { opc: BatchOpcode.BUT_GETATTR, repsize: ANSWER_ROOM },
    ),
  );
  const size = parts.reduce((sum, part) => sum + part.length, BatchUpdateRequest.size);
  const header = ButUpdateHeader.encode({
    buh_magic: Magic.BUT_HEADER_MAGIC,
    buh_count: 1,
    buh_inline_length: size,
    buh_reply_size: replySize,
    buh_update_count: entries.length,
  });
  const block = BatchUpdateRequest.encode({
    burq_magic: Magic.BUT_REQUEST_MAGIC,
    burq_count: entries.length,
  });
  return Buffer.concat([header, block, ...parts]);
}

/** An answer for each request that has one: undefined where the server could not, and behind where it stopped. */
function answersOf(reply: BatchReply, requests: number): (Answer | undefined)[] {
  const bytes = required(reply.values, 'but_reply');
  const { ptlrpc_body } = reply.values;
  const { burp_magic, burp_count } = BatchUpdateReply.decode(bytes);
  if (burp_magic !== Magic.BUT_REPLY_MAGIC || burp_count > requests)
    throw new ProtocolError('EPROTO', `${burp_count} answers to ${requests} requests of a batch`);
  let at: number = BatchUpdateReply.size;
  return Array.from({ length: burp_count }, () => {
    const message = decodeMessage(bytes.subarray(at));
    at += message.size;
    // In replies the word of the opcode is the result.
    if ((message.opc | 0) < 0) return undefined;
    const values = decodeBuffers(RQF_BUT_GETATTR.reply, message);
    return { ...reply, status: 0, values: { ...values, ptlrpc_body } };
  });
}
