/** Changes of the namespace (guide 09 §6): make, link, rename, remove. Locks of ours that they conflict with go back with them. */
import { ZERO_FID } from '../../fid/fid.ts';
import { type DirectoryStriping, encodeDirectoryStriping } from '../../layout/directory-layout.ts';
import { Errno, errnoError, LustreError } from '../../runtime/errors.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import { MdValid } from '../../wire/mds-constants.ts';
import { supplementaryGroup } from '../mdc/credentials.ts';
import { create } from '../mdc/reint-create.ts';
import { link } from '../mdc/reint-link.ts';
import { rename } from '../mdc/reint-rename.ts';
import { unlink } from '../mdc/reint-unlink.ts';
import type { MetadataTarget } from '../mdc/target.ts';
import { activeMdts, type Session } from '../session.ts';
import { isDirectory, isRegular } from './attributes.ts';
import { earlyCancels } from './early-cancels.ts';
import type { Inode } from './inodes.ts';
import { options, type PathWalker, type Place, type WalkContext } from './path-walk.ts';

const { MDS_INODELOCK_UPDATE, MDS_INODELOCK_LOOKUP, MDS_INODELOCK_ELC } = InodeBit;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;

export interface NewObject {
  /** Type and permission bits. */
  readonly mode: number;
  readonly rdev?: number;
  /** Where a symlink leads. */
  readonly target?: string;
  /** Of a directory: where it goes. */
  readonly striping?: DirectoryStriping;
}

export class NamespaceOperations {
  readonly #session: Session;
  readonly #walker: PathWalker;
  readonly #onGone: (inode: Inode) => void;
  /** Directories that were spread over the MDTs so far. */
  #spread = 0;

  /** `onGone` is told of a file that has lost its last name. */
  constructor(session: Session, walker: PathWalker, onGone: (inode: Inode) => void) {
    this.#session = session;
    this.#onGone = onGone;
    this.#walker = walker;
  }

  async make(what: NewObject, context: WalkContext): Promise<void> {
    const directory = (what.mode & S_IFDIR) === S_IFDIR;
    const place = await this.#walker.place(context.path, context).catch((error: LustreError) => {
      throw error.code === 'EBUSY' ? errnoError(Errno.EEXIST, options(context).context) : error;
    });
    if (place.directory && !directory) throw errnoError(Errno.ENOENT, options(context).context);
    const { parent, name } = place;
    const { who } = this.#session;
    if (!isDirectory(parent.body.mbo_mode)) throw errnoError(Errno.ENOTDIR, options(context).context);
    const { striping = {}, ...rest } = what;
    const mdt = directory ? await this.#mdtFor(place, striping, context) : parent.mdt;
    const asked = Object.values(striping).some((value) => value !== undefined);
    const request = {
      ...rest,
      parent: parent.fid,
      name,
      child: await mdt.fids.allocate(),
      group: supplementaryGroup(who, parent.body.mbo_gid),
      ...(asked && { directoryStriping: encodeDirectoryStriping(striping) }),
      cancels: await earlyCancels(mdt, parent, MDS_INODELOCK_UPDATE),
    };
    await create(mdt, request, who, options(context));
  }

  /** Where a new directory goes (guide 10 §7): where it is asked for; by what its parent says of new ones, each to the next
   * MDT; else beside its parent. Only an administrator may make it elsewhere than there on any server. */
  async #mdtFor(
    { parent, trail }: Place,
    striping: DirectoryStriping,
    context: WalkContext,
  ): Promise<MetadataTarget> {
    const { mdts, who } = this.#session;
    if (mdts.size === 1 && striping.mdtIndex === undefined) return parent.mdt;
    let wish = striping.mdtIndex ?? (striping.mdtCount === undefined ? undefined : -1);
    if (wish === undefined && who.uid === 0) {
      // Of a striped directory the whole says it, not the shard that the name is to lie in.
      const above = trail.at(-1)?.inode ?? parent;
      wish = (await this.#walker.current(above, context)).directoryDefault?.mdtIndex;
    }
    if (wish === undefined) return parent.mdt;
    if (wish === -1) {
      const all = activeMdts(this.#session).sort((a, b) => a.index - b.index);
      return all[(all.indexOf(parent.mdt) + this.#spread++) % all.length] ?? parent.mdt;
    }
    const mdt = mdts.get(wish);
    if (mdt !== undefined) return mdt;
    const { code, message, errno } = errnoError(Errno.EINVAL, options(context).context);
    const hint = `The file system has the MDTs ${[...mdts.keys()].join(', ')}`;
    throw new LustreError(
      code,
      `${message}: there is no MDT ${wish}`,
      { ...options(context).context, hint },
      errno,
    );
  }

  /**
   * Sends what takes an object's name away to the MDT of that object, as far as it is known; `elsewhere` is how the MDT of
   * the name says that the object is on another one (guide 09 §6).
   */
  async #atObject(
    { parent, name }: Place,
    known: Inode | undefined,
    elsewhere: 'EREMOTE' | 'EXDEV',
    context: WalkContext,
    send: (mdt: MetadataTarget, object: Inode | undefined) => Promise<void>,
  ): Promise<void> {
    const first = known?.mdt ?? parent.mdt;
    try {
      await send(first, known);
    } catch (error) {
      if ((error as LustreError).code !== elsewhere || this.#session.mdts.size === 1) throw error;
      this.#walker.cache.forgetName(parent, name);
      const object = await this.#walker.child(parent, name, 'lookup', context);
      if (object === undefined || object.mdt === first) throw error;
      await send(object.mdt, object);
    }
  }

  symlink(target: string, context: WalkContext): Promise<void> {
    if (target === '') return Promise.reject(errnoError(Errno.ENOENT, options(context).context));
    return this.make({ mode: S_IFLNK | 0o777, target }, context);
  }

  async link(existing: string, context: WalkContext): Promise<void> {
    const from = { ...context, path: existing };
    const object = await this.#walker.resolve(existing, false, 'lookup', from);
    const { parent, name } = await this.#walker.place(context.path, context);
    const { who } = this.#session;
    const { mdt } = parent;
    const request = {
      object: object.fid,
      parent: parent.fid,
      name,
      groups: [
        supplementaryGroup(who, object.body.mbo_gid),
        supplementaryGroup(who, parent.body.mbo_gid),
      ] as const,
      cancels: [
        ...(await earlyCancels(mdt, object, MDS_INODELOCK_UPDATE)),
        ...(await earlyCancels(mdt, parent, MDS_INODELOCK_UPDATE)),
      ],
    };
    await withDest(existing, context, link(mdt, request, who, options(context)));
  }

  /** Removes a name: of a directory, or of anything else. */
  async remove(directory: boolean, context: WalkContext): Promise<void> {
    const place = await this.#walker.place(context.path, context);
    const { parent, name } = place;
    const { who } = this.#session;
    if (!isDirectory(parent.body.mbo_mode)) throw errnoError(Errno.ENOTDIR, options(context).context);
    // A kernel MDT removes whatever stands there, an empty directory too: which kind it is, is for the client to know.
    const child =
      this.#walker.cache.lookup(parent, name) ?? (await this.#walker.child(parent, name, 'lookup', context));
    if (child === undefined) throw errnoError(Errno.ENOENT, options(context).context);
    const found = isDirectory(child.body.mbo_mode);
    if (found && !directory) throw errnoError(Errno.EISDIR, options(context).context);
    if (!found && (directory || place.directory)) throw errnoError(Errno.ENOTDIR, options(context).context);
    await this.#atObject(place, child, 'EREMOTE', context, async (mdt, object) => {
      const request = {
        parent: parent.fid,
        name,
        child: object?.fid ?? ZERO_FID,
        directory,
        group: supplementaryGroup(who, parent.body.mbo_gid),
        cancels: [
          ...(await earlyCancels(mdt, parent, MDS_INODELOCK_UPDATE)),
          ...(await earlyCancels(mdt, object, MDS_INODELOCK_ELC)),
        ],
      };
      const { mbo_valid, mbo_nlink } = await unlink(mdt, request, who, options(context));
      const last = (mbo_valid & MdValid.OBD_MD_FLNLINK) !== 0n && mbo_nlink === 0;
      if (last && object !== undefined && isRegular(object.body.mbo_mode)) this.#onGone(object);
    });
    this.#walker.cache.forgetName(parent, name);
  }

  async rename(oldPath: string, context: WalkContext): Promise<void> {
    const fromContext = { ...context, path: oldPath };
    const from = await this.#walker.place(oldPath, fromContext);
    const to = await this.#walker.place(context.path, context);
    const object = await this.#walker.child(from.parent, from.name, 'lookup', fromContext);
    if (object === undefined)
      throw errnoError(Errno.ENOENT, { ...options(fromContext).context, dest: context.path });
    if ((from.directory || to.directory) && !isDirectory(object.body.mbo_mode))
      throw errnoError(Errno.ENOTDIR, { ...options(fromContext).context, dest: context.path });
    const { who } = this.#session;
    const known = this.#walker.cache.lookup(to.parent, to.name) ?? undefined;
    // What is renamed lies below what would go: a kernel's MDT says EINVAL, its clients look themselves.
    if (known !== undefined && from.trail.some(({ inode }) => inode === known))
      throw errnoError(Errno.ENOTEMPTY, { ...options(fromContext).context, dest: context.path });
    const work = this.#atObject(to, known, 'EXDEV', context, async (mdt, over) => {
      const request = {
        from: from.parent.fid,
        oldName: from.name,
        to: to.parent.fid,
        newName: to.name,
        mode: object.body.mbo_mode,
        groups: [
          supplementaryGroup(who, from.parent.body.mbo_gid),
          supplementaryGroup(who, to.parent.body.mbo_gid),
        ] as const,
        cancels: [
          ...(await earlyCancels(mdt, from.parent, MDS_INODELOCK_UPDATE)),
          ...(await earlyCancels(mdt, to.parent, MDS_INODELOCK_UPDATE)),
          ...(await earlyCancels(mdt, object, MDS_INODELOCK_LOOKUP)),
          ...(await earlyCancels(mdt, over, MDS_INODELOCK_ELC)),
        ],
      };
      await rename(mdt, request, who, options(context));
    });
    await withDest(oldPath, context, work);
    this.#walker.cache.forgetName(from.parent, from.name);
    this.#walker.cache.forgetName(to.parent, to.name);
  }
}

/** Errors of operations with two paths name both, as node:fs does. */
async function withDest(path: string, context: WalkContext, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    const { errno, target, nid, opcode } = error as LustreError;
    if (typeof errno !== 'number' || errno === 0) throw error;
    throw errnoError(errno, {
      syscall: context.syscall,
      path,
      dest: context.path,
      target,
      nid,
      opcode,
      cause: error,
    });
  }
}
