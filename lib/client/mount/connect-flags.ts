/**
 * What the client asks of MDTs and OSTs (guide 05 §2.3): the set of a 2.17 kernel client without what we cannot
 * honour yet. Everything left out is named here with the reason.
 */

import type { ConnectGrant } from '../../connection/target.ts';
import type { BulkChecksumName } from '../../lnet/network.ts';
import { ConnectFlag, ConnectFlag2 } from '../../wire/connection-constants.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import { checksumTypesAsked } from '../osc/checksum.ts';

type Flag = keyof typeof ConnectFlag;
type Flag2 = keyof typeof ConnectFlag2;

const flags = (names: readonly Flag[]): bigint => names.reduce((bits, name) => bits | ConnectFlag[name], 0n);
const flags2 = (names: readonly Flag2[]): bigint =>
  names.reduce((bits, name) => bits | ConnectFlag2[name], 0n);

/** 2.17.0. */
const VERSION = 0x02110000;
const MIB = 1 << 20;
const PAGE_BITS = 12;
/** What kernels ask at first: 128 MiB of grant, RPCs of up to 64 MiB to an OST. */
const GRANT_ASKED = 128 * MIB;
const OST_BRW_ASKED = 64 * MIB;

/**
 * Not asked of an MDT: GRANT_SHRINK, ASYNC_DISCARD (no cache of data on the MDT); DMV_IMP_INHERIT (defaults of
 * directories are inherited by the server); PCC, PCCRO, ARCHIVE_ID_ARRAY (archives); ENCRYPT..., FILE_SECCTX,
 * SELINUX_POLICY; READDIR_OPEN, ATOMIC_OPEN_LOCK;
 * LARGE_ACL; GETATTR_PFID; LFSCK; PINGLESS, MDS_CAPA, OSS_CAPA, which servers do not grant.
 */
export function mdtAsk(checksum: BulkChecksumName | undefined, readOnly = false): ConnectGrant {
  const flags = (MDT_ASK.ocd_connect_flags ?? 0n) | (readOnly ? ConnectFlag.OBD_CONNECT_RDONLY : 0n);
  return { ...MDT_ASK, ocd_connect_flags: flags, ocd_cksum_types: checksumTypesAsked(checksum) };
}

const MDT_ASK: ConnectGrant = {
  ocd_connect_flags: flags([
    'OBD_CONNECT_GRANT',
    'OBD_CONNECT_SRVLOCK',
    'OBD_CONNECT_VERSION',
    'OBD_CONNECT_ACL',
    'OBD_CONNECT_XATTR',
    'OBD_CONNECT_IBITS',
    'OBD_CONNECT_ATTRFID',
    'OBD_CONNECT_NODEVOH',
    'OBD_CONNECT_BRW_SIZE',
    'OBD_CONNECT_CANCELSET',
    'OBD_CONNECT_AT',
    'OBD_CONNECT_CKSUM',
    'OBD_CONNECT_FID',
    'OBD_CONNECT_VBR',
    'OBD_CONNECT_LOV_V3',
    'OBD_CONNECT_MAX_EASIZE',
    'OBD_CONNECT_FULL20',
    'OBD_CONNECT_LAYOUTLOCK',
    'OBD_CONNECT_64BITHASH',
    'OBD_CONNECT_JOBSTATS',
    'OBD_CONNECT_UMASK',
    'OBD_CONNECT_EINPROGRESS',
    'OBD_CONNECT_GRANT_PARAM',
    'OBD_CONNECT_LVB_TYPE',
    'OBD_CONNECT_SHORTIO',
    'OBD_CONNECT_DISP_STRIPE',
    'OBD_CONNECT_OPEN_BY_FID',
    'OBD_CONNECT_MULTIMODRPCS',
    'OBD_CONNECT_DIR_STRIPE',
    'OBD_CONNECT_SUBTREE',
    'OBD_CONNECT_FLOCK_DEAD',
    'OBD_CONNECT_LRU_RESIZE',
    'OBD_CONNECT_BULK_MBITS',
    'OBD_CONNECT_FLAGS2',
  ]),
  ocd_connect_flags2: flags2([
    'OBD_CONNECT2_DIR_MIGRATE',
    'OBD_CONNECT2_SUM_STATFS',
    'OBD_CONNECT2_CRUSH',
    'OBD_CONNECT2_FLR',
    'OBD_CONNECT2_LOCK_CONVERT',
    'OBD_CONNECT2_OVERSTRIPING',
    'OBD_CONNECT2_INC_XID',
    'OBD_CONNECT2_LSOM',
    'OBD_CONNECT2_LSEEK',
    'OBD_CONNECT2_DOM_LVB',
    'OBD_CONNECT2_REP_MBITS',
    'OBD_CONNECT2_BATCH_RPC',
  ]),
  ocd_version: VERSION,
  ocd_brw_size: MIB,
  ocd_grant: GRANT_ASKED,
  ocd_grant_blkbits: PAGE_BITS,
  ocd_ibits_known: BigInt(InodeBit.MDS_INODELOCK_FULL),
};

/** Not asked of an OST: GRANT_SHRINK (no cache that would have to shrink), ENCRYPT, LFSCK, PINGLESS. */
export function ostAsk(checksum: BulkChecksumName | undefined): ConnectGrant {
  return {
    ocd_connect_flags: flags([
      'OBD_CONNECT_GRANT',
      'OBD_CONNECT_SRVLOCK',
      'OBD_CONNECT_VERSION',
      'OBD_CONNECT_BRW_SIZE',
      'OBD_CONNECT_CANCELSET',
      'OBD_CONNECT_AT',
      'OBD_CONNECT_CKSUM',
      'OBD_CONNECT_FID',
      'OBD_CONNECT_VBR',
      'OBD_CONNECT_FULL20',
      'OBD_CONNECT_LAYOUTLOCK',
      'OBD_CONNECT_64BITHASH',
      'OBD_CONNECT_MAXBYTES',
      'OBD_CONNECT_JOBSTATS',
      'OBD_CONNECT_EINPROGRESS',
      'OBD_CONNECT_GRANT_PARAM',
      'OBD_CONNECT_LVB_TYPE',
      'OBD_CONNECT_SHORTIO',
      'OBD_CONNECT_LRU_RESIZE',
      'OBD_CONNECT_BULK_MBITS',
      'OBD_CONNECT_FLAGS2',
    ]),
    ocd_connect_flags2: flags2([
      'OBD_CONNECT2_LOCKAHEAD',
      'OBD_CONNECT2_INC_XID',
      'OBD_CONNECT2_LSEEK',
      'OBD_CONNECT2_REP_MBITS',
      'OBD_CONNECT2_UNALIGNED_DIO',
    ]),
    ocd_version: VERSION,
    ocd_grant: GRANT_ASKED,
    ocd_brw_size: OST_BRW_ASKED,
    ocd_grant_blkbits: PAGE_BITS,
    ocd_cksum_types: checksumTypesAsked(checksum),
  };
}
