/** Opening, closing and changing files: MDT and OSTs in the order that the protocol wants (guide 11 §4, §6). */
import { ZERO_FID } from '../fid/fid.ts';
import type { Raid0Layout } from '../layout/layout-ea.ts';
import { encodeStriping, hasStriping, type StripingOptions } from '../layout/striping.ts';
import { Errno, errnoError, LustreError } from '../runtime/errors.ts';
import { isDirectory, isRegular, isSymlink, mergeAttributes, sizeIsFromMdt } from './attributes.ts';
import { DirtyObjects } from './dirty-objects.ts';
import type { AttributeChanges, Attributes } from './engine.ts';
import { stripesOf } from './extent-locks.ts';
import {
  objectAttributes,
  readFile,
  setObjectTimes,
  syncFile,
  truncateFile,
  writeFile,
} from './file-data.ts';
import { creates, isSync, noFollow, openFlags, truncates } from './flags.ts';
import type { Inode } from './inodes.ts';
import { close } from './mdc/close.ts';
import { supplementaryGroup } from './mdc/credentials.ts';
import { type OpenResult, open } from './mdc/intent-open.ts';
import { setattr } from './mdc/reint-setattr.ts';
import { sync as syncMetadata } from './mdc/sync.ts';
import type { MetadataTarget } from './mdc/target.ts';
import { OpenFile, Turns } from './open-file.ts';
import { options, type PathWalker, type Place, type WalkContext } from './path-walk.ts';
import type { Session } from './session.ts';

const MODE_SET_IDS = 0o6000;

export class Files {
  readonly #session: Session;
  readonly #walker: PathWalker;
  readonly dirty: DirtyObjects;
  /** Turns of appends, by file, while it is open. */
  readonly #appending = new Map<string, { turns: Turns; users: number }>();

  constructor(session: Session, walker: PathWalker) {
    this.#session = session;
    this.#walker = walker;
    this.dirty = new DirtyObjects(session);
  }

  /** Opens, and makes what is missing when the flags say so. Follows symlinks. */
  async open(
    flags: number,
    mode: number,
    striping: StripingOptions,
    context: WalkContext,
  ): Promise<OpenFile> {
    const wish = hasStriping(striping) ? encodeStriping(striping) : undefined;
    let place: Place | undefined;
    const count = { links: 0 };
    try {
      place = await this.#walker.place(context.path, context);
    } catch (error) {
      if ((error as LustreError).code !== 'EBUSY') throw error;
      return this.#openRoot(flags, context);
    }
    for (;;) {
      const { inode, result } = await this.#openAt(place, flags, mode, wish, context);
      if (!isSymlink(inode.body.mbo_mode)) return this.#opened(inode, flags, result, context);
      if (noFollow(flags)) throw errnoError(Errno.ELOOP, options(context).context);
      place = await this.#walker.follow(place, inode, context, count);
      if (place.name === '') return this.#openRoot(flags, context);
    }
  }

  async #openAt(
    place: Place,
    flags: number,
    mode: number,
    striping: Uint8Array | undefined,
    context: WalkContext,
  ): Promise<{ inode: Inode; result: OpenResult }> {
    const { parent, name } = place;
    const { who } = this.#session;
    if (!isDirectory(parent.body.mbo_mode)) throw errnoError(Errno.ENOTDIR, options(context).context);
    if (place.directory && creates(flags)) throw errnoError(Errno.EISDIR, options(context).context);
    const request = {
      parent: parent.fid,
      name,
      ...(creates(flags) && { child: await parent.mdt.fids.allocate() }),
      flags: openFlags(flags),
      mode,
      ...(striping !== undefined && { striping }),
      group: supplementaryGroup(who, parent.body.mbo_gid),
    };
    const result = await open(parent.mdt, request, who, options(context));
    try {
      const inode = this.#walker.cache.learn(parent.mdt, result);
      this.#walker.cache.name(parent, name, inode, result.lock);
      if (place.directory && !isDirectory(inode.body.mbo_mode) && !isSymlink(inode.body.mbo_mode)) {
        await this.#giveUp(parent.mdt, inode, result);
        throw errnoError(Errno.ENOTDIR, options(context).context);
      }
      return { inode, result };
    } finally {
      if (result.lock !== undefined) parent.mdt.locks.release(result.lock);
    }
  }

  /** The root has no name: it is opened by FID. */
  async #openRoot(flags: number, context: WalkContext): Promise<OpenFile> {
    const root = await this.#walker.root(context);
    return this.openInode(root, flags, context);
  }

  /** Opens a known object by FID. */
  async openInode(inode: Inode, flags: number, context: WalkContext): Promise<OpenFile> {
    const request = { parent: inode.fid, child: inode.fid, flags: openFlags(flags), mode: 0 };
    const result = await open(inode.mdt, request, this.#session.who, options(context));
    try {
      this.#walker.cache.learn(inode.mdt, result);
    } finally {
      if (result.lock !== undefined) inode.mdt.locks.release(result.lock);
    }
    return this.#opened(inode, flags, result, context);
  }

  async #opened(inode: Inode, flags: number, result: OpenResult, context: WalkContext): Promise<OpenFile> {
    let appending = this.#appending.get(inode.key);
    if (appending === undefined) {
      appending = { turns: new Turns(), users: 0 };
      this.#appending.set(inode.key, appending);
    }
    appending.users++;
    this.#walker.cache.pin(inode);
    const file = new OpenFile(inode, flags, result.openHandle, context.path, appending.turns);
    if (truncates(flags) && !result.created && isRegular(inode.body.mbo_mode)) {
      try {
        await this.truncate(inode, 0, context, { fromOpen: true });
        file.modified = true;
      } catch (error) {
        await this.close(file).catch(() => undefined);
        throw error;
      }
    }
    return file;
  }

  async #giveUp(mdt: MetadataTarget, inode: Inode, result: OpenResult): Promise<void> {
    if (result.openHandle === 0n) return;
    const { mbo_atime: atime, mbo_mtime: mtime, mbo_ctime: ctime, mbo_mode: mode } = inode.body;
    const what = {
      fid: inode.fid,
      openHandle: result.openHandle,
      mode,
      atime,
      mtime,
      ctime,
      modified: false,
    };
    await close(mdt, what, this.#session.who);
  }

  /** Gives the handle back, with the times and, where it is certain, the size. */
  async close(file: OpenFile): Promise<void> {
    await file.idle();
    const { inode, openHandle } = file;
    const appending = this.#appending.get(inode.key);
    if (appending !== undefined && --appending.users === 0) this.#appending.delete(inode.key);
    this.#walker.cache.unpin(inode);
    if (openHandle === 0n) return;
    const { body } = inode;
    const merged = this.#knownAttributes(inode);
    const later = (a: bigint, b: number): bigint => (BigInt(b) > a ? BigInt(b) : a);
    const what = {
      fid: inode.fid,
      openHandle,
      mode: body.mbo_mode,
      atime: later(body.mbo_atime, file.readAt),
      mtime: later(body.mbo_mtime, (merged?.mtimeMs ?? 0) / 1000),
      ctime: later(body.mbo_ctime, (merged?.ctimeMs ?? 0) / 1000),
      ...(merged !== undefined && { size: { bytes: BigInt(merged.size), blocks: BigInt(merged.blocks) } }),
      modified: file.modified,
    };
    try {
      await close(inode.mdt, what, this.#session.who, { context: { syscall: 'close', path: file.path } });
    } catch (error) {
      // The server was restarted or evicted us: it has no handle any more, which is what was wanted.
      if ((error as LustreError).code !== 'ESTALE') throw error;
    }
    if (file.modified) inode.expire();
  }

  /** Attributes that need no request: all objects are under locks of ours. */
  #knownAttributes(inode: Inode): Attributes | undefined {
    if (!inode.layoutValid || !isRegular(inode.body.mbo_mode)) return undefined;
    try {
      const { layout } = inode;
      if (layout === undefined) return undefined;
      const objects = stripesOf(this.#session, layout).map(({ ost, key }) => ost.known.current(key));
      if (objects.some((object) => object === undefined)) return undefined;
      return mergeAttributes(
        inode.fid,
        inode.body,
        layout,
        objects.filter((object) => object !== undefined),
      );
    } catch {
      return undefined;
    }
  }

  /** The layout as it is now; undefined where the file has no objects. */
  async layout(inode: Inode, context: WalkContext): Promise<Raid0Layout | undefined> {
    const current = inode.layoutValid ? inode : await this.#walker.refresh(inode.mdt, inode.fid, context);
    return current.layout;
  }

  async attributes(inode: Inode, context: WalkContext): Promise<Attributes> {
    const current = await this.#walker.current(inode, context);
    const regular = isRegular(current.body.mbo_mode);
    const layout = regular ? await this.layout(current, context) : undefined;
    const objects =
      layout === undefined || sizeIsFromMdt(current.body, layout)
        ? undefined
        : await objectAttributes(this.#session, layout, options(context));
    return mergeAttributes(current.fid, current.body, layout, objects);
  }

  async read(
    file: OpenFile,
    buffers: readonly Uint8Array[],
    position: number,
    context: WalkContext,
  ): Promise<number> {
    if (!file.readable) throw errnoError(Errno.EBADF, options(context).context);
    this.#checkData(file, context);
    const layout = await this.layout(file.inode, context);
    if (layout === undefined) return 0;
    file.readAt = Math.floor(this.#session.runtime.wallTime() / 1000);
    return readFile(this.#session, layout, buffers, position, options(context));
  }

  async write(
    file: OpenFile,
    buffers: readonly Uint8Array[],
    position: number,
    context: WalkContext,
  ): Promise<number> {
    if (!file.writable) throw errnoError(Errno.EBADF, options(context).context);
    this.#checkData(file, context);
    await this.#dropSetIds(file.inode, context);
    const layout = await this.#writableLayout(file.inode, context);
    file.modified = true;
    const length = buffers.reduce((sum, bytes) => sum + bytes.length, 0);
    const write = (at: number | 'end'): Promise<number> =>
      writeFile(this.#session, layout, buffers, at, {
        ...options(context),
        onWritten: (stripe, transno) => this.dirty.add(stripe, transno),
      });
    await (file.append ? file.appending.run(() => write('end')) : write(position));
    if (isSync(file.flags)) await this.sync(file, true, context);
    return length;
  }

  #checkData(file: OpenFile, context: WalkContext): void {
    const mode = file.inode.body.mbo_mode;
    if (isDirectory(mode)) throw errnoError(Errno.EISDIR, options(context).context);
    if (!isRegular(mode)) {
      throw new LustreError(
        'ENXIO',
        'pipes, sockets and devices cannot be read or written through this client',
        options(context).context,
        -Errno.ENXIO,
      );
    }
  }

  async #writableLayout(inode: Inode, context: WalkContext): Promise<Raid0Layout> {
    const layout = await this.layout(inode, context);
    if (layout !== undefined && !layout.released) return layout;
    throw new LustreError(
      layout === undefined ? 'ENODATA' : 'ENOTSUP',
      layout === undefined
        ? 'the file has no objects to write to'
        : 'files released to an archive are not supported yet',
      options(context).context,
      layout === undefined ? -Errno.ENODATA : -Errno.EOPNOTSUPP,
    );
  }

  /** A write by somebody who is not root takes set-user-id and set-group-id bits away. */
  async #dropSetIds(inode: Inode, context: WalkContext): Promise<void> {
    if ((inode.body.mbo_mode & MODE_SET_IDS) === 0 || this.#session.who.uid === 0) return;
    const what = { fid: inode.fid, killIdBits: true };
    inode.body = await setattr(inode.mdt, what, this.#session.who, options(context));
  }

  /** The MDT first, for permission and times; then the objects. */
  async truncate(
    inode: Inode,
    size: number,
    context: WalkContext,
    how: { fromOpen?: boolean; override?: boolean } = {},
  ): Promise<void> {
    if (!Number.isSafeInteger(size) || size < 0) throw errnoError(Errno.EINVAL, options(context).context);
    if (isDirectory(inode.body.mbo_mode)) throw errnoError(Errno.EISDIR, options(context).context);
    if (!isRegular(inode.body.mbo_mode)) throw errnoError(Errno.EINVAL, options(context).context);
    const override = how.override === true || how.fromOpen === true;
    const what = { fid: inode.fid, size: BigInt(size), fromOpen: how.fromOpen === true, override };
    await setattr(inode.mdt, what, this.#session.who, options(context));
    inode.expire();
    const layout = await this.layout(inode, context);
    if (layout !== undefined) await truncateFile(this.#session, layout, size, options(context));
  }

  async setattr(inode: Inode, changes: AttributeChanges, context: WalkContext): Promise<void> {
    const { mode, uid, gid, atimeMs, mtimeMs } = changes;
    const wire = (ms: number): bigint => BigInt(Math.floor(ms / 1000));
    const type = inode.body.mbo_mode & ~0o7777;
    const { who } = this.#session;
    const what = {
      fid: inode.fid,
      ...(mode !== undefined && { mode: type | (mode & 0o7777) }),
      ...(uid !== undefined && { uid }),
      ...(gid !== undefined && { gid }),
      killIdBits: (uid !== undefined || gid !== undefined) && isRegular(inode.body.mbo_mode),
      ...(atimeMs !== undefined && { atime: wire(atimeMs) }),
      ...(mtimeMs !== undefined && { mtime: wire(mtimeMs) }),
      group: supplementaryGroup(who, gid ?? inode.body.mbo_gid),
    };
    await setattr(inode.mdt, what, who, options(context));
    inode.expire();
    if (atimeMs === undefined && mtimeMs === undefined) return;
    if (!isRegular(inode.body.mbo_mode)) return;
    const layout = await this.layout(inode, context);
    if (layout === undefined) return;
    const ctime = wire(this.#session.runtime.wallTime());
    const times = {
      ctime,
      ...(atimeMs !== undefined && { atime: wire(atimeMs) }),
      ...(mtimeMs !== undefined && { mtime: wire(mtimeMs) }),
    };
    await setObjectTimes(this.#session, layout, times, options(context));
  }

  /** Durable: the data, and unless `dataOnly` the metadata. */
  async sync(file: OpenFile, dataOnly: boolean, context: WalkContext): Promise<void> {
    const { inode } = file;
    const layout = isRegular(inode.body.mbo_mode) ? await this.layout(inode, context) : undefined;
    const work: Promise<void>[] = [];
    if (!dataOnly) work.push(syncMetadata(inode.mdt, inode.fid, this.#session.who, options(context)));
    if (layout !== undefined) work.push(syncFile(this.#session, layout, options(context)));
    await Promise.all(work);
  }

  /** All that this client has written, and all metadata. */
  async syncAll(context: WalkContext): Promise<void> {
    await Promise.all([
      this.dirty.sync(options(context)),
      ...[...this.#session.mdts.values()].map((mdt) =>
        syncMetadata(mdt, ZERO_FID, this.#session.who, options(context)),
      ),
    ]);
  }
}
