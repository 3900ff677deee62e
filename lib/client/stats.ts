/** `Stats`, `BigIntStats`, `StatFs` and `Dirent` in the shape of node:fs. */
import { constants } from 'node:fs';
import type { Attributes, EntryValue, SpaceUsage } from './engine.ts';

const { S_IFMT, S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK } = constants;

/** What Stats, BigIntStats and Dirent share. */
class Typed {
  readonly #type: number;

  constructor(mode: number) {
    this.#type = mode & S_IFMT;
  }

  /** False for a directory entry whose type the server did not say. */
  get hasType(): boolean {
    return this.#type !== 0;
  }

  isFile(): boolean {
    return this.#type === S_IFREG;
  }
  isDirectory(): boolean {
    return this.#type === S_IFDIR;
  }
  isSymbolicLink(): boolean {
    return this.#type === S_IFLNK;
  }
  isFIFO(): boolean {
    return this.#type === S_IFIFO;
  }
  isSocket(): boolean {
    return this.#type === S_IFSOCK;
  }
  isCharacterDevice(): boolean {
    return this.#type === S_IFCHR;
  }
  isBlockDevice(): boolean {
    return this.#type === S_IFBLK;
  }
}

/** Attributes of a file as node:fs gives them, and its FID. `ino` above 2^53 is rounded; BigIntStats has it exactly. */
export class Stats extends Typed {
  readonly fid: string;
  readonly dev: number;
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly size: number;
  readonly blksize: number;
  readonly blocks: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly birthtime: Date;

  constructor(a: Attributes) {
    super(a.mode);
    this.fid = a.fid;
    this.dev = a.dev;
    this.ino = Number(a.ino);
    this.mode = a.mode;
    this.nlink = a.nlink;
    this.uid = a.uid;
    this.gid = a.gid;
    this.rdev = a.rdev;
    this.size = a.size;
    this.blksize = a.blksize;
    this.blocks = a.blocks;
    this.atimeMs = a.atimeMs;
    this.mtimeMs = a.mtimeMs;
    this.ctimeMs = a.ctimeMs;
    this.birthtimeMs = a.birthtimeMs;
    this.atime = new Date(a.atimeMs);
    this.mtime = new Date(a.mtimeMs);
    this.ctime = new Date(a.ctimeMs);
    this.birthtime = new Date(a.birthtimeMs);
  }
}

/** The same in bigints, with times in nanoseconds too. */
export class BigIntStats extends Typed {
  readonly fid: string;
  readonly dev: bigint;
  readonly ino: bigint;
  readonly mode: bigint;
  readonly nlink: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
  readonly rdev: bigint;
  readonly size: bigint;
  readonly blksize: bigint;
  readonly blocks: bigint;
  readonly atimeMs: bigint;
  readonly mtimeMs: bigint;
  readonly ctimeMs: bigint;
  readonly birthtimeMs: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly birthtimeNs: bigint;
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly birthtime: Date;

  constructor(a: Attributes) {
    super(a.mode);
    this.fid = a.fid;
    this.dev = BigInt(a.dev);
    this.ino = a.ino;
    this.mode = BigInt(a.mode);
    this.nlink = BigInt(a.nlink);
    this.uid = BigInt(a.uid);
    this.gid = BigInt(a.gid);
    this.rdev = BigInt(a.rdev);
    this.size = BigInt(a.size);
    this.blksize = BigInt(a.blksize);
    this.blocks = BigInt(a.blocks);
    this.atimeMs = BigInt(a.atimeMs);
    this.mtimeMs = BigInt(a.mtimeMs);
    this.ctimeMs = BigInt(a.ctimeMs);
    this.birthtimeMs = BigInt(a.birthtimeMs);
    this.atimeNs = this.atimeMs * 1_000_000n;
    this.mtimeNs = this.mtimeMs * 1_000_000n;
    this.ctimeNs = this.ctimeMs * 1_000_000n;
    this.birthtimeNs = this.birthtimeMs * 1_000_000n;
    this.atime = new Date(a.atimeMs);
    this.mtime = new Date(a.mtimeMs);
    this.ctime = new Date(a.ctimeMs);
    this.birthtime = new Date(a.birthtimeMs);
  }
}

/** A directory entry. `parentPath` is the directory as it was named. */
export class Dirent extends Typed {
  readonly name: string;
  readonly parentPath: string;
  /** The FID that the name leads to. */
  readonly fid: string;

  constructor(entry: EntryValue, parentPath: string) {
    super(entry.type);
    this.name = entry.name;
    this.parentPath = parentPath;
    this.fid = entry.fid;
  }

  get path(): string {
    return this.parentPath;
  }
}

/** Space and files, as node:fs statfs gives them. */
export type StatFs = SpaceUsage;
