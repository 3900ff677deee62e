/** What an OST grants at connect (guide 12 §3, guide 16 §3.3). */
import type { ConnectGrant } from '../../connection/target.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { ConnectFlag as F, ConnectFlag2 as F2 } from '../../wire/connection-constants.ts';
import type { ObdConnectData } from '../../wire/connection-structs.ts';
import { ChecksumType } from '../../wire/ost-constants.ts';
import { LUSTRE_VERSION } from '../version.ts';
import { GRANT_PARAMETERS } from './grants.ts';
import { OBJECT_BYTES_MAX, type OstContext } from './ost-context.ts';

const FLAGS =
  F.OBD_CONNECT_VERSION |
  F.OBD_CONNECT_RDONLY |
  F.OBD_CONNECT_INDEX |
  F.OBD_CONNECT_MDS |
  F.OBD_CONNECT_SKIP_ORPHAN |
  F.OBD_CONNECT_BRW_SIZE |
  F.OBD_CONNECT_CANCELSET |
  F.OBD_CONNECT_FID |
  F.OBD_CONNECT_SRVLOCK |
  F.OBD_CONNECT_AT |
  F.OBD_CONNECT_VBR |
  F.OBD_CONNECT_FULL20 |
  F.OBD_CONNECT_64BITHASH |
  F.OBD_CONNECT_MAXBYTES |
  F.OBD_CONNECT_EINPROGRESS |
  F.OBD_CONNECT_LVB_TYPE |
  F.OBD_CONNECT_LAYOUTLOCK |
  F.OBD_CONNECT_BULK_MBITS |
  F.OBD_CONNECT_GRANT |
  F.OBD_CONNECT_GRANT_PARAM |
  F.OBD_CONNECT_GRANT_SHRINK |
  F.OBD_CONNECT_CKSUM |
  F.OBD_CONNECT_JOBSTATS |
  F.OBD_CONNECT_SHORTIO |
  F.OBD_CONNECT_LRU_RESIZE |
  F.OBD_CONNECT_FLAGS2;
const FLAGS2 =
  F2.OBD_CONNECT2_LOCKAHEAD | F2.OBD_CONNECT2_REP_MBITS | F2.OBD_CONNECT2_INC_XID | F2.OBD_CONNECT2_LSEEK;
const CHECKSUMS = ChecksumType.OBD_CKSUM_CRC32 | ChecksumType.OBD_CKSUM_CRC32C | ChecksumType.OBD_CKSUM_ADLER;
const T10 =
  ChecksumType.OBD_CKSUM_T10IP512 |
  ChecksumType.OBD_CKSUM_T10IP4K |
  ChecksumType.OBD_CKSUM_T10CRC512 |
  ChecksumType.OBD_CKSUM_T10CRC4K;

/** The largest bulk of one RPC. */
export const BRW_SIZE_MAX: number = 16 << 20;
const BRW_SIZE_MIN = 1 << 20;

/** Throws EPROTO or EBADF for what no client of this OST may ask. */
export function ostConnect(
  ost: OstContext,
  asked: ObdConnectData,
  client: { uuid: string; reconnect: boolean },
): ConnectGrant {
  let flags = asked.ocd_connect_flags & FLAGS;
  const has = (flag: bigint): boolean => (flags & flag) !== 0n;
  if (has(F.OBD_CONNECT_SKIP_ORPHAN) && !has(F.OBD_CONNECT_MDS))
    throw errnoError(Errno.EPROTO, { syscall: 'connect', hint: 'Only an MDT may ask for SKIP_ORPHAN' });
  if (has(F.OBD_CONNECT_INDEX) && asked.ocd_index !== ost.index)
    throw errnoError(Errno.EBADF, {
      syscall: 'connect',
      target: ost.name,
      hint: `Its index is ${ost.index}`,
    });
  const brwSize = has(F.OBD_CONNECT_BRW_SIZE) ? grantedBrwSize(asked.ocd_brw_size) : BRW_SIZE_MIN;
  const checksums = grantedChecksums(asked.ocd_cksum_types);
  if (has(F.OBD_CONNECT_CKSUM) && checksums === 0)
    throw errnoError(Errno.EPROTO, { syscall: 'connect', hint: 'No common checksum type' });
  if (has(F.OBD_CONNECT_RDONLY)) flags &= ~F.OBD_CONNECT_GRANT;
  return {
    ocd_connect_flags: flags,
    ocd_connect_flags2: asked.ocd_connect_flags2 & FLAGS2,
    ocd_version: LUSTRE_VERSION,
    ocd_index: ost.index,
    ocd_brw_size: brwSize,
    ocd_cksum_types: checksums,
    ocd_maxbytes: OBJECT_BYTES_MAX,
    ocd_group: asked.ocd_group,
    ocd_instance: ost.commits.boots,
    ...grantFields(ost, asked, client, flags, brwSize),
  };
}

/** T10 types for who asks for them by name only. Kernels offer all that there are and would then use the one that is the
 * fastest in memory, which we cannot take of bytes as they come and go. */
function grantedChecksums(asked: number): number {
  return asked & ((asked & ChecksumType.OBD_CKSUM_CRC32C) === 0 ? CHECKSUMS | T10 : CHECKSUMS);
}

/** A power of two from 1 to 16 MiB: ocd_brw_size >> 20 is the number of descriptors, which must be one. */
function grantedBrwSize(asked: number): number {
  if (asked === 0) throw errnoError(Errno.EPROTO, { syscall: 'connect', hint: 'A bulk size of 0' });
  let size = BRW_SIZE_MAX;
  while (size > asked && size > BRW_SIZE_MIN) size /= 2;
  return size;
}

function grantFields(
  ost: OstContext,
  asked: ObdConnectData,
  client: { uuid: string; reconnect: boolean },
  flags: bigint,
  brwSize: number,
): ConnectGrant {
  const parameters = (flags & F.OBD_CONNECT_GRANT_PARAM) !== 0n;
  const described = parameters
    ? {
        ocd_grant_blkbits: GRANT_PARAMETERS.blockBits,
        ocd_grant_inobits: GRANT_PARAMETERS.inodeBits,
        ocd_grant_tax_kb: GRANT_PARAMETERS.taxKib,
        ocd_grant_max_blks: GRANT_PARAMETERS.extentBlocksMax,
      }
    : {};
  if ((flags & F.OBD_CONNECT_GRANT) === 0n) return described;
  const grant = ost.grants.connect(client.uuid, {
    wants: asked.ocd_grant,
    brwSize,
    parameters,
    reconnect: client.reconnect,
    available: ost.space.availableBytes,
  });
  return { ...described, ocd_grant: grant };
}
