/** Who may be granted on one resource, and with what policy (guide 08 §3.3). Decides; tells nobody. */
import { LockFlag, LockMode, LockType } from '../wire/ldlm-constants.ts';
import { grantableTryBits, isGroup, locksConflict } from './conflicts.ts';
import { type ExtentLimits, grownExtent } from './extent-policy.ts';
import type { Policy } from './lock.ts';
import type { ServerLock, ServerResource } from './server-lock.ts';

/** How an enqueue ended, before anybody is told. `busy`: it would have to wait and may not; `nothing`: no inode bit is left
 * to grant; `contended`: too many want it, and this one can do without. */
export type EnqueueOutcome = 'granted' | 'waiting' | 'busy' | 'nothing' | 'contended';

export interface InTheWay {
  /** Holders. */
  readonly granted: readonly ServerLock[];
  /** Those that came first and wait themselves. */
  readonly ahead: readonly ServerLock[];
}

const NONE: readonly ServerLock[] = [];

/** The locks that `lock` has to wait for. */
export function inTheWay(resource: ServerResource, lock: ServerLock, overtake = false): InTheWay {
  return {
    granted: resource.granted.conflicting(lock),
    ahead: resource.waiting.size === 0 ? NONE : [...waitingAhead(resource, lock, overtake)],
  };
}

/** Nothing stands in the way of `lock`. */
function isFree(resource: ServerResource, lock: ServerLock): boolean {
  if (resource.granted.hasConflict(lock)) return false;
  for (const _ of waitingAhead(resource, lock, false)) return false;
  return true;
}

function* waitingAhead(resource: ServerResource, lock: ServerLock, overtake: boolean): Iterable<ServerLock> {
  // A group lock joins its group whoever waits (guide 08 §3.3).
  if (overtake || (isGroup(lock) && resource.granted.hasGroup)) return;
  for (const waiting of resource.waiting) {
    if (waiting === lock) return;
    if (locksConflict(waiting, lock)) yield waiting;
  }
}

/** The policy that `lock` is granted with now; undefined when no inode bit is left to grant. */
export function grantedPolicy(resource: ServerResource, lock: ServerLock): Policy | undefined {
  switch (lock.type) {
    case LockType.LDLM_EXTENT: {
      if (lock.client === undefined) return lock.requestedPolicy;
      const { granted, waiting } = resource;
      const limits = (): ExtentLimits => granted.limits(lock.mode, lock.requested.end);
      return { extent: grownExtent(lock, limits, others(waiting, lock), lock.expands) };
    }
    case LockType.LDLM_IBITS: {
      const { granted, waiting } = resource;
      let free = grantableTryBits(lock, lock.requestedPolicy.tryBits ?? 0n, granted);
      if (waiting.size > 0) free = grantableTryBits(lock, free, others(waiting, lock));
      const inodeBits = (lock.requestedPolicy.inodeBits ?? 0n) | free;
      if (inodeBits === 0n) return undefined;
      const { gid } = lock.requestedPolicy;
      return gid === undefined ? { inodeBits } : { inodeBits, gid };
    }
    default:
      return lock.requestedPolicy;
  }
}

function* others(locks: Iterable<ServerLock>, lock: ServerLock): Iterable<ServerLock> {
  for (const other of locks) if (other !== lock) yield other;
}

/**
 * Locks of the waiting queue that nothing stands in the way of any more, in order. The caller grants each before it asks
 * for the next, because a grant changes the answer.
 */
export function nextGrantable(resource: ServerResource): ServerLock | undefined {
  for (const lock of resource.waiting) {
    if (isFree(resource, lock)) return lock;
  }
  return undefined;
}

/**
 * True when `lock` is refused rather than queued. For extents BLOCK_NOWAIT means only "not behind a group lock", which may
 * be held for hours: a kernel queues such a request behind ordinary locks.
 */
export function mayNotWait(lock: ServerLock, { granted, ahead }: InTheWay): boolean {
  if ((lock.flags & LockFlag.LDLM_FL_SPECULATIVE) !== 0) return true;
  if ((lock.flags & LockFlag.LDLM_FL_BLOCK_NOWAIT) === 0) return false;
  return lock.type !== LockType.LDLM_EXTENT || [...granted, ...ahead].some(isGroup);
}

/** Holders get no blocking AST for a group lock (guide 08 §3.3). */
export function wantsBlockingAst(held: ServerLock): boolean {
  return held.mode !== LockMode.LCK_GROUP && held.type !== LockType.LDLM_FLOCK;
}
