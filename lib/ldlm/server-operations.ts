/** ENQUEUE, CONVERT and CANCEL as a server answers them (guide 08 §3.2, §5.2, §6): what is checked, in which order, and
 * what the replies say. */
import type { Call, Export, Operation } from '../connection/target.ts';
import type { IncomingRequest } from '../rpc/rpc.ts';
import { Errno, errnoError, errnoOf } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Format, LdlmRequestValue, RequestValues } from '../wire/format.ts';
import { RQF_LDLM_CANCEL, RQF_LDLM_CONVERT, RQF_LDLM_ENQUEUE } from '../wire/formats.ts';
import { IntentOpcode, LockFlag, LockMode, LockType } from '../wire/ldlm-constants.ts';
import { LdlmIntent, type LdlmReply } from '../wire/ldlm-structs.ts';
import { Opcode } from '../wire/opcodes.ts';
import { MsgFlag } from '../wire/ptlrpc-constants.ts';
import type { StructInput } from '../wire/struct.ts';
import { isLegalInodeBits } from './conflicts.ts';
import {
  decodePolicy,
  describeLock,
  encodePolicy,
  isLockType,
  resourceName,
  samePolicy,
} from './description.ts';
import type { ExportLocks } from './export-locks.ts';
import type { LockModeNumber, LockTypeNumber, Policy, ResourceId } from './lock.ts';
import { isLockMode } from './modes.ts';
import { logRefusal, malformed, type Refusable, type Refusal } from './refusals.ts';
import { sameResource } from './resource-name.ts';
import type { ServerFlocks } from './server-flocks.ts';
import type { ServerLock, ServerLockOptions, ServerResource } from './server-lock.ts';
import type { EnqueueOutcome } from './server-queues.ts';
import { ELDLM_LOCK_ABORTED } from './status.ts';

export type DlmReplyInput = StructInput<typeof LdlmReply>;

/** A lock that an intent's answer carries. */
export interface GrantedLock {
  readonly lock: ServerLock;
  readonly request: LdlmRequestValue;
  /** Takes it back, when the answer turns out to be an error. */
  cancel(): void;
  /** The dlm_rep that tells the client of it; call it when the answer is sent, not before. */
  reply(): DlmReplyInput;
}

/** A promise only where somebody has to be waited for. */
export type Grant = GrantedLock | undefined | Promise<GrantedLock | undefined>;

/** What an intent's handler is given beside the call. */
export interface IntentContext {
  /** IT_* bits; 0 when the request has no intent buffer. */
  readonly opcode: number;
  readonly request: LdlmRequestValue;
  /** `ServerNamespace.grantTo` for the asking client. What it granted is taken back if the handler throws. */
  grant(resource: ResourceId, mode: LockModeNumber, policy: Policy): Grant;
}

/** An intent under way. */
export interface BegunIntent extends IntentContext {
  /** Takes back all that was granted. */
  cancel(): void;
}

/** The answer to one kind of intent. */
export interface Intent<F extends Format = Format> {
  readonly format: F;
  handle(call: Call<F>, context: IntentContext): void | Promise<void>;
}

export interface OperationsOptions {
  /** By ldlm_intent.opc (IT_*). An intent that is not here is refused with EINVAL. */
  readonly intents?: ReadonlyMap<number, Intent>;
}

/** What these operations need of the namespace. */
export interface LockOperations {
  readonly name: string;
  readonly runtime: Runtime;
  readonly locks: ExportLocks;
  readonly flocks: ServerFlocks;
  readonly hasLvbs: boolean;
  isFull(client: Export): boolean;
  create(resource: ResourceId, options: ServerLockOptions): ServerLock;
  enqueue(lock: ServerLock, overtake?: boolean): EnqueueOutcome;
  restore(lock: ServerLock, isGranted: boolean): void;
  cancel(lock: ServerLock): void;
  convert(lock: ServerLock, keep: bigint): void;
  cancelHandles(call: Refusable, handles: readonly bigint[]): number;
  grantTo(
    client: Export,
    request: LdlmRequestValue,
    resource: ResourceId,
    mode: LockModeNumber,
    policy: Policy,
  ): Grant;
  lvbOf(resource: ServerResource): Promise<Uint8Array>;
  hasConflict(lock: ServerLock): boolean;
  glimpse(lock: ServerLock): Promise<Uint8Array>;
  startTimer(lock: ServerLock): void;
}

type EnqueueCall = Call<typeof RQF_LDLM_ENQUEUE>;

/** A request that has passed the checks. */
interface Wanted {
  readonly request: LdlmRequestValue;
  readonly flags: number;
  readonly clientHandle: bigint;
  readonly resource: ResourceId;
  readonly type: LockTypeNumber;
  readonly mode: LockModeNumber;
  readonly policy: Policy;
}

const NOTHING = new Uint8Array(0);

export function serveLocks(namespace: LockOperations, options: OperationsOptions): Map<number, Operation> {
  const intents = options.intents ?? new Map<number, Intent>();
  const enqueue: Operation = {
    format: (request) => intents.get(intentOpcode(request) ?? 0)?.format ?? RQF_LDLM_ENQUEUE,
    handle: async (call) => {
      const opcode = intentOpcode(call.request);
      const intent = intents.get(opcode ?? 0);
      if (intent !== undefined) await handleIntent(namespace, call, intent, opcode ?? 0);
      else await handleEnqueue(namespace, call, opcode);
    },
  };
  const convert: Operation<typeof RQF_LDLM_CONVERT> = {
    format: RQF_LDLM_CONVERT,
    handle: (call) => handleConvert(namespace, call),
  };
  const cancel: Operation<typeof RQF_LDLM_CANCEL> = {
    format: RQF_LDLM_CANCEL,
    handle: (call) => handleCancel(namespace, call),
  };
  return new Map<number, Operation>([
    [Opcode.LDLM_ENQUEUE, enqueue],
    [Opcode.LDLM_CONVERT, convert],
    [Opcode.LDLM_CANCEL, cancel],
  ]);
}

/** ldlm_intent.opc of an enqueue, if it has that buffer. */
export function intentOpcode(request: IncomingRequest): number | undefined {
  const { buffers, littleEndian } = request.message;
  const intent = buffers[2];
  if (intent === undefined || intent.length < LdlmIntent.size) return undefined;
  return Number(LdlmIntent.decode(intent, 0, littleEndian).opc & 0xffff_ffffn);
}

async function handleIntent(
  namespace: LockOperations,
  call: Call<Format>,
  intent: Intent,
  opcode: number,
): Promise<void> {
  // Every intent's format has it.
  const { dlm_req } = call.values as RequestValues<typeof RQF_LDLM_ENQUEUE>;
  const context = beginIntent(namespace, call, dlm_req, opcode);
  if ('errno' in context) {
    refuse(namespace, call, context);
    return;
  }
  try {
    await intent.handle(call, context);
  } catch (error) {
    context.cancel();
    throw error;
  }
}

/** The checks of an enqueue, for an intent that comes with it. */
export function beginIntent(
  namespace: LockOperations,
  call: Refusable,
  dlm_req: LdlmRequestValue | undefined,
  opcode: number,
): BegunIntent | Refusal {
  const wanted = check(namespace, call, dlm_req);
  if ('errno' in wanted) return wanted;
  const { request } = wanted;
  const granted: GrantedLock[] = [];
  const noted = (lock: GrantedLock | undefined): GrantedLock | undefined => {
    if (lock !== undefined) granted.push(lock);
    return lock;
  };
  return {
    opcode,
    request,
    grant: (resource, mode, policy) => {
      const grant = namespace.grantTo(call.export, request, resource, mode, policy);
      return grant instanceof Promise ? grant.then(noted) : noted(grant);
    },
    cancel: () => {
      for (const lock of granted) lock.cancel();
    },
  };
}

async function handleEnqueue(
  namespace: LockOperations,
  call: EnqueueCall,
  opcode: number | undefined,
): Promise<void> {
  const wanted = check(namespace, call, call.values.dlm_req);
  if ('errno' in wanted) {
    refuse(namespace, call, wanted);
    return;
  }
  const known = namespace.hasLvbs && opcode === IntentOpcode.IT_GLIMPSE;
  if (opcode !== undefined && opcode !== 0 && !known) {
    refuse(namespace, call, { errno: Errno.EINVAL, reason: `no such intent here: 0x${opcode.toString(16)}` });
    return;
  }
  if (wanted.type === LockType.LDLM_FLOCK) enqueueFlock(namespace, call, wanted);
  else await enqueuePlainly(namespace, call, wanted);
}

/** The checks of guide 08 §3.2, in its order. Early cancels are done on the way. */
function check(
  namespace: LockOperations,
  call: Refusable,
  request: LdlmRequestValue | undefined,
): Wanted | Refusal {
  const client = call.export;
  if (request === undefined) return { errno: Errno.EFAULT, reason: 'without an ldlm_request' };
  const { lock_desc: desc, lock_handle: handles } = request;
  const type = desc.l_resource.lr_type;
  const mode = desc.l_req_mode;
  const bits = desc.l_policy_data.l_inodebits;
  if (type === LockType.LDLM_IBITS && (bits.bits | bits.try_bits) === 0n) return malformed('no inode bits');
  if (request.lock_count > Math.max(1, handles.length))
    return malformed(`${request.lock_count} handles announced, ${handles.length} sent`);
  namespace.cancelHandles(call, handles.slice(1, request.lock_count));
  const flags = request.lock_flags >>> 0;
  if ((flags & ~LockFlag.LDLM_FL_WIRE_REQ_FLAGS_MASK) !== 0)
    return malformed(`flags 0x${flags.toString(16)}`);
  if (!isLockType(type) || !isLockMode(mode))
    return { errno: Errno.EFAULT, reason: `lock of type ${type} and mode ${mode}` };
  const policy = decodePolicy(type, desc.l_policy_data);
  const { extent } = policy;
  if (extent !== undefined && extent.start > extent.end)
    return malformed(`extent [${extent.start}, ${extent.end}] ends before it starts`);
  if (type === LockType.LDLM_IBITS && !isLegalInodeBits(mode, policy))
    return malformed(`mode ${mode} with inode bits 0x${bits.bits.toString(16)}`);
  if (namespace.locks.isDropped(client)) return { errno: Errno.ENOTCONN, reason: 'the client is gone' };
  const replay = (flags & LockFlag.LDLM_FL_REPLAY) !== 0;
  if (namespace.isFull(client) && !replay)
    return {
      errno: Errno.EINPROGRESS,
      reason: `${namespace.locks.countOf(client)} locks, and no room for more`,
    };
  const resource = resourceName(desc.l_resource.lr_name.name);
  return { request, flags, clientHandle: handles[0] ?? 0n, resource, type, mode, policy };
}

async function enqueuePlainly(namespace: LockOperations, call: EnqueueCall, wanted: Wanted): Promise<void> {
  const earlier = namespace.locks.byClientHandle(call.export, wanted.clientHandle);
  if (earlier !== undefined && sameResource(earlier.resource, wanted.resource)) {
    // A resend, or a replay of what survived: one lock, whatever happens (guide 08 §10).
    await tell(namespace, call, earlier, wanted);
    return;
  }
  if (earlier !== undefined) namespace.cancel(earlier);
  const { type, mode, policy, flags, clientHandle } = wanted;
  const lock = namespace.create(wanted.resource, {
    clientHandle,
    client: call.export,
    type,
    mode,
    policy,
    flags,
  });
  if ((flags & LockFlag.LDLM_FL_REPLAY) !== 0) {
    namespace.restore(lock, (flags & LockFlag.LDLM_FL_BLOCK_WAIT) === 0);
    await tell(namespace, call, lock, wanted);
    return;
  }
  const glimpse =
    namespace.hasLvbs && type === LockType.LDLM_EXTENT && (flags & LockFlag.LDLM_FL_HAS_INTENT) !== 0;
  if (glimpse && namespace.hasConflict(lock)) {
    await answerGlimpse(namespace, call, lock, flags);
    return;
  }
  const outcome = namespace.enqueue(lock, glimpse);
  if (outcome === 'busy') call.fail(Errno.EAGAIN, { dlm_rep: {}, dlm_lvb: NOTHING });
  else if (outcome === 'contended') call.fail(Errno.EUSERS, { dlm_rep: {}, dlm_lvb: NOTHING });
  else if (outcome === 'nothing')
    call.reply({ dlm_rep: {}, dlm_lvb: NOTHING }, { status: ELDLM_LOCK_ABORTED });
  else await tell(namespace, call, lock, wanted, glimpse);
}

/** Size and times without a lock: from the disk, and from those who may know better (guide 08 §7). */
async function answerGlimpse(
  namespace: LockOperations,
  call: EnqueueCall,
  lock: ServerLock,
  flags: number,
): Promise<void> {
  try {
    const ask = (flags & LockFlag.LDLM_FL_BLOCK_NOWAIT) === 0;
    const lvb = ask ? await namespace.glimpse(lock) : await namespace.lvbOf(lock.resourceEntry);
    call.reply({ dlm_rep: {}, dlm_lvb: lvb }, { status: ELDLM_LOCK_ABORTED });
  } finally {
    namespace.cancel(lock);
  }
}

/** The reply to an enqueue: granted, or to be granted later. */
async function tell(
  namespace: LockOperations,
  call: EnqueueCall,
  lock: ServerLock,
  wanted: Wanted,
  replaced = false,
): Promise<void> {
  let dlm_lvb: Uint8Array = NOTHING;
  try {
    if (lock.type === LockType.LDLM_EXTENT) dlm_lvb = await namespace.lvbOf(lock.resourceEntry);
  } catch (error) {
    // ENOENT: the object does not exist, so there is nothing to lock.
    namespace.cancel(lock);
    const reason = error instanceof Error ? error.message : String(error);
    refuse(namespace, call, { errno: errnoOf(error), reason });
    return;
  }
  if (lock.isCancelled) {
    refuse(namespace, call, { errno: Errno.ENOTCONN, reason: 'the client is gone' });
    return;
  }
  const replay = (wanted.flags & LockFlag.LDLM_FL_REPLAY) !== 0;
  call.reply({ dlm_rep: lockReply(namespace, lock, wanted.flags, replaced && !replay), dlm_lvb });
}

/**
 * dlm_rep of a lock. The request's flags come back with what the server adds (guide 08 §2.1); a lock that somebody wants
 * already says so instead of a blocking AST (§3.2).
 */
export function lockReply(
  namespace: Pick<LockOperations, 'startTimer'>,
  lock: ServerLock,
  requestFlags: number,
  replaced: boolean,
): DlmReplyInput {
  if (lock.isCancelled) throw errnoError(Errno.ENOTCONN, { syscall: 'enqueue' });
  let flags = requestFlags;
  const changed = replaced || !samePolicy(lock.type, lock.policy, lock.requestedPolicy);
  if (lock.isGranted && changed) flags |= LockFlag.LDLM_FL_LOCK_CHANGED;
  const replay = (requestFlags & LockFlag.LDLM_FL_REPLAY) !== 0;
  if (!lock.isGranted && !replay) flags |= LockFlag.LDLM_FL_BLOCK_GRANTED | LockFlag.LDLM_FL_NO_TIMEOUT;
  let desc = describeLock(lock, lock.isGranted ? lock.mode : 0);
  if (lock.state === 'BLOCKING' && !lock.told) {
    flags |= LockFlag.LDLM_FL_AST_SENT;
    namespace.startTimer(lock);
    const cancel = lock.blocker?.policy.inodeBits;
    if (cancel !== undefined && lock.policy.inodeBits !== undefined)
      desc = {
        ...desc,
        l_policy_data: { l_inodebits: { bits: lock.policy.inodeBits, cancel_bits: cancel } },
      };
  }
  lock.told = true;
  return { lock_flags: flags >>> 0, lock_desc: desc, lock_handle: lock.handle };
}

function enqueueFlock(namespace: LockOperations, call: EnqueueCall, wanted: Wanted): void {
  const { type, mode, policy, flags, clientHandle } = wanted;
  const earlier = namespace.locks.byClientHandle(call.export, clientHandle);
  if (earlier?.type === LockType.LDLM_FLOCK) {
    // A resend of one that waits. One that was granted is granted again, which changes nothing.
    const lock_desc = describeLock(earlier, 0);
    const lock_flags = flags | LockFlag.LDLM_FL_BLOCK_GRANTED;
    call.reply({ dlm_rep: { lock_flags, lock_desc, lock_handle: earlier.handle }, dlm_lvb: NOTHING });
    return;
  }
  if (earlier !== undefined) namespace.cancel(earlier);
  const lock = namespace.create(wanted.resource, {
    clientHandle,
    client: call.export,
    type,
    mode,
    policy,
    flags,
  });
  const answer = namespace.flocks.request(lock);
  const reply = (lock_flags: number, granted: number): void => {
    const lock_desc = describeLock(lock, granted);
    call.reply({ dlm_rep: { lock_flags, lock_desc, lock_handle: lock.handle }, dlm_lvb: NOTHING });
  };
  switch (answer.kind) {
    case 'granted':
      lock.dispatch('grant');
      namespace.locks.remove(lock);
      reply(flags, mode);
      return;
    case 'waiting':
      lock.dispatch('block');
      lock.told = true;
      reply(flags | LockFlag.LDLM_FL_BLOCK_GRANTED, 0);
      return;
    case 'tested': {
      namespace.cancel(lock);
      const found = answer.conflict;
      const l_policy_data =
        found === undefined
          ? encodePolicy(type, policy)
          : encodePolicy(type, { flock: { ...found, owner: policy.flock?.owner ?? 0n } });
      const lock_desc = {
        ...describeLock(lock, 0),
        l_req_mode: found?.mode ?? LockMode.LCK_NL,
        l_policy_data,
      };
      const lock_flags = (flags | LockFlag.LDLM_FL_LOCK_CHANGED) >>> 0;
      call.reply({ dlm_rep: { lock_flags, lock_desc, lock_handle: lock.handle }, dlm_lvb: NOTHING });
      return;
    }
    default:
      namespace.cancel(lock);
      if (answer.errno === Errno.EINVAL || answer.errno === Errno.ENOLCK)
        logRefusal(namespace.runtime, call, { errno: answer.errno, reason: lock.describe() });
      call.fail(answer.errno, { dlm_rep: {}, dlm_lvb: NOTHING });
  }
}

function handleConvert(namespace: LockOperations, call: Call<typeof RQF_LDLM_CONVERT>): void {
  const request = call.values.dlm_req;
  if (request === undefined) {
    refuse(namespace, call, { errno: Errno.EFAULT, reason: 'without an ldlm_request' });
    return;
  }
  const lock = namespace.locks.ofClient(call.export, request.lock_handle[0] ?? 0n);
  const keep = request.lock_desc.l_policy_data.l_inodebits.bits;
  const { l_req_mode: mode, l_granted_mode: granted } = request.lock_desc;
  const legal = lock?.isGranted === true && lock.type === LockType.LDLM_IBITS && keep !== 0n;
  // Kernels answer status 0 whatever happens; a lock that is not there shows as handle 0 (guide 08 §6).
  if (lock === undefined || !legal || mode !== lock.mode || granted !== lock.mode) {
    const reason =
      lock === undefined
        ? 'no such lock of this client'
        : `bits 0x${keep.toString(16)} in mode ${mode} of ${lock.describe()}`;
    logRefusal(namespace.runtime, call, { errno: 0, reason });
    call.reply({ dlm_rep: {} });
    return;
  }
  const bits = lock.policy.inodeBits ?? 0n;
  if ((bits & keep) === 0n) namespace.cancel(lock);
  else if ((bits & keep) !== bits) namespace.convert(lock, keep);
  call.reply({
    dlm_rep: {
      lock_handle: lock.clientHandle,
      lock_desc: { l_policy_data: { l_inodebits: { bits: bits & keep } } },
    },
  });
}

function handleCancel(namespace: LockOperations, call: Call<typeof RQF_LDLM_CANCEL>): void {
  const request = call.values.dlm_req;
  if (request === undefined) {
    refuse(namespace, call, { errno: Errno.EFAULT, reason: 'without an ldlm_request' });
    return;
  }
  if ((call.request.body.pb_flags & MsgFlag.MSG_REPLAY) !== 0) {
    call.reply({});
    return;
  }
  const { lock_handle: handles } = request;
  const count = Math.max(1, request.lock_count);
  if (handles.length === 0) refuse(namespace, call, malformed('no handle'));
  else if (count > handles.length)
    refuse(namespace, call, {
      errno: Errno.ESTALE,
      reason: `${count} handles announced, ${handles.length} sent`,
    });
  else if (namespace.cancelHandles(call, handles.slice(0, count)) === 0)
    refuse(namespace, call, { errno: Errno.ESTALE, reason: 'no such lock of this client' });
  else call.reply({});
}

function refuse(namespace: LockOperations, call: Call<Format>, refusal: Refusal): void {
  logRefusal(namespace.runtime, call, refusal);
  call.fail(refusal.errno);
}
