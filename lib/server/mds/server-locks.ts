/**
 * Locks that the target takes for its own work (guides 08 §3.4, 09 §6): everybody's cached locks on what an operation
 * changes are called back first. All locks of an operation are taken in the order of their FIDs, so that
 * operations never wait for each other in a circle.
 */
import { compareFids, type Fid, sameFid } from '../../fid/fid.ts';
import { fidResource } from '../../fid/resource.ts';
import type { Policy, ResourceId } from '../../ldlm/lock.ts';
import { InodeBit, LockMode } from '../../wire/ldlm-constants.ts';

const { MDS_INODELOCK_LOOKUP, MDS_INODELOCK_UPDATE, MDS_INODELOCK_XATTR } = InodeBit;

/** What this module needs of the lock manager. */
export interface LockService {
  lock(resource: ResourceId, mode: number, policy: Policy): Promise<{ release(): void }>;
}

export interface WantedLock {
  readonly fid: Fid;
  readonly mode: number;
  readonly bits: number;
}

/** A directory whose names change: in the transaction, so that others may change it meanwhile, and nobody read it. */
export const changedDirectory = (fid: Fid): WantedLock => ({
  fid,
  mode: LockMode.LCK_CW,
  bits: MDS_INODELOCK_UPDATE,
});
/** An object that gets another name: the attribute that lists its names (trusted.link) changes, and its time. */
export const renamedObject = (fid: Fid): WantedLock => ({
  fid,
  mode: LockMode.LCK_EX,
  bits: MDS_INODELOCK_LOOKUP | MDS_INODELOCK_XATTR | MDS_INODELOCK_UPDATE,
});
/** An object that loses a name, and may go with it. */
export const removedObject = (fid: Fid): WantedLock => ({
  fid,
  mode: LockMode.LCK_EX,
  bits: MDS_INODELOCK_LOOKUP | MDS_INODELOCK_UPDATE,
});
export const changedObject = (fid: Fid, bits: number): WantedLock => ({ fid, mode: LockMode.LCK_EX, bits });
/** An object of which only what a SETATTR sets is changed: who has it open keeps the lock that says so. */
export const changedAttributes = (fid: Fid, bits: number): WantedLock => ({
  fid,
  mode: LockMode.LCK_PW,
  bits,
});

/** One for each object, in the order of their FIDs. */
function inOrder(wanted: readonly WantedLock[]): WantedLock[] {
  const sorted = wanted.toSorted((a, b) => compareFids(a.fid, b.fid));
  const merged: WantedLock[] = [];
  for (const next of sorted) {
    const last = merged.at(-1);
    if (last === undefined || !sameFid(last.fid, next.fid)) merged.push(next);
    // Smaller numbers are stronger modes: EX 1, PW 2, CW 8.
    else
      merged[merged.length - 1] = {
        fid: last.fid,
        mode: Math.min(last.mode, next.mode),
        bits: last.bits | next.bits,
      };
  }
  return merged;
}

/** Takes them all; the result releases them. */
export async function lockAll(locks: LockService, wanted: readonly WantedLock[]): Promise<() => void> {
  const [only] = wanted;
  if (wanted.length === 1 && only !== undefined) {
    const lock = await locks.lock(fidResource(only.fid), only.mode, { inodeBits: BigInt(only.bits) });
    return () => lock.release();
  }
  const held: { release(): void }[] = [];
  const release = (): void => {
    for (const lock of held.splice(0).reverse()) lock.release();
  };
  try {
    for (const { fid, mode, bits } of inOrder(wanted))
      held.push(await locks.lock(fidResource(fid), mode, { inodeBits: BigInt(bits) }));
  } catch (error) {
    release();
    throw error;
  }
  return release;
}
