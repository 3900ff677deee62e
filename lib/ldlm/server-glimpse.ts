/** Whom a glimpse has to ask (guide 08 §7, guide 12 §11). */
import { lvbSize, mergeOstLvb } from './lvb.ts';
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

/** What the disk (`lvbOf`) and those holders say who could know more (`ask`; undefined: the disk is right). */
export async function askHolders(
  lock: ServerLock,
  lvbOf: () => Promise<Uint8Array>,
  ask: (holder: ServerLock) => Promise<Uint8Array | undefined>,
): Promise<Uint8Array> {
  const resource = lock.resourceEntry;
  const { glimpseAge } = resource;
  const targets = glimpseTargets(lock, lvbSize(await lvbOf()));
  const told = await Promise.all(targets.map(async (holder) => ({ holder, lvb: await ask(holder) })));
  let answer = await lvbOf();
  for (const { holder, lvb } of told) {
    if (lvb === undefined || !holder.isGranted) continue;
    answer = mergeOstLvb(answer, lvb);
    // An answer that was under way while the object was cut is good for who asked then, and for nobody after.
    if (resource.glimpseAge === glimpseAge) resource.glimpsed = mergeOstLvb(lvb, resource.glimpsed);
  }
  return answer;
}
