/** Early lock cancels (guide 08 §5.3): what a request of ours conflicts with goes back with it, and costs no callback. */
import { fidResource } from '../../fid/resource.ts';
import { ConnectFlag } from '../../wire/connection-constants.ts';
import type { MetadataTarget } from '../mdc/target.ts';
import type { Inode } from './inodes.ts';

/** Our own locks on an object that have any of these bits; they are given back with the request (guide 08 §5.3). */
export async function earlyCancels(
  mdt: MetadataTarget,
  inode: Inode | undefined,
  bits: number,
): Promise<bigint[]> {
  if (inode === undefined || inode.mdt !== mdt) return [];
  if ((mdt.granted.ocd_connect_flags & ConnectFlag.OBD_CONNECT_CANCELSET) === 0n) return [];
  return mdt.locks.takeConflicting(fidResource(inode.fid), BigInt(bits));
}
