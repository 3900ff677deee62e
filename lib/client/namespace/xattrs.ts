/** Extended attributes (guide 11 §9): cached whole under the XATTR lock; what other locks protect is asked for each time. */
import type { LustreError } from '../../runtime/errors.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import { XattrName } from '../../wire/names.ts';
import { allXattrs } from '../mdc/intent-getxattr.ts';
import { getxattr, listxattr } from '../mdc/xattr.ts';
import type { Session } from '../session.ts';
import { holds, type Inode } from './inodes.ts';
import { options, type PathWalker, type WalkContext } from './path-walk.ts';
import { permits, R_OK } from './permission.ts';

const { MDS_INODELOCK_XATTR } = InodeBit;

export class XattrCache {
  readonly #session: Session;
  readonly #walker: PathWalker;

  constructor(session: Session, walker: PathWalker) {
    this.#session = session;
    this.#walker = walker;
  }

  /** Rejects with ENODATA for what is not there. */
  async get(inode: Inode, name: string, context: WalkContext): Promise<Uint8Array> {
    if (name === XattrName.XATTR_NAME_ACL_ACCESS) return this.#accessAcl(inode, context);
    const values = (await this.#mayCache(inode, name, context)) ? await this.#all(inode, context) : undefined;
    if (values === undefined)
      return getxattr(inode.mdt, inode.fid, name, this.#session.who, options(context));
    const value = values.get(name);
    if (value === undefined) throw errnoError(Errno.ENODATA, options(context).context);
    return value.slice();
  }

  list(inode: Inode, context: WalkContext): Promise<string[]> {
    // Names come and go with what other locks protect (ACL, layout, links): the server says which are there.
    return listxattr(inode.mdt, inode.fid, this.#session.who, options(context));
  }

  /** The access ACL came with the attributes (guide 11 §8). */
  async #accessAcl(inode: Inode, context: WalkContext): Promise<Uint8Array> {
    if (!inode.permissionsValid)
      return getxattr(
        inode.mdt,
        inode.fid,
        XattrName.XATTR_NAME_ACL_ACCESS,
        this.#session.who,
        options(context),
      );
    if (inode.acl.length === 0) throw errnoError(Errno.ENODATA, options(context).context);
    return inode.acl.slice();
  }

  /** Only what XATTR alone protects; and only for those who may read it, for the server is not asked each time. */
  async #mayCache(inode: Inode, name: string, context: WalkContext): Promise<boolean> {
    if (!this.#session.settings.xattrCache) return false;
    const { who } = this.#session;
    if (name.startsWith(XattrName.XATTR_USER_PREFIX)) {
      if (who.uid === 0) return true;
      const current = inode.permissionsValid ? inode : await this.#walker.current(inode, context);
      if (!permits(current, who, R_OK)) throw errnoError(Errno.EACCES, options(context).context);
      return current.permissionsValid;
    }
    return name.startsWith(XattrName.XATTR_SECURITY_PREFIX) || name === XattrName.XATTR_NAME_ACL_DEFAULT;
  }

  /** Undefined when they are too many to be kept. */
  async #all(inode: Inode, context: WalkContext): Promise<ReadonlyMap<string, Uint8Array> | undefined> {
    const known = inode.xattrs;
    if (known !== undefined && holds(known.lock, MDS_INODELOCK_XATTR)) return known.values;
    inode.xattrs = undefined;
    try {
      const { values, lock } = await allXattrs(inode.mdt, inode.fid, this.#session.who, options(context));
      if (lock !== undefined) {
        if (holds(lock, MDS_INODELOCK_XATTR)) inode.xattrs = { lock, values };
        inode.mdt.locks.release(lock);
      }
      return values;
    } catch (error) {
      if ((error as LustreError).code !== 'ERANGE') throw error;
      return undefined;
    }
  }
}
