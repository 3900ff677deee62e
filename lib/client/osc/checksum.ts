/** Which bulk checksum is used with a target (guide 12 §6). Computing is the endpoint's. */
import { CHECKSUM_TYPES } from '../../lnet/checksum-types.ts';
import type { BulkChecksumName } from '../../lnet/network.ts';
import { ConnectFlag } from '../../wire/connection-constants.ts';
import type { ObdConnectData } from '../../wire/connection-structs.ts';
import { ChecksumType } from '../../wire/ost-constants.ts';

/** What is wanted, by the user or the configuration. */
export interface ChecksumWish {
  readonly used: boolean;
  /** Undefined: the fastest. */
  readonly type: BulkChecksumName | undefined;
}

/** Bits for ocd_cksum_types: all of ours, or the one that the user wants and Adler, which every server has: one that could
 * grant nothing of what is asked refuses the whole connection. */
export function checksumTypesAsked(wanted: BulkChecksumName | undefined): number {
  return CHECKSUM_TYPES.reduce(
    (bits, { name, bit }) => (wanted === undefined || name === wanted ? bits | bit : bits),
    wanted === undefined ? 0 : ChecksumType.OBD_CKSUM_ADLER,
  );
}

/** The type to use with a target: the user's if it was granted, else the fastest that was. Adler where the server
 * negotiates none (guide 05 §2.2). */
export function chooseChecksum(
  granted: ObdConnectData,
  wanted: BulkChecksumName | undefined,
): BulkChecksumName {
  if ((granted.ocd_connect_flags & ConnectFlag.OBD_CONNECT_CKSUM) === 0n) return 'adler32';
  const usable = CHECKSUM_TYPES.filter(({ bit }) => (granted.ocd_cksum_types & bit) !== 0).map(
    ({ name }) => name,
  );
  return usable.find((name) => name === wanted) ?? usable[0] ?? 'adler32';
}
