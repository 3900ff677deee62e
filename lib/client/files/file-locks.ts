/**
 * flock and byte-range locks of open files (guide 08 §8), between all clients of the file system. Whoever opened the file
 * owns a `flock` and an `ofd` range; the whole mount is one owner, as a process is, of `posix` ranges.
 */
import { fidResource } from '../../fid/resource.ts';
import { ClientFlocks, type FlockWish } from '../../ldlm/client-flocks.ts';
import { FLOCK_EOF } from '../../ldlm/description.ts';
import type { LockModeNumber } from '../../ldlm/lock.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { randomCookie } from '../../runtime/runtime.ts';
import { LockMode, LockType } from '../../wire/ldlm-constants.ts';
import type { FileLock, FileLockHolder, FileLockRequest } from '../engine.ts';
import type { MetadataTarget } from '../mdc/target.ts';
import type { Inode } from '../namespace/inodes.ts';
import { options, type WalkContext } from '../namespace/path-walk.ts';
import type { Session } from '../session.ts';
import type { OpenFile } from './open-file.ts';

const modes: { readonly [mode in FileLockRequest['mode']]: LockModeNumber } = {
  shared: LockMode.LCK_PR,
  exclusive: LockMode.LCK_PW,
  unlock: LockMode.LCK_NL,
};

/** What an open file has to give back when it is closed. */
interface OwnedByFile {
  readonly owner: bigint;
  /** Ends the waits of a file that is closed meanwhile. */
  readonly closing: AbortController;
  locked: boolean;
}

export class FileLocks {
  readonly #session: Session;
  readonly #mount: bigint;
  readonly #flocks = new Map<MetadataTarget, ClientFlocks>();
  readonly #files = new Map<OpenFile, OwnedByFile>();
  /** Inodes with `posix` ranges of this mount. */
  readonly #posix = new Set<string>();

  constructor(session: Session) {
    this.#session = session;
    // Random: a kernel MDT takes equal owners of clients on one node for one process.
    this.#mount = randomCookie(session.runtime);
  }

  /** Sets or unlocks a range. */
  async set(file: OpenFile, request: FileLockRequest, context: WalkContext): Promise<void> {
    checkAccess(file, request, context);
    const mine = this.#owned(file);
    const range = this.#range(mine, request, context);
    const unlocks = request.mode === 'unlock';
    const wish: FlockWish = {
      resource: flockResource(file.inode),
      mode: modes[request.mode],
      range,
      // As kernels do: an unlock says that it waits only when it is flock's.
      wait: unlocks ? request.kind === 'flock' : request.wait,
      context: options(context).context,
    };
    if (request.kind === 'posix') this.#posix.add(file.inode.key);
    else mine.locked = true;
    const { signal } = context;
    const both = signal === undefined ? mine.closing.signal : AbortSignal.any([mine.closing.signal, signal]);
    await this.#of(file.inode).set(wish, both);
  }

  /** Who is in the way of a range; undefined when nobody is. */
  async test(file: OpenFile, request: FileLock, context: WalkContext): Promise<FileLockHolder | undefined> {
    const found = await this.#of(file.inode).test(
      {
        resource: flockResource(file.inode),
        mode: modes[request.mode],
        range: this.#range(this.#owned(file), request, context),
        context: options(context).context,
      },
      context.signal,
    );
    if (found === undefined) return undefined;
    return {
      mode: found.mode === LockMode.LCK_PW ? 'exclusive' : 'shared',
      start: Number(found.start),
      end: found.end >= FLOCK_EOF ? undefined : Number(found.end),
      pid: found.pid,
    };
  }

  /** Gives back what goes with the file: its own ranges, and all `posix` ranges of the mount on the same file. */
  async close(file: OpenFile): Promise<void> {
    const mine = this.#files.get(file);
    this.#files.delete(file);
    mine?.closing.abort(errnoError(Errno.EBADF, { syscall: 'flock', path: file.path }));
    const owners: { owner: bigint; wait: boolean }[] = [];
    if (this.#posix.delete(file.inode.key)) owners.push({ owner: this.#mount, wait: false });
    if (mine?.locked === true) owners.push({ owner: mine.owner, wait: true });
    for (const { owner, wait } of owners) {
      await this.#of(file.inode).set({
        resource: flockResource(file.inode),
        mode: LockMode.LCK_NL,
        range: { start: 0n, end: FLOCK_EOF, owner, pid: this.#session.processId },
        wait,
        context: { syscall: 'close', path: file.path },
      });
    }
  }

  #owned(file: OpenFile): OwnedByFile {
    let mine = this.#files.get(file);
    if (mine === undefined) {
      const owner = randomCookie(this.#session.runtime);
      mine = { owner, closing: new AbortController(), locked: false };
      this.#files.set(file, mine);
    }
    return mine;
  }

  #of({ mdt }: Inode): ClientFlocks {
    let flocks = this.#flocks.get(mdt);
    if (flocks === undefined) {
      flocks = new ClientFlocks(mdt.locks, this.#session.runtime);
      this.#flocks.set(mdt, flocks);
    }
    return flocks;
  }

  #range(mine: OwnedByFile, request: FileLock, context: WalkContext): FlockWish['range'] {
    const { start, end } = request;
    const legal = Number.isSafeInteger(start) && start >= 0;
    if (!legal || (end !== undefined && (!Number.isSafeInteger(end) || end < start)))
      throw errnoError(Errno.EINVAL, options(context).context);
    return {
      start: BigInt(start),
      end: end === undefined ? FLOCK_EOF : BigInt(end),
      owner: request.kind === 'posix' ? this.#mount : mine.owner,
      pid: this.#session.processId,
    };
  }
}

/** fcntl asks for a file that may be read or written; flock does not. */
function checkAccess(file: OpenFile, { kind, mode }: FileLockRequest, context: WalkContext): void {
  const missing = (mode === 'shared' && !file.readable) || (mode === 'exclusive' && !file.writable);
  if (kind !== 'flock' && missing) throw errnoError(Errno.EBADF, options(context).context);
}

function flockResource(inode: Inode): FlockWish['resource'] {
  const [sequence, object] = fidResource(inode.fid);
  return [sequence, object, 0n, BigInt(LockType.LDLM_FLOCK)];
}
