/** Lock descriptions on the wire: resource, modes and the policy in the form of the lock's type (guide 08 §2). */
import { sharedBigint } from '../runtime/shared-bigints.ts';
import { LockType } from '../wire/ldlm-constants.ts';
import type { LdlmLockDesc, LdlmWirePolicyData } from '../wire/ldlm-structs.ts';
import type { StructInput } from '../wire/struct.ts';
import type { LockModeNumber, LockTypeNumber, Policy, ResourceId } from './lock.ts';

export const EXTENT_EOF = 0xffff_ffff_ffff_ffffn;
/** OFFSET_MAX: how flock ranges say "to the end". */
export const FLOCK_EOF = 0x7fff_ffff_ffff_ffffn;

type WirePolicyInput = StructInput<typeof LdlmWirePolicyData>;
export type LockDescInput = StructInput<typeof LdlmLockDesc>;

export interface Describable {
  readonly type: LockTypeNumber;
  readonly resource: ResourceId;
  readonly mode: LockModeNumber;
  readonly policy: Policy;
}

export function isLockType(type: number): type is LockTypeNumber {
  return type >= LockType.LDLM_TYPE_MIN && type < LockType.LDLM_TYPE_END;
}

/** `granted` 0 for a lock that is not. */
export function describeLock(lock: Describable, granted: LockModeNumber): LockDescInput {
  return {
    l_resource: { lr_type: lock.type, lr_name: { name: lock.resource } },
    l_req_mode: lock.mode,
    l_granted_mode: granted,
    l_policy_data: encodePolicy(lock.type, lock.policy),
  };
}

/** What a blocking AST says of the lock that blocks: word 0 of its policy is repeated in word 1 whatever the type (guide 08
 * §4.3), which for inode bits makes it `cancel_bits`. */
export function describeBlocker(lock: Describable): LockDescInput {
  const { extent, inodeBits, flock } = lock.policy;
  const first = extent?.start ?? inodeBits ?? flock?.start ?? 0n;
  return {
    ...describeLock(lock, 0),
    l_policy_data: { l_extent: { start: first, end: first, gid: extent?.gid ?? 0n } },
  };
}

export function encodePolicy(type: LockTypeNumber, policy: Policy): WirePolicyInput {
  switch (type) {
    case LockType.LDLM_EXTENT: {
      const { start, end, gid } = policy.extent ?? { start: 0n, end: 0n };
      return { l_extent: { start, end, gid: gid ?? 0n } };
    }
    case LockType.LDLM_IBITS:
      return {
        l_inodebits: {
          bits: policy.inodeBits ?? 0n,
          try_bits: policy.tryBits ?? 0n,
          li_gid: policy.gid ?? 0n,
        },
      };
    case LockType.LDLM_FLOCK: {
      const { start, end, owner, pid } = policy.flock ?? { start: 0n, end: 0n, owner: 0n, pid: 0 };
      return { l_flock: { lfw_start: start, lfw_end: end, lfw_owner: owner, lfw_pid: pid } };
    }
    default:
      return {};
  }
}

/** Few of them are in use, and each is kept by very many locks. */
const policies = new Map<bigint, Policy>();
const POLICIES_MAX = 256;

export function inodeBitsPolicy(inodeBits: bigint): Policy {
  let policy = policies.get(inodeBits);
  if (policy === undefined) {
    if (policies.size === POLICIES_MAX) policies.clear();
    policy = { inodeBits };
    policies.set(inodeBits, policy);
  }
  return policy;
}

export function decodePolicy(type: LockTypeNumber, wire: LdlmWirePolicyData): Policy {
  switch (type) {
    case LockType.LDLM_EXTENT: {
      const { start, end, gid } = wire.l_extent;
      return { extent: gid === 0n ? { start, end } : { start, end, gid } };
    }
    case LockType.LDLM_IBITS: {
      const { bits, try_bits, li_gid } = wire.l_inodebits;
      if (try_bits === 0n && li_gid === 0n) return inodeBitsPolicy(bits);
      return {
        inodeBits: bits,
        ...(try_bits !== 0n && { tryBits: try_bits }),
        ...(li_gid !== 0n && { gid: li_gid }),
      };
    }
    case LockType.LDLM_FLOCK: {
      const { lfw_start, lfw_end, lfw_owner, lfw_pid } = wire.l_flock;
      return { flock: { start: lfw_start, end: lfw_end, owner: lfw_owner, pid: lfw_pid } };
    }
    default:
      return {};
  }
}

/** The four words of a decoded resource name. */
export function resourceName(words: readonly bigint[]): ResourceId {
  return [
    sharedBigint(words[0] ?? 0n),
    words[1] ?? 0n,
    sharedBigint(words[2] ?? 0n),
    sharedBigint(words[3] ?? 0n),
  ];
}

export function samePolicy(type: LockTypeNumber, a: Policy, b: Policy): boolean {
  switch (type) {
    case LockType.LDLM_EXTENT:
      return a.extent?.start === b.extent?.start && a.extent?.end === b.extent?.end;
    case LockType.LDLM_IBITS:
      return a.inodeBits === b.inodeBits;
    case LockType.LDLM_FLOCK:
      return a.flock?.start === b.flock?.start && a.flock?.end === b.flock?.end;
    default:
      return true;
  }
}
