/** What intents answer (guide 08 §3.4, guide 09 §4): disposition bits, a status, and with luck a lock. */
import { errnoError, ProtocolError } from '../../runtime/errors.ts';
import { Disposition } from '../../wire/ldlm-constants.ts';
import type { LdlmReply } from '../../wire/ldlm-structs.ts';
import type { StructValue } from '../../wire/struct.ts';
import type { RequestContext } from './target.ts';

export interface IntentStatus {
  /** Disposition bits. */
  readonly disposition: number;
  /** Negative errno, or 0. */
  readonly status: number;
}

/** Reads the intent's result out of the lock reply. */
export function intentStatus(reply: StructValue<typeof LdlmReply>): IntentStatus {
  return {
    disposition: Number(reply.lock_policy_res1 & 0xffff_ffffn),
    status: Number(BigInt.asIntN(32, reply.lock_policy_res2)),
  };
}

export const has = (intent: IntentStatus, bit: keyof typeof Disposition): boolean =>
  (intent.disposition & Disposition[bit]) !== 0;

/** Throws what the server refused, with the operation's names. */
export function checkIntent(intent: IntentStatus, target: string, context: RequestContext = {}): void {
  if (intent.status < 0) throw errnoError(intent.status, { ...context, target });
  if (intent.status > 0 || !has(intent, 'DISP_IT_EXECD')) {
    throw new ProtocolError(
      'EPROTO',
      `an intent came back with disposition 0x${intent.disposition.toString(16)}, status ${intent.status}`,
      { ...context, target },
    );
  }
}
