/**
 * Bulk checksums of the T10 kind in TypeScript (guide 12 §6.2): what sim/ computes with, and what native/t10.cc is tested
 * against. Each sector of a page has a guard tag of 16 bits, as disks with protection information keep it; the checksum is
 * the Adler-32 of the tags, big-endian, one after the other.
 */
import { checksumTs } from './checksum.ts';
import type { BulkChecksumName, ChecksumName, T10ChecksumName } from './network.ts';

interface Kind {
  /** Sectors begin at multiples of it in the file, which are those in a page too. */
  readonly sector: number;
  readonly guard: (bytes: Uint8Array) => number;
}

/** CRC-16/T10-DIF: not reflected, from 0. */
const POLYNOMIAL = 0x8bb7;

const crcTable = Uint16Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte << 8;
  for (let bit = 0; bit < 8; bit++)
    remainder = (remainder & 0x8000) === 0 ? remainder << 1 : (remainder << 1) ^ POLYNOMIAL;
  return remainder & 0xffff;
});

function crc16(bytes: Uint8Array): number {
  let register = 0;
  for (const byte of bytes) register = ((register << 8) ^ crcTable[(register >> 8) ^ byte]!) & 0xffff;
  return register;
}

/** That of IP headers: the complement of the ones' complement sum. A last odd byte counts as if a zero followed. */
function ipChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += i % 2 === 0 ? bytes[i]! << 8 : bytes[i]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

const kinds: { readonly [name in T10ChecksumName]: Kind } = {
  t10ip512: { sector: 512, guard: ipChecksum },
  t10ip4K: { sector: 4096, guard: ipChecksum },
  t10crc512: { sector: 512, guard: crc16 },
  t10crc4K: { sector: 4096, guard: crc16 },
};

export function isT10(type: BulkChecksumName): type is T10ChecksumName {
  return type in kinds;
}

/** What can be taken of bytes as they come and go. */
export function ofParts(type: BulkChecksumName | undefined): ChecksumName | undefined {
  return type === undefined || isT10(type) ? undefined : type;
}

/** Bytes of the guard tags of `length` bytes from `pageOffset` on: a sector that is there in part has one too. */
export function guardBytes(type: T10ChecksumName, pageOffset: number, length: number): number {
  const { sector } = kinds[type];
  return length === 0 ? 0 : 2 * (Math.ceil((pageOffset + length) / sector) - Math.floor(pageOffset / sector));
}

/** The checksum of `chunks` as one run of bytes that begins at `pageOffset` of a page, of whatever kind. */
export function bulkChecksumTs(
  type: BulkChecksumName,
  chunks: readonly Uint8Array[],
  pageOffset = 0,
): number {
  if (!isT10(type)) return checksumTs(type, chunks);
  const { sector, guard } = kinds[type];
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  const tags = new DataView(new ArrayBuffer(guardBytes(type, pageOffset, length)));
  for (let from = 0, tag = 0; from < length; tag += 2) {
    const to = Math.min(length, from + sector - ((pageOffset + from) % sector));
    tags.setUint16(tag, guard(bytes.subarray(from, to)));
    from = to;
  }
  return checksumTs('adler32', [new Uint8Array(tags.buffer)]);
}
