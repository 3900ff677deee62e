/**
 * Advisory file locks (guide 08 §8): ranges by owner, merged, replaced and split as POSIX says. An owner is a client's
 * opaque number; owners of different clients are never the same.
 */
import { LockMode } from '../wire/ldlm-constants.ts';
import type { LockModeNumber } from './lock.ts';

export interface FlockRange {
  readonly client: unknown;
  readonly owner: bigint;
  readonly pid: number;
  readonly mode: LockModeNumber;
  readonly start: bigint;
  readonly end: bigint;
}

const sameOwner = (a: FlockRange, b: FlockRange): boolean => a.client === b.client && a.owner === b.owner;
const overlaps = (a: FlockRange, b: FlockRange): boolean => a.start <= b.end && b.start <= a.end;

/** What stands in the way of `wanted`: somebody else's overlapping range, unless both only read. */
export function flockConflict(held: readonly FlockRange[], wanted: FlockRange): FlockRange | undefined {
  if (wanted.mode === LockMode.LCK_NL) return undefined;
  return held.find(
    (range) =>
      !sameOwner(range, wanted) &&
      overlaps(range, wanted) &&
      (range.mode === LockMode.LCK_PW || wanted.mode === LockMode.LCK_PW),
  );
}

/** The owner's ranges after `wanted` (mode NL unlocks): the others of the list are untouched. */
export function applyFlock(held: readonly FlockRange[], wanted: FlockRange): FlockRange[] {
  const kept: FlockRange[] = [];
  let { start, end } = wanted;
  for (const range of held) {
    if (!sameOwner(range, wanted)) {
      kept.push(range);
      continue;
    }
    const joins = range.mode === wanted.mode && range.start <= end + 1n && start <= range.end + 1n;
    if (joins) {
      if (range.start < start) start = range.start;
      if (range.end > end) end = range.end;
    } else if (!overlaps(range, wanted)) {
      kept.push(range);
    } else {
      if (range.start < wanted.start) kept.push({ ...range, end: wanted.start - 1n });
      if (range.end > wanted.end) kept.push({ ...range, start: wanted.end + 1n });
    }
  }
  if (wanted.mode !== LockMode.LCK_NL) kept.push({ ...wanted, start, end });
  return kept;
}

/** True when waiting for `blocker`'s owner would close a circle of owners that wait for each other. */
export function flockDeadlock(
  wanted: FlockRange,
  blocker: FlockRange,
  waitsFor: (range: FlockRange) => FlockRange | undefined,
): boolean {
  const seen = new Set<FlockRange>();
  let next: FlockRange | undefined = blocker;
  while (next !== undefined && !seen.has(next)) {
    if (sameOwner(next, wanted)) return true;
    seen.add(next);
    next = waitsFor(next);
  }
  return false;
}
