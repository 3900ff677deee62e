/** Which locks of one resource stand in each other's way (guide 08 §3.3). */
import { InodeBit, LockMode, LockType } from '../wire/ldlm-constants.ts';
import type { Extent, LockModeNumber, LockTypeNumber, Policy } from './lock.ts';
import { modesCompatible } from './modes.ts';

/** What of a lock decides on conflicts. */
export interface Claim {
  readonly type: LockTypeNumber;
  readonly mode: LockModeNumber;
  readonly policy: Policy;
}

export function extentsOverlap(a: Extent, b: Extent): boolean {
  return a.start <= b.end && b.start <= a.end;
}

/** True when `wanted` cannot be granted beside `held`. Optional inode bits (`tryBits`) never conflict. FLOCK has its own
 * rules: flock-policy.ts. */
export function locksConflict(held: Claim, wanted: Claim): boolean {
  if (modesCompatible(held.mode, wanted.mode) && !groupsDiffer(held, wanted)) return false;
  switch (wanted.type) {
    case LockType.LDLM_EXTENT:
      // A group has the whole object, whatever part of it is named.
      if (isGroup(held)) return true;
      return (
        held.policy.extent !== undefined &&
        wanted.policy.extent !== undefined &&
        extentsOverlap(held.policy.extent, wanted.policy.extent)
      );
    case LockType.LDLM_IBITS:
      return ((held.policy.inodeBits ?? 0n) & (wanted.policy.inodeBits ?? 0n)) !== 0n;
    default:
      return true;
  }
}

function groupsDiffer(held: Claim, wanted: Claim): boolean {
  return (
    held.mode === LockMode.LCK_GROUP &&
    wanted.mode === LockMode.LCK_GROUP &&
    groupOf(held.policy) !== groupOf(wanted.policy)
  );
}

const groupOf = ({ extent, gid }: Policy): bigint => extent?.gid ?? gid ?? 0n;

/** Group locks of the same group id are granted past everything that waits. */
export function isGroup(claim: Claim): boolean {
  return claim.mode === LockMode.LCK_GROUP;
}

/**
 * Of the optional bits `tryBits` those that can be had: which no lock of an incompatible mode, granted or waiting, has or wants
 * (guide 08 §3.3). They never cause a blocking AST.
 */
export function grantableTryBits(wanted: Claim, tryBits: bigint, others: Iterable<Claim>): bigint {
  let left = tryBits;
  for (const other of others) {
    if (left === 0n) break;
    if (modesCompatible(other.mode, wanted.mode)) continue;
    left &= ~((other.policy.inodeBits ?? 0n) | (other.policy.tryBits ?? 0n));
  }
  return left;
}

/** GROUP on inode bits exists for exactly the DOM bit. */
export function isLegalInodeBits(mode: LockModeNumber, policy: Policy): boolean {
  const asked = (policy.inodeBits ?? 0n) | (policy.tryBits ?? 0n);
  if (asked === 0n) return false;
  return mode !== LockMode.LCK_GROUP || asked === BigInt(InodeBit.MDS_INODELOCK_DOM);
}
