/** Changes of the namespace (guide 09 §6): make, link, rename, remove. Locks of ours that they conflict with go back with them. */
import { ZERO_FID } from '../fid/fid.ts';
import { Errno, errnoError, type LustreError } from '../runtime/errors.ts';
import { InodeBit } from '../wire/ldlm-constants.ts';
import { isDirectory } from './attributes.ts';
import { earlyCancels } from './early-cancels.ts';
import { supplementaryGroup } from './mdc/credentials.ts';
import { create } from './mdc/reint-create.ts';
import { link } from './mdc/reint-link.ts';
import { rename } from './mdc/reint-rename.ts';
import { unlink } from './mdc/reint-unlink.ts';
import { options, type PathWalker, type WalkContext } from './path-walk.ts';
import type { Session } from './session.ts';

const { MDS_INODELOCK_UPDATE, MDS_INODELOCK_LOOKUP, MDS_INODELOCK_ELC } = InodeBit;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;

export interface NewObject {
  /** Type and permission bits. */
  readonly mode: number;
  readonly rdev?: number;
  /** Where a symlink leads. */
  readonly target?: string;
}

export class NamespaceOperations {
  readonly #session: Session;
  readonly #walker: PathWalker;

  constructor(session: Session, walker: PathWalker) {
    this.#session = session;
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
    const request = {
      ...what,
      parent: parent.fid,
      name,
      child: await parent.mdt.fids.allocate(),
      group: supplementaryGroup(who, parent.body.mbo_gid),
      cancels: await earlyCancels(parent.mdt, parent, MDS_INODELOCK_UPDATE),
    };
    await create(parent.mdt, request, who, options(context));
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

  /** Removes a name. The server checks that it is a directory, or is not. */
  async remove(directory: boolean, context: WalkContext): Promise<void> {
    const place = await this.#walker.place(context.path, context);
    const { parent, name } = place;
    const { who } = this.#session;
    if (!isDirectory(parent.body.mbo_mode)) throw errnoError(Errno.ENOTDIR, options(context).context);
    // What the name led to, if that is known: a hint for the server, and locks to give back.
    const child = this.#walker.cache.lookup(parent, name) ?? undefined;
    if (place.directory && !directory) {
      const found = child ?? (await this.#walker.child(parent, name, 'lookup', context));
      if (found === undefined) throw errnoError(Errno.ENOENT, options(context).context);
      throw errnoError(
        isDirectory(found.body.mbo_mode) ? Errno.EISDIR : Errno.ENOTDIR,
        options(context).context,
      );
    }
    const request = {
      parent: parent.fid,
      name,
      child: child?.fid ?? ZERO_FID,
      directory,
      group: supplementaryGroup(who, parent.body.mbo_gid),
      cancels: [
        ...(await earlyCancels(parent.mdt, parent, MDS_INODELOCK_UPDATE)),
        ...(await earlyCancels(parent.mdt, child, MDS_INODELOCK_ELC)),
      ],
    };
    await unlink(parent.mdt, request, who, options(context));
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
    const { mdt } = to.parent;
    const over = this.#walker.cache.lookup(to.parent, to.name) ?? undefined;
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
    await withDest(oldPath, context, rename(mdt, request, who, options(context)));
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
