/**
 * Bulk checksums in TypeScript (guide 12 §6.2): what sim/ computes with, and what the native ones are tested
 * against. The native code (native/checksum.cc) is tens of times as fast.
 */
import type { BulkChecksumName, ChecksumName } from './network.ts';

/** The bits of obd_cksum_types (ocd_cksum_types at connect); the native code names types by them too. */
export const checksumTypeBits: { readonly [name in BulkChecksumName]: number } = {
  crc32: 0x1,
  adler32: 0x2,
  crc32c: 0x4,
  t10ip512: 0x10,
  t10ip4K: 0x20,
  t10crc512: 0x40,
  t10crc4K: 0x80,
};

/** The table of a reflected CRC: entry `i` is the remainder of the byte `i`. */
function crcTable(polynomial: number): Int32Array {
  const table = new Int32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let remainder = byte;
    for (let bit = 0; bit < 8; bit++) {
      remainder = (remainder & 1) === 1 ? (remainder >>> 1) ^ polynomial : remainder >>> 1;
    }
    table[byte] = remainder;
  }
  return table;
}

const crc32Table = crcTable(0xedb88320);
const crc32cTable = crcTable(0x82f63b78);

/** A CRC's register after `chunks`, from all ones and without final inversion. */
function crcRegister(table: Int32Array, chunks: readonly Uint8Array[]): number {
  // -1 and not 0xffffffff, so that the register stays a small integer.
  let register = -1;
  for (const chunk of chunks) {
    for (let i = 0; i < chunk.length; i++) {
      register = table[(register ^ chunk[i]!) & 0xff]! ^ (register >>> 8);
    }
  }
  return register >>> 0;
}

/** Bytes between two reductions of Adler-32's sums, which keeps both below 2^31. */
const ADLER_RUN = 2048;
const ADLER_MODULUS = 65521;

function adler32(chunks: readonly Uint8Array[]): number {
  let low = 1;
  let high = 0;
  for (const chunk of chunks) {
    for (let start = 0; start < chunk.length; start += ADLER_RUN) {
      const end = Math.min(start + ADLER_RUN, chunk.length);
      for (let i = start; i < end; i++) {
        low += chunk[i]!;
        high += low;
      }
      low %= ADLER_MODULUS;
      high %= ADLER_MODULUS;
    }
  }
  return ((high << 16) | low) >>> 0;
}

/** The checksum of `chunks` as one run of bytes, as o_cksum carries it (unsigned 32 bits). */
export function checksumTs(type: ChecksumName, chunks: readonly Uint8Array[]): number {
  switch (type) {
    case 'adler32':
      return adler32(chunks);
    case 'crc32':
      // The kernel sends crc32_le as it stands: no final inversion.
      return crcRegister(crc32Table, chunks);
    case 'crc32c':
      return ~crcRegister(crc32cTable, chunks) >>> 0;
  }
}
