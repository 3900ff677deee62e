/** Locks at a server that was started again: each as it was, without a look at the others (guide 06 §4.2). */
import type { LdlmRequestInput } from '../wire/format.ts';
import { InodeBit, LockFlag, LockType } from '../wire/ldlm-constants.ts';
import type { LdlmReply } from '../wire/ldlm-structs.ts';
import type { ClientLock } from './client-lock.ts';
import { type Describable, describeLock } from './description.ts';

const { LDLM_FL_REPLAY, LDLM_FL_BLOCK_GRANTED, LDLM_FL_BLOCK_WAIT, LDLM_FL_INTENT_ONLY } = LockFlag;
/** Under way at once. */
const AT_ONCE = 8;

/** What the server has of us that is no lock of the table: ranges of files, which it keeps by owner. */
export interface KeptRanges {
  ranges(): Iterable<Describable>;
  /** The server has forgotten them. */
  lost(): void;
}

/** Sends one lock to the server; rejects when it will not have it. */
type Send = (request: LdlmRequestInput) => Promise<LdlmReply>;

const { MDS_INODELOCK_OPEN, MDS_INODELOCK_DOM } = InodeBit;

/** Unused locks that only attributes are remembered under: not worth a request each when all clients come back at once. Those
 * that keep a file open, or data, are. */
export const isDroppedForReplay = (lock: ClientLock): boolean =>
  lock.type === LockType.LDLM_IBITS &&
  lock.isMatchable &&
  lock.isIdle &&
  ((lock.policy.inodeBits ?? 0n) & BigInt(MDS_INODELOCK_OPEN | MDS_INODELOCK_DOM)) === 0n;

/** Sends all. `late` hears of server handles of locks that were given up meanwhile. Rejects with the first refusal. */
export async function replayLocks(
  locks: Iterable<ClientLock>,
  kept: Iterable<KeptRanges>,
  send: Send,
  { nextHandle, late }: { nextHandle: () => bigint; late: (serverHandle: bigint) => void },
): Promise<void> {
  const work = replays(locks, kept, send, nextHandle, late);
  const one = async (): Promise<void> => {
    for (const replay of work) await replay();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

function* replays(
  locks: Iterable<ClientLock>,
  kept: Iterable<KeptRanges>,
  send: Send,
  nextHandle: () => bigint,
  late: (serverHandle: bigint) => void,
): Generator<() => Promise<void>> {
  for (const lock of [...locks]) {
    const waits = lock.state === 'BLOCKED';
    // A request that was not answered is sent again by itself; a handle on its way back is forgotten here.
    if (!waits && !lock.isHeld && !lock.isLeaving) continue;
    yield async () => {
      const how = waits ? LDLM_FL_BLOCK_WAIT : LDLM_FL_BLOCK_GRANTED;
      // A completion AST may be first to say the new one.
      if (waits) lock.serverHandle = 0n;
      const { lock_handle } = await send(asItWas(lock, lock.handle, how));
      if (lock.state === 'CANCELLING' || lock.state === 'DESTROYED') late(lock_handle);
      else lock.serverHandle = lock_handle;
    };
  }
  for (const each of kept)
    for (const range of [...each.ranges()])
      yield async () => void (await send(asItWas(range, nextHandle(), LDLM_FL_BLOCK_GRANTED)));
}

function asItWas(lock: Describable, handle: bigint, how: number): LdlmRequestInput {
  return {
    lock_flags: LDLM_FL_REPLAY | how,
    lock_desc: describeLock(lock, how === LDLM_FL_BLOCK_GRANTED ? lock.mode : 0),
    lock_handle: [handle],
  };
}

/** How an enqueue with an intent is replayed: for what it did, its lock is replayed by itself (guide 06 §4.1). */
export function intentOnly<R extends object>(request: R): R {
  const { dlm_req } = request as { dlm_req?: LdlmRequestInput };
  return { ...request, dlm_req: withoutLock(dlm_req) };
}

/** The enqueue's part of such a request. */
export function withoutLock(dlm_req: LdlmRequestInput | null | undefined): LdlmRequestInput {
  return { ...dlm_req, lock_flags: Number(dlm_req?.lock_flags ?? 0) | LDLM_FL_INTENT_ONLY };
}
