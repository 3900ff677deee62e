/**
 * The object store of the simulator and of tests (design: Stores): in memory, with a `crash` that drops what was not synced.
 * Data is kept in pages that are shared between the live and the durable state until one of them is written.
 */
import { checksumTs } from '../../lnet/checksum.ts';
import type { BulkChecksumName, ChecksumName, Segment } from '../../lnet/network.ts';
import { bulkChecksumTs } from '../../lnet/t10.ts';
import { errnoError } from '../../runtime/errors.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import { newObjectRecord, objectName } from './object-record.ts';
import type {
  ObjectAttributes,
  ObjectId,
  ObjectStatfs,
  ObjectStore,
  ObjectTransfer,
  StoredAttributes,
} from './object-store.ts';

const PAGE = 65_536;
const BLOCK_SIZE = 4096;
const FILES = 1n << 20n;

interface StoredObject {
  attributes: StoredAttributes;
  size: number;
  readonly pages: Map<number, Uint8Array>;
}

function copyOf(object: StoredObject): StoredObject {
  return { attributes: object.attributes, size: object.size, pages: new Map(object.pages) };
}

/** What stays when a memory object store crashes. */
export class MemoryObjectDisk {
  readonly objects = new Map<string, StoredObject>();
  readonly lastIds = new Map<bigint, number>();
}

export interface MemoryObjectStoreOptions {
  readonly runtime: Runtime;
  readonly disk?: MemoryObjectDisk;
  /** Bytes that fit; default 1 GiB. Writing more is ENOSPC. */
  readonly capacity?: number;
}

export class MemoryObjectStore implements ObjectStore {
  readonly #runtime: Runtime;
  readonly #disk: MemoryObjectDisk;
  readonly #capacity: number;
  readonly #live = new Map<string, StoredObject>();
  /** Pages that the durable state also has: copied before they are written. */
  readonly #shared = new WeakSet<Uint8Array>();
  readonly #unsynced = new Set<string>();

  constructor(options: MemoryObjectStoreOptions) {
    this.#runtime = options.runtime;
    this.#disk = options.disk ?? new MemoryObjectDisk();
    this.#capacity = options.capacity ?? 1 << 30;
    this.#load();
  }

  /** The power goes: what was not synced is gone. */
  crash(): void {
    this.#load();
  }

  #load(): void {
    this.#live.clear();
    this.#unsynced.clear();
    for (const [name, object] of this.#disk.objects) {
      for (const page of object.pages.values()) this.#shared.add(page);
      this.#live.set(name, copyOf(object));
    }
  }

  lastId(seq: bigint): number {
    return this.#disk.lastIds.get(seq) ?? 0;
  }

  async precreate(seq: bigint, from: number, to: number): Promise<void> {
    const { savedAt: _, ...attributes } = newObjectRecord(this.#runtime.wallTime());
    for (let oid = from + 1; oid <= to; oid++) {
      const object: StoredObject = { attributes, size: 0, pages: new Map() };
      const name = objectName({ seq, oid });
      this.#live.set(name, object);
      this.#disk.objects.set(name, copyOf(object));
    }
    this.#disk.lastIds.set(seq, to);
  }

  async destroy(id: ObjectId): Promise<void> {
    this.#get(id, 'destroy object');
    this.#live.delete(objectName(id));
    this.#unsynced.add(objectName(id));
  }

  exists(id: ObjectId): boolean {
    return this.#live.has(objectName(id));
  }

  async getAttributes(id: ObjectId): Promise<ObjectAttributes> {
    const object = this.#get(id, 'stat object');
    return {
      ...object.attributes,
      size: BigInt(object.size),
      blocks: BigInt(object.pages.size * (PAGE / 512)),
    };
  }

  async setAttributes(id: ObjectId, attributes: Partial<StoredAttributes>): Promise<void> {
    const object = this.#change(id, 'set attributes');
    object.attributes = { ...object.attributes, ...attributes };
  }

  async read(
    id: ObjectId,
    position: bigint,
    segments: readonly Segment[],
    checksum?: ChecksumName,
  ): Promise<ObjectTransfer> {
    const object = this.#get(id, 'read');
    let at = Number(position);
    const filled: Uint8Array[] = [];
    for (const segment of segments) {
      const length = Math.min(segment.length, object.size - at);
      if (length <= 0) break;
      const out = segment.memory.bytes.subarray(segment.offset, segment.offset + length);
      this.#eachPage(at, length, (number, from, to, done) => {
        const page = object.pages.get(number);
        if (page === undefined) out.fill(0, done, done + to - from);
        else out.set(page.subarray(from, to), done);
      });
      filled.push(out);
      at += length;
    }
    const bytes = filled.reduce((sum, part) => sum + part.length, 0);
    return { bytes, checksum: checksum === undefined ? 0 : checksumTs(checksum, filled) };
  }

  async write(
    id: ObjectId,
    position: bigint,
    segments: readonly Segment[],
    checksum?: ChecksumName,
  ): Promise<ObjectTransfer> {
    const parts = views(segments);
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length > this.#available()) throw errnoError(28, { syscall: 'write', path: objectName(id) });
    const object = this.#change(id, 'write');
    let at = Number(position);
    for (const part of parts) {
      this.#eachPage(at, part.length, (number, from, to, done) =>
        this.#page(object, number).set(part.subarray(done, done + to - from), from),
      );
      at += part.length;
    }
    object.size = Math.max(object.size, at);
    return { bytes: length, checksum: checksum === undefined ? 0 : checksumTs(checksum, parts) };
  }

  async checksum(type: BulkChecksumName, segments: readonly Segment[], pageOffset = 0): Promise<number> {
    return bulkChecksumTs(type, views(segments), pageOffset);
  }

  async truncate(id: ObjectId, size: bigint): Promise<void> {
    const object = this.#change(id, 'truncate');
    const end = Number(size);
    for (const number of [...object.pages.keys()]) if (number * PAGE >= end) object.pages.delete(number);
    if (end % PAGE !== 0 && object.pages.has(Math.floor(end / PAGE)))
      this.#page(object, Math.floor(end / PAGE)).fill(0, end % PAGE);
    object.size = end;
  }

  async punch(id: ObjectId, start: bigint, end: bigint): Promise<void> {
    const object = this.#change(id, 'punch');
    for (const number of [...object.pages.keys()]) {
      const from = Math.max(0, Number(start) - number * PAGE);
      const to = Math.min(PAGE, Number(end) - number * PAGE);
      if (from >= to) continue;
      if (to - from === PAGE) object.pages.delete(number);
      else this.#page(object, number).fill(0, from, to);
    }
  }

  async allocate(id: ObjectId, start: bigint, end: bigint, keepSize: boolean): Promise<void> {
    if (Number(end - start) > this.#available()) throw errnoError(28, { syscall: 'fallocate' });
    const object = this.#change(id, 'fallocate');
    if (!keepSize) object.size = Math.max(object.size, Number(end));
  }

  async seek(id: ObjectId, position: bigint, what: 'data' | 'hole'): Promise<bigint | undefined> {
    const object = this.#get(id, 'seek');
    const from = Number(position);
    if (from >= object.size) return undefined;
    let number = Math.floor(from / PAGE);
    if (what === 'data') {
      const pages = [...object.pages.keys()].filter((page) => page >= number);
      return pages.length === 0 ? undefined : BigInt(Math.max(from, Math.min(...pages) * PAGE));
    }
    while (object.pages.has(number)) number += 1;
    return BigInt(Math.min(object.size, Math.max(from, number * PAGE)));
  }

  async sync(id: ObjectId): Promise<void> {
    this.#get(id, 'sync');
    this.#makeDurable(objectName(id));
  }

  async syncAll(): Promise<void> {
    for (const name of [...this.#unsynced]) this.#makeDurable(name);
  }

  async statfs(): Promise<ObjectStatfs> {
    const available = BigInt(Math.floor(this.#available() / BLOCK_SIZE));
    return {
      blockSize: BLOCK_SIZE,
      blocks: BigInt(Math.floor(this.#capacity / BLOCK_SIZE)),
      free: available,
      available,
      files: FILES,
      filesFree: FILES - BigInt(this.#live.size),
    };
  }

  async close(): Promise<void> {
    await this.syncAll();
  }

  #available(): number {
    let used = 0;
    for (const object of this.#live.values()) used += object.pages.size * PAGE;
    return Math.max(0, this.#capacity - used);
  }

  #makeDurable(name: string): void {
    this.#unsynced.delete(name);
    const object = this.#live.get(name);
    if (object === undefined) {
      this.#disk.objects.delete(name);
      return;
    }
    for (const page of object.pages.values()) this.#shared.add(page);
    this.#disk.objects.set(name, copyOf(object));
  }

  #get(id: ObjectId, syscall: string): StoredObject {
    const object = this.#live.get(objectName(id));
    if (object === undefined) throw errnoError(2, { syscall, path: objectName(id) });
    return object;
  }

  #change(id: ObjectId, syscall: string): StoredObject {
    const object = this.#get(id, syscall);
    this.#unsynced.add(objectName(id));
    return object;
  }

  /** A page that may be written. */
  #page(object: StoredObject, number: number): Uint8Array {
    const page = object.pages.get(number);
    if (page !== undefined && !this.#shared.has(page)) return page;
    const own = page === undefined ? new Uint8Array(PAGE) : page.slice();
    object.pages.set(number, own);
    return own;
  }

  #eachPage(
    position: number,
    length: number,
    visit: (number: number, from: number, to: number, done: number) => void,
  ): void {
    for (let done = 0; done < length; ) {
      const at = position + done;
      const from = at % PAGE;
      const to = Math.min(PAGE, from + length - done);
      visit(Math.floor(at / PAGE), from, to, done);
      done += to - from;
    }
  }
}

function views(segments: readonly Segment[]): Uint8Array[] {
  return segments.map(({ memory, offset, length }) => memory.bytes.subarray(offset, offset + length));
}
