/**
 * Where locks meet what they protect: the namespaces are made when a target is connected, the caches that live under
 * their locks later. A cache names itself here, and is told of each lock that goes.
 */
import type { ClientLock } from '../ldlm/client-lock.ts';

export interface LockHook {
  /** The lock is on its way back, or these of its inode bits: resolves when what they protect is written and dropped.
   * `target`: index of MDT or OST. */
  cancelling(target: number, lock: ClientLock, bits: bigint): Promise<void> | void;
  /** Nothing has to be written, closed or waited for before the lock can go back. */
  goesAtOnce(target: number, lock: ClientLock): boolean;
  /** The server has forgotten us: what it protected is void. */
  lost(target: number, lock: ClientLock): void;
}

export class LockHooks {
  mdt: LockHook | undefined;
  ost: LockHook | undefined;
}
