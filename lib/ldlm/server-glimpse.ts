/** Whom a glimpse has to ask (guide 08 §7, guide 12 §11). */
import type { ServerLock } from './server-lock.ts';

/** `lock` is in no queue yet. */
export function conflictsWith(lock: ServerLock): boolean {
  return lock.resourceEntry.granted.hasConflict(lock);
}

/**
 * Holders whose locks reach beyond the size that is known, and stand in the way of a reader: each client once, by its
 * lock that reaches furthest.
 */
export function glimpseTargets(lock: ServerLock, knownSize: bigint): ServerLock[] {
  const furthest = new Map<unknown, ServerLock>();
  for (const held of lock.resourceEntry.granted.conflicting(lock)) {
    if (held.client === undefined) continue;
    const end = held.policy.extent?.end ?? 0n;
    if (end < knownSize) continue;
    const other = furthest.get(held.client);
    if (other === undefined || (other.policy.extent?.end ?? 0n) < end) furthest.set(held.client, held);
  }
  return [...furthest.values()];
}
