/**
 * Everything below the file API (design: "Threads"). Arguments and results are plain values that can cross a thread: no
 * callbacks, no instances, no AbortSignal; buffers are Uint8Arrays that an engine pins until the operation is over.
 * `InlineEngine` runs in the caller's thread.
 *
 * Paths are absolute or relative to the mounted root. Rejections are LustreErrors with Node codes, `syscall` and `path`.
 * An `operation` is a number that the caller chose; `abort` of it makes the call reject with ABORT_ERR.
 */
import type { Layout } from '../layout/description.ts';
import type { DirectoryStriping } from '../layout/directory-layout.ts';
import type { StripingOptions } from '../layout/striping.ts';
import type { LockEntry, LockReport, ReportOptions, ResourceReport } from '../ldlm/lock-report.ts';
import type { ChangelogRecord } from '../llog/changelog-record.ts';
import type { FileSegment } from '../lnet/network.ts';
import type { VersionFlush } from './osc/data-version.ts';
import type { FallocateMode } from './osc/fallocate.ts';
import type { Advice } from './osc/ladvise.ts';
import type { SeekWhat } from './osc/seek.ts';
import type { FlightBounds } from './transfers/transfers.ts';

export type {
  Advice,
  ChangelogRecord,
  DirectoryStriping,
  FallocateMode,
  FileSegment,
  Layout,
  LockEntry,
  LockReport,
  ReportOptions,
  ResourceReport,
  SeekWhat,
  StripingOptions,
  VersionFlush,
};

/** Attributes of an object. Times are in milliseconds since the epoch. */
export interface Attributes {
  /** `[0x200000401:0x2:0x0]`. */
  readonly fid: string;
  readonly dev: number;
  readonly ino: bigint;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  /** Bytes. */
  readonly size: number;
  /** Preferred size of a read or write, bytes. */
  readonly blksize: number;
  /** 512-byte units. */
  readonly blocks: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;
}

/** Space and files of a target or of the whole file system. */
export interface SpaceUsage {
  readonly type: number;
  /** Bytes of a block. */
  readonly bsize: number;
  readonly blocks: number;
  readonly bfree: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
}

export interface TargetSpace {
  /** `demo-OST0001`. */
  readonly name: string;
  readonly kind: 'mdt' | 'ost';
  readonly index: number;
  /** Undefined when the target did not answer. */
  readonly usage: SpaceUsage | undefined;
}

export interface AttributeChanges {
  /** Permission bits. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Milliseconds since the epoch; kept in whole seconds. */
  readonly atimeMs?: number;
  readonly mtimeMs?: number;
}

export interface EntryValue {
  readonly name: string;
  /** S_IFMT bits of the mode; 0 when the server did not say. */
  readonly type: number;
  readonly fid: string;
}

/** A range of an open file, for locks. */
export interface FileLock {
  /** `flock`: of this open file, whole. `posix`: of the whole mount. `ofd`: of this open file. */
  readonly kind: 'flock' | 'posix' | 'ofd';
  readonly mode: 'shared' | 'exclusive' | 'unlock';
  /** First byte. */
  readonly start: number;
  /** Last byte; undefined for all that follow. */
  readonly end: number | undefined;
}

export interface FileLockRequest extends FileLock {
  /** False: rejects with EAGAIN when somebody is in the way. */
  readonly wait: boolean;
}

/** Who holds a lock that is in the way. */
export interface FileLockHolder {
  readonly mode: 'shared' | 'exclusive';
  readonly start: number;
  readonly end: number | undefined;
  /** Of a process on the holder's machine. */
  readonly pid: number;
}

/** Bytes of a file that lie in one piece in one object, as its server has them on disk. */
export interface Extent {
  /** In the file, of the first byte. What follows is in one piece in the object, and in the file where one stripe goes on. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  /** `demo-OST0001`. */
  readonly target: string;
  /** Undefined for data on an MDT. */
  readonly ostIndex?: number;
  /** FID of the object. */
  readonly object: string;
  readonly objectOffset: number;
  /** Byte on the server's disk; 0 with the flag `unknown`. */
  readonly physical: number;
  /** Linux' names: `last`, `unknown`, `unwritten`, `delalloc` ... */
  readonly flags: readonly string[];
}

/** `lab-MDT0001`, or the number of an MDT. */
export type MdtName = string | number;

/** `dirty`: changed since it was archived. `released`: the data are in the archive only. */
export type HsmFlag = 'exists' | 'dirty' | 'released' | 'archived' | 'norelease' | 'noarchive' | 'lost';

/** What is known of a file in an archive. */
export interface HsmState {
  readonly flags: readonly HsmFlag[];
  /** 0 for none. */
  readonly archiveId: number;
  /** What a copy tool is doing with it, or is to do. */
  readonly action?: {
    /** `archive`, `restore`, `remove` ... */
    readonly name: string;
    readonly progress: 'none' | 'waiting' | 'running' | 'done';
    /** Bytes done. */
    readonly bytes: number;
  };
}

export interface HsmStateChange {
  readonly set?: readonly HsmFlag[];
  readonly clear?: readonly HsmFlag[];
  readonly archiveId?: number;
}

/** What a copy tool can be asked for. */
export type HsmRequestAction = 'archive' | 'restore' | 'remove' | 'cancel';

/** The project that an object is charged to. */
export interface Project {
  /** 0 for none. */
  readonly id: number;
  /** Of a directory: what is made in it belongs to the project too. */
  readonly inherit: boolean;
}

export type QuotaKind = 'user' | 'group' | 'project';

/** Limits of bytes or of files; 0 for none. */
export interface QuotaUse {
  readonly used: number;
  readonly soft: number;
  readonly hard: number;
  /** When a soft limit that was passed becomes a hard one, since the epoch; 0 while it was not. */
  readonly graceMs: number;
}

/** What one target says of a quota. */
export interface QuotaShare {
  /** `demo-OST0001`. */
  readonly name: string;
  readonly kind: 'mdt' | 'ost';
  readonly index: number;
  /** Undefined when the target did not answer. Objects are an OST's inodes. */
  readonly used: { readonly bytes: number; readonly inodes: number } | undefined;
  /** How much of the limits the target may give out by itself, bytes and inodes. */
  readonly bytes: number;
  readonly inodes: number;
}

export interface Quota {
  readonly kind: QuotaKind;
  readonly id: number;
  /** Bytes. */
  readonly blocks: QuotaUse;
  readonly inodes: QuotaUse;
  readonly targets: readonly QuotaShare[];
}

/** Limits to set: bytes, which servers keep in KiB, and files. 0 is no limit; what is left out stays. */
export interface QuotaLimits {
  readonly blockSoft?: number;
  readonly blockHard?: number;
  readonly inodeSoft?: number;
  readonly inodeHard?: number;
}

/** Where a directory is. */
export interface DirectoryPlace {
  /** Of the MDT that holds the directory itself. */
  readonly mdtIndex: number;
  readonly fid: string;
  /** Of a striped directory: the directories that its names lie in. Empty for a plain one. */
  readonly shards: readonly { readonly mdtIndex: number; readonly fid: string }[];
  /** How names are spread over the shards: `fnv_1a_64` ... */
  readonly hash: string | undefined;
  /** `migrating`, `fixed` ... */
  readonly flags: readonly string[];
  /** For directories that are made in it; undefined where it does not say. */
  readonly default: DirectoryStriping | undefined;
}

/**
 * What becomes of the layout of a file that is open under a lease, when that is given back. `with`: the handle of a file
 * without a name; its layout is taken as a further mirror, or the two change places. `split`: a mirror goes, to a file
 * without a layout, by its FID. `resynced`: these components are up to date now.
 */
export type LayoutChange =
  | { readonly kind: 'merge'; readonly with: number }
  | {
      readonly kind: 'swap';
      readonly with: number;
      /** Data versions: of the file, of the other. */
      readonly versions: readonly [bigint, bigint];
    }
  | { readonly kind: 'split'; readonly mirror: number; readonly into: string }
  | { readonly kind: 'resynced'; readonly components: readonly number[] };

/** An entry with its attributes. */
export interface EntryAttributes extends EntryValue {
  readonly attributes: Attributes;
}

/** What the client has done since the mount. */
export interface Counters {
  /** Requests sent, resends included, by opcode name. */
  readonly rpcs: Readonly<Record<string, number>>;
  /** Bulk data that arrived damaged and went again. */
  readonly checksumErrors: number;
  /** Data RPCs that went again for any reason. */
  readonly resends: number;
  /** Bytes of memory that cached file data take. */
  readonly cachedBytes: number;
}

export interface Engine {
  unmount(): Promise<void>;
  counters(): Promise<Counters>;
  /** Resolves after so many milliseconds. */
  pause(ms: number, operation?: number): Promise<void>;
  abort(operation: number): void;
  /** The locks of this client, by target. */
  locks(options: ReportOptions): Promise<LockReport[]>;

  stat(path: string, follow: boolean, operation?: number): Promise<Attributes>;
  /** `mode`: R_OK, W_OK, X_OK bits, 0 for existence. */
  access(path: string, mode: number, operation?: number): Promise<void>;
  setattr(path: string, follow: boolean, changes: AttributeChanges, operation?: number): Promise<void>;
  truncate(path: string, size: number, operation?: number): Promise<void>;
  readlink(path: string, operation?: number): Promise<string>;
  realpath(path: string, operation?: number): Promise<string>;
  fid(path: string, follow: boolean, operation?: number): Promise<string>;
  pathOf(fid: string, operation?: number): Promise<string>;

  /** `striping`: which MDTs it lies on; what it leaves out, its parent says or the client chooses. */
  mkdir(path: string, mode: number, striping: DirectoryStriping, operation?: number): Promise<void>;
  /** `mode` with type bits: fifos, sockets and devices. */
  mknod(path: string, mode: number, rdev: number, operation?: number): Promise<void>;
  symlink(target: string, path: string, operation?: number): Promise<void>;
  link(existing: string, path: string, operation?: number): Promise<void>;
  rename(from: string, to: string, operation?: number): Promise<void>;
  unlink(path: string, operation?: number): Promise<void>;
  rmdir(path: string, operation?: number): Promise<void>;

  /** `flags` are those of node:fs constants. */
  open(
    path: string,
    flags: number,
    mode: number,
    striping: StripingOptions,
    operation?: number,
  ): Promise<number>;
  /** Resolves when the servers have what was written; rejects with what was lost of it. The handle is gone either way. */
  close(handle: number): Promise<void>;
  /** Reads into the buffers one after the other; resolves with the bytes read, fewer only at the end of the file. */
  read(handle: number, buffers: readonly Uint8Array[], position: number, operation?: number): Promise<number>;
  /**
   * Resolves when the bytes are where all clients see them: in this client's cache under a lock, or at the servers.
   * `close` and `handleSync` wait for the servers. Rejects too with what became of earlier writes, once for each handle.
   * With O_APPEND the position does not count.
   */
  write(
    handle: number,
    buffers: readonly Uint8Array[],
    position: number,
    operation?: number,
  ): Promise<number>;
  /**
   * The same as `read` and `write` straight between a local file, open in this process until the call is settled, and the
   * servers. Undefined where that cannot be; nothing or anything has been copied then, and it is to be done through memory.
   */
  handleCopyOut(
    handle: number,
    local: FileSegment,
    position: number,
    operation?: number,
  ): Promise<number | undefined>;
  handleCopyIn(
    handle: number,
    local: FileSegment,
    position: number,
    operation?: number,
  ): Promise<number | undefined>;
  /** What copies and streams of it should not exceed. */
  handleFlightBounds(handle: number, operation?: number): Promise<FlightBounds>;
  handleStat(handle: number, operation?: number): Promise<Attributes>;
  handleSetattr(handle: number, changes: AttributeChanges, operation?: number): Promise<void>;
  handleTruncate(handle: number, size: number, operation?: number): Promise<void>;
  /** Resolves when data (and unless `dataOnly`, metadata) are durable. */
  handleSync(handle: number, dataOnly: boolean, operation?: number): Promise<void>;

  /** Sets or unlocks a range. Rejects with EAGAIN, EDEADLK, ENOLCK, EBADF, EINVAL. */
  handleLock(handle: number, request: FileLockRequest, operation?: number): Promise<void>;
  /** Who is in the way of such a lock; undefined when nobody is. */
  handleTestLock(handle: number, lock: FileLock, operation?: number): Promise<FileLockHolder | undefined>;

  /** Rejects with EINVAL when the handle has a group lock already, with EAGAIN when it may not wait and would have to. */
  handleGroupLock(handle: number, gid: number, wait: boolean, operation?: number): Promise<void>;
  /** Resolves when the servers have it back. Rejects with EINVAL when the handle has none of this group. */
  handleGroupUnlock(handle: number, gid: number, operation?: number): Promise<void>;

  /** The first data or hole at or after `offset`; the end of the file is a hole. Undefined where there is none. */
  handleSeek(handle: number, offset: number, what: SeekWhat, operation?: number): Promise<number | undefined>;
  /** Bytes `[start, end)`. Rejects with EOPNOTSUPP where a server's disk cannot. */
  handleFallocate(
    handle: number,
    mode: FallocateMode,
    start: number,
    end: number,
    operation?: number,
  ): Promise<void>;
  /** Of bytes `[start, end)`, the end perhaps Infinity: object after object. */
  handleExtents(handle: number, start: number, end: number, operation?: number): Promise<Extent[]>;
  handleAdvise(
    handle: number,
    advice: Advice,
    start: number,
    end: number,
    background: boolean,
    operation?: number,
  ): Promise<void>;
  handleDataVersion(handle: number, flush: VersionFlush, operation?: number): Promise<bigint>;

  opendir(path: string, operation?: number): Promise<number>;
  /** The next entries without `.` and `..`; an empty list at the end. */
  readdir(handle: number, operation?: number): Promise<readonly EntryValue[]>;
  /**
   * The same with attributes, some hundred at a time; what goes away meanwhile is left out. Without `sizes` data objects are
   * not asked: size, blocks and times of regular files are what the MDT knows of them.
   */
  readdirStats(handle: number, sizes: boolean, operation?: number): Promise<readonly EntryAttributes[]>;

  /** A file's layout or a directory's default; undefined where there is none. */
  getLayout(path: string, operation?: number): Promise<Layout | undefined>;
  /** Where a directory's names lie. */
  getDirectoryLayout(path: string, operation?: number): Promise<DirectoryPlace>;
  /** Sets where the directories that are made in a directory go. */
  setDirectoryLayout(path: string, striping: DirectoryStriping, operation?: number): Promise<void>;
  /** Sets a directory's default layout. */
  setLayout(path: string, striping: StripingOptions, operation?: number): Promise<void>;
  /**
   * Opens a file under a lease, which is lost as soon as anybody else opens it. `resync`: its stale mirrors are going to be
   * written. Rejects with EBUSY when somebody has it open.
   */
  openLeased(path: string, flags: number, resync: boolean, operation?: number): Promise<number>;
  /** One mirror of a leased file, up to date or not. */
  openMirror(handle: number, mirror: number, operation?: number): Promise<number>;
  /** A file without a name, beside a leased one and with its owner. It is gone when it is closed. Without `striping` it has
   * no layout. */
  openUnnamed(handle: number, striping: StripingOptions | undefined, operation?: number): Promise<number>;
  /** Gives a lease back with a change of the layout, and closes the handle. Rejects with EBUSY when it was broken: nothing
   * has changed then. */
  changeLayout(handle: number, change: LayoutChange, operation?: number): Promise<void>;
  getxattr(path: string, name: string, follow: boolean, operation?: number): Promise<Uint8Array>;
  listxattr(path: string, follow: boolean, operation?: number): Promise<string[]>;
  /** `flags`: XATTR_CREATE 1, XATTR_REPLACE 2. `value` undefined removes it. */
  setxattr(
    path: string,
    name: string,
    value: Uint8Array | undefined,
    flags: number,
    follow: boolean,
    operation?: number,
  ): Promise<void>;

  getHsmState(path: string, operation?: number): Promise<HsmState>;
  setHsmState(path: string, change: HsmStateChange, operation?: number): Promise<void>;
  /** `archiveId` 0: the file's own, or the MDT's default. */
  requestHsm(
    action: HsmRequestAction,
    paths: readonly string[],
    archiveId: number,
    operation?: number,
  ): Promise<void>;
  /** Gives up data that are archived. */
  releaseHsm(path: string, operation?: number): Promise<void>;

  /** A reader of an MDT's changelog, from a record on; to be closed as a file is. */
  openChangelog(mdt: MdtName, from: bigint, operation?: number): Promise<number>;
  /** The next records; none when there are no more now. */
  readChangelog(handle: number, operation?: number): Promise<readonly ChangelogRecord[]>;
  /** `user`: `cl1`. Records up to and including `upTo`, 0 for all, are of no more use to it. */
  clearChangelog(mdt: MdtName, user: string, upTo: bigint, operation?: number): Promise<void>;

  /** The project of an object itself, a symlink too. */
  getProject(path: string, operation?: number): Promise<Project>;
  setProject(path: string, change: Partial<Project>, operation?: number): Promise<void>;
  getQuota(kind: QuotaKind, id: number, pool: string | undefined, operation?: number): Promise<Quota>;
  setQuota(
    kind: QuotaKind,
    id: number,
    limits: QuotaLimits,
    pool: string | undefined,
    operation?: number,
  ): Promise<void>;

  statfs(operation?: number): Promise<SpaceUsage>;
  statfsTargets(operation?: number): Promise<TargetSpace[]>;
  /** Makes durable all that this client has written. */
  sync(operation?: number): Promise<void>;
}
