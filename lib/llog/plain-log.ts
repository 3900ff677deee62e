/**
 * Plain logs on a server (guide 14 §1, §2). A log is kept as the chunks of the file that a kernel server would have, so
 * that reading it is handing out a chunk. The table behind it is given by the server; one call that writes belongs
 * into one of its transactions.
 */
import { errnoError, LustreError } from '../runtime/errors.ts';
import { LlogFlag } from '../wire/llog-constants.ts';
import {
  clearLive,
  decodeHeader,
  emptyHeader,
  encodeHeader,
  LLOG_INDEX_MAX,
  type LlogHeader,
  setLive,
} from './header.ts';
import {
  encodePad,
  encodeRecord,
  isPad,
  LLOG_CHUNK_SIZE,
  type LlogRecord,
  padBefore,
  recordSize,
  recordsOf,
} from './record.ts';

/** Where logs are kept: any ordered or unordered table of bytes. */
export interface LogTable {
  get(key: Uint8Array): Uint8Array | undefined;
}
export interface WritableLogTable extends LogTable {
  put(key: Uint8Array, value: Uint8Array): void;
  remove(key: Uint8Array): void;
}

/** FID_SEQ_LLOG_NAME: logs that are found by name (guide 14 §1.4). */
export const LLOG_NAME_SEQUENCE = 10n;

/** A log's identity: `lgl_oi` as {oi_id, oi_seq 10}. */
export type LogId = bigint;

const encoder = new TextEncoder();
const COUNTER = encoder.encode('next');

function nameKey(name: string): Uint8Array {
  return encoder.encode(`name/${name}`);
}

function chunkKey(log: LogId, chunk: number): Uint8Array {
  const key = new Uint8Array(18);
  key.set(encoder.encode('chunk/'));
  const view = new DataView(key.buffer);
  view.setBigUint64(6, log);
  view.setUint32(14, chunk);
  return key;
}

function u64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

function readU64(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getBigUint64(0);
}

/** The log of that name, or undefined. */
export function findLog(table: LogTable, name: string): LogId | undefined {
  const id = table.get(nameKey(name));
  return id === undefined ? undefined : readU64(id);
}

/** True when there is a log with that id. */
export function logExists(table: LogTable, log: LogId): boolean {
  return table.get(chunkKey(log, 0)) !== undefined;
}

/** Creates an empty plain log. EEXIST when the name is taken. `createdAt` is in seconds. */
export function createLog(table: WritableLogTable, name: string, createdAt: bigint): LogId {
  if (findLog(table, name) !== undefined) throw errnoError(17, { syscall: 'create log', path: name });
  const counter = table.get(COUNTER);
  const log = (counter === undefined ? 2n : readU64(counter)) + 1n;
  table.put(COUNTER, u64(log));
  table.put(nameKey(name), u64(log));
  writeHeader(table, log, emptyHeader(createdAt, LlogFlag.LLOG_F_IS_PLAIN, 'config_uuid'));
  return log;
}

function writeHeader(table: WritableLogTable, log: LogId, header: LlogHeader): void {
  table.put(chunkKey(log, 0), encodeHeader(header));
}

/** The header chunk. ENOENT for no such log. */
export function readHeader(table: LogTable, log: LogId): LlogHeader {
  const bytes = table.get(chunkKey(log, 0));
  if (bytes === undefined) throw errnoError(2, { syscall: 'read log', path: `log ${log}` });
  return decodeHeader(bytes);
}

/** Chunks 1.. are kept at their length so far; the last may be short. */
function lastChunk(table: LogTable, log: LogId): { number: number; bytes: Uint8Array } {
  let number = 1;
  let bytes = table.get(chunkKey(log, 1)) ?? new Uint8Array(0);
  while (bytes.length === LLOG_CHUNK_SIZE) {
    const next = table.get(chunkKey(log, number + 1));
    if (next === undefined) return { number: number + 1, bytes: new Uint8Array(0) };
    number += 1;
    bytes = next;
  }
  return { number, bytes };
}

/** Appends records; gives their indices. ENOSPC when the log is full. */
export function appendRecords(
  table: WritableLogTable,
  log: LogId,
  records: readonly { readonly type: number; readonly payload: Uint8Array }[],
): number[] {
  const header = readHeader(table, log);
  let { number, bytes } = lastChunk(table, log);
  const indices: number[] = [];
  const put = (record: Uint8Array): void => {
    const grown = new Uint8Array(bytes.length + record.length);
    grown.set(bytes);
    grown.set(record, bytes.length);
    bytes = grown;
    table.put(chunkKey(log, number), bytes);
    if (bytes.length === LLOG_CHUNK_SIZE) {
      number += 1;
      bytes = new Uint8Array(0);
    }
  };
  for (const { type, payload } of records) {
    const size = recordSize(payload.length);
    const pad = padBefore(LLOG_CHUNK_SIZE - bytes.length, size);
    if (pad > 0) put(encodePad(nextIndex(header), pad));
    const index = nextIndex(header);
    put(encodeRecord(type, index, payload));
    setLive(header, index);
    header.smallestRecord = header.smallestRecord === 0 ? size : Math.min(header.smallestRecord, size);
    indices.push(index);
  }
  writeHeader(table, log, header);
  return indices;
}

function nextIndex(header: LlogHeader): number {
  if (header.lastIndex >= LLOG_INDEX_MAX) throw errnoError(28, { syscall: 'append to log' });
  header.lastIndex += 1;
  return header.lastIndex;
}

/** Clears a record's bit; its bytes stay. False when it was not live. */
export function cancelRecord(table: WritableLogTable, log: LogId, index: number): boolean {
  const header = readHeader(table, log);
  const cleared = clearLive(header, index);
  if (cleared) writeHeader(table, log, header);
  return cleared;
}

/** Writes other bytes of the same length over a record's payload: how an old configuration block becomes SKIP (guide 14 §3). */
export function replaceRecord(table: WritableLogTable, log: LogId, index: number, payload: Uint8Array): void {
  for (let number = 1; ; number++) {
    const chunk = table.get(chunkKey(log, number));
    if (chunk === undefined) throw errnoError(2, { syscall: 'replace log record', path: `record ${index}` });
    for (const record of recordsOf(chunk)) {
      if (record.index !== index) continue;
      if (payload.length !== record.payload.length) {
        throw new LustreError(
          'EINVAL',
          `Record ${index} has ${record.payload.length} bytes of payload`,
          {},
          -22,
        );
      }
      const changed = chunk.slice();
      changed.set(payload, record.offset + 16);
      table.put(chunkKey(log, number), changed);
      return;
    }
  }
}

/** All live records in order. */
export function* readRecords(table: LogTable, log: LogId): Generator<LlogRecord> {
  const header = readHeader(table, log);
  for (let number = 1; ; number++) {
    const chunk = table.get(chunkKey(log, number));
    if (chunk === undefined) return;
    for (const record of recordsOf(chunk)) {
      const live = ((header.bitmap[record.index >>> 5] ?? 0) >>> (record.index & 31)) & 1;
      if (live === 1 && !isPad(record)) yield record;
    }
  }
}

/** What LLOG_ORIGIN_HANDLE_NEXT_BLOCK answers. */
export interface LogBlock {
  /** 8192 bytes, zero behind the last record. */
  readonly bytes: Uint8Array;
  /** The last index in the chunk. */
  readonly savedIndex: number;
  /** File offset behind the bytes read. */
  readonly offset: number;
}

/**
 * The chunk that holds record `index`, looked for from file offset `offset` on; `index` 0 is any next chunk (guide 14 §2).
 * Undefined when the log ends before it: -EBADR.
 */
export function nextBlock(table: LogTable, log: LogId, index: number, offset: number): LogBlock | undefined {
  for (let number = Math.max(1, Math.floor(offset / LLOG_CHUNK_SIZE)); ; number++) {
    const block = readBlock(table, log, number);
    if (block === undefined) return undefined;
    if (block.savedIndex >= index) return block;
  }
}

/** The chunk that holds record `index`, for reading backwards. */
export function previousBlock(table: LogTable, log: LogId, index: number): LogBlock | undefined {
  return nextBlock(table, log, index, 0);
}

function readBlock(table: LogTable, log: LogId, number: number): LogBlock | undefined {
  const chunk = table.get(chunkKey(log, number));
  if (chunk === undefined || chunk.length === 0) return undefined;
  const bytes = new Uint8Array(LLOG_CHUNK_SIZE);
  bytes.set(chunk);
  let savedIndex = 0;
  for (const record of recordsOf(chunk)) savedIndex = record.index;
  return { bytes, savedIndex, offset: number * LLOG_CHUNK_SIZE + chunk.length };
}
