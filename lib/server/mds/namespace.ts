/**
 * Inodes, directory entries and extended attributes as a file system sees them, over the tables of a store or of one of its
 * transactions (guides 09, 11). What changes them stands in namespace-*.ts, an operation a file, free of
 * requests and locks.
 */

import { type Fid, ZERO_FID } from '../../fid/fid.ts';
import { errnoError } from '../../runtime/errors.ts';
import { XattrName } from '../../wire/names.ts';
import type { Table, Transaction, WritableTable } from '../store/key-value-store.ts';
import { isDirectory, Mode } from './credential.ts';
import { FID_KEY_SIZE, fidKey, fidOfKey, writeFidKey } from './fid-key.ts';
import { DOT, DOT_DOT, isDot, isDotDot, nameHash } from './name-hash.ts';
import { decodeAcl, type PosixAcl } from './posix-acl.ts';
import { DirectoryEntry, decodeInode, Inode, MdtTable, scratch } from './records.ts';

export interface NamedEntry {
  readonly hash: bigint;
  readonly name: Uint8Array;
  readonly fid: Fid;
  /** S_IFMT bits. */
  readonly type: number;
}

function entryKey(directory: Fid, hash: bigint, name: Uint8Array): Buffer {
  const key = Buffer.allocUnsafe(24 + name.length);
  writeFidKey(key, directory);
  key.writeBigUInt64BE(hash, FID_KEY_SIZE);
  key.set(name, 24);
  return key;
}

function xattrKey(fid: Fid, name: string): Buffer {
  const key = Buffer.allocUnsafe(FID_KEY_SIZE + Buffer.byteLength(name));
  writeFidKey(key, fid);
  key.write(name, FID_KEY_SIZE);
  return key;
}

/** First key behind all that begin with a FID. */
function afterFid(fid: Fid): Buffer {
  return Buffer.concat([fidKey(fid), Buffer.alloc(264, 0xff)]);
}

/** Reads. */
export class NamespaceView {
  protected readonly tables: { table(name: string): Table };

  constructor(tables: { table(name: string): Table }) {
    this.tables = tables;
  }

  find(fid: Fid): Inode | undefined {
    const bytes = this.tables.table(MdtTable.inode).get(fidKey(fid));
    return bytes === undefined ? undefined : decodeInode(bytes);
  }

  has(fid: Fid): boolean {
    return this.tables.table(MdtTable.inode).get(fidKey(fid)) !== undefined;
  }

  /** Throws ENOENT (or `errno`) when there is no such object. */
  inode(fid: Fid, errno = 2): Inode {
    const inode = this.find(fid);
    if (inode === undefined) throw errnoError(errno, { syscall: 'lookup' });
    return inode;
  }

  /** A directory that still has a name. Throws ENOENT, ENOTDIR. */
  directory(fid: Fid): Inode {
    const inode = this.inode(fid);
    if (!isDirectory(inode)) throw errnoError(20, { syscall: 'lookup' });
    if (inode.nlink === 0) throw errnoError(2, { syscall: 'lookup' });
    return inode;
  }

  lookup(directory: Fid, name: Uint8Array): { fid: Fid; type: number } | undefined {
    if (isDot(name)) return { fid: directory, type: Mode.S_IFDIR };
    if (isDotDot(name)) {
      const fid = this.find(directory)?.parent;
      return fid && { fid, type: Mode.S_IFDIR };
    }
    const bytes = this.tables.table(MdtTable.entry).get(entryKey(directory, nameHash(name), name));
    if (bytes === undefined) return undefined;
    return DirectoryEntry.decode(bytes);
  }

  /** Entries from `fromHash` on in hash order, '.' and '..' first. */
  *entries(directory: Fid, fromHash = 0n): Iterable<NamedEntry> {
    for (const [name, fid] of [
      [DOT, directory],
      [DOT_DOT, this.inode(directory).parent],
    ] as const) {
      const hash = nameHash(name);
      if (hash >= fromHash) yield { hash, name, fid, type: Mode.S_IFDIR };
    }
    const start = entryKey(directory, fromHash, new Uint8Array(0));
    for (const { key, value } of this.tables.table(MdtTable.entry).range(start, afterFid(directory))) {
      const entry = DirectoryEntry.decode(value);
      const view = new DataView(key.buffer, key.byteOffset, key.length);
      yield {
        hash: view.getBigUint64(16),
        name: key.subarray(24),
        fid: entry.fid,
        type: entry.type,
      };
    }
  }

  isEmpty(directory: Fid): boolean {
    const start = entryKey(directory, 0n, new Uint8Array(0));
    for (const _ of this.tables.table(MdtTable.entry).range(start, afterFid(directory), 1)) return false;
    return true;
  }

  xattr(fid: Fid, name: string): Uint8Array | undefined {
    return this.tables.table(MdtTable.xattr).get(xattrKey(fid, name));
  }

  *xattrs(fid: Fid): Iterable<{ name: string; value: Uint8Array }> {
    for (const { key, value } of this.tables.table(MdtTable.xattr).range(fidKey(fid), afterFid(fid)))
      yield { name: Buffer.from(key.subarray(16)).toString('utf8'), value };
  }

  /** One of the unusual attributes of an object, of which `inode` says whether it has any. */
  unusualXattr(fid: Fid, inode: Inode, name: string): Uint8Array | undefined {
    return inode.plain === 1 ? undefined : this.xattr(fid, name);
  }

  /** The access list, where there is one. */
  acl(fid: Fid, inode: Inode): PosixAcl | undefined {
    const bytes = this.unusualXattr(fid, inode, XattrName.XATTR_NAME_ACL_ACCESS);
    return bytes === undefined ? undefined : decodeAcl(bytes);
  }

  /** A symbolic link's target, without a NUL. */
  target(fid: Fid): Uint8Array | undefined {
    return this.tables.table(MdtTable.symlink).get(fidKey(fid));
  }

  isOrphan(fid: Fid): boolean {
    return this.tables.table(MdtTable.orphan).get(fidKey(fid)) !== undefined;
  }

  orphans(): Fid[] {
    const all = this.tables.table(MdtTable.orphan).range(new Uint8Array(0), Buffer.alloc(17, 0xff));
    return [...all].map(({ key }) => fidOfKey(key));
  }

  /** True when `ancestor` is `fid` or above it. */
  isWithin(fid: Fid, ancestor: Uint8Array): boolean {
    let at = fid;
    // No tree is deeper than its number of directories; the bound only stops a damaged one.
    for (let depth = 0; depth < 1 << 16; depth++) {
      const key = fidKey(at);
      if (Buffer.compare(key, ancestor) === 0) return true;
      const parent = this.find(at)?.parent;
      if (parent === undefined || Buffer.compare(fidKey(parent), key) === 0) return false;
      at = parent;
    }
    return false;
  }
}

const { XATTR_NAME_LOV, XATTR_NAME_LINK } = XattrName;

/** Writes, inside one transaction. Nothing is checked here: see namespace-*.ts. */
export class NamespaceEdit extends NamespaceView {
  readonly #transaction: Transaction;
  /** Marks what changes: the inode's version. */
  readonly version: bigint;

  constructor(transaction: Transaction, version: bigint) {
    super(transaction);
    this.#transaction = transaction;
    this.version = version;
  }

  #table(name: string): WritableTable {
    return this.#transaction.table(name);
  }

  putInode(fid: Fid, inode: Inode): void {
    inode.version = this.version;
    Inode.encodeInto(scratch.inode, 0, inode);
    this.#table(MdtTable.inode).put(fidKey(fid), scratch.inode);
  }

  /** Removes an object with all that hangs on it; `inode` and `layout` as they were. */
  removeInode(fid: Fid, inode: Inode | undefined, layout: Uint8Array | undefined): void {
    this.#table(MdtTable.inode).remove(fidKey(fid));
    if (((inode?.mode ?? 0) & Mode.S_IFMT) === Mode.S_IFLNK)
      this.#table(MdtTable.symlink).remove(fidKey(fid));
    if (inode?.plain !== 1) for (const { name } of [...this.xattrs(fid)]) this.setXattr(fid, name, undefined);
    else {
      // The names by which it is known: looking through the table would cost as much as all the rest.
      if (layout !== undefined) this.setXattr(fid, XATTR_NAME_LOV, undefined);
      this.setXattr(fid, XATTR_NAME_LINK, undefined);
    }
  }

  putEntry(directory: Fid, name: Uint8Array, fid: Fid, type: number): void {
    const key = entryKey(directory, nameHash(name), name);
    DirectoryEntry.encodeInto(scratch.entry, 0, { fid, type });
    this.#table(MdtTable.entry).put(key, scratch.entry);
  }

  removeEntry(directory: Fid, name: Uint8Array): void {
    this.#table(MdtTable.entry).remove(entryKey(directory, nameHash(name), name));
  }

  /** Of others than layout and names `inode` takes note, which the caller writes afterwards; without one, what is stored. */
  setXattr(fid: Fid, name: string, value: Uint8Array | undefined, inode?: Inode): void {
    if (value !== undefined && name !== XATTR_NAME_LOV && name !== XATTR_NAME_LINK)
      this.#noteXattr(fid, inode);
    if (value === undefined) this.#table(MdtTable.xattr).remove(xattrKey(fid, name));
    else this.#table(MdtTable.xattr).put(xattrKey(fid, name), value);
  }

  #noteXattr(fid: Fid, inode: Inode | undefined): void {
    if (inode !== undefined) {
      inode.plain = 0;
      return;
    }
    const bytes = this.tables.table(MdtTable.inode).get(fidKey(fid));
    const stored = bytes === undefined ? undefined : Inode.decode(bytes);
    if (stored === undefined || stored.plain === 0) return;
    stored.plain = 0;
    Inode.encodeInto(scratch.inode, 0, stored);
    this.#table(MdtTable.inode).put(fidKey(fid), scratch.inode);
  }

  setTarget(fid: Fid, target: Uint8Array): void {
    this.#table(MdtTable.symlink).put(fidKey(fid), target);
  }

  removeOrphan(fid: Fid): void {
    this.#table(MdtTable.orphan).remove(fidKey(fid));
  }

  addOrphan(fid: Fid): void {
    this.#table(MdtTable.orphan).put(fidKey(fid), new Uint8Array([1]));
  }

  raw(table: string): WritableTable {
    return this.#table(table);
  }
}

/** An inode with everything zero but what is given. */
export function newInode(fields: Partial<Inode>): Inode {
  return {
    version: 0n,
    size: 0n,
    blocks: 0n,
    atime: 0n,
    mtime: 0n,
    ctime: 0n,
    btime: 0n,
    rdev: 0n,
    mode: 0,
    uid: 0,
    gid: 0,
    nlink: 1,
    flags: 0,
    projid: 0,
    lazySize: 0,
    plain: 1,
    parent: { ...ZERO_FID },
    ...fields,
  };
}
