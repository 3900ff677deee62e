/** Whom a glimpse has to ask (guide 08 §7, guide 12 §11). */
import { locksConflict } from './conflicts.ts';
import type { ServerLock } from './server-lock.ts';

export function conflictsWith(lock: ServerLock): boolean {
  for (const held of lock.resourceEntry.granted) if (held !== lock && locksConflict(held, lock)) return true;
  return false;
}

/**
 * Holders whose locks reach beyond the size that is known, and stand in the way of a reader: each client once, by its
 * lock that reaches furthest.
 */
export function glimpseTargets(lock: ServerLock, knownSize: bigint): ServerLock[] {
  const furthest = new Map<unknown, ServerLock>();
  for (const held of lock.resourceEntry.granted) {
    if (held.client === undefined || held === lock || !locksConflict(held, lock)) continue;
    const end = held.policy.extent?.end ?? 0n;
    if (end < knownSize) continue;
    const other = furthest.get(held.client);
    if (other === undefined || (other.policy.extent?.end ?? 0n) < end) furthest.set(held.client, held);
  }
  return [...furthest.values()];
}
