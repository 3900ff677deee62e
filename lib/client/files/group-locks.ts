/**
 * Group locks of open files (guide 08 §3.3, guide 11 §5): whoever holds one of the same group works on the file beside the
 * others, everybody else waits. The locks are held until they are unlocked or the file is closed: servers ask nobody for
 * them.
 */
import { Errno, errnoError } from '../../runtime/errors.ts';
import { options, type WalkContext } from '../namespace/path-walk.ts';
import { unlock } from '../objects/extent-locks.ts';
import type { Files } from './files.ts';
import { GroupLock } from './group-lock.ts';
import { checkData, type OpenFile } from './open-file.ts';

export class GroupLocks {
  readonly #files: Files;
  /** Files that wait for a group lock, with what ends the wait when they are closed. */
  readonly #waiting = new Map<OpenFile, AbortController>();

  constructor(files: Files) {
    this.#files = files;
  }

  async lock(file: OpenFile, gid: number, wait: boolean, context: WalkContext): Promise<void> {
    checkData(file, options(context).context);
    if (!Number.isSafeInteger(gid) || gid < 1)
      throw errnoError(Errno.EINVAL, {
        ...options(context).context,
        hint: `A group is a whole number from 1 on, not ${gid}`,
      });
    if (file.group !== undefined || this.#waiting.has(file))
      throw errnoError(Errno.EINVAL, {
        ...options(context).context,
        hint: 'The handle has a group lock already',
      });
    const closing = new AbortController();
    this.#waiting.set(file, closing);
    const { signal = closing.signal } = context;
    const how = { ...context, signal: AbortSignal.any([closing.signal, signal]) };
    const group = new GroupLock(gid);
    try {
      await this.#lockAll(file, group, wait, how);
      file.group = group;
    } catch (error) {
      await group.release();
      throw closing.signal.aborted ? closing.signal.reason : error;
    } finally {
      this.#waiting.delete(file);
    }
  }

  /** Locks all objects, in stripe order; first those are made that are missing, for nobody could lock them. */
  async #lockAll(file: OpenFile, group: GroupLock, wait: boolean, context: WalkContext): Promise<void> {
    const { layouts } = this.#files;
    const layout = await layouts.current(file.inode, context);
    const end = Math.max(1, ...(layout?.components ?? []).map((component) => component.end));
    const need = { kind: 'write', start: 0, end: Math.min(end, Number.MAX_SAFE_INTEGER) } as const;
    await layouts.usingToWrite(file, need, context, async (objects) => {
      for (const stripe of objects.stripes) {
        if (!stripe.lost) unlock([await group.lock(stripe, { ...options(context), wait })]);
      }
      objects.check();
    });
  }

  async unlock(file: OpenFile, gid: number, context: WalkContext): Promise<void> {
    const { group } = file;
    if (group?.gid !== gid)
      throw errnoError(Errno.EINVAL, {
        ...options(context).context,
        hint: group === undefined ? 'The handle has no group lock' : `The handle's group is ${group.gid}`,
      });
    file.group = undefined;
    await group.release();
  }

  /** Ends a wait, and gives back what the file has. */
  async close(file: OpenFile): Promise<void> {
    this.#waiting.get(file)?.abort(errnoError(Errno.EBADF, { syscall: 'groupLock', path: file.path }));
    const { group } = file;
    file.group = undefined;
    await group?.release();
  }
}
