/** A namespace in memory with a root, and transactions that run at once. */
import { type Fid, makeFid, ROOT_FID } from '../../../lib/fid/fid.ts';
import { type Credential, SUPERUSER } from '../../../lib/server/mds/credential.ts';
import { NamespaceEdit, NamespaceView, newInode } from '../../../lib/server/mds/namespace.ts';
import { create, type NewObject } from '../../../lib/server/mds/namespace-create.ts';
import type { RemovalContext } from '../../../lib/server/mds/namespace-remove.ts';
import { mdtTables } from '../../../lib/server/mds/records.ts';
import type { KeyValueStore } from '../../../lib/server/store/key-value-store.ts';
import { openMemoryStore } from '../../../lib/server/store/memory-store.ts';

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const SEQ = 0x200000401n;
export const fid = (oid: number): Fid => makeFid(SEQ, oid);

export class Bench {
  readonly store: KeyValueStore = openMemoryStore({ tables: mdtTables });
  readonly view = new NamespaceView(this.store);
  readonly open = new Set<number>();
  readonly destroyed: Uint8Array[] = [];
  readonly context: RemovalContext = {
    isOpen: (f) => this.open.has(f.f_oid),
    destroyObjects: (_ns, layout) => this.destroyed.push(layout),
  };
  #version = 0n;
  #oid = 0;

  async edit<T>(work: (ns: NamespaceEdit) => T): Promise<T> {
    const version = ++this.#version;
    return this.store.transact((tx) => work(new NamespaceEdit(tx, version)));
  }

  nextFid(): Fid {
    return fid(++this.#oid);
  }

  async make(
    name: string,
    mode: number,
    options: Partial<NewObject> & { who?: Credential } = {},
  ): Promise<Fid> {
    const { who = SUPERUSER, ...rest } = options;
    const made = rest.fid ?? this.nextFid();
    await this.edit((ns) =>
      create(ns, who, {
        parent: ROOT_FID,
        name: bytes(name),
        mode,
        umask: 0,
        time: 100n,
        ...rest,
        fid: made,
      }),
    );
    return made;
  }
}

export async function bench(): Promise<Bench> {
  const b = new Bench();
  await b.edit((ns) =>
    ns.putInode(ROOT_FID, newInode({ mode: 0o40755, nlink: 2, size: 4096n, parent: { ...ROOT_FID } })),
  );
  return b;
}
