/** What all calls of the engine in the caller's thread stand on (design: "Threads"): the session with its caches, what is open,
 * and how a call begins and ends. */
import { reportClientLocks } from '../../ldlm/client-report.ts';
import { Errno, errnoError, LustreError } from '../../runtime/errors.ts';
import type { Timer } from '../../runtime/runtime.ts';
import type { Counters, LockReport, ReportOptions } from '../engine.ts';
import type { DirectoryReader, OpenDirectory } from '../files/directories.ts';
import { FileLocks } from '../files/file-locks.ts';
import { Files } from '../files/files.ts';
import { GroupLocks } from '../files/group-locks.ts';
import type { OpenFile } from '../files/open-file.ts';
import { StatAhead } from '../files/stat-ahead.ts';
import { DirectoryPageCache } from '../namespace/directory-pages.ts';
import { NamespaceOperations } from '../namespace/namespace-operations.ts';
import { PathWalker, type WalkContext } from '../namespace/path-walk.ts';
import { XattrCache } from '../namespace/xattrs.ts';
import { dropObjectLocks } from '../objects/removed-objects.ts';
import { Slots } from '../osc/slots.ts';
import { untilAborted } from '../request-options.ts';
import type { Session } from '../session.ts';

/** Entries of directories whose attributes are got at the same time. */
const STATS_AHEAD = 128;
/** Calls that change something: a mount with `ro` has none of them. */
const CHANGING: ReadonlySet<string> = new Set([
  ...['chmod', 'chown', 'utime'].flatMap((call) => [call, `l${call}`, `f${call}`]),
  ...['truncate', 'ftruncate', 'fallocate', 'write'],
  ...['mkdir', 'mknod', 'symlink', 'link', 'rename', 'unlink', 'rmdir'],
  ...[
    'setxattr',
    'removexattr',
    'setProject',
    'setquota',
    'changelog_clear',
    'hsm_set',
    'hsm_request',
    'hsm_release',
    'setLayout',
    'changeLayout',
    'setDirectoryLayout',
  ],
]);
/** How long servers may take at unmount to take open files back, milliseconds. */
const CLOSE_MS = 10_000;

export class EngineBase {
  protected readonly session: Session;
  protected readonly walker: PathWalker;
  protected readonly files: Files;
  protected readonly fileLocks: FileLocks;
  protected readonly groupLocks: GroupLocks;
  protected readonly reader: DirectoryReader;
  protected readonly statAhead: StatAhead;
  protected readonly xattrs: XattrCache;
  protected readonly namespace: NamespaceOperations;
  protected readonly openFiles = new Map<number, OpenFile>();
  protected readonly openDirectories = new Map<number, OpenDirectory>();
  readonly #operations = new Map<number, AbortController>();
  protected nextHandle = 3;
  #unmounting: Promise<void> | undefined;

  readonly #onActivity: (busy: boolean) => void;
  #calls = 0;

  /** `onActivity` is told when the first of several calls begins and when the last has ended. */
  constructor(session: Session, onActivity: (busy: boolean) => void = () => undefined) {
    this.session = session;
    this.#onActivity = onActivity;
    this.walker = new PathWalker(session);
    this.files = new Files(session, this.walker);
    this.fileLocks = new FileLocks(session);
    this.groupLocks = new GroupLocks(this.files);
    const pages = new DirectoryPageCache();
    this.reader = { session, walker: this.walker, pages, slots: new Slots(STATS_AHEAD) };
    this.statAhead = new StatAhead(pages, this.walker, this.files, this.session.settings);
    this.xattrs = new XattrCache(session, this.walker);
    this.namespace = new NamespaceOperations(session, this.walker, (inode) =>
      dropObjectLocks(session, inode),
    );
  }

  /** Closes what is open, then the session. */
  unmount(): Promise<void> {
    this.#unmounting ??= this.#active(() => this.#unmount());
    return this.#unmounting;
  }

  async #unmount(): Promise<void> {
    const { runtime } = this.session;
    const files = [...this.openFiles.keys(), ...this.openDirectories.keys()];
    const closed = Promise.allSettled(files.map((handle) => this.closeOpen(handle))).then((results) => {
      for (const result of results) {
        if (result.status === 'rejected')
          runtime.log.warn({ err: result.reason }, 'closing a file at unmount failed');
      }
    });
    let stop: () => void = () => undefined;
    const enough = new Promise<void>((resolve) => {
      const timer = runtime.after(CLOSE_MS, resolve);
      stop = () => timer.cancel();
    });
    if (files.length > 0) await Promise.race([closed, enough]);
    stop();
    await this.session.close();
    this.files.stop();
  }

  async #active<T>(work: () => Promise<T>): Promise<T> {
    if (this.#calls++ === 0) this.#onActivity(true);
    try {
      return await work();
    } finally {
      if (--this.#calls === 0) this.#onActivity(false);
    }
  }

  async counters(): Promise<Counters> {
    return { ...this.session.counters(), cachedBytes: this.files.cachedBytes };
  }

  locks(options: ReportOptions): Promise<LockReport[]> {
    const targets = [...this.session.mdts.values(), ...this.session.osts.values()];
    return Promise.resolve(targets.map(({ locks }) => reportClientLocks(locks, options)));
  }

  abort(operation: number): void {
    this.#operations.get(operation)?.abort(new LustreError('ABORT_ERR', 'The operation was aborted'));
  }

  pause(ms: number, operation?: number): Promise<void> {
    return this.run('pause', '', operation, async ({ signal }) => {
      let timer: Timer | undefined;
      const over = new Promise<void>((resolve) => {
        timer = this.session.runtime.after(ms, resolve);
      });
      await untilAborted(over, signal).finally(() => timer?.cancel());
    });
  }

  /** Runs one call: refuses after unmount, and lets `abort` reach it. */
  protected async run<T>(
    syscall: string,
    path: string,
    operation: number | undefined,
    work: (context: WalkContext) => Promise<T>,
  ): Promise<T> {
    if (this.#unmounting !== undefined) {
      throw new LustreError('ESHUTDOWN', 'the file system is unmounted', { syscall, path }, -Errno.ESHUTDOWN);
    }
    if (this.session.readOnly && CHANGING.has(syscall)) throw errnoError(Errno.EROFS, { syscall, path });
    if (path.includes('\0')) throw new LustreError('ERR_INVALID_ARG_VALUE', 'a path has a NUL', { syscall });
    if (operation === undefined) return this.#active(() => work({ syscall, path }));
    const controller = new AbortController();
    this.#operations.set(operation, controller);
    try {
      return await this.#active(() => work({ syscall, path, signal: controller.signal }));
    } finally {
      this.#operations.delete(operation);
    }
  }

  protected file(handle: number, syscall: string): OpenFile {
    const file = this.openFiles.get(handle);
    if (file === undefined) throw errnoError(Errno.EBADF, { syscall });
    const { mdt } = file.inode;
    if (file.handle.generation !== mdt.generation)
      throw errnoError(Errno.ESTALE, {
        syscall,
        path: file.path,
        target: mdt.name,
        hint: 'The server has evicted this client and forgotten its open files and file locks; open the file again',
      });
    return file;
  }

  protected async closeOpen(handle: number): Promise<void> {
    const directory = this.openDirectories.get(handle);
    const file = directory?.file ?? this.openFiles.get(handle);
    if (file === undefined) throw errnoError(Errno.EBADF, { syscall: 'close' });
    this.openDirectories.delete(handle);
    this.openFiles.delete(handle);
    try {
      await this.groupLocks.close(file);
      await this.fileLocks.close(file);
    } finally {
      await this.files.close(file);
    }
  }
}
