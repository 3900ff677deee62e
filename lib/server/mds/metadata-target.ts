/**
 * What the operations of one metadata target share: its tables, locks, open files and objects, and the way a change
 * is made: one transaction, a transno, and the client's line of last_rcvd in it (guides 06 §7, 16 §9).
 */

import type { Call, Export, LastRcvd } from '../../connection/target.ts';
import type { Fid } from '../../fid/fid.ts';
import type { ServerNamespace } from '../../ldlm/server-namespace.ts';
import type { PtlRpc } from '../../rpc/ptlrpc.ts';
import { errnoError } from '../../runtime/errors.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import { ConnectFlag } from '../../wire/connection-constants.ts';
import type { Format, LdlmRequestValue } from '../../wire/format.ts';
import { XattrName } from '../../wire/names.ts';
import type { KeyValueStore } from '../store/key-value-store.ts';
import { ClientRecords } from './client-records.ts';
import type { DefaultLayout } from './file-layout.ts';
import { NamespaceEdit, NamespaceView } from './namespace.ts';
import { destroy, type RemovalContext } from './namespace-remove.ts';
import type { ObjectAllocator } from './object-allocator.ts';
import { OpenFiles } from './open-files.ts';
import type { Sequences } from './sequences.ts';
import { lockAll, type WantedLock } from './server-locks.ts';

/** Bytes; 16 stripes and a pool. Grows with the largest layout that was made. */
const MAX_LAYOUT_SIZE_MIN = 128;
/** How often an operation starts again because a name changed while it waited for locks. */
const NAME_RETRIES = 100;

/** Thrown inside a transaction when the name that was locked is another object's by now. */
class NameChanged extends Error {}

export interface Storage {
  readonly blockSize: number;
  readonly blocks: bigint;
  readonly free: bigint;
  readonly available: bigint;
  readonly files: bigint;
  readonly filesFree: bigint;
}

export interface Modified<T> {
  readonly result: T;
  readonly transno: bigint;
}

export interface MetadataTargetParts {
  readonly name: string;
  readonly index: number;
  readonly runtime: Runtime;
  readonly ptlrpc: PtlRpc;
  readonly store: KeyValueStore;
  readonly locks: ServerNamespace;
  readonly objects: ObjectAllocator;
  readonly sequences: Sequences;
  readonly defaultLayout: DefaultLayout;
  readonly statfs: () => Promise<Storage>;
  /** transno of the first change of this start, minus one. */
  readonly epoch: bigint;
}

export class MetadataTarget {
  readonly name: string;
  readonly index: number;
  readonly runtime: Runtime;
  readonly ptlrpc: PtlRpc;
  readonly store: KeyValueStore;
  readonly locks: ServerNamespace;
  readonly objects: ObjectAllocator;
  readonly sequences: Sequences;
  readonly defaultLayout: DefaultLayout;
  readonly statfs: () => Promise<Storage>;
  readonly files: OpenFiles;
  /** What is on disk and what running transactions have written. */
  readonly view: NamespaceView;
  readonly removal: RemovalContext;
  readonly lastRcvd: LastRcvd;
  readonly #clients: ClientRecords;
  /** Layout size that clients should keep room for. */
  maxLayoutSize = MAX_LAYOUT_SIZE_MIN;
  #transno: bigint;
  #lastCommitted: bigint;

  constructor(parts: MetadataTargetParts) {
    this.name = parts.name;
    this.index = parts.index;
    this.runtime = parts.runtime;
    this.ptlrpc = parts.ptlrpc;
    this.store = parts.store;
    this.locks = parts.locks;
    this.objects = parts.objects;
    this.sequences = parts.sequences;
    this.defaultLayout = parts.defaultLayout;
    this.statfs = parts.statfs;
    this.files = new OpenFiles(parts.runtime);
    this.view = new NamespaceView(parts.store);
    this.#transno = parts.epoch;
    this.#lastCommitted = parts.epoch;
    this.removal = {
      isOpen: (fid) => this.files.isOpen(fid),
      destroyObjects: (ns, layout) => this.objects.destroy({ table: (name) => ns.raw(name) }, layout),
    };
    this.#clients = new ClientRecords(parts.store);
    this.lastRcvd = this.#clients;
  }

  get lastCommitted(): bigint {
    return this.#lastCommitted;
  }

  /** Seconds since the epoch. */
  now(): bigint {
    return BigInt(Math.floor(this.runtime.wallTime() / 1000));
  }

  /** Makes a change on behalf of a request; what `work` throws undoes it. Resolves when it is on disk. */
  async modify<T>(call: Call<Format>, work: (ns: NamespaceEdit) => T): Promise<Modified<T>> {
    const { transno, done } = this.#begin(call, work);
    return { result: await done, transno };
  }

  /**
   * A change that the client need not wait for, because nothing is lost with it that anybody was promised (a close's lazy
   * size and times). Its transno is above last_committed until it is on disk.
   */
  modifyLater(call: Call<Format>, work: (ns: NamespaceEdit) => void): bigint {
    const { transno, done } = this.#begin(call, work);
    const { xid } = call.request;
    done.catch((err: unknown) => this.runtime.log.error({ err, xid }, 'a change is lost'));
    return transno;
  }

  /** `work` has run when this returns; `done` is the commit. */
  #begin<T>(call: Call<Format>, work: (ns: NamespaceEdit) => T): { transno: bigint; done: Promise<T> } {
    this.checkWritable(call.export);
    const { clientUuid } = call.export;
    const transno = ++this.#transno;
    const done = this.store.transact((tx) => {
      const result = work(new NamespaceEdit(tx, transno));
      this.#clients.write(tx, clientUuid, {
        lastTransno: transno,
        lastXid: BigInt(call.request.xid),
        lastResult: 0,
      });
      return result;
    });
    return { transno, done: this.#settle(transno, done) };
  }

  async #settle<T>(transno: bigint, done: Promise<T>): Promise<T> {
    const result = await done;
    this.#committed(transno);
    this.objects.kick();
    return result;
  }

  /** A change of the target's own, without a client. */
  modifyOwn<T>(work: (ns: NamespaceEdit) => T): Promise<T> {
    const transno = ++this.#transno;
    return this.#settle(
      transno,
      this.store.transact((tx) => work(new NamespaceEdit(tx, transno))),
    );
  }

  /** For an open that writes nothing: the client keeps its request until it is closed (guide 09 §5.1 step 9). */
  emptyTransno(): bigint {
    const transno = ++this.#transno;
    this.store.sync().then(
      () => this.#committed(transno),
      // Later transactions fail by themselves; this one has nothing to lose.
      () => undefined,
    );
    return transno;
  }

  #committed(transno: bigint): void {
    if (transno > this.#lastCommitted) this.#lastCommitted = transno;
  }

  /** Throws EROFS on a connection that was made read-only. */
  checkWritable(client: Export): void {
    if ((client.connectData.ocd_connect_flags & ConnectFlag.OBD_CONNECT_RDONLY) !== 0n)
      throw errnoError(30, { syscall: 'write' });
  }

  /** Locks that the client gives back with its request, before anything else (guide 08 §5.3). */
  cancelEarly(call: Call<Format>, request: LdlmRequestValue | undefined): void {
    if (request === undefined || request.lock_count === 0) return;
    this.locks.cancelHandles(call, request.lock_handle.slice(0, request.lock_count));
  }

  /**
   * Runs a change under locks. They are released as soon as it is made, for everybody sees it then: the next change of
   * the same directory joins its commit instead of waiting for it. Resolves when it is on disk.
   */
  async modifyLocked<T>(
    call: Call<Format>,
    wanted: readonly WantedLock[],
    work: (ns: NamespaceEdit) => T,
  ): Promise<Modified<T>> {
    const release = await lockAll(this.locks, wanted);
    let begun: { transno: bigint; done: Promise<T> };
    try {
      begun = this.#begin(call, work);
    } finally {
      release();
    }
    return { result: await begun.done, transno: begun.transno };
  }

  /**
   * The same for changes of names: `wanted` says what to lock when the names are the given objects'. Starts again when
   * they are others' once the locks are held.
   */
  async modifyNames<T>(
    call: Call<Format>,
    names: readonly { readonly parent: Fid; readonly name: Uint8Array }[],
    wanted: (found: readonly (Fid | undefined)[]) => readonly WantedLock[],
    work: (ns: NamespaceEdit, found: readonly (Fid | undefined)[]) => T,
  ): Promise<Modified<T>> {
    for (let attempt = 0; attempt < NAME_RETRIES; attempt++) {
      const found = names.map(({ parent, name }) => this.#resolve(this.view, parent, name));
      try {
        return await this.modifyLocked(call, wanted(found), (ns) => {
          names.forEach(({ parent, name }, i) => {
            if (!same(this.#resolve(ns, parent, name), found[i])) throw new NameChanged();
          });
          return work(ns, found);
        });
      } catch (error) {
        if (!(error instanceof NameChanged)) throw error;
      }
    }
    throw errnoError(16, { syscall: 'lookup', hint: 'The name changed again and again' });
  }

  /** A name that cannot be looked up is not there; the operation says why. */
  #resolve(ns: NamespaceView, parent: Fid, name: Uint8Array): Fid | undefined {
    if (name.length === 0) return undefined;
    return ns.lookup(parent, name)?.fid;
  }

  /** Ends a client's open files, as its last close of each would. */
  async closeAll(client: Export): Promise<void> {
    for (const file of this.files.of(client)) {
      this.files.close(file);
      if (this.files.isOpen(file.fid) || !this.view.isOrphan(file.fid)) continue;
      await this.modifyOwn((ns) => destroy(ns, file.fid, this.removal));
    }
  }

  /** The layout EA of a file, or a directory's default. */
  layoutOf(fid: Fid): Uint8Array | undefined {
    return this.view.xattr(fid, XattrName.XATTR_NAME_LOV);
  }

  noteLayoutSize(size: number): void {
    this.maxLayoutSize = Math.max(this.maxLayoutSize, size);
  }
}

function same(a: Fid | undefined, b: Fid | undefined): boolean {
  return a?.f_oid === b?.f_oid && a?.f_seq === b?.f_seq && a?.f_ver === b?.f_ver;
}
