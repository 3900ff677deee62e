/**
 * How far beyond its request an extent lock is granted (guide 08 §3.3, EXTENT): as far as nobody else is in the way, so that
 * a client that works alone needs one lock for the whole object.
 */
import { LockMode } from '../wire/ldlm-constants.ts';
import { type Claim, extentsOverlap } from './conflicts.ts';
import { EXTENT_EOF } from './description.ts';
import type { Extent, LockModeNumber } from './lock.ts';
import { modesCompatible } from './modes.ts';

const PAGE_SIZE = 4096n;
/** With more conflicting locks than this among the waiting, nothing grows downwards. */
const WAITING_CONFLICTS_MAX = 4;
/** With more than this in all, a writer's lock grows by no more than GROWTH_MAX. */
const CONFLICTS_MAX = 32;
const GROWTH_MAX = 32n << 20n;

export interface ExtentClaim extends Claim {
  /** Who asks; waiting locks of the same client limit growth too. */
  readonly client: unknown;
  /** What was asked for, before any growth. */
  readonly requested: Extent;
}

/** What holders of conflicting modes leave to a lock: how many they are, and where the first begins above it. */
export interface ExtentLimits {
  readonly conflicting: number;
  readonly nearest: bigint | undefined;
}

export function limitsAmong(granted: Iterable<Claim>, mode: LockModeNumber, position: bigint): ExtentLimits {
  let conflicting = 0;
  let nearest: bigint | undefined;
  for (const held of granted) {
    if (held.policy.extent === undefined || modesCompatible(held.mode, mode)) continue;
    conflicting++;
    const { start } = held.policy.extent;
    if (start > position && (nearest === undefined || start < nearest)) nearest = start;
  }
  return { conflicting, nearest };
}

/** The extent to grant for `lock`; it covers the request. `lock` itself must be neither granted nor among the waiting. */
export function grownExtent(
  lock: ExtentClaim,
  granted: () => ExtentLimits,
  waiting: Iterable<ExtentClaim>,
  expand: boolean,
): Extent {
  const { requested } = lock;
  if (requested.start === 0n && requested.end === EXTENT_EOF) return requested;
  let grown: { start: bigint; end: bigint } = { start: requested.start, end: requested.end };
  let conflicting = 0;
  if (expand) {
    grown = { start: 0n, end: EXTENT_EOF };
    conflicting = limitByGranted(lock, granted(), grown);
    grown = fixUp(lock, grown, conflicting);
    conflicting = limitByWaiting(lock, waiting, grown, conflicting);
  }
  grown = fixUp(lock, grown, conflicting);
  // A request off page boundaries would shrink in the fix-up.
  if (grown.start > requested.start) grown.start = requested.start;
  if (grown.end < requested.end) grown.end = requested.end;
  return requested.gid === undefined ? grown : { ...grown, gid: requested.gid };
}

function limitByGranted(
  lock: ExtentClaim,
  { conflicting, nearest }: ExtentLimits,
  grown: { start: bigint; end: bigint },
): number {
  if (conflicting > 0) grown.start = lock.requested.start;
  if (nearest !== undefined && nearest <= grown.end) grown.end = nearest - 1n;
  return conflicting;
}

function limitByWaiting(
  lock: ExtentClaim,
  waiting: Iterable<ExtentClaim>,
  grown: { start: bigint; end: bigint },
  before: number,
): number {
  let conflicting = before;
  for (const other of waiting) {
    if (modesCompatible(other.mode, lock.mode) && other.client !== lock.client) continue;
    conflicting++;
    if (conflicting > WAITING_CONFLICTS_MAX) grown.start = lock.requested.start;
    const theirs = other.requested;
    if (!extentsOverlap(theirs, grown) || extentsOverlap(theirs, lock.requested)) continue;
    if (theirs.end < lock.requested.start && theirs.end + 1n > grown.start) grown.start = theirs.end + 1n;
    if (theirs.start > lock.requested.end && theirs.start - 1n < grown.end) grown.end = theirs.start - 1n;
  }
  return conflicting;
}

/** Limits a contended writer, and aligns inwards to the largest power of two that the request itself is aligned to. */
function fixUp(
  lock: ExtentClaim,
  grown: { start: bigint; end: bigint },
  conflicting: number,
): { start: bigint; end: bigint } {
  const { start: from, end: to } = lock.requested;
  let { start, end } = grown;
  const writer = lock.mode === LockMode.LCK_PW || lock.mode === LockMode.LCK_CW;
  if (conflicting > CONFLICTS_MAX && writer && to - from < GROWTH_MAX) {
    const limit = from + GROWTH_MAX - 1n;
    if (limit < end) end = limit;
  }
  if (start === 0n && end === EXTENT_EOF) return { start, end };
  const mask = alignment(from, to) - 1n;
  return {
    start: (start + mask) & ~mask,
    end: end === EXTENT_EOF ? end : ((end + 1n) & ~mask) - 1n,
  };
}

function alignment(from: bigint, to: bigint): bigint {
  const boundaries = BigInt.asUintN(64, from | (to + 1n));
  let power = PAGE_SIZE;
  if (boundaries !== 0n && boundaries % PAGE_SIZE === 0n) {
    while ((boundaries & power) === 0n) power <<= 1n;
  }
  return power;
}
