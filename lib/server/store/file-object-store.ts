/**
 * Objects as plain files: `O/<seq>/d<oid mod 32>/<oid>`, the shape of the reference's own OSTs. Data, size and blocks are
 * the file's; the other attributes stand in a key-value store beside it and are written there a second later or at
 * `sync`, so that a write costs no commit. A write is in the page cache before it resolves: killing the process loses
 * nothing of it, only a power cut before `sync` does.
 */
import {
  type BigIntStats,
  closeSync,
  existsSync,
  fstatSync,
  ftruncate,
  mkdirSync,
  openSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { NativeStorage, OpenFile } from '../../lnet/native-storage.ts';
import type { BulkChecksumName, ChecksumName, FileExtent, FileRange, Segment } from '../../lnet/network.ts';
import { errnoError, errnoOf } from '../../runtime/errors.ts';
import type { Runtime, Timer } from '../../runtime/runtime.ts';
import { fileRange, fileRangeWithin } from './file-ranges.ts';
import type { KeyValueStore } from './key-value-store.ts';
import { makeObjectDirectories, objectPath } from './object-paths.ts';
import {
  decodeObjectRecord,
  encodeObjectRecord,
  newObjectRecord,
  type ObjectRecord,
  objectKey,
  objectName,
  sequenceKey,
} from './object-record.ts';
import type {
  ObjectAttributes,
  ObjectId,
  ObjectStatfs,
  ObjectStore,
  ObjectTransfer,
  StoredAttributes,
} from './object-store.ts';

/** Tables that the store needs of its key-value store. */
export const OBJECT_TABLES: readonly string[] = ['objects', 'sequences'];
const OBJECTS = 'objects';
const SEQUENCES = 'sequences';

export interface FileObjectStoreOptions {
  readonly runtime: Runtime;
  /** Where `O/` is; made when it is not there. */
  readonly dir: string;
  /** With OBJECT_TABLES. The caller closes it, after this. */
  readonly attributes: KeyValueStore;
  readonly storage: NativeStorage;
  /** Files held open between operations; default 256. */
  readonly openFilesMax?: number;
}

/** Attributes that are kept in memory only, for this long. */
const SAVE_AFTER_MS = 1000;
/** Objects whose attributes are kept at hand. */
const ENTRIES_MAX = 8192;
/** Files made between two turns of the event loop. */
const CREATE_SLICE = 64;
/** Not all of the thread pool: reads and writes go on. */
const SYNCS_AT_ONCE = 2;
/** From so many on, files are synced together. */
const SYNC_TOGETHER = 16;

/** Cutting a large file takes a disk its time. */
const ftruncateLater = promisify(ftruncate);

interface Entry {
  readonly id: ObjectId;
  readonly path: string;
  file: OpenFile | undefined;
  record: ObjectRecord;
  users: number;
  /** Attributes newer than the key-value store's. */
  unsaved: boolean;
  /** Data newer than the disk's. */
  unsynced: boolean;
  destroyed: boolean;
}

export function openFileObjectStore(options: FileObjectStoreOptions): ObjectStore {
  mkdirSync(join(options.dir, 'O'), { recursive: true });
  return new FileObjectStore(options);
}

class FileObjectStore implements ObjectStore {
  readonly #runtime: Runtime;
  readonly #dir: string;
  readonly #attributes: KeyValueStore;
  readonly #storage: NativeStorage;
  readonly #openFilesMax: number;
  /** Least recently used first. */
  readonly #entries = new Map<string, Entry>();
  readonly #open = new Set<Entry>();
  readonly #unsaved = new Set<Entry>();
  readonly #unsynced = new Set<Entry>();
  readonly #lastIds = new Map<bigint, number>();
  readonly #removed = new Map<string, ObjectId>();
  #saving: Promise<void> | undefined;
  #timer: Timer | undefined;

  constructor(options: FileObjectStoreOptions) {
    this.#runtime = options.runtime;
    this.#dir = join(options.dir, 'O');
    this.#attributes = options.attributes;
    this.#storage = options.storage;
    this.#openFilesMax = options.openFilesMax ?? 256;
  }

  lastId(seq: bigint): number {
    let last = this.#lastIds.get(seq);
    if (last === undefined) {
      const stored = this.#attributes.table(SEQUENCES).get(sequenceKey(seq));
      last = stored === undefined ? 0 : new DataView(stored.buffer, stored.byteOffset, 4).getUint32(0);
      this.#lastIds.set(seq, last);
    }
    return last;
  }

  async precreate(seq: bigint, from: number, to: number): Promise<void> {
    if (to > from) makeObjectDirectories(this.#dir, seq);
    for (let oid = from + 1; oid <= to; oid++) {
      closeSync(this.#make(objectPath(this.#dir, { seq, oid })));
      if ((oid - from) % CREATE_SLICE === 0) await nextTurn();
    }
    const value = new Uint8Array(4);
    new DataView(value.buffer).setUint32(0, to);
    await this.#attributes.transact((transaction) =>
      transaction.table(SEQUENCES).put(sequenceKey(seq), value),
    );
    this.#lastIds.set(seq, to);
  }

  #make(path: string): number {
    try {
      return openSync(path, 'a', 0o600);
    } catch (error) {
      throw errnoError(errnoOf(error), { syscall: 'create object', path });
    }
  }

  async destroy(id: ObjectId): Promise<void> {
    const path = objectPath(this.#dir, id);
    const name = objectName(id);
    const used = this.#entries.has(name) || this.#attributes.table(OBJECTS).get(objectKey(id)) !== undefined;
    try {
      // Where there is nothing to free this costs less than having a thread do it.
      if (!used || statSync(path).blocks === 0) unlinkSync(path);
      else await unlink(path);
    } catch (error) {
      throw errnoError(errnoOf(error), { syscall: 'destroy object', path });
    }
    if (!used) return;
    const entry = this.#entries.get(name);
    if (entry !== undefined) {
      entry.destroyed = true;
      this.#entries.delete(name);
      this.#unsaved.delete(entry);
      this.#unsynced.delete(entry);
      if (entry.users === 0) this.#closeFile(entry);
    }
    this.#removed.set(name, id);
    this.#saveLater();
  }

  exists(id: ObjectId): boolean {
    return this.#entries.has(objectName(id)) || existsSync(objectPath(this.#dir, id));
  }

  /** Opens nothing: who lists a directory asks for the attributes of every object in it. */
  async getAttributes(id: ObjectId): Promise<ObjectAttributes> {
    const known = this.#known(id);
    const path = known?.path ?? objectPath(this.#dir, id);
    const stat = this.#stat(path, known?.file);
    const { savedAt: _, ...stored } = known?.record ?? this.#loadRecord(id, Number(stat.mtimeMs));
    return { ...stored, size: stat.size, blocks: stat.blocks };
  }

  #stat(path: string, file: OpenFile | undefined): BigIntStats {
    try {
      return file === undefined ? statSync(path, { bigint: true }) : fstatSync(file.fd, { bigint: true });
    } catch (error) {
      throw errnoError(errnoOf(error), { syscall: 'stat object', path });
    }
  }

  async setAttributes(id: ObjectId, attributes: Partial<StoredAttributes>): Promise<void> {
    await this.#use(id, async (entry) => {
      entry.record = { ...entry.record, ...attributes };
      entry.unsaved = true;
      this.#unsaved.add(entry);
      this.#saveLater();
    });
  }

  read(id: ObjectId, position: bigint, segments: readonly Segment[], checksum?: ChecksumName) {
    return this.#use(id, (_, file) => this.#storage.readv(file, position, views(segments), checksum));
  }

  withFile<T>(
    id: ObjectId,
    extents: readonly FileExtent[],
    work: (file: FileRange) => Promise<T>,
  ): Promise<T> {
    return this.#use(id, (_, { fd }) =>
      work(fileRangeWithin(fd, extents, fstatSync(fd, { bigint: true }).size)),
    );
  }

  intoFile<T>(
    id: ObjectId,
    extents: readonly FileExtent[],
    work: (file: FileRange) => Promise<T>,
  ): Promise<T> {
    return this.#change(id, ({ fd }) => work(fileRange(fd, extents)));
  }

  write(id: ObjectId, position: bigint, segments: readonly Segment[], checksum?: ChecksumName) {
    return this.#change(
      id,
      (file): Promise<ObjectTransfer> => this.#storage.writev(file, position, views(segments), checksum),
    );
  }

  checksum(type: BulkChecksumName, segments: readonly Segment[], pageOffset = 0): Promise<number> {
    return this.#storage.checksum(type, views(segments), pageOffset);
  }

  truncate(id: ObjectId, size: bigint): Promise<void> {
    return this.#change(id, async (file) => {
      try {
        await ftruncateLater(file.fd, Number(size));
      } catch (error) {
        throw errnoError(errnoOf(error), { syscall: 'ftruncate', path: file.path });
      }
    });
  }

  punch(id: ObjectId, start: bigint, end: bigint): Promise<void> {
    return this.#change(id, (file) => this.#storage.allocate(file, 'punch-hole', start, end - start));
  }

  allocate(id: ObjectId, start: bigint, end: bigint, keepSize: boolean): Promise<void> {
    const mode = keepSize ? 'keep-size' : 'allocate';
    return this.#change(id, (file) => this.#storage.allocate(file, mode, start, end - start));
  }

  seek(id: ObjectId, position: bigint, what: 'data' | 'hole'): Promise<bigint | undefined> {
    return this.#use(id, async (_, file) => {
      const found =
        what === 'data'
          ? await this.#storage.seekData(file, position)
          : await this.#storage.seekHole(file, position);
      return found === undefined ? undefined : BigInt(found);
    });
  }

  async sync(id: ObjectId): Promise<void> {
    await this.#use(id, (entry) => this.#syncData(entry));
    await this.#save();
  }

  async syncAll(): Promise<void> {
    if (this.#unsynced.size < SYNC_TOGETHER || !(await this.#syncFileSystem())) {
      const entries = [...this.#unsynced];
      const next = async (): Promise<void> => {
        for (let entry = entries.pop(); entry !== undefined; entry = entries.pop())
          await this.#syncData(entry);
      };
      await Promise.all(Array.from({ length: SYNCS_AT_ONCE }, next));
    }
    await this.#save();
  }

  /** All of them by one call: a journal commit for each of thousands would keep the thread pool busy for seconds. */
  async #syncFileSystem(): Promise<boolean> {
    const entries = [...this.#unsynced];
    const again = (): void => {
      for (const entry of entries) this.#outOfStep(entry);
    };
    // What is written from here on is not covered.
    for (const entry of entries) entry.unsynced = false;
    this.#unsynced.clear();
    try {
      const done = await this.#hold(entries[0]!, (file) => this.#storage.syncFileSystem(file));
      if (!done) again();
      return done;
    } catch (error) {
      again();
      throw error;
    }
  }

  async statfs(): Promise<ObjectStatfs> {
    const s = await statfs(this.#dir, { bigint: true });
    return {
      blockSize: Number(s.bsize),
      blocks: s.blocks,
      free: s.bfree,
      available: s.bavail,
      files: s.files,
      filesFree: s.ffree,
    };
  }

  async close(): Promise<void> {
    await this.syncAll();
    this.#timer?.cancel();
    for (const entry of this.#entries.values()) this.#closeFile(entry);
    this.#entries.clear();
  }

  /** A change of the data: the object is out of step with the disk from before it begins, and when it ends, for a sync meanwhile
   * may have missed what was written after it. */
  #change<T>(id: ObjectId, work: (file: OpenFile) => Promise<T>): Promise<T> {
    return this.#use(id, async (entry, file) => {
      this.#outOfStep(entry);
      try {
        return await work(file);
      } finally {
        this.#outOfStep(entry);
      }
    });
  }

  #outOfStep(entry: Entry): void {
    if (entry.destroyed) return;
    entry.unsynced = true;
    this.#unsynced.add(entry);
  }

  async #syncData(entry: Entry): Promise<void> {
    if (!entry.unsynced || entry.destroyed) return;
    entry.unsynced = false;
    this.#unsynced.delete(entry);
    try {
      // Any descriptor will do: fdatasync is about the file.
      await this.#hold(entry, (file) => this.#storage.sync(file));
    } catch (error) {
      if (entry.destroyed) return;
      this.#outOfStep(entry);
      throw error;
    }
  }

  async #use<T>(id: ObjectId, work: (entry: Entry, file: OpenFile) => Promise<T>): Promise<T> {
    const entry = this.#find(id);
    return this.#hold(entry, (file) => work(entry, file));
  }

  async #hold<T>(entry: Entry, work: (file: OpenFile) => Promise<T>): Promise<T> {
    const file = this.#openFile(entry);
    entry.users += 1;
    try {
      return await work(file);
    } finally {
      entry.users -= 1;
      if (entry.users === 0 && entry.destroyed) this.#closeFile(entry);
    }
  }

  #known(id: ObjectId): Entry | undefined {
    const name = objectName(id);
    const known = this.#entries.get(name);
    if (known === undefined) return undefined;
    this.#entries.delete(name);
    this.#entries.set(name, known);
    return known;
  }

  #find(id: ObjectId): Entry {
    const known = this.#known(id);
    if (known !== undefined) return known;
    const path = objectPath(this.#dir, id);
    const entry: Entry = {
      id,
      path,
      file: undefined,
      record: newObjectRecord(0),
      users: 0,
      unsaved: false,
      unsynced: false,
      destroyed: false,
    };
    const file = this.#openFile(entry);
    entry.record = this.#loadRecord(id, fstatSync(file.fd).mtimeMs);
    this.#entries.set(objectName(id), entry);
    this.#forgetOld();
    return entry;
  }

  /** `changed`: when the file was, by the file system's own account, milliseconds. */
  #loadRecord(id: ObjectId, changed: number): ObjectRecord {
    const stored = this.#attributes.table(OBJECTS).get(objectKey(id));
    if (stored === undefined) return newObjectRecord(changed);
    const record = decodeObjectRecord(stored);
    if (Math.floor(changed) <= record.savedAt) return record;
    // Written after the record was saved, by a process that was killed before it saved again.
    const seconds = BigInt(Math.floor(changed / 1000));
    return { ...record, mtime: seconds, ctime: seconds };
  }

  #openFile(entry: Entry): OpenFile {
    if (entry.file === undefined) {
      try {
        entry.file = { fd: openSync(entry.path, 'r+'), path: entry.path };
      } catch (error) {
        throw errnoError(errnoOf(error), { syscall: 'open object', path: entry.path });
      }
    }
    this.#open.delete(entry);
    this.#open.add(entry);
    if (this.#open.size > this.#openFilesMax) {
      for (const other of this.#open) {
        if (this.#open.size <= this.#openFilesMax) break;
        if (other.users === 0 && other !== entry) this.#closeFile(other);
      }
    }
    return entry.file;
  }

  #closeFile(entry: Entry): void {
    if (entry.file === undefined) return;
    this.#open.delete(entry);
    closeSync(entry.file.fd);
    entry.file = undefined;
  }

  #forgetOld(): void {
    if (this.#entries.size <= ENTRIES_MAX) return;
    for (const [name, entry] of this.#entries) {
      if (this.#entries.size <= ENTRIES_MAX) break;
      if (entry.users > 0 || entry.unsaved || entry.unsynced) continue;
      this.#closeFile(entry);
      this.#entries.delete(name);
    }
  }

  #saveLater(): void {
    this.#timer ??= this.#runtime.after(SAVE_AFTER_MS, () => {
      this.#timer = undefined;
      this.#save().catch((error: unknown) => {
        this.#runtime.log.error({ error, dir: this.#dir }, 'object attributes could not be saved');
        this.#saveLater();
      });
    });
  }

  /** Writes attributes that are newer than the key-value store's; one such write at a time. */
  async #save(): Promise<void> {
    while (this.#saving !== undefined) await this.#saving.catch(() => undefined);
    if (this.#unsaved.size === 0 && this.#removed.size === 0) return;
    const entries = [...this.#unsaved];
    const removed = [...this.#removed];
    this.#unsaved.clear();
    this.#removed.clear();
    const savedAt = Math.floor(this.#runtime.wallTime());
    for (const entry of entries) {
      entry.unsaved = false;
      entry.record = { ...entry.record, savedAt };
    }
    const saving = this.#attributes.transact((transaction) => {
      const table = transaction.table(OBJECTS);
      for (const entry of entries) table.put(objectKey(entry.id), encodeObjectRecord(entry.record));
      for (const [, id] of removed) table.remove(objectKey(id));
    });
    this.#saving = saving;
    try {
      await saving;
    } catch (error) {
      for (const entry of entries) {
        if (entry.destroyed) continue;
        entry.unsaved = true;
        this.#unsaved.add(entry);
      }
      for (const [name, id] of removed) this.#removed.set(name, id);
      throw error;
    } finally {
      this.#saving = undefined;
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function views(segments: readonly Segment[]): Uint8Array[] {
  return segments.map(({ memory, offset, length }) => memory.bytes.subarray(offset, offset + length));
}
