/** The engine in the caller's thread: the calls of `Engine` on a session. */

import { constants } from 'node:fs';
import { formatFid, parseFid, sameFid } from '../../fid/fid.ts';
import { describeDefault, describeLayout } from '../../layout/description.ts';
import { type DirectoryStriping, encodeDirectoryStriping } from '../../layout/directory-layout.ts';
import { decodeLayout } from '../../layout/layout-ea.ts';
import { encodeStriping } from '../../layout/striping.ts';
import { Errno, errnoError, LustreError } from '../../runtime/errors.ts';
import { InodeBit } from '../../wire/ldlm-constants.ts';
import { targetSpaces, totalSpace } from '../administration/space.ts';
import type {
  AttributeChanges,
  Attributes,
  DirectoryPlace,
  Engine,
  EntryAttributes,
  EntryValue,
  FileLock,
  FileLockHolder,
  FileLockRequest,
  Layout,
  SpaceUsage,
  StripingOptions,
  TargetSpace,
} from '../engine.ts';
import { openDirectory } from '../files/directories.ts';
import { setAttributes } from '../files/file-setattr.ts';
import { syncAll, syncFile } from '../files/file-sync.ts';
import { readsOnly } from '../flags.ts';
import { fid2path } from '../mdc/fid2path.ts';
import { getLayoutEa } from '../mdc/getattr.ts';
import { setattr } from '../mdc/reint-setattr.ts';
import { setxattr } from '../mdc/xattr.ts';
import { isDirectory, isRegular } from '../namespace/attributes.ts';
import { placeOfDirectory } from '../namespace/directory-place.ts';
import { earlyCancels } from '../namespace/early-cancels.ts';
import { options, type WalkContext } from '../namespace/path-walk.ts';
import { permits } from '../namespace/permission.ts';
import { mdtOf } from '../session.ts';
import { LayoutCalls } from './layout-calls.ts';

const S_IFDIR = 0o040000;
/** What a server takes back of everybody when an extended attribute changes (guide 11 §9). */
const XATTR_CHANGES = InodeBit.MDS_INODELOCK_UPDATE | InodeBit.MDS_INODELOCK_XATTR;

export class InlineEngine extends LayoutCalls implements Engine {
  // Attributes and paths.

  stat(path: string, follow: boolean, operation?: number): Promise<Attributes> {
    return this.run(follow ? 'stat' : 'lstat', path, operation, async (context) => {
      await this.statAhead.before(path, context);
      const inode = await this.walker.resolve(path, follow, 'getattr', context);
      return this.files.attributes(inode, context);
    });
  }

  access(path: string, mode: number, operation?: number): Promise<void> {
    return this.run('access', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, true, mode === 0 ? 'lookup' : 'getattr', context);
      if (mode !== 0 && !permits(inode, this.session.who, mode))
        throw errnoError(Errno.EACCES, options(context).context);
    });
  }

  setattr(path: string, follow: boolean, changes: AttributeChanges, operation?: number): Promise<void> {
    return this.run(syscallOf(changes, follow), path, operation, async (context) => {
      const inode = await this.walker.resolve(path, follow, 'lookup', context);
      await setAttributes(this.session, this.files, { inode }, changes, context);
    });
  }

  truncate(path: string, size: number, operation?: number): Promise<void> {
    return this.run('truncate', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, true, 'lookup', context);
      await this.files.truncate({ inode }, size, context);
    });
  }

  readlink(path: string, operation?: number): Promise<string> {
    return this.run('readlink', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, false, 'lookup', context);
      return this.walker.readlink(inode, context);
    });
  }

  realpath(path: string, operation?: number): Promise<string> {
    return this.run('realpath', path, operation, (context) => this.walker.realpath(path, context));
  }

  fid(path: string, follow: boolean, operation?: number): Promise<string> {
    return this.run('fid', path, operation, async (context) =>
      formatFid((await this.walker.resolve(path, follow, 'lookup', context)).fid),
    );
  }

  pathOf(fid: string, operation?: number): Promise<string> {
    return this.run('pathOf', '', operation, async (context) => {
      const object = parseFid(fid);
      if (sameFid(object, this.session.root)) return '/';
      const mdt = await mdtOf(this.session, object);
      const named = { ...options(context), context: { syscall: 'pathOf', fid } };
      return `/${await fid2path(mdt, object, this.session.root, 0, named)}`;
    });
  }

  // The namespace.

  mkdir(path: string, mode: number, striping: DirectoryStriping, operation?: number): Promise<void> {
    return this.run('mkdir', path, operation, (context) =>
      this.namespace.make({ mode: S_IFDIR | (mode & 0o7777), striping }, context),
    );
  }

  mknod(path: string, mode: number, rdev: number, operation?: number): Promise<void> {
    return this.run('mknod', path, operation, (context) => this.namespace.make({ mode, rdev }, context));
  }

  symlink(target: string, path: string, operation?: number): Promise<void> {
    return this.run('symlink', path, operation, (context) => this.namespace.symlink(target, context));
  }

  link(existing: string, path: string, operation?: number): Promise<void> {
    return this.run('link', path, operation, (context) => this.namespace.link(existing, context));
  }

  rename(from: string, to: string, operation?: number): Promise<void> {
    return this.run('rename', to, operation, (context) => this.namespace.rename(from, context));
  }

  unlink(path: string, operation?: number): Promise<void> {
    return this.run('unlink', path, operation, (context) => this.namespace.remove(false, context));
  }

  rmdir(path: string, operation?: number): Promise<void> {
    return this.run('rmdir', path, operation, (context) => this.namespace.remove(true, context));
  }

  // Open files.

  open(
    path: string,
    flags: number,
    mode: number,
    striping: StripingOptions,
    operation?: number,
  ): Promise<number> {
    return this.run('open', path, operation, async (context) => {
      if (this.session.readOnly) refuseChanges(flags, context);
      const file = await this.files.open(flags, mode, striping, context);
      const handle = this.nextHandle++;
      this.openFiles.set(handle, file);
      return handle;
    });
  }

  close(handle: number): Promise<void> {
    return this.run('close', '', undefined, () => this.closeOpen(handle));
  }

  async read(
    handle: number,
    buffers: readonly Uint8Array[],
    position: number,
    operation?: number,
  ): Promise<number> {
    const file = this.file(handle, 'read');
    return this.run('read', file.path, operation, (context) =>
      file.using(() => this.files.read(file, buffers, position, context)),
    );
  }

  async write(
    handle: number,
    buffers: readonly Uint8Array[],
    position: number,
    operation?: number,
  ): Promise<number> {
    const file = this.file(handle, 'write');
    return this.run('write', file.path, operation, (context) =>
      file.using(() => this.files.write(file, buffers, position, context)),
    );
  }

  async handleStat(handle: number, operation?: number): Promise<Attributes> {
    const file = this.file(handle, 'fstat');
    return this.run('fstat', file.path, operation, (context) =>
      file.using(() => this.files.attributes(file.inode, context)),
    );
  }

  async handleSetattr(handle: number, changes: AttributeChanges, operation?: number): Promise<void> {
    const file = this.file(handle, 'fsetattr');
    const syscall = `f${syscallOf(changes, true)}`;
    return this.run(syscall, file.path, operation, (context) =>
      file.using(() =>
        setAttributes(this.session, this.files, file, changes, { ...context, group: file.group }),
      ),
    );
  }

  async handleTruncate(handle: number, size: number, operation?: number): Promise<void> {
    const file = this.file(handle, 'ftruncate');
    return this.run('ftruncate', file.path, operation, (context) =>
      file.using(async () => {
        if (!file.writable) throw errnoError(Errno.EINVAL, options(context).context);
        await this.files.truncate(file, size, { ...context, group: file.group }, { override: true });
        file.modified = true;
      }),
    );
  }

  async handleSync(handle: number, dataOnly: boolean, operation?: number): Promise<void> {
    const file = this.file(handle, 'fsync');
    return this.run(dataOnly ? 'fdatasync' : 'fsync', file.path, operation, (context) =>
      file.using(() => syncFile(this.session, this.files, file, dataOnly, context)),
    );
  }

  async handleLock(handle: number, request: FileLockRequest, operation?: number): Promise<void> {
    const syscall = request.kind === 'flock' ? 'flock' : 'fcntl';
    const file = this.file(handle, syscall);
    return this.run(syscall, file.path, operation, (context) =>
      file.using(() => this.fileLocks.set(file, request, context)),
    );
  }

  async handleTestLock(
    handle: number,
    lock: FileLock,
    operation?: number,
  ): Promise<FileLockHolder | undefined> {
    const file = this.file(handle, 'fcntl');
    return this.run('fcntl', file.path, operation, (context) =>
      file.using(() => this.fileLocks.test(file, lock, context)),
    );
  }

  async handleGroupLock(handle: number, gid: number, wait: boolean, operation?: number): Promise<void> {
    const file = this.file(handle, 'groupLock');
    return this.run('groupLock', file.path, operation, (context) =>
      file.using(() => this.groupLocks.lock(file, gid, wait, context)),
    );
  }

  async handleGroupUnlock(handle: number, gid: number, operation?: number): Promise<void> {
    const file = this.file(handle, 'groupUnlock');
    return this.run('groupUnlock', file.path, operation, (context) =>
      file.using(() => this.groupLocks.unlock(file, gid, context)),
    );
  }

  opendir(path: string, operation?: number): Promise<number> {
    return this.run('opendir', path, operation, async (context) => {
      const flags = constants.O_RDONLY | constants.O_DIRECTORY;
      const directory = await openDirectory(this.reader, this.files, flags, context);
      const handle = this.nextHandle++;
      this.openDirectories.set(handle, directory);
      return handle;
    });
  }

  async readdir(handle: number, operation?: number): Promise<readonly EntryValue[]> {
    const directory = this.openDirectories.get(handle);
    if (directory === undefined) throw errnoError(Errno.EBADF, { syscall: 'readdir' });
    const { file } = directory;
    return this.run('readdir', file.path, operation, (context) => file.using(() => directory.read(context)));
  }

  async readdirStats(
    handle: number,
    sizes: boolean,
    operation?: number,
  ): Promise<readonly EntryAttributes[]> {
    const directory = this.openDirectories.get(handle);
    if (directory === undefined) throw errnoError(Errno.EBADF, { syscall: 'readdir' });
    const { file } = directory;
    return this.run('readdir', file.path, operation, (context) =>
      file.using(() => directory.readStats(sizes, this.files, context)),
    );
  }

  // Layouts and extended attributes.

  getLayout(path: string, operation?: number): Promise<Layout | undefined> {
    return this.run('getLayout', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, true, 'lookup', context);
      const { mbo_mode: mode } = inode.body;
      if (!isRegular(mode) && !isDirectory(mode)) return undefined;
      if (isRegular(mode) && inode.layoutLocked)
        return inode.layout === undefined ? undefined : describeLayout(inode.layout);
      const ea = await getLayoutEa(inode.mdt, inode.fid, this.session.who, options(context)).catch(noData);
      if (ea === undefined || ea.length === 0) return undefined;
      return isDirectory(mode) ? describeDefault(ea) : describeLayout(decodeLayout(ea));
    });
  }

  getDirectoryLayout(path: string, operation?: number): Promise<DirectoryPlace> {
    return this.run('getDirectoryLayout', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, true, 'lookup', context);
      return placeOfDirectory(this.session, inode, context);
    });
  }

  setDirectoryLayout(path: string, striping: DirectoryStriping, operation?: number): Promise<void> {
    return this.run('setDirectoryLayout', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, true, 'lookup', context);
      if (!isDirectory(inode.body.mbo_mode)) throw errnoError(Errno.ENOTDIR, options(context).context);
      const what = { fid: inode.fid, striping: encodeDirectoryStriping(striping) };
      await setattr(inode.mdt, what, this.session.who, options(context));
      inode.expire();
    });
  }

  setLayout(path: string, striping: StripingOptions, operation?: number): Promise<void> {
    return this.run('setLayout', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, true, 'lookup', context);
      if (!isDirectory(inode.body.mbo_mode)) {
        throw new LustreError(
          'EEXIST',
          'a file gets its layout when it is made',
          { ...options(context).context, hint: 'Give the layout to open(), or set it on the directory' },
          -Errno.EEXIST,
        );
      }
      const what = { fid: inode.fid, striping: encodeStriping(striping) };
      await setattr(inode.mdt, what, this.session.who, options(context));
    });
  }

  getxattr(path: string, name: string, follow: boolean, operation?: number): Promise<Uint8Array> {
    return this.run('getxattr', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, follow, 'lookup', context);
      return this.xattrs.get(inode, name, context);
    });
  }

  listxattr(path: string, follow: boolean, operation?: number): Promise<string[]> {
    return this.run('listxattr', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, follow, 'lookup', context);
      const names = await this.xattrs.list(inode, context);
      return this.session.who.uid === 0 ? names : names.filter((name) => !name.startsWith('trusted.'));
    });
  }

  setxattr(
    path: string,
    name: string,
    value: Uint8Array | undefined,
    flags: number,
    follow: boolean,
    operation?: number,
  ): Promise<void> {
    return this.run(value === undefined ? 'removexattr' : 'setxattr', path, operation, async (context) => {
      const inode = await this.walker.resolve(path, follow, 'lookup', context);
      const cancels = await earlyCancels(inode.mdt, inode, XATTR_CHANGES);
      const what = { fid: inode.fid, name, value, flags, cancels };
      await setxattr(inode.mdt, what, this.session.who, options(context));
      inode.expire();
    });
  }

  // The whole file system.

  statfs(operation?: number): Promise<SpaceUsage> {
    return this.run('statfs', '/', operation, (context) => totalSpace(this.session, options(context)));
  }

  statfsTargets(operation?: number): Promise<TargetSpace[]> {
    return this.run('statfs', '/', operation, (context) => targetSpaces(this.session, options(context)));
  }

  sync(operation?: number): Promise<void> {
    return this.run('sync', '/', operation, (context) => syncAll(this.session, this.files, context));
  }
}

/** Nothing is opened for writing, nor made, where nothing may be changed. */
function refuseChanges(flags: number, context: WalkContext): void {
  if (!readsOnly(flags & ~constants.O_SYNC)) throw errnoError(Errno.EROFS, options(context).context);
}

function syscallOf(changes: AttributeChanges, follow: boolean): string {
  const name = changes.mode !== undefined ? 'chmod' : changes.uid !== undefined ? 'chown' : 'utime';
  return follow ? name : `l${name}`;
}

function noData(error: LustreError): undefined {
  if (error.code !== 'ENODATA') throw error;
  return undefined;
}
