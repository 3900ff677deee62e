/** The layout intent (guide 13 §5): a file's layout with the lock that protects it, and with objects for what is written. */
import type { Fid } from '../../fid/fid.ts';
import { fidResource } from '../../fid/resource.ts';
import type { ClientLock } from '../../ldlm/client-lock.ts';
import { intentOnly } from '../../ldlm/lock-replay.ts';
import { type ReplyValues, type RequestInputs, required } from '../../wire/format.ts';
import { RQF_LDLM_INTENT_LAYOUT } from '../../wire/formats.ts';
import { InodeBit, IntentOpcode, LockFlag, LockMode, LockType } from '../../wire/ldlm-constants.ts';
import { LayoutIntent } from '../../wire/mds-constants.ts';
import { checkIntent, intentStatus } from './intent.ts';
import { INTENT_REPLY_ROOM, type MetadataTarget, type RequestOptions } from './target.ts';

/** What the layout is needed for. `write`: bytes `[start, end)` are going to be written; `truncate`: the file is going to
 * be cut to `size`. */
export type LayoutNeed =
  | { readonly kind: 'access' }
  | { readonly kind: 'write'; readonly start: number; readonly end: number }
  | { readonly kind: 'truncate'; readonly size: number };

export interface LayoutResult {
  /** Empty when the file has no layout; undefined when the lock had to be waited for: the reply came before the layout. */
  readonly ea: Uint8Array | undefined;
  readonly lock: ClientLock | undefined;
}

export function layoutBuffers(
  need: LayoutNeed,
): Omit<RequestInputs<typeof RQF_LDLM_INTENT_LAYOUT>, 'dlm_req'> {
  return {
    ldlm_intent: { opc: BigInt(IntentOpcode.IT_LAYOUT) },
    layout_intent: layoutIntent(need),
    // A replay carries the layout here.
    eadata: new Uint8Array(0),
  };
}

/** The objects that were made are to be the same ones. */
function withLayout(request: object, reply: object): object {
  const { dlm_lvb } = reply as ReplyValues<typeof RQF_LDLM_INTENT_LAYOUT>;
  return intentOnly({ ...request, ...(dlm_lvb !== undefined && { eadata: dlm_lvb.slice() }) });
}

function layoutIntent(need: LayoutNeed): { lai_opc: number; lai_extent: { e_start: bigint; e_end: bigint } } {
  switch (need.kind) {
    case 'access':
      return { lai_opc: LayoutIntent.LAYOUT_INTENT_ACCESS, lai_extent: { e_start: 0n, e_end: 0n } };
    case 'write':
      return {
        lai_opc: LayoutIntent.LAYOUT_INTENT_WRITE,
        lai_extent: { e_start: BigInt(need.start), e_end: BigInt(need.end) },
      };
    case 'truncate':
      return {
        lai_opc: LayoutIntent.LAYOUT_INTENT_TRUNC,
        lai_extent: { e_start: 0n, e_end: BigInt(need.size) + 1n },
      };
  }
}

/** Rejects with ENODATA where no component covers the range, ENOSPC, EOPNOTSUPP ... */
export async function layout(
  mdc: MetadataTarget,
  fid: Fid,
  need: LayoutNeed,
  options: RequestOptions = {},
): Promise<LayoutResult> {
  const changes = need.kind !== 'access';
  // The server would have to ask for what we hold of it.
  const cancels = changes
    ? await mdc.locks.takeConflicting(fidResource(fid), BigInt(InodeBit.MDS_INODELOCK_LAYOUT))
    : [];
  const { lock, reply } = await mdc.locks.enqueue({
    resource: fidResource(fid),
    type: LockType.LDLM_IBITS,
    // The server grants CR: it only has to know at once that the layout may change.
    mode: changes ? LockMode.LCK_EX : LockMode.LCK_CR,
    policy: { inodeBits: BigInt(InodeBit.MDS_INODELOCK_LAYOUT) },
    flags: LockFlag.LDLM_FL_HAS_INTENT,
    intent: { format: RQF_LDLM_INTENT_LAYOUT, buffers: layoutBuffers(need) },
    ...(changes && { modifies: true, cancels, replayAs: withLayout }),
    replyRoom: Math.max(INTENT_REPLY_ROOM, mdc.granted.ocd_max_easize),
    ...options,
  });
  try {
    const rep = required(reply.values, 'dlm_rep');
    checkIntent(intentStatus(rep), mdc.name, options.context);
    const waited = (rep.lock_flags & (LockFlag.LDLM_FL_BLOCK_GRANTED | LockFlag.LDLM_FL_BLOCK_WAIT)) !== 0;
    return { ea: waited ? undefined : (reply.values.dlm_lvb ?? new Uint8Array(0)), lock };
  } catch (error) {
    if (lock !== undefined) mdc.locks.release(lock);
    throw error;
  }
}
