/** Where a server node keeps its targets' stores: a directory of this machine, or memory in the simulator (design: Stores). */
import { join } from 'node:path';
import { openNativeStorage } from '../lnet/native-storage.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { openServerDirectory } from './server-directory.ts';
import { diskSpace } from './store/disk-space.ts';
import { OBJECT_TABLES, openFileObjectStore } from './store/file-object-store.ts';
import type { KeyValueStore } from './store/key-value-store.ts';
import { openLmdbStore } from './store/lmdb-store.ts';
import { MemoryObjectDisk, MemoryObjectStore } from './store/memory-object-store.ts';
import { MemoryDisk, openMemoryStore } from './store/memory-store.ts';
import type { ObjectStatfs, ObjectStore } from './store/object-store.ts';

export interface NodeStorage {
  /** The key-value store of a target, by the target's folder: `mgs`, `mdt0000`, `ost0001`. */
  openTables(folder: string, tables: readonly string[]): Promise<KeyValueStore>;
  /** An OST's objects; `attributes` has OBJECT_TABLES among its tables. Closed before `attributes`. */
  openObjects(folder: string, attributes: KeyValueStore): ObjectStore;
  /** Free space where the folder is. */
  statfs(folder: string): Promise<ObjectStatfs>;
  /** After all stores have been closed. */
  release(): void;
}

/**
 * Storage in `dir`: `mgs/`, `mdt0000/`, `ost0000/` ... below it, an LMDB store in each, objects as files. Throws what
 * openServerDirectory throws.
 */
export function openDirectoryStorage(dir: string, fsname: string, runtime: Runtime): NodeStorage {
  const directory = openServerDirectory(dir, fsname);
  return {
    openTables: (folder, tables) => openLmdbStore({ path: join(dir, folder), tables }),
    openObjects: (folder, attributes) =>
      openFileObjectStore({ runtime, dir: join(dir, folder), attributes, storage: openNativeStorage() }),
    statfs: (folder) => diskSpace(join(dir, folder)),
    release: () => directory.release(),
  };
}

/** Storage in memory, which outlives the node it is given to: `crash` is a power cut. */
export class MemoryNodeStorage implements NodeStorage {
  readonly #runtime: Runtime;
  readonly #tables = new Map<string, MemoryDisk>();
  readonly #objects = new Map<string, MemoryObjectDisk>();
  readonly #open: { crash(): void }[] = [];

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  async openTables(folder: string, tables: readonly string[]): Promise<KeyValueStore> {
    const disk = this.#tables.get(folder) ?? new MemoryDisk();
    this.#tables.set(folder, disk);
    const store = openMemoryStore({ disk, tables });
    this.#open.push(store);
    return store;
  }

  openObjects(folder: string): ObjectStore {
    const disk = this.#objects.get(folder) ?? new MemoryObjectDisk();
    this.#objects.set(folder, disk);
    const store = new MemoryObjectStore({ runtime: this.#runtime, disk });
    this.#open.push(store);
    return store;
  }

  async statfs(): Promise<ObjectStatfs> {
    const blocks = 1n << 20n;
    return { blockSize: 4096, blocks, free: blocks, available: blocks, files: blocks, filesFree: blocks };
  }

  /** What was not committed or synced is gone; the stores that were open are of no more use. */
  crash(): void {
    for (const store of this.#open.splice(0)) store.crash();
  }

  release(): void {
    this.#open.length = 0;
  }
}

/** Tables of an OST's store beside its own: those of its objects. */
export const NODE_OBJECT_TABLES: readonly string[] = OBJECT_TABLES;
