/**
 * Giving back some inode bits of a lock and keeping the rest (guide 08 §6). Kernel clients do so only where data is kept on
 * the MDT; their servers take it for any bits.
 */
import type { Caller } from '../rpc/rpc.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { ConnectFlag2 } from '../wire/connection-constants.ts';
import type { ObdConnectData } from '../wire/connection-structs.ts';
import { RQF_LDLM_CONVERT } from '../wire/formats.ts';
import { InodeBit, LockMode, LockType } from '../wire/ldlm-constants.ts';
import type { ClientLock } from './client-lock.ts';
import type { ClientLockTable } from './client-lock-table.ts';

const { LCK_PW, LCK_PR, LCK_CW, LCK_CR } = LockMode;
const LOOKUP = BigInt(InodeBit.MDS_INODELOCK_LOOKUP);
const OPEN = BigInt(InodeBit.MDS_INODELOCK_OPEN);
const DOM = BigInt(InodeBit.MDS_INODELOCK_DOM);
const CONVERTIBLE = LCK_PW | LCK_PR | LCK_CW | LCK_CR;

/** The bits that stay when what is wanted goes; 0n when the whole lock is to go. */
export function bitsToKeep(
  lock: ClientLock,
  table: ClientLockTable,
  granted: ObdConnectData | undefined,
): bigint {
  if (lock.type !== LockType.LDLM_IBITS || (lock.mode & CONVERTIBLE) === 0) return 0n;
  const flags2 = granted?.ocd_connect_flags2 ?? 0n;
  if ((flags2 & ConnectFlag2.OBD_CONNECT2_LOCK_CONVERT) === 0n) return 0n;
  const have = lock.policy.inodeBits ?? 0n;
  const keep = have & ~lock.wantedBits;
  // Bits that are here no more: the server has not heard of it, and the lock is better gone.
  if (keep === have || keep === 0n) return 0n;
  // Who takes a name away may take the object with it: only data that an MDT keeps is worth more than that, and an open
  // handle would keep the object there.
  const worthKeeping = (keep & DOM) !== 0n && (keep & OPEN) === 0n;
  if ((lock.wantedBits & LOOKUP) !== 0n && !worthKeeping) return 0n;
  // What another lock protects already needs no second one.
  const other = table.find(lock.resource, lock.type, lock.mode, { inodeBits: keep });
  return other === undefined ? keep : 0n;
}

/** Tells the server what is kept. False when it has no such lock, or would not. */
export async function sendConvert(caller: Caller, runtime: Runtime, lock: ClientLock): Promise<boolean> {
  const { mode, policy, serverHandle } = lock;
  try {
    const reply = await caller.call(RQF_LDLM_CONVERT, {
      dlm_req: {
        lock_count: 1,
        lock_desc: {
          l_req_mode: mode,
          l_granted_mode: mode,
          l_policy_data: { l_inodebits: { bits: policy.inodeBits ?? 0n } },
        },
        lock_handle: [serverHandle],
      },
    });
    return reply.values.dlm_rep?.lock_handle === lock.handle;
  } catch (error) {
    runtime.log.warn({ err: error, lock: lock.describe() }, 'converting a lock failed');
    return false;
  }
}

/** Whether a lock goes back with a request that wants `bits`: data that an MDT keeps are not flushed for the sake of others. */
export const goesEarly = ({ policy }: ClientLock, bits: bigint): boolean => {
  const have = policy.inodeBits ?? 0n;
  return (have & bits) !== 0n && (have & DOM & ~bits) === 0n;
};
