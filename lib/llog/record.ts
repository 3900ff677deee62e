/**
 * Records of a log and the chunks they stand in (guide 14 §1.1, §1.3): `llog_rec_hdr`, payload, `llog_rec_tail`, a
 * multiple of 8 bytes that never crosses a chunk. What a chunk cannot hold is padded out with a record of its own index.
 */
import { ProtocolError } from '../runtime/errors.ts';
import { LlogRecType, LlogSize } from '../wire/llog-constants.ts';
import { LlogRecHdr, LlogRecTail } from '../wire/llog-structs.ts';

/** Chunk size of every log that clients read (guide 14 §1), bytes. */
export const LLOG_CHUNK_SIZE: number = LlogSize.LLOG_MIN_CHUNK_SIZE;
/** Bytes that a record takes beside its payload. */
export const LLOG_RECORD_OVERHEAD: number = LlogRecHdr.size + LlogRecTail.size;

/** One record. `payload` is a view of the chunk it was read from, without header and tail, padding included. */
export interface LlogRecord {
  readonly index: number;
  /** LlogRecType. */
  readonly type: number;
  readonly id: number;
  readonly payload: Uint8Array;
}

const roundUp8 = (n: number): number => (n + 7) & ~7;

/** Bytes of a whole record with `payloadLength` bytes of payload. */
export function recordSize(payloadLength: number): number {
  return LLOG_RECORD_OVERHEAD + roundUp8(payloadLength);
}

/** A whole record. Throws ERR_LUSTRE_LLOG when it would not fit into a chunk. */
export function encodeRecord(type: number, index: number, payload: Uint8Array): Uint8Array {
  const size = recordSize(payload.length);
  if (size > LLOG_CHUNK_SIZE) {
    throw new ProtocolError('ERR_LUSTRE_LLOG', `A record of ${size} bytes does not fit into a log's chunk`);
  }
  const bytes = new Uint8Array(size);
  frame(bytes, type, index);
  bytes.set(payload, LlogRecHdr.size);
  return bytes;
}

/** A pad record that fills `size` bytes; its bit stays clear in the bitmap. */
export function encodePad(index: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  frame(bytes, LlogRecType.LLOG_PAD_MAGIC, index);
  return bytes;
}

function frame(bytes: Uint8Array, type: number, index: number): void {
  LlogRecHdr.encodeInto(bytes, 0, { lrh_len: bytes.length, lrh_index: index, lrh_type: type });
  LlogRecTail.encodeInto(bytes, bytes.length - LlogRecTail.size, {
    lrt_len: bytes.length,
    lrt_index: index,
  });
}

/**
 * The pad that has to precede a record of `size` bytes in a chunk with `left` bytes to its end: 0 for none. A record may
 * end at the chunk's end, otherwise room for a smallest record must stay behind it.
 */
export function padBefore(left: number, size: number): number {
  return left !== LLOG_CHUNK_SIZE && left !== size && left < size + LlogSize.LLOG_MIN_REC_SIZE ? left : 0;
}

/** A record and where it stands in its chunk. */
export interface PlacedRecord extends LlogRecord {
  readonly offset: number;
  readonly size: number;
}

/**
 * The records of one chunk in order, pads included; ends where the chunk does or where zeros follow (the rest of a chunk
 * that is not full). Throws ERR_LUSTRE_LLOG for a record that is not what it claims to be.
 */
export function* recordsOf(chunk: Uint8Array, littleEndian = true): Generator<PlacedRecord> {
  let at = 0;
  while (at + LLOG_RECORD_OVERHEAD <= chunk.length) {
    const header = LlogRecHdr.decode(chunk, at, littleEndian);
    if (header.lrh_len === 0) return;
    const size = header.lrh_len;
    checkRecord(chunk, at, header, littleEndian);
    yield {
      index: header.lrh_index,
      type: header.lrh_type,
      id: header.lrh_id,
      payload: chunk.subarray(at + LlogRecHdr.size, at + size - LlogRecTail.size),
      offset: at,
      size,
    };
    at += size;
  }
}

function checkRecord(chunk: Uint8Array, at: number, header: LlogRecHdr, littleEndian: boolean): void {
  const size = header.lrh_len;
  const bad = (what: string): ProtocolError =>
    new ProtocolError('ERR_LUSTRE_LLOG', `Record ${header.lrh_index} of a log ${what}`);
  if (size < LlogSize.LLOG_MIN_REC_SIZE || size % 8 !== 0 || size > chunk.length - at)
    throw bad(`claims ${size} bytes`);
  if ((header.lrh_type & LlogRecType.LLOG_OP_MASK) !== LlogRecType.LLOG_OP_MAGIC)
    throw bad(`has type 0x${header.lrh_type.toString(16)}`);
  const tail = LlogRecTail.decode(chunk, at + size - LlogRecTail.size, littleEndian);
  if (tail.lrt_len !== size || tail.lrt_index !== header.lrh_index)
    throw bad(`ends with length ${tail.lrt_len} and index ${tail.lrt_index}`);
}

/** True for a pad, which readers pass over. */
export function isPad(record: LlogRecord): boolean {
  return record.type === LlogRecType.LLOG_PAD_MAGIC;
}
