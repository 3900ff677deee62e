/** What the answers to all intents share: dlm_rep with dispositions and the intent's own status (guide 08 §3.4). */
import type { DlmReplyInput, GrantedLock } from '../../../ldlm/server-operations.ts';
import { ELDLM_LOCK_ABORTED } from '../../../ldlm/status.ts';
import { errnoOf, LustreError } from '../../../runtime/errors.ts';
import { Disposition } from '../../../wire/ldlm-constants.ts';

/** EXECD must be set in every answer: a client's kernel goes down without it. */
export const LOOKED_UP = Disposition.DISP_IT_EXECD | Disposition.DISP_LOOKUP_EXECD;

export interface IntentOutcome {
  /** Disposition bits. */
  readonly disposition: number;
  /** 0, or the positive errno of the intent. */
  readonly errno: number;
  readonly lock: GrantedLock | undefined;
}

const NO_LOCK: DlmReplyInput = {};

/** The lock's own fields are made last: from then on conflicts are told to the client. */
export function intentReply({ disposition, errno, lock }: IntentOutcome): {
  dlm_rep: DlmReplyInput;
  status: number;
} {
  const { lock_flags, lock_desc, lock_handle } = lock?.reply() ?? NO_LOCK;
  return {
    dlm_rep: {
      lock_flags,
      lock_desc,
      lock_handle,
      lock_policy_res1: BigInt(disposition >>> 0),
      lock_policy_res2: errno === 0 ? 0n : BigInt.asUintN(64, BigInt(-errno)),
    },
    status: lock === undefined ? ELDLM_LOCK_ABORTED : 0,
  };
}

/** An ordinary failure goes into the intent's status; faults and lost clients go up. */
export function intentErrno(error: unknown): number {
  const errno = errnoOf(error);
  const ENOTCONN = 107;
  if (!(error instanceof LustreError) || error.code.startsWith('ERR_') || errno === ENOTCONN) throw error;
  return errno;
}
