/** The first chunk of a log: counts, flags and the bitmap of live records (guide 14 §1.2). */
import { ProtocolError } from '../runtime/errors.ts';
import { LlogRecType } from '../wire/llog-constants.ts';
import { LlogLogHdr } from '../wire/llog-structs.ts';
import { LLOG_CHUNK_SIZE } from './record.ts';

const BITMAP_OFFSET = 88;
/** Indices 1 to 64767: the bits of an 8 KiB header. */
export const LLOG_INDEX_MAX: number = (LLOG_CHUNK_SIZE - BITMAP_OFFSET - 8) * 8 - 1;

/** A header in memory; `encodeHeader` makes its 8192 bytes. */
export interface LlogHeader {
  /** Seconds since the epoch. */
  readonly createdAt: bigint;
  /** Live records and 1 for the header itself. */
  count: number;
  /** The smallest record so far, bytes. */
  smallestRecord: number;
  /** LlogFlag. */
  readonly flags: number;
  readonly owner: string;
  readonly bitmap: Uint32Array;
  lastIndex: number;
}

/** The header of an empty plain log. */
export function emptyHeader(createdAt: bigint, flags: number, owner: string): LlogHeader {
  const bitmap = new Uint32Array(2024);
  bitmap[0] = 1;
  return { createdAt, count: 1, smallestRecord: 0, flags, owner, bitmap, lastIndex: 0 };
}

export function isLive(header: LlogHeader, index: number): boolean {
  return ((header.bitmap[index >>> 5] ?? 0) & (1 << (index & 31))) !== 0;
}

/** Marks a record live and counts it. */
export function setLive(header: LlogHeader, index: number): void {
  header.bitmap[index >>> 5]! |= 1 << (index & 31);
  header.count += 1;
}

/** Cancels a record: clears its bit. False when it was not live. */
export function clearLive(header: LlogHeader, index: number): boolean {
  if (index < 1 || !isLive(header, index)) return false;
  header.bitmap[index >>> 5]! &= ~(1 << (index & 31));
  header.count -= 1;
  return true;
}

export function headerStruct(header: LlogHeader): LlogLogHdr {
  return {
    llh_hdr: { lrh_len: LLOG_CHUNK_SIZE, lrh_index: 0, lrh_type: LlogRecType.LLOG_HDR_MAGIC, lrh_id: 0 },
    llh_timestamp: header.createdAt,
    llh_count: header.count,
    llh_bitmap_offset: BITMAP_OFFSET,
    llh_size: header.smallestRecord,
    llh_flags: header.flags,
    llh_cat_idx: 0,
    llh_tgtuuid: header.owner,
    llh_reserved: [0],
    llh_bitmap: [...header.bitmap],
    llh_tail: { lrt_len: LLOG_CHUNK_SIZE, lrt_index: header.lastIndex },
  };
}

export function encodeHeader(header: LlogHeader): Uint8Array {
  return LlogLogHdr.encode(headerStruct(header));
}

/** Checks what a peer or a disk says is a header. Throws ERR_LUSTRE_LLOG. */
export function headerFromStruct(h: LlogLogHdr): LlogHeader {
  const bad = (what: string): ProtocolError => new ProtocolError('ERR_LUSTRE_LLOG', `A log's header ${what}`);
  if (h.llh_hdr.lrh_type !== LlogRecType.LLOG_HDR_MAGIC)
    throw bad(`has type 0x${h.llh_hdr.lrh_type.toString(16)}`);
  if (h.llh_hdr.lrh_len !== LLOG_CHUNK_SIZE || h.llh_tail.lrt_len !== LLOG_CHUNK_SIZE)
    throw bad(`claims chunks of ${h.llh_hdr.lrh_len} and ${h.llh_tail.lrt_len} bytes`);
  if (h.llh_bitmap_offset !== BITMAP_OFFSET) throw bad(`has its bitmap at ${h.llh_bitmap_offset}`);
  if (h.llh_tail.lrt_index > LLOG_INDEX_MAX) throw bad(`claims ${h.llh_tail.lrt_index} records`);
  return {
    createdAt: h.llh_timestamp,
    count: h.llh_count,
    smallestRecord: h.llh_size,
    flags: h.llh_flags,
    owner: h.llh_tgtuuid,
    bitmap: Uint32Array.from(h.llh_bitmap),
    lastIndex: h.llh_tail.lrt_index,
  };
}

export function decodeHeader(bytes: Uint8Array): LlogHeader {
  return headerFromStruct(LlogLogHdr.decode(bytes));
}
