/** What a client asks for with an enqueue and what comes of it, and the lock's part of both messages, whatever format they
 * have (guide 08 §2). */
import type { CallOptions, Reply } from '../rpc/rpc.ts';
import { Errno, LustreError } from '../runtime/errors.ts';
import { buffersSize, type Format, type LdlmRequestInput, type RequestInputs } from '../wire/format.ts';
import { RQF_LDLM_ENQUEUE } from '../wire/formats.ts';
import { LockType } from '../wire/ldlm-constants.ts';
import type { LdlmReply } from '../wire/ldlm-structs.ts';
import type { StructValue } from '../wire/struct.ts';
import type { ClientLock } from './client-lock.ts';
import { describeLock } from './description.ts';
import type { LockModeNumber, LockTypeNumber, Policy, ResourceId } from './lock.ts';

export interface EnqueueOptions extends CallOptions {
  readonly resource: ResourceId;
  readonly type: LockTypeNumber;
  readonly mode: LockModeNumber;
  readonly policy: Policy;
  /** LDLM_FL_* for the request. */
  readonly flags?: number;
  /** Early cancels: server handles that go with the request (guide 08 §5.3). */
  readonly cancels?: readonly bigint[];
}

/** An enqueue that carries an operation: a request of another format, with its buffers beside dlm_req. */
export interface IntentEnqueue<F extends Format> extends EnqueueOptions {
  readonly intent: {
    readonly format: F;
    readonly buffers: RequestInputs<F>;
    /** Sends it; default the import. */
    readonly call?: (request: RequestInputs<F>, options: CallOptions) => Promise<Reply<F>>;
  };
}

export interface EnqueueResult<F extends Format = typeof RQF_LDLM_ENQUEUE> {
  /** Granted and referenced: `release` it. Undefined when the server gave none (status 301). */
  readonly lock: ClientLock | undefined;
  readonly reply: Reply<F>;
  /** 0 or 301 (ELDLM_LOCK_ABORTED). */
  readonly status: number;
  /** dlm_lvb of the grant or, without a lock, of the reply; empty when there was none. */
  readonly lvb: Uint8Array;
}

/** An enqueue without an intent. */
export const PLAIN = { format: RQF_LDLM_ENQUEUE, buffers: {} } as const;

export type LockReply = StructValue<typeof LdlmReply>;

export interface LockBuffers {
  readonly dlm_rep: LockReply | undefined;
  readonly dlm_lvb: Uint8Array | undefined;
}

/** A request with handles that go back is not to be larger than this: a page, less what the network puts around it. */
const REQUEST_MAX = 4096 - 512;
const HANDLE_SIZE = 8;
/** Handles that every request has room for. */
const INLINE = 2;

/** `cancels`: server handles of locks that go back with the request (guide 08 §5.3). */
export function enqueueRequest(
  lock: ClientLock,
  flags: number,
  cancels: readonly bigint[],
): LdlmRequestInput {
  return {
    lock_flags: flags,
    lock_count: carriesCancels(lock) ? 1 + cancels.length : 0,
    lock_desc: describeLock(lock, 0),
    lock_handle: [lock.handle, ...cancels],
  };
}

/** MGCs enqueue without a count (guide 08 §2). */
export const carriesCancels = ({ type }: ClientLock): boolean => type !== LockType.LDLM_PLAIN;

/** How many handles more fit, when there are `taken` already. */
export function roomForCancels<F extends Format>(
  { request }: F,
  buffers: RequestInputs<F>,
  taken: number,
): number {
  const withoutHandles = buffersSize(request, { ...buffers, dlm_req: {} }) - INLINE * HANDLE_SIZE;
  const room = Math.floor((REQUEST_MAX - withoutHandles) / HANDLE_SIZE);
  return Math.max(0, Math.max(INLINE, room) - taken);
}

/** The buffers that every reply to an enqueue has. */
export function lockBuffers(values: object): LockBuffers {
  return {
    dlm_rep: 'dlm_rep' in values ? (values.dlm_rep as LockReply | undefined) : undefined,
    dlm_lvb: 'dlm_lvb' in values ? (values.dlm_lvb as Uint8Array | undefined) : undefined,
  };
}

/** Whatever an enqueue fails with, as what its callers are told. */
export function asLustreError(error: unknown, target: string): LustreError {
  if (error instanceof LustreError) return error;
  return new LustreError('EIO', `enqueue failed: ${String(error)}`, { target, cause: error }, -Errno.EIO);
}
