/** The vocabulary of locks, shared by both sides (guide 08 §1 to §4). */
import type { LdlmLockDesc } from '../wire/ldlm-structs.ts';

/** LDLM_PLAIN 10, EXTENT 11, FLOCK 12, IBITS 13. */
export type LockTypeNumber = 10 | 11 | 12 | 13;
/** LCK_EX 1, PW 2, PR 4, CW 8, CR 16, NL 32, GROUP 64. */
export type LockModeNumber = number;

/** Four 64-bit words; see guide 08 for how each service fills them. */
export type ResourceId = readonly [bigint, bigint, bigint, bigint];

/** Both ends inclusive; `end` 2^64-1 is end of file. */
export interface Extent {
  readonly start: bigint;
  readonly end: bigint;
  readonly gid?: bigint;
}

export interface Policy {
  readonly extent?: Extent;
  readonly inodeBits?: bigint;
  readonly tryBits?: bigint;
  /** Of a group lock on inode bits; extents have their own. */
  readonly gid?: bigint;
  readonly flock?: {
    readonly start: bigint;
    readonly end: bigint;
    readonly owner: bigint;
    readonly pid: number;
  };
}

export type LockDescription = LdlmLockDesc;
