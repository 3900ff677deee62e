/** What a metadata target grants at connect (guides 09 §2, 16 §3.3). */
import type { ConnectGrant } from '../../connection/target.ts';
import { errnoError } from '../../runtime/errors.ts';
import { ConnectFlag as F, ConnectFlag2 as F2 } from '../../wire/connection-constants.ts';
import type { ObdConnectData } from '../../wire/connection-structs.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import { LUSTRE_VERSION } from '../version.ts';
import { XATTR_SIZE_MAX } from './namespace-xattr.ts';

const FLAGS =
  F.OBD_CONNECT_RDONLY |
  F.OBD_CONNECT_VERSION |
  F.OBD_CONNECT_IBITS |
  F.OBD_CONNECT_NODEVOH |
  F.OBD_CONNECT_ATTRFID |
  F.OBD_CONNECT_CANCELSET |
  F.OBD_CONNECT_AT |
  F.OBD_CONNECT_BRW_SIZE |
  F.OBD_CONNECT_FID |
  F.OBD_CONNECT_VBR |
  F.OBD_CONNECT_LOV_V3 |
  F.OBD_CONNECT_FULL20 |
  F.OBD_CONNECT_64BITHASH |
  F.OBD_CONNECT_EINPROGRESS |
  F.OBD_CONNECT_LVB_TYPE |
  F.OBD_CONNECT_LAYOUTLOCK |
  F.OBD_CONNECT_MAX_EASIZE |
  F.OBD_CONNECT_BULK_MBITS |
  F.OBD_CONNECT_FLAGS2 |
  F.OBD_CONNECT_ACL |
  F.OBD_CONNECT_XATTR |
  F.OBD_CONNECT_OPEN_BY_FID |
  F.OBD_CONNECT_UMASK |
  F.OBD_CONNECT_JOBSTATS |
  F.OBD_CONNECT_FLOCK_DEAD |
  F.OBD_CONNECT_LRU_RESIZE |
  F.OBD_CONNECT_SUBTREE |
  F.OBD_CONNECT_DISP_STRIPE |
  F.OBD_CONNECT_MULTIMODRPCS;
const FLAGS2 =
  F2.OBD_CONNECT2_REP_MBITS |
  F2.OBD_CONNECT2_INC_XID |
  F2.OBD_CONNECT2_LSEEK |
  F2.OBD_CONNECT2_LSOM |
  F2.OBD_CONNECT2_LOCK_CONVERT |
  F2.OBD_CONNECT2_BATCH_RPC |
  F2.OBD_CONNECT2_GETATTR_PFID;
/** DOM is left out: no data is kept here. */
const INODE_BITS = BigInt(InodeBit.MDS_INODELOCK_ELC);
const BRW_SIZE_MAX = 1 << 20;
/** Modify slots of a client. */
const MODIFY_SLOTS = 32;

/** Throws EBADE for a client that knows no FIDs, EPROTO for a bulk size of 0. */
export function mdtConnect(asked: ObdConnectData, boots: number): ConnectGrant {
  const flags = asked.ocd_connect_flags & FLAGS;
  const has = (flag: bigint): boolean => (flags & flag) !== 0n;
  if (!has(F.OBD_CONNECT_FID)) throw errnoError(52, { syscall: 'connect' });
  if (has(F.OBD_CONNECT_BRW_SIZE) && asked.ocd_brw_size === 0) throw errnoError(71, { syscall: 'connect' });
  return {
    ocd_connect_flags: flags,
    ocd_connect_flags2: has(F.OBD_CONNECT_FLAGS2) ? asked.ocd_connect_flags2 & FLAGS2 : 0n,
    ocd_version: LUSTRE_VERSION,
    ocd_ibits_known: asked.ocd_ibits_known & INODE_BITS,
    ocd_brw_size: Math.min(asked.ocd_brw_size || BRW_SIZE_MAX, BRW_SIZE_MAX),
    ocd_max_easize: XATTR_SIZE_MAX,
    ocd_maxmodrpcs: MODIFY_SLOTS,
    ocd_group: asked.ocd_group,
    ocd_instance: boots,
  };
}
