/**
 * Extent locks and sizes of a file's objects (guide 08 §3.3, §7; guide 12 §11, §12). Locks of several objects are taken in
 * stripe order, as all clients do it, so that none waits for another in a circle.
 */
import type { ClientLock } from '../../ldlm/client-lock.ts';
import type { ClientNamespace } from '../../ldlm/client-namespace.ts';
import { Errno, errnoError, errnoOf } from '../../runtime/errors.ts';
import { ConnectFlag2 } from '../../wire/connection-constants.ts';
import { InodeBit, LockFlag, LockMode, LockType } from '../../wire/ldlm-constants.ts';
import { decodeLvb, type ObjectAttributes } from '../osc/known-objects.ts';
import { EOF } from '../osc/stripe-object.ts';
import { type RequestOptions, requestOptions, untilAborted } from '../request-options.ts';
import type { FileObjects, Stripe } from './file-objects.ts';

const PAGE = 4096;
const { LCK_PR, LCK_PW, LCK_GROUP } = LockMode;
const WHOLE_OBJECT = { type: LockType.LDLM_EXTENT, policy: { extent: { start: 0n, end: EOF } } } as const;
const WHOLE_ON_MDT = {
  type: LockType.LDLM_IBITS,
  policy: { inodeBits: BigInt(InodeBit.MDS_INODELOCK_DOM) },
} as const;

const NOTHING: ObjectAttributes = { size: 0, mtime: 0, atime: 0, ctime: 0, blocks: 0 };

/** A lock in use, until released. */
export interface HeldLock {
  readonly stripe: Stripe;
  readonly lock: ClientLock;
}

/** Locks of a group on a file's objects, where its members have them. */
export interface LockGroup {
  lock(stripe: Stripe, options: RequestOptions): Promise<HeldLock>;
}

export interface LockOptions extends RequestOptions {
  /** What others have not written yet need not be. */
  readonly discard?: boolean;
  /** Rejects with EUSERS where the server has too many who want the object: the caller can do without (guide 08 §3.3). */
  readonly yields?: boolean;
  /** The caller's handle has a group lock: it works under that. */
  readonly group?: LockGroup | undefined;
}

/** A lock on bytes `[start, end)` of an object on an OST that is here already. */
export function lockIfHeld(
  stripe: Stripe,
  start: number,
  end: number,
  mode: 'read' | 'write' = 'read',
): HeldLock | undefined {
  const extent = pages(start, end);
  const modes = mode === 'read' ? LCK_PR | LCK_PW : LCK_PW;
  const lock = stripe.ost.locks.match(stripe.resource, LockType.LDLM_EXTENT, modes, { extent });
  return lock === undefined ? undefined : { stripe, lock };
}

/** Extents of locks are whole pages. */
function pages(start: number, end: number): { start: bigint; end: bigint } {
  return {
    start: BigInt(start - (start % PAGE)),
    end: end === Number.POSITIVE_INFINITY ? EOF : BigInt(Math.ceil(end / PAGE) * PAGE - 1),
  };
}

/** Locks bytes `[start, end)` of an object, `end` Infinity for all that follows: a cached lock, or one from the server. */
export async function lockExtent(
  stripe: Stripe,
  mode: 'read' | 'write',
  start: number,
  end: number,
  options: LockOptions = {},
): Promise<HeldLock> {
  if (options.group !== undefined) return options.group.lock(stripe, options);
  const { ost, key, resource, onMdt } = stripe;
  const extent = pages(start, end);
  const { type, policy } = onMdt ? WHOLE_ON_MDT : { type: LockType.LDLM_EXTENT, policy: { extent } };
  const modes = mode === 'read' ? LCK_PR | LCK_PW : LCK_PW;
  const cached = (): HeldLock | undefined => {
    const lock = ost.locks.match(resource, type, modes, policy);
    if (lock === undefined) return undefined;
    if (ost.known.get(key) !== undefined) return { stripe, lock };
    // What is known of so many objects has an end: another lock tells again.
    ost.locks.release(lock);
    return undefined;
  };
  const held = cached();
  if (held !== undefined) return held;
  const first = firstOf(stripe);
  const before = first.get(key);
  if (before !== undefined && (before.mode === mode || mode === 'read')) {
    await untilAborted(before.granted, options.signal);
    const theirs = cached();
    if (theirs !== undefined) return theirs;
  }
  const flags =
    (options.discard === true ? LockFlag.LDLM_FL_AST_DISCARD_DATA : 0) |
    (options.yields === true ? LockFlag.LDLM_FL_DENY_ON_CONTENTION : 0);
  const wanted = { type, policy, mode: mode === 'read' ? LCK_PR : LCK_PW, flags } as const;
  const asked = lockAtServer(stripe, wanted, options);
  if (!first.has(key)) {
    const ended = (): void => void first.delete(key);
    first.set(key, { mode, granted: asked.then(ended, ended) });
  }
  return asked;
}

/** A lock that was asked for while no other was. */
interface Asked {
  readonly mode: 'read' | 'write';
  /** Resolves when it is granted or refused. */
  readonly granted: Promise<void>;
}

const firsts = new WeakMap<ClientNamespace, Map<string, Asked>>();

/**
 * By object. Who wants another part of it meanwhile waits: a server grants one request the whole object, but of several only
 * what each asks for, and then each of the next ones asks again, and has the others cancelled (guide 08 §3.3, EXTENT).
 */
function firstOf({ ost: { locks } }: Stripe): Map<string, Asked> {
  let first = firsts.get(locks);
  if (first === undefined) {
    first = new Map();
    firsts.set(locks, first);
  }
  return first;
}

/** A lock from the server, and what it tells of the object. */
async function lockAtServer(
  stripe: Stripe,
  wanted: Pick<Parameters<ClientNamespace['enqueue']>[0], 'type' | 'policy' | 'mode' | 'flags'>,
  options: RequestOptions,
): Promise<HeldLock> {
  const { ost, key, resource } = stripe;
  const { lock, lvb, status } = await ost.locks.enqueue({ resource, ...wanted, ...requestOptions(options) });
  if (lock === undefined)
    throw errnoError(status < 0 ? status : -Errno.EIO, { ...options.context, target: ost.name });
  try {
    ost.known.learn(key, decodeLvb(lvb), lock);
  } catch (error) {
    ost.locks.release(lock);
    throw error;
  }
  return { stripe, lock };
}

/** A lock on the whole object beside others of the same group (guide 08 §3.3). With `wait` false rejects with EAGAIN where
 * another group has it. */
export function lockGroup(
  stripe: Stripe,
  gid: bigint,
  wait: boolean,
  options: RequestOptions = {},
): Promise<HeldLock> {
  const whole = stripe.onMdt
    ? { type: WHOLE_ON_MDT.type, policy: { ...WHOLE_ON_MDT.policy, gid } }
    : { type: WHOLE_OBJECT.type, policy: { extent: { ...WHOLE_OBJECT.policy.extent, gid } } };
  const flags = wait ? 0 : LockFlag.LDLM_FL_BLOCK_NOWAIT;
  return lockAtServer(stripe, { ...whole, mode: LCK_GROUP, flags }, options);
}

export const isGroup = ({ lock }: HeldLock): boolean => lock.mode === LCK_GROUP;

/**
 * A lock on just these bytes before they are read or written, kept for whoever needs it (guide 08 §3.3, Lockahead). False
 * when others are in the way. Throws EOPNOTSUPP for a server that does not give any.
 */
export async function lockAhead(
  stripe: Stripe,
  mode: 'read' | 'write',
  start: number,
  end: number,
  options: RequestOptions = {},
): Promise<boolean> {
  const { ost, resource } = stripe;
  const extent = pages(start, end);
  const modes = mode === 'read' ? LCK_PR | LCK_PW : LCK_PW;
  const cached = ost.locks.match(resource, LockType.LDLM_EXTENT, modes, { extent });
  if (cached !== undefined) {
    ost.locks.release(cached);
    return true;
  }
  if ((ost.granted.ocd_connect_flags2 & ConnectFlag2.OBD_CONNECT2_LOCKAHEAD) === 0n)
    throw errnoError(Errno.EOPNOTSUPP, { ...options.context, target: ost.name });
  const wanted = {
    type: LockType.LDLM_EXTENT,
    mode: mode === 'read' ? LCK_PR : LCK_PW,
    policy: { extent },
    flags: LockFlag.LDLM_FL_SPECULATIVE | LockFlag.LDLM_FL_NO_EXPANSION,
  };
  try {
    unlock([await lockAtServer(stripe, wanted, options)]);
    return true;
  } catch (error) {
    if (errnoOf(error) === Errno.EAGAIN) return false;
    throw error;
  }
}

export function unlock(held: readonly HeldLock[]): void {
  for (const { stripe, lock } of held) stripe.ost.locks.release(lock);
}

/** Locks whole objects, in stripe order. */
export async function lockAll(
  stripes: readonly Stripe[],
  mode: 'read' | 'write',
  options: LockOptions = {},
): Promise<HeldLock[]> {
  const held: HeldLock[] = [];
  try {
    for (const stripe of stripes)
      held.push(await lockExtent(stripe, mode, 0, Number.POSITIVE_INFINITY, options));
    return held;
  } catch (error) {
    unlock(held);
    throw error;
  }
}

/** Size, times and blocks of an object as they are now: known under a lock of ours, else asked of the server and, through
 * it, of whoever writes. */
export async function glimpse(stripe: Stripe, options: RequestOptions = {}): Promise<ObjectAttributes> {
  // What is lost makes a file no longer, as for a kernel client.
  if (stripe.lost) return NOTHING;
  const { ost, key, resource, onMdt } = stripe;
  const current = ost.known.current(key);
  if (current !== undefined) return current;
  const { lock, reply, lvb, status } = await ost.locks.enqueue({
    resource,
    mode: LCK_PR,
    ...(onMdt ? WHOLE_ON_MDT : WHOLE_OBJECT),
    flags: LockFlag.LDLM_FL_HAS_INTENT,
    ...requestOptions(options),
  });
  try {
    const result =
      lock === undefined ? Number(BigInt.asIntN(64, reply.values.dlm_rep?.lock_policy_res1 ?? 0n)) : 0;
    if (status < 0 || result < 0)
      throw errnoError(status < 0 ? status : result, { ...options.context, target: ost.name });
    const attributes = decodeLvb(lvb);
    if (lock === undefined) return attributes;
    return ost.known.learn(key, attributes, lock);
  } finally {
    if (lock !== undefined) ost.locks.release(lock);
  }
}

/** Attributes of all objects of a file, as they are now. */
export function objectAttributes(
  { stripes }: Pick<FileObjects, 'stripes'>,
  options: RequestOptions = {},
): Promise<ObjectAttributes[]> {
  return Promise.all(stripes.map((stripe) => glimpse(stripe, options)));
}
