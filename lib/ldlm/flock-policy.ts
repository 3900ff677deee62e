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

export const sameOwner = (a: FlockRange, b: FlockRange): boolean =>
  a.client === b.client && a.owner === b.owner;
const overlaps = (a: FlockRange, b: FlockRange): boolean => a.start <= b.end && b.start <= a.end;

/** True when `held` keeps `wanted` out: somebody else's overlapping range, unless both only read. */
export function standsInTheWay(held: FlockRange, wanted: FlockRange): boolean {
  const writes = held.mode === LockMode.LCK_PW || wanted.mode === LockMode.LCK_PW;
  return wanted.mode !== LockMode.LCK_NL && writes && overlaps(held, wanted) && !sameOwner(held, wanted);
}

/** The first of what stands in the way of `wanted`. */
export function flockConflict(held: readonly FlockRange[], wanted: FlockRange): FlockRange | undefined {
  return held.find((range) => standsInTheWay(range, wanted));
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

/** Owners that one search looks at; beyond it a circle is not found, and its members wait until one gives up. */
const OWNERS_MAX = 10_000;

/**
 * True when waiting for `blockers` would close a circle of owners that wait for each other. A waiter needs all of its
 * blockers gone, so one that waits for the asker, over any number of others, is enough.
 */
export function flockDeadlock(
  wanted: FlockRange,
  blockers: readonly FlockRange[],
  waitsFor: (owner: FlockRange) => readonly FlockRange[],
): boolean {
  const seen = new Map<unknown, Set<bigint>>();
  const ahead = [...blockers];
  let left = OWNERS_MAX;
  for (let owner = ahead.pop(); owner !== undefined && left > 0; owner = ahead.pop()) {
    if (sameOwner(owner, wanted)) return true;
    const ofClient = seen.get(owner.client) ?? new Set();
    if (ofClient.has(owner.owner)) continue;
    seen.set(owner.client, ofClient.add(owner.owner));
    left--;
    for (const next of waitsFor(owner)) ahead.push(next);
  }
  return false;
}
