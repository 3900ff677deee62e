/**
 * The layout of a file in use (guide 13 §5, §7): fetched again when its lock was lost, changed before a write that needs it,
 * and checked once the data are locked, because whoever changes a layout takes those locks first.
 */
import { formatFid } from '../../fid/fid.ts';
import { type FileLayout, isFileReleased, mirrorsOf, unusable } from '../../layout/file-layout.ts';
import { FileMap, mirrorOrder, type WriteNeed } from '../../layout/file-map.ts';
import { Errno, errnoError, LustreError } from '../../runtime/errors.ts';
import { HsmAction } from '../../wire/hsm-constants.ts';
import { getLayoutEa } from '../mdc/getattr.ts';
import { requestHsm } from '../mdc/hsm.ts';
import { type LayoutNeed, layout as layoutIntent } from '../mdc/intent-layout.ts';
import type { Inode } from '../namespace/inodes.ts';
import { options, type WalkContext } from '../namespace/path-walk.ts';
import { type FileObjects, fileObjects, mirrorObjects } from '../objects/file-objects.ts';
import type { RequestOptions } from '../request-options.ts';
import type { Session } from '../session.ts';

/** A layout may change under an operation so often before that is given up. */
const TRIES = 20;
/** What asking a server that is away ends with, and a target that this client does not have. */
const AWAY: ReadonlySet<string> = new Set([
  'EAGAIN',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'EIO',
  'ENETUNREACH',
  'ENODEV',
  'ENOTCONN',
  'ESHUTDOWN',
  'ETIMEDOUT',
]);

/** The layout changed while the data were being locked: the operation begins again. */
export class LayoutChanged extends Error {}

/** The objects of a file, as long as the layout is that. */
export interface LayoutInUse extends FileObjects {
  /** Throws LayoutChanged when it is not. Call when all locks on data are held, before they are touched. */
  check(): void;
}

/** One mirror of a file, up to date or not, as long as the layout is that: what is synchronised or looked at. */
export interface Mirror {
  readonly id: number;
  readonly generation: number;
}

/** Whose data are to be used: those that count, or those of one mirror. */
export interface DataOf {
  readonly inode: Inode;
  readonly mirror?: Mirror;
}

export class FileLayouts {
  readonly #session: Session;
  readonly #known = new WeakMap<
    FileLayout,
    { readonly body: Inode['body']; readonly objects: FileObjects }
  >();

  constructor(session: Session) {
    this.#session = session;
  }

  /** The layout as it is now; undefined where the file has none. */
  async current(inode: Inode, context: WalkContext): Promise<FileLayout | undefined> {
    if (!inode.layoutValid) await this.#ask(inode, { kind: 'access' }, context);
    return inode.layout;
  }

  /** Runs `work` with the objects of the file, again when the layout changes under it. Undefined where there are none. */
  async using<T>(
    inode: Inode,
    context: WalkContext,
    work: (file: LayoutInUse | undefined) => Promise<T>,
    order?: (layout: FileLayout) => readonly number[],
  ): Promise<T> {
    for (let tries = 1; ; tries++) {
      const layout = await this.current(inode, context);
      try {
        return await work(layout === undefined ? undefined : this.#inUse(inode, layout, order?.(layout)));
      } catch (error) {
        if (!(await this.#again(inode, layout, error, tries, context))) throw error;
      }
    }
  }

  /** Runs `work` with the objects of one mirror, once. Rejects with ESTALE when the layout has changed since. */
  async #usingMirror<T>(
    inode: Inode,
    { id, generation }: Mirror,
    context: WalkContext,
    work: (file: LayoutInUse) => Promise<T>,
  ): Promise<T> {
    const stale = (): Error =>
      errnoError(Errno.ESTALE, { ...options(context).context, hint: 'The layout has changed meanwhile' });
    const layout = await this.current(inode, context);
    if (layout === undefined || layout.generation !== generation) throw stale();
    const wrong = unusable(layout);
    if (wrong !== undefined) throw wrong;
    const check = (): void => {
      if (!inode.layoutValid || inode.layout?.generation !== generation) throw stale();
    };
    const map = new FileMap(layout, [id], { stale: true });
    return work({ ...mirrorObjects(this.#session, map, inode), check });
  }

  /** The same for data: what is in an archive comes back first. */
  async usingData<T>(
    { inode, mirror }: DataOf,
    context: WalkContext,
    work: (file: LayoutInUse | undefined) => Promise<T>,
    order?: (layout: FileLayout) => readonly number[],
  ): Promise<T> {
    if (mirror !== undefined) return this.#usingMirror(inode, mirror, context, work);
    await this.#restored(inode, context);
    return this.using(
      inode,
      context,
      async (file) => {
        if (file !== undefined && isFileReleased(file.map.layout)) {
          await this.#restored(inode, context);
          throw new LayoutChanged();
        }
        return work(file);
      },
      order,
    );
  }

  /**
   * The same for reading: of a mirrored file one mirror after the other, where servers of the first are away. When none
   * can be read at once, the first is waited for.
   */
  async usingMirrors<T>(
    data: DataOf,
    context: WalkContext,
    work: (file: LayoutInUse | undefined, options: RequestOptions) => Promise<T>,
  ): Promise<T> {
    const { inode, mirror } = data;
    if (mirror !== undefined)
      return this.#usingMirror(inode, mirror, context, (file) => work(file, options(context)));
    const layout = await this.current(inode, context);
    const mirrors = layout?.composite !== true || unusable(layout) !== undefined ? 1 : mirrorsOf(layout).size;
    for (let i = 0; mirrors > 1 && i < mirrors; i++) {
      const order = (now: FileLayout): readonly number[] => {
        const ids = mirrorOrder(now);
        return [...ids.slice(i), ...ids.slice(0, i)];
      };
      try {
        const quick = { ...options(context), failFast: true };
        return await this.usingData(data, context, (file) => work(file, quick), order);
      } catch (error) {
        if (!AWAY.has((error as LustreError).code)) throw error;
        const { log } = this.#session.runtime;
        log.warn({ fid: formatFid(inode.fid), err: error }, 'a mirror cannot be read now');
      }
    }
    return this.usingData(data, context, (file) => work(file, options(context)));
  }

  /** The layout of a file whose data are here: else the MDT is asked to get them out of the archive, and keeps the layout
   * back until they are (guide 11 §5). Rejects with ENODATA when they cannot be had. */
  async #restored(inode: Inode, context: WalkContext): Promise<FileLayout | undefined> {
    const layout = await this.current(inode, context);
    if (layout === undefined || !isFileReleased(layout)) return layout;
    const hint = 'Its data are in an archive, and could not be restored';
    try {
      const work = { action: HsmAction.HUA_RESTORE, archiveId: 0, fids: [inode.fid], blocking: true };
      await requestHsm(inode.mdt, work, this.#session.who, options(context));
    } catch (cause) {
      if ((cause as LustreError).code === 'ABORT_ERR') throw cause;
      throw errnoError(Errno.ENODATA, { ...options(context).context, hint, cause });
    }
    const restored = await this.#ask(inode, { kind: 'access' }, context);
    if (restored !== undefined && !isFileReleased(restored)) return restored;
    throw errnoError(Errno.ENODATA, { ...options(context).context, hint });
  }

  /** The same for a write to `[start, end)`, or a truncation: first the MDS makes what is missing. */
  async usingToWrite<T>(
    { inode, mirror }: DataOf,
    need: Exclude<LayoutNeed, { kind: 'access' }>,
    context: WalkContext,
    work: (file: LayoutInUse) => Promise<T>,
  ): Promise<T> {
    if (mirror !== undefined) return this.#usingMirror(inode, mirror, context, work);
    for (let tries = 1; ; tries++) {
      const layout = await this.prepare(inode, need, context);
      try {
        return await work(this.#inUse(inode, layout));
      } catch (error) {
        if (!(await this.#again(inode, layout, error, tries, context))) throw error;
      }
    }
  }

  #inUse(inode: Inode, layout: FileLayout, order?: readonly number[]): LayoutInUse {
    const wrong = unusable(layout);
    if (wrong !== undefined) throw wrong;
    const { map, stripes } =
      order === undefined
        ? this.#objectsOf(inode, layout)
        : fileObjects(this.#session, new FileMap(layout, order), inode);
    return {
      map,
      stripes,
      check: () => {
        if (!inode.layoutValid || inode.layout?.generation !== layout.generation) throw new LayoutChanged();
      },
    };
  }

  /** Each read and write asks for them. They follow from the layout, and from whose the file is. */
  #objectsOf(inode: Inode, layout: FileLayout): FileObjects {
    const { body } = inode;
    const known = this.#known.get(layout);
    if (known?.body === body) return known.objects;
    const objects = fileObjects(this.#session, new FileMap(layout), inode);
    this.#known.set(layout, { body, objects });
    return objects;
  }

  async #again(
    inode: Inode,
    layout: FileLayout | undefined,
    error: unknown,
    tries: number,
    context: WalkContext,
  ): Promise<boolean> {
    if (error instanceof LayoutChanged) {
      if (tries < TRIES) return true;
      throw new LustreError(
        'EBUSY',
        'the layout of the file changes all the time',
        options(context).context,
        -16,
      );
    }
    if (tries >= TRIES) return false;
    // An OST knows a newer layout of a mirrored file than we do.
    const outdated = (error as LustreError).code === 'ESTALE' && layout !== undefined && layout.flags !== 0;
    if (outdated) await this.#ask(inode, { kind: 'access' }, context);
    return outdated;
  }

  /** The layout that allows a write or a truncation: first the MDS makes what is missing. */
  async prepare(
    inode: Inode,
    need: Exclude<LayoutNeed, { kind: 'access' }>,
    context: WalkContext,
  ): Promise<FileLayout> {
    let layout = await this.#restored(inode, context);
    for (let tries = 1; ; tries++) {
      const wrong = layout === undefined ? undefined : unusable(layout);
      if (wrong !== undefined) throw wrong;
      if (layout !== undefined && isFileReleased(layout)) layout = await this.#restored(inode, context);
      const missing = layout === undefined ? 'intent' : writeNeed(layout, need);
      if (layout !== undefined && missing === 'nothing') return layout;
      if (missing === 'beyond' || tries > TRIES) throw errnoError(Errno.ENODATA, options(context).context);
      layout = await this.#ask(inode, need, context);
    }
  }

  async #ask(inode: Inode, need: LayoutNeed, context: WalkContext): Promise<FileLayout | undefined> {
    const { mdt } = inode;
    const { ea, lock } = await layoutIntent(mdt, inode.fid, need, options(context));
    try {
      const fetched = ea ?? (await getLayoutEa(mdt, inode.fid, this.#session.who, options(context)));
      inode.takeLayout(fetched, lock);
    } finally {
      if (lock !== undefined) mdt.locks.release(lock);
    }
    return inode.layout;
  }
}

function writeNeed(layout: FileLayout, need: Exclude<LayoutNeed, { kind: 'access' }>): WriteNeed {
  const map = new FileMap(layout, mirrorOrder(layout, 'write'));
  if (need.kind === 'write') return map.writeNeed(need.start, need.end);
  // A truncation makes the mirrors stale from there on; the byte behind the end must have its object.
  const there = map.writeNeed(need.size, need.size + 1);
  return there === 'beyond' ? map.writeNeed(Math.max(0, need.size - 1), need.size) : there;
}
