/** Opening, closing and changing files: MDT and OSTs in the order that the protocol wants (guide 11 §4, §6). */
import { constants } from 'node:fs';
import { type FileLayout, unusable } from '../../layout/file-layout.ts';
import { mirrorOrder } from '../../layout/file-map.ts';
import { encodeStriping, hasStriping, type StripingOptions } from '../../layout/striping.ts';
import type { ClientLock } from '../../ldlm/client-lock.ts';
import { Errno, errnoError, type LustreError } from '../../runtime/errors.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import { MdValid, OpenFlag } from '../../wire/mds-constants.ts';
import { DataCache } from '../data-cache/data-cache.ts';
import type { Attributes } from '../engine.ts';
import { creates, isSync, noFollow, openFlags, readsOnly, truncates, wantsDirectory } from '../flags.ts';
import { supplementaryGroup } from '../mdc/credentials.ts';
import { type OpenResult, open, openOrMake } from '../mdc/intent-open.ts';
import { OpenState } from '../mdc/open-state.ts';
import { setattr } from '../mdc/reint-setattr.ts';
import type { MetadataTarget } from '../mdc/target.ts';
import {
  isDirectory,
  isRegular,
  isSymlink,
  mergeAttributes,
  sizeIsFromMdt,
} from '../namespace/attributes.ts';
import { earlyCancels } from '../namespace/early-cancels.ts';
import type { Inode } from '../namespace/inodes.ts';
import { options, type PathWalker, type Place, type WalkContext } from '../namespace/path-walk.ts';
import { permits, R_OK } from '../namespace/permission.ts';
import { DirtyObjects } from '../objects/dirty-objects.ts';
import { objectAttributes } from '../objects/extent-locks.ts';
import type { FileObjects } from '../objects/file-objects.ts';
import type { RequestOptions } from '../request-options.ts';
import { mdtOf, type Session } from '../session.ts';
import { type OtherEnd, totalLength } from './buffer-pieces.ts';
import { closeHandle } from './close-handle.ts';
import { FileIo } from './file-io.ts';
import { type DataOf, FileLayouts, type Mirror } from './file-layouts.ts';
import { syncFile } from './file-sync.ts';
import type { GroupContext } from './group-lock.ts';
import { checkData, OpenFile, Turns } from './open-file.ts';
import { type MdtHandle, OpenHandles } from './open-handles.ts';

const MODE_SET_IDS = 0o6000;

export class Files {
  readonly #session: Session;
  readonly #walker: PathWalker;
  readonly dirty: DirtyObjects;
  readonly #handles: OpenHandles;
  readonly layouts: FileLayouts;
  readonly cache: DataCache;
  readonly io: FileIo;
  /** Turns of appends, by file, while it is open. */
  readonly #appending = new Map<string, { turns: Turns; users: number }>();

  constructor(session: Session, walker: PathWalker) {
    this.#session = session;
    this.#walker = walker;
    this.dirty = new DirtyObjects(session);
    this.#handles = new OpenHandles(walker.cache, (handle) => closeHandle(session, handle));
    session.lockHooks.mdt = this.#handles;
    this.layouts = new FileLayouts(session);
    this.cache = new DataCache(session, this.dirty);
    this.io = new FileIo(session, this.cache, this.dirty);
    session.lockHooks.ost = this.cache;
  }

  /** Bytes of memory that cached file data take. */
  get cachedBytes(): number {
    return this.cache.memory.used;
  }

  /** Ends the timers, when the locks are gone and with them all that was cached. */
  stop(): void {
    this.cache.close();
  }

  /** Opens, and makes what is missing when the flags say so. */
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
      const cached = this.#walker.known(place.parent, place.name, context);
      if (cached === null && !creates(flags)) throw errnoError(Errno.ENOENT, options(context).context);
      const known = cached ?? undefined;
      const again = known === undefined ? undefined : await this.#reopened(known, place, flags, context);
      if (again !== undefined) return again;
      if (known !== undefined && this.#isElsewhere(known, place, flags))
        return this.openInode(known, flags & ~constants.O_CREAT, context);
      const at = place;
      const { inode, file } = await this.#openAt(at, flags, mode, wish, known, context).catch(
        async (error: LustreError) => {
          // An MDT that is asked for a directory says of a symlink only that it is none.
          if (error.code !== 'ENOTDIR' || !wantsDirectory(flags)) throw error;
          return { inode: await this.#walker.linkAt(at, error, context), file: undefined };
        },
      );
      if (file !== undefined) return this.#prepared(file, context);
      // A kernel's MDT hands out a symlink without looking at O_EXCL: its clients look themselves.
      if (creates(flags) && (flags & constants.O_EXCL) !== 0)
        throw errnoError(Errno.EEXIST, options(context).context);
      if (noFollow(flags)) throw errnoError(Errno.ELOOP, options(context).context);
      place = await this.#walker.follow(place, inode, context, count);
      if (place.name === '') return this.#openRoot(flags, context);
    }
  }

  /** What is known to be on another MDT than its name is opened there, by FID. */
  #isElsewhere(
    { mdt, body: { mbo_mode: mode } }: Inode,
    { parent, directory }: Place,
    flags: number,
  ): boolean {
    if (mdt === parent.mdt || isSymlink(mode) || (creates(flags) && (flags & constants.O_EXCL) !== 0))
      return false;
    return !directory || isDirectory(mode);
  }

  /** An open that needs no request: the MDT's handle of an earlier one is still ours. */
  async #reopened(
    inode: Inode,
    place: Place,
    flags: number,
    context: WalkContext,
  ): Promise<OpenFile | undefined> {
    const directory = place.directory || wantsDirectory(flags);
    if (directory && !isDirectory(inode.body.mbo_mode)) return undefined;
    return this.#shared(inode, flags, context);
  }

  /** Undefined where there is no handle to share, or the caller may not read the file: the MDT says so then. */
  async #shared(inode: Inode, flags: number, context: WalkContext): Promise<OpenFile | undefined> {
    if (!readsOnly(flags) || !this.#handles.has(inode)) return undefined;
    const { who } = this.#session;
    if (who.uid !== 0) {
      // The lock of the open stays when the mode changes.
      const current = inode.permissionsValid ? inode : await this.#walker.current(inode, context);
      if (!permits(current, who, R_OK)) return undefined;
    }
    const handle = this.#handles.share(inode);
    return handle === undefined ? undefined : this.#opened(inode, flags, handle, false, context);
  }

  /** `file` is undefined for a symlink. */
  async #openAt(
    place: Place,
    flags: number,
    mode: number,
    striping: Uint8Array | undefined,
    known: Inode | undefined,
    context: WalkContext,
  ): Promise<{ inode: Inode; file: OpenFile | undefined }> {
    const { parent, name } = place;
    const { mdt } = parent;
    if (!isDirectory(parent.body.mbo_mode)) throw errnoError(Errno.ENOTDIR, options(context).context);
    if (place.directory && creates(flags)) throw errnoError(Errno.EISDIR, options(context).context);
    const makes = creates(flags) && known === undefined;
    const request = {
      parent: parent.fid,
      name,
      ...(creates(flags) && { child: await mdt.fids.allocate() }),
      flags: openFlags(flags) | this.#wishToKeep(known, flags),
      mode,
      ...(striping !== undefined && { striping }),
      group: supplementaryGroup(this.#session.who, parent.body.mbo_gid),
      cancels: makes ? await earlyCancels(mdt, parent, InodeBit.MDS_INODELOCK_UPDATE) : [],
    };
    const begun = this.#walker.cache.begin();
    const result = await openOrMake(mdt, request, this.#session.who, options(context));
    if ((result.body.mbo_valid & MdValid.OBD_MD_MDS) !== 0n)
      return this.#openRemote(place, flags, result, context);
    return this.#take(place, mdt, flags, { result, begun, named: result.lock }, context);
  }

  /** The name leads to an object on another MDT: that one opens it (guide 10 §6). */
  async #openRemote(
    place: Place,
    flags: number,
    { body, lock }: OpenResult,
    context: WalkContext,
  ): Promise<{ inode: Inode; file: OpenFile | undefined }> {
    try {
      const mdt = await mdtOf(this.#session, body.mbo_fid1);
      const request = {
        parent: body.mbo_fid1,
        child: place.parent.fid,
        crossReference: true,
        flags: openFlags(flags & ~(constants.O_CREAT | constants.O_EXCL)),
        mode: 0,
      };
      const begun = this.#walker.cache.begin();
      const result = await open(mdt, request, this.#session.who, options(context));
      return await this.#take(place, mdt, flags, { result, begun, named: lock }, context);
    } finally {
      if (lock !== undefined) place.parent.mdt.locks.release(lock);
    }
  }

  /** What an open brought. `named`: the lock that protects the name. */
  async #take(
    place: Place,
    mdt: MetadataTarget,
    flags: number,
    { result, begun, named }: { result: OpenResult; begun: number; named: ClientLock | undefined },
    context: WalkContext,
  ): Promise<{ inode: Inode; file: OpenFile | undefined }> {
    try {
      const inode = this.#walker.cache.learn(mdt, result, begun);
      this.#walker.cache.name(place.parent, place.name, inode, named);
      const handle = this.#handles.add(inode, result.state, result.lock);
      const link = isSymlink(inode.body.mbo_mode);
      const wrong = place.directory && !isDirectory(inode.body.mbo_mode) && !link;
      if (wrong || link) {
        if (this.#handles.release(handle)) await closeHandle(this.#session, handle);
        if (wrong) throw errnoError(Errno.ENOTDIR, options(context).context);
        return { inode, file: undefined };
      }
      return { inode, file: this.#opened(inode, flags, handle, result.created, context) };
    } finally {
      if (result.lock !== undefined) mdt.locks.release(result.lock);
    }
  }

  /** What was opened before is likely to be opened again: its handle is worth a lock. So is a directory's, for without
   * that wish an MDT gives no lock that its name could be remembered under. */
  #wishToKeep(inode: Inode | undefined, flags: number): bigint {
    if (!readsOnly(flags)) return 0n;
    return wantsDirectory(flags) || (inode?.readOpens ?? 0) > 0 ? OpenFlag.MDS_OPEN_LOCK : 0n;
  }

  /** The root has no name: it is opened by FID. */
  async #openRoot(flags: number, context: WalkContext): Promise<OpenFile> {
    const root = await this.#walker.root(context);
    // The root cannot go away: a kernel client reads it without opening it. Others than root need the server's permission.
    if (this.#session.who.uid === 0 && readsOnly(flags)) {
      return this.openWithout(root, flags, context);
    }
    return this.openInode(root, flags, context);
  }

  /** Opens a known object by FID. */
  async openInode(inode: Inode, flags: number, context: WalkContext): Promise<OpenFile> {
    const shared = await this.#shared(inode, flags, context);
    if (shared !== undefined) return shared;
    const wish = this.#wishToKeep(inode, flags);
    const request = { parent: inode.fid, child: inode.fid, flags: openFlags(flags) | wish, mode: 0 };
    const begun = this.#walker.cache.begin();
    const result = await open(inode.mdt, request, this.#session.who, options(context));
    return this.#prepared(this.openAs(inode.mdt, flags, result, begun, context), context);
  }

  /** A file that needs no handle of the MDT, or has one elsewhere. `mirror`: which of its mirrors is meant. */
  openWithout(inode: Inode, flags: number, context: WalkContext, mirror?: Mirror): OpenFile {
    const handle = this.#handles.add(inode, new OpenState(), undefined);
    return this.#opened(inode, flags, handle, false, context, mirror);
  }

  /** What an open that the caller did has brought, with its lock. */
  openAs(
    mdt: MetadataTarget,
    flags: number,
    result: OpenResult,
    begun: number,
    context: WalkContext,
  ): OpenFile {
    try {
      const inode = this.#walker.cache.learn(mdt, result, begun);
      const handle = this.#handles.add(inode, result.state, result.lock);
      return this.#opened(inode, flags, handle, result.created, context);
    } finally {
      if (result.lock !== undefined) mdt.locks.release(result.lock);
    }
  }

  #opened(
    inode: Inode,
    flags: number,
    handle: MdtHandle,
    created: boolean,
    context: WalkContext,
    mirror?: Mirror,
  ): OpenFile {
    let appending = this.#appending.get(inode.key);
    if (appending === undefined) {
      appending = { turns: new Turns(), users: 0 };
      this.#appending.set(inode.key, appending);
    }
    appending.users++;
    this.#walker.cache.pin(inode);
    if (readsOnly(flags)) inode.readOpens++;
    const file = new OpenFile(inode, flags, handle, context.path, { appending: appending.turns, mirror });
    file.failuresSeen = this.cache.failures(inode.key);
    file.created = created;
    return file;
  }

  /** What the flags ask for once a file is open. */
  async #prepared(file: OpenFile, context: WalkContext): Promise<OpenFile> {
    if (!truncates(file.flags) || file.created || !isRegular(file.inode.body.mbo_mode)) return file;
    try {
      await this.truncate(file, 0, context, { fromOpen: true });
      file.modified = true;
      return file;
    } catch (error) {
      await this.close(file).catch(() => undefined);
      throw error;
    }
  }

  /** Gives the handle back when nobody else uses it, with the times and, where it is certain, the size. */
  async close(file: OpenFile): Promise<void> {
    await file.idle();
    const { inode, handle } = file;
    const appending = this.#appending.get(inode.key);
    if (appending !== undefined && --appending.users === 0) this.#appending.delete(inode.key);
    // Unlike a kernel's, this cache ends with its process: what was written is at the servers when close resolves.
    const context = { syscall: 'close', path: file.path };
    let failure: unknown;
    if (file.modified) {
      await this.cache.flushFile(inode.key);
      // Nor may it be lost when nobody is left to be told.
      await this.dirty.settle(inode.key, { context }).catch((error: unknown) => {
        failure = error;
      });
    }
    const last = this.#handles.release(handle);
    handle.readAt = Math.max(handle.readAt, file.readAt);
    try {
      const { modified, created } = file;
      const untouched = created && !modified && handle.readAt === 0;
      if (last) await closeHandle(this.#session, handle, { modified, untouched, context });
    } finally {
      this.#walker.cache.unpin(inode);
    }
    if (file.modified) this.cache.check(file, context);
    if (failure !== undefined) throw failure;
  }

  /** Without `sizes` the data objects are not asked. */
  async attributes(inode: Inode, context: WalkContext, sizes = true): Promise<Attributes> {
    const current = await this.#walker.current(inode, context);
    if (current.directory !== undefined)
      return this.#walker.shardAttributes(current, current.directory.shards, context);
    const regular = isRegular(current.body.mbo_mode);
    const layout = regular && sizes ? await this.layouts.current(current, context) : undefined;
    if (layout === undefined || sizeIsFromMdt(current.body, layout) || unusable(layout) !== undefined)
      return mergeAttributes(current.fid, current.body, undefined, undefined);
    const merge = async (file: FileObjects | undefined, how: RequestOptions): Promise<Attributes> => {
      const objects = file === undefined ? undefined : await objectAttributes(file, how);
      return mergeAttributes(current.fid, current.body, file?.map, objects);
    };
    // Nothing to choose from, and nothing in an archive (which the MDT knows the size of).
    if (!layout.composite)
      return this.layouts.using(current, context, (file) => merge(file, options(context)));
    return this.layouts.usingMirrors({ inode: current }, context, merge);
  }

  async read(file: OpenFile, into: OtherEnd, position: number, context: WalkContext): Promise<number> {
    if (!file.readable) throw errnoError(Errno.EBADF, options(context).context);
    checkData(file, options(context).context);
    file.readAt = Math.floor(this.#session.runtime.wallTime() / 1000);
    const { inode } = file;
    // The MDT is told at close, and tells nobody: meanwhile the time of access is what we say.
    if (BigInt(file.readAt) > inode.body.mbo_atime) inode.body.mbo_atime = BigInt(file.readAt);
    return this.layouts.usingMirrors(file, context, async (objects, how) => {
      if (objects === undefined) return 0;
      return this.io.read(file, objects, into, position, how);
    });
  }

  async write(file: OpenFile, from: OtherEnd, position: number, context: WalkContext): Promise<number> {
    if (!file.writable) throw errnoError(Errno.EBADF, options(context).context);
    checkData(file, options(context).context);
    this.cache.check(file, options(context).context);
    await this.dropSetIds(file.inode, context);
    file.modified = true;
    const length = totalLength(from);
    await (file.append
      ? file.appending.run(() => this.#append(file, from, length, context))
      : this.#write(file, from, position, length, context));
    if (isSync(file.flags)) await syncFile(this.#session, this, file, true, context);
    return length;
  }

  async #write(
    file: OpenFile,
    from: OtherEnd,
    start: number,
    length: number,
    context: WalkContext,
  ): Promise<void> {
    if (!Number.isSafeInteger(start + length)) throw errnoError(Errno.EFBIG, options(context).context);
    if (length === 0) return;
    const need = { kind: 'write', start, end: start + length } as const;
    await this.layouts.usingToWrite(file, need, context, (objects) =>
      this.io.write(file, objects, from, start, options(context)),
    );
  }

  /** Writes where the file ends, which nobody can change meanwhile: all of it is locked from the look at its size until the
   * bytes are there. Objects that are missing are asked for without locks, and then it begins again. */
  async #append(file: OpenFile, from: OtherEnd, length: number, context: WalkContext): Promise<void> {
    const order = (layout: FileLayout): readonly number[] => mirrorOrder(layout, 'write');
    for (;;) {
      const missing = await this.layouts.using(
        file.inode,
        context,
        async (objects) => {
          if (objects === undefined) return 0;
          const end = await this.io.lockEnd(objects, { ...options(context), group: file.group });
          try {
            objects.check();
            if (objects.map.writeNeed(end.size, end.size + length) !== 'nothing') return end.size;
            const how = { ...options(context), locked: end.locks };
            await this.io.write(file, objects, from, end.size, how);
            return undefined;
          } finally {
            end.unlock();
          }
        },
        order,
      );
      if (missing === undefined) return;
      await this.layouts.prepare(
        file.inode,
        { kind: 'write', start: missing, end: missing + length },
        context,
      );
    }
  }

  /** A write by somebody who is not root takes set-user-id and set-group-id bits away. */
  async dropSetIds(inode: Inode, context: WalkContext): Promise<void> {
    if ((inode.body.mbo_mode & MODE_SET_IDS) === 0 || this.#session.who.uid === 0) return;
    const what = { fid: inode.fid, killIdBits: true };
    inode.body = await setattr(inode.mdt, what, this.#session.who, options(context));
  }

  /** The MDT first, for permission and times; then the objects. */
  async truncate(
    data: DataOf,
    size: number,
    context: GroupContext,
    how: { fromOpen?: boolean; override?: boolean } = {},
  ): Promise<void> {
    if (!Number.isSafeInteger(size) || size < 0) throw errnoError(Errno.EINVAL, options(context).context);
    const { inode, mirror } = data;
    if (isDirectory(inode.body.mbo_mode)) throw errnoError(Errno.EISDIR, options(context).context);
    if (!isRegular(inode.body.mbo_mode)) throw errnoError(Errno.EINVAL, options(context).context);
    if (mirror === undefined) await this.#truncateOnMdt(inode, size, context, how);
    const layout = await this.layouts.current(inode, context);
    if (layout === undefined && size === 0) return;
    await this.layouts.usingToWrite(data, { kind: 'truncate', size }, context, (objects) =>
      this.io.truncate(inode.key, objects, size, { ...options(context), group: context.group }),
    );
  }

  async #truncateOnMdt(
    inode: Inode,
    size: number,
    context: WalkContext,
    how: { fromOpen?: boolean; override?: boolean },
  ): Promise<void> {
    const override = how.override === true || how.fromOpen === true;
    const cancels = await earlyCancels(inode.mdt, inode, InodeBit.MDS_INODELOCK_UPDATE);
    const what = { fid: inode.fid, size: BigInt(size), fromOpen: how.fromOpen === true, override, cancels };
    await setattr(inode.mdt, what, this.#session.who, options(context));
    inode.expire();
  }
}
