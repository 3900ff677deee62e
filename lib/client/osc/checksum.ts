/** Which bulk checksum is used, and how it is named in an obdo (guide 12 §6). Computing is the endpoint's. */
import type { BulkChecksumName } from '../../lnet/network.ts';
import { ConnectFlag } from '../../wire/connection-constants.ts';
import type { ObdConnectData } from '../../wire/connection-structs.ts';
import { ChecksumType, ObdoFlag } from '../../wire/ost-constants.ts';

/** What is wanted, by the user or the configuration. */
export interface ChecksumWish {
  readonly used: boolean;
  /** Undefined: the fastest. */
  readonly type: BulkChecksumName | undefined;
}

/** Types that we can compute, the fastest first; those of T10 behind the ones that are taken as bytes come. */
const KNOWN: readonly (readonly [BulkChecksumName, number, number])[] = [
  ['crc32c', ChecksumType.OBD_CKSUM_CRC32C, ObdoFlag.OBD_FL_CKSUM_CRC32C],
  ['adler32', ChecksumType.OBD_CKSUM_ADLER, ObdoFlag.OBD_FL_CKSUM_ADLER],
  ['crc32', ChecksumType.OBD_CKSUM_CRC32, ObdoFlag.OBD_FL_CKSUM_CRC32],
  ['t10crc4K', ChecksumType.OBD_CKSUM_T10CRC4K, ObdoFlag.OBD_FL_CKSUM_T10CRC4K],
  ['t10crc512', ChecksumType.OBD_CKSUM_T10CRC512, ObdoFlag.OBD_FL_CKSUM_T10CRC512],
  ['t10ip4K', ChecksumType.OBD_CKSUM_T10IP4K, ObdoFlag.OBD_FL_CKSUM_T10IP4K],
  ['t10ip512', ChecksumType.OBD_CKSUM_T10IP512, ObdoFlag.OBD_FL_CKSUM_T10IP512],
];

/** Bits for ocd_cksum_types: all of ours, or the one that the user wants and Adler, which every server has: one that could
 * grant nothing of what is asked refuses the whole connection. */
export function checksumTypesAsked(wanted: BulkChecksumName | undefined): number {
  return KNOWN.reduce(
    (bits, [name, bit]) => (wanted === undefined || name === wanted ? bits | bit : bits),
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
  const usable = KNOWN.filter(([, bit]) => (granted.ocd_cksum_types & bit) !== 0).map(([name]) => name);
  return usable.find((name) => name === wanted) ?? usable[0] ?? 'adler32';
}

/** The type in o_flags: an enumeration in bits 12 to 15, not bits. */
export function checksumFlag(type: BulkChecksumName): number {
  return KNOWN.find(([name]) => name === type)?.[2] ?? 0;
}

export function checksumOfFlags(flags: number): BulkChecksumName | undefined {
  return KNOWN.find(([, , flag]) => flag === (flags & ObdoFlag.OBD_FL_CKSUM_ALL))?.[0];
}
