/**
 * The journal of a store: what is committed is first written here, behind what was committed before it, in one write that
 * returns when it is on the disk. LMDB gets it later, many commits in one transaction (commit-thread.ts), since a
 * transaction of LMDB writes every page on the way to each of its entries: 1.3 ms in memory, two waits for a disk.
 *
 * Two files take turns. What is written to one between two turns is a generation; LMDB keeps the number of the last one that
 * it has all of, in the transaction that brings it. A file is written over when LMDB has its generation, so a record says
 * which one it is of and where in it, and has a checksum: the first that is not as it should be ends the generation.
 */
import { closeSync, constants, fsyncSync, openSync, statfsSync, write, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { errnoError, errnoOf } from '../../runtime/errors.ts';
import type { Writes } from './pending-writes.ts';

/** {magic, generation, number within it, size of what follows, CRC-32 of the three and of what follows}, little-endian. */
export const RECORD_HEADER = 20;
export const RECORD_MAGIC = 0x6c_6a_6e_6c;
export const JOURNAL_FILES: readonly string[] = ['journal.0', 'journal.1'];
const SUMMED = 4;
const CHECKSUM = 16;
/** File systems in memory: a write to them waits for nothing, and handing it to another thread takes longer than it does. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

/** What a turn of the files ended. */
export interface Generation {
  /** Index in JOURNAL_FILES. */
  readonly file: number;
  readonly number: number;
  /** Of its records. */
  readonly count: number;
}

export class Journal {
  readonly #path: string;
  readonly #descriptors: readonly number[];
  readonly #names: Uint8Array;
  readonly #atOnce: boolean;
  #generation: number;
  #file = 0;
  #records = 0;
  /** Bytes of this generation. */
  size = 0;

  /** The first generation is `generation`; both files may be written over. Throws the disk's error. */
  constructor(path: string, tables: readonly string[], generation: number) {
    this.#path = path;
    this.#generation = generation;
    this.#names = Buffer.from(JSON.stringify(tables));
    // O_DSYNC: a write is on the disk when it returns.
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_DSYNC;
    this.#descriptors = JOURNAL_FILES.map((name) => openSync(join(path, name), flags, 0o600));
    const directory = openSync(path, constants.O_RDONLY);
    fsyncSync(directory);
    closeSync(directory);
    this.#atOnce = IN_MEMORY.has(statfsSync(path).type);
  }

  /** Durable when it returns or, where there is something to wait for, when the promise resolves. One at a time. */
  append(writes: Writes, tables: ReadonlyMap<string, number>): void | Promise<void> {
    const before = this.#records === 0 ? RECORD_HEADER + this.#names.length : 0;
    const record = packed(writes, tables, before + RECORD_HEADER);
    if (before > 0) {
      // Their order is this version's: a generation names its tables.
      record.set(this.#names, RECORD_HEADER);
      this.#seal(record.subarray(0, before), 0);
    }
    this.#seal(record.subarray(before), before > 0 ? 1 : this.#records);
    const added = before > 0 ? 2 : 1;
    const done = (): void => {
      this.size += record.length;
      this.#records += added;
    };
    if (!this.#atOnce) return this.#writeLater(record).then(done);
    this.#writeAtOnce(record);
    done();
  }

  /** Begins a generation in the other file, which LMDB must have all of. */
  turn(): Generation {
    const ended = { file: this.#file, number: this.#generation, count: this.#records };
    this.#file = 1 - this.#file;
    this.#generation++;
    this.#records = 0;
    this.size = 0;
    return ended;
  }

  close(): void {
    for (const descriptor of this.#descriptors) closeSync(descriptor);
  }

  #seal(record: Buffer, number: number): void {
    record.writeUInt32LE(RECORD_MAGIC, 0);
    record.writeUInt32LE(this.#generation, 4);
    record.writeUInt32LE(number, 8);
    record.writeUInt32LE(record.length - RECORD_HEADER, 12);
    const head = crc32(record.subarray(SUMMED, CHECKSUM));
    record.writeUInt32LE(crc32(record.subarray(RECORD_HEADER), head), CHECKSUM);
  }

  #writeAtOnce(record: Buffer): void {
    const descriptor = this.#descriptors[this.#file]!;
    try {
      for (let at = 0; at < record.length; )
        at += writeSync(descriptor, record, at, record.length - at, this.size + at);
    } catch (error) {
      this.#takeBack(descriptor);
      throw this.#failed(error);
    }
  }

  async #writeLater(record: Buffer): Promise<void> {
    const descriptor = this.#descriptors[this.#file]!;
    const part = (at: number): Promise<number> =>
      new Promise((resolve, reject) => {
        write(descriptor, record, at, record.length - at, this.size + at, (error, written) => {
          if (error === null) resolve(written);
          else reject(error);
        });
      });
    try {
      for (let at = 0; at < record.length; ) at += await part(at);
    } catch (error) {
      this.#takeBack(descriptor);
      throw this.#failed(error);
    }
  }

  /** What could not be written is refused, and must not come back after a restart. The next record overwrites it. */
  #takeBack(descriptor: number): void {
    try {
      writeSync(descriptor, new Uint8Array(RECORD_HEADER), 0, RECORD_HEADER, this.size);
    } catch {
      // A disk that takes nothing at all has not taken the record either.
    }
  }

  #failed(error: unknown): Error {
    return errnoError(errnoOf(error), { syscall: 'commit', path: this.#path, cause: error });
  }
}

/** {table u32, key size u32, value size s32 (-1: remove), key, value} ... behind room for `head` bytes. */
function packed(writes: Writes, tables: ReadonlyMap<string, number>, head: number): Buffer {
  let size = head;
  for (const entries of writes.values())
    for (const [key, value] of entries) size += 12 + key.length + (value?.length ?? 0);
  const bytes = Buffer.allocUnsafe(size);
  let at = head;
  for (const [name, entries] of writes) {
    const table = tables.get(name)!;
    for (const [key, value] of entries) {
      at = bytes.writeUInt32LE(table, at);
      at = bytes.writeUInt32LE(key.length, at);
      at = bytes.writeInt32LE(value?.length ?? -1, at);
      at += bytes.write(key, at, 'latin1');
      if (value === null) continue;
      bytes.set(value, at);
      at += value.length;
    }
  }
  return bytes;
}
