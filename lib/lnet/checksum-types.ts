/** How the types of bulk checksums are named on the wire: in a connect, and in an obdo (guide 12 §6). */
import { ChecksumType, ObdoFlag } from '../wire/ost-constants.ts';
import type { BulkChecksumName } from './network.ts';

interface WireChecksum {
  readonly name: BulkChecksumName;
  /** In ocd_cksum_types. */
  readonly bit: number;
  /** In o_flags: an enumeration in bits 12 to 15, not bits. */
  readonly flag: number;
}

/** Types that we can compute, the fastest first; those of T10 behind the ones that are taken as bytes come. */
export const CHECKSUM_TYPES: readonly WireChecksum[] = [
  { name: 'crc32c', bit: ChecksumType.OBD_CKSUM_CRC32C, flag: ObdoFlag.OBD_FL_CKSUM_CRC32C },
  { name: 'adler32', bit: ChecksumType.OBD_CKSUM_ADLER, flag: ObdoFlag.OBD_FL_CKSUM_ADLER },
  { name: 'crc32', bit: ChecksumType.OBD_CKSUM_CRC32, flag: ObdoFlag.OBD_FL_CKSUM_CRC32 },
  { name: 't10crc4K', bit: ChecksumType.OBD_CKSUM_T10CRC4K, flag: ObdoFlag.OBD_FL_CKSUM_T10CRC4K },
  { name: 't10crc512', bit: ChecksumType.OBD_CKSUM_T10CRC512, flag: ObdoFlag.OBD_FL_CKSUM_T10CRC512 },
  { name: 't10ip4K', bit: ChecksumType.OBD_CKSUM_T10IP4K, flag: ObdoFlag.OBD_FL_CKSUM_T10IP4K },
  { name: 't10ip512', bit: ChecksumType.OBD_CKSUM_T10IP512, flag: ObdoFlag.OBD_FL_CKSUM_T10IP512 },
];

const byFlag = new Map(CHECKSUM_TYPES.map(({ flag, name }) => [flag, name]));
const byName = new Map(CHECKSUM_TYPES.map(({ flag, name }) => [name, flag]));

/** The type in o_flags; undefined for one that nobody knows. */
export const checksumOfFlags = (flags: number): BulkChecksumName | undefined =>
  byFlag.get(flags & ObdoFlag.OBD_FL_CKSUM_ALL);

export const checksumFlag = (type: BulkChecksumName): number => byName.get(type) ?? 0;
