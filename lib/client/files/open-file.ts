/** An open file or directory: the MDT's handle, what was opened, and what is still under way on it. */
import { Errno, type ErrorContext, errnoError, LustreError } from '../../runtime/errors.ts';
import type { DataCache } from '../data-cache/data-cache.ts';
import { ReadAhead } from '../data-cache/read-ahead.ts';
import { appends, canRead, canWrite, isDirect } from '../flags.ts';
import { isDirectory, isRegular } from '../namespace/attributes.ts';
import type { Inode } from '../namespace/inodes.ts';
import type { Mirror } from './file-layouts.ts';
import type { GroupLock } from './group-lock.ts';
import type { MdtHandle } from './open-handles.ts';

/** Runs one after the other; a failure does not stop the next. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

export class OpenFile {
  readonly inode: Inode;
  /** node:fs flags. */
  readonly flags: number;
  /** The MDT's handle, perhaps shared with other opens. */
  readonly handle: MdtHandle;
  readonly path: string;
  /** Reads and writes are of this mirror; undefined: of the file. */
  readonly mirror?: Mirror;
  /** This open made the file. */
  created = false;
  /** Bytes were written or cut through this handle. */
  modified = false;
  /** Seconds of the last read; 0 when there was none. */
  readAt = 0;
  /** The group lock that it works under. */
  group: GroupLock | undefined;
  /** Appends through this client go one after the other, so that each sees where the one before ended. */
  readonly appending: Turns;
  /** Failed writes of the file that this handle has been told of, or that were before it. */
  failuresSeen = 0;
  #readAhead: ReadAhead | undefined;
  /** Where the last write that was begun ends. */
  #writtenTo = 0;
  readonly #pending = new Set<Promise<unknown>>();

  constructor(
    inode: Inode,
    flags: number,
    handle: MdtHandle,
    path: string,
    { appending, mirror }: { readonly appending: Turns; readonly mirror: Mirror | undefined },
  ) {
    if (mirror !== undefined) this.mirror = mirror;
    this.inode = inode;
    this.flags = flags;
    this.handle = handle;
    this.path = path;
    this.appending = appending;
  }

  get readable(): boolean {
    return canRead(this.flags);
  }
  get writable(): boolean {
    return canWrite(this.flags);
  }
  get append(): boolean {
    return appends(this.flags);
  }

  /** Data go round the cache: nobody would say when another of the group has changed them. */
  get direct(): boolean {
    return isDirect(this.flags) || this.group !== undefined;
  }

  /** Where its reads are going. A quarter of the mount's memory may be ahead of one file. */
  readAhead(cache: DataCache): ReadAhead {
    this.#readAhead ??= new ReadAhead(Math.max(cache.memory.limit / 4, 4096));
    return this.#readAhead;
  }

  /** Begins a write. Gives whether it goes on where another ends. */
  writes(position: number, length: number): boolean {
    const follows = position > 0 && position === this.#writtenTo;
    this.#writtenTo = position + length;
    return follows;
  }

  /** Keeps the file open until `work` is over. */
  async using<T>(work: () => Promise<T>): Promise<T> {
    const promise = work();
    this.#pending.add(promise);
    try {
      return await promise;
    } finally {
      this.#pending.delete(promise);
    }
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await Promise.allSettled([...this.#pending]);
  }
}

/** Throws unless it is a regular file. */
export function checkData({ inode }: OpenFile, context: ErrorContext | undefined): void {
  const mode = inode.body.mbo_mode;
  if (isDirectory(mode)) throw errnoError(Errno.EISDIR, context);
  if (!isRegular(mode)) {
    throw new LustreError(
      'ENXIO',
      'pipes, sockets and devices cannot be read or written through this client',
      context,
      -Errno.ENXIO,
    );
  }
}
