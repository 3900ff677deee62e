/**
 * A mounted file system in the shape of `node:fs/promises` (design: "The client API"). A thin face: it turns what
 * programs write into calls of an `Engine`, and what comes back into the objects that node:fs has.
 */
import { constants } from 'node:fs';
import { Errno, errnoError, LustreError } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { text } from './administration.ts';
import { toBytes } from './byte-views.ts';
import { type CopyOptions, copyIn, copyOut, copyWithin } from './copy.ts';
import { Dir } from './dir.ts';
import type {
  Attributes,
  Counters,
  DirectoryPlace,
  DirectoryStriping,
  Engine,
  Layout,
  LockReport,
  ReportOptions,
  StripingOptions,
  TargetSpace,
} from './engine.ts';
import { type Data, FileHandle } from './file-handle.ts';
import type {
  MkdirOptions,
  OpenOptions,
  PathLike,
  ReaddirOptions,
  ReadFileOptions,
  RmOptions,
  StatOptions,
  WriteFileOptions,
  XattrOptions,
} from './filesystem-options.ts';
import { parseFlags } from './flags.ts';
import { onlyDirectoryStriping, onlyStriping } from './layout-wishes.ts';
import { Mirroring } from './mirroring.ts';
import { Operations, type SignalOption } from './operations.ts';
import { removeTree } from './remove-tree.ts';
import { BigIntStats, type Dirent, type StatFs, Stats } from './stats.ts';
import type { StreamOptions } from './streams.ts';
import { type Time, toMilliseconds } from './times.ts';
import { type WalkEntry, type WalkOptions, walkTree } from './walk.ts';

/** A mounted Lustre file system. Paths are relative to the mounted root, with or without a leading slash. */
export class Filesystem extends Mirroring {
  readonly #engine: Engine;
  readonly #operations: Operations;
  readonly #onUnmount: (() => void | Promise<void>) | undefined;
  /** What was mounted, `10.0.0.1@tcp:/lab`. */
  readonly spec: string;

  /** `clock` measures copies and streams; `onUnmount` is called when it has been unmounted. */
  constructor(
    engine: Engine,
    spec: string,
    clock: Pick<Runtime, 'now' | 'after'>,
    onUnmount?: () => void | Promise<void>,
  ) {
    const operations = new Operations(engine, clock);
    super(engine, operations);
    this.#engine = engine;
    this.#onUnmount = onUnmount;
    this.#operations = operations;
    this.spec = spec;
  }

  /** Closes what is open, gives back all locks and disconnects. Safe to call twice. */
  async unmount(): Promise<void> {
    await this.#engine.unmount();
    await this.#onUnmount?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount();
  }

  /** Requests by opcode and data errors since the mount; after unmount, until then. */
  counters(): Promise<Counters> {
    return this.#engine.counters();
  }

  /** The locks that this client holds and waits for, by target: for people who look in. */
  locks(options: ReportOptions = {}): Promise<LockReport[]> {
    return this.#engine.locks(options);
  }

  // Attributes.

  stat(path: PathLike, options: StatOptions & { bigint: true }): Promise<BigIntStats>;
  stat(path: PathLike, options?: StatOptions & { bigint?: false }): Promise<Stats>;
  stat(path: PathLike, options: StatOptions = {}): Promise<Stats | BigIntStats> {
    return this.#stat(path, true, options);
  }

  /** As stat, but of a symlink itself. */
  lstat(path: PathLike, options: StatOptions & { bigint: true }): Promise<BigIntStats>;
  lstat(path: PathLike, options?: StatOptions & { bigint?: false }): Promise<Stats>;
  lstat(path: PathLike, options: StatOptions = {}): Promise<Stats | BigIntStats> {
    return this.#stat(path, false, options);
  }

  async #stat(path: PathLike, follow: boolean, options: StatOptions): Promise<Stats | BigIntStats> {
    const attributes: Attributes = await this.#operations.run(options, (op) =>
      this.#engine.stat(text(path), follow, op),
    );
    return options.bigint === true ? new BigIntStats(attributes) : new Stats(attributes);
  }

  /** Rejects unless the caller may do what `mode` says: R_OK, W_OK, X_OK of node:fs constants; default existence. */
  access(path: PathLike, mode: number = constants.F_OK): Promise<void> {
    return this.#engine.access(text(path), mode);
  }

  /** Permission bits, as a number or octal text. */
  chmod(path: PathLike, mode: number | string): Promise<void> {
    return this.#engine.setattr(text(path), true, { mode: toMode(mode) });
  }

  chown(path: PathLike, uid: number, gid: number): Promise<void> {
    return this.#engine.setattr(text(path), true, owner(uid, gid));
  }

  lchown(path: PathLike, uid: number, gid: number): Promise<void> {
    return this.#engine.setattr(text(path), false, owner(uid, gid));
  }

  /** Times in seconds, as Date or as text; Lustre keeps whole seconds. */
  utimes(path: PathLike, atime: Time, mtime: Time): Promise<void> {
    const changes = { atimeMs: toMilliseconds(atime), mtimeMs: toMilliseconds(mtime) };
    return this.#engine.setattr(text(path), true, changes);
  }

  lutimes(path: PathLike, atime: Time, mtime: Time): Promise<void> {
    const changes = { atimeMs: toMilliseconds(atime), mtimeMs: toMilliseconds(mtime) };
    return this.#engine.setattr(text(path), false, changes);
  }

  truncate(path: PathLike, length = 0): Promise<void> {
    return this.#engine.truncate(text(path), length);
  }

  // Names.

  /** With `recursive` resolves with the first directory that was made, or undefined. */
  async mkdir(path: PathLike, options: MkdirOptions | number | string = {}): Promise<string | undefined> {
    const o = typeof options === 'object' ? options : { mode: toMode(options) };
    const { mode = 0o777, recursive = false, ...striping } = o;
    const place = onlyDirectoryStriping(o);
    let made: string | undefined;
    if (recursive) made = await this.#mkdirAll(text(path), mode, o);
    else await this.#operations.run(o, (op) => this.#engine.mkdir(text(path), mode, place, op));
    const wish = onlyStriping(striping);
    if (Object.keys(wish).length > 0) await this.setLayout(path, wish);
    return made;
  }

  /** Tries the whole path first: mostly only the last directory is missing. */
  async #mkdirAll(path: string, mode: number, options: MkdirOptions): Promise<string | undefined> {
    const place = onlyDirectoryStriping(options);
    const make = (at: string): Promise<void> =>
      this.#operations.run(options, (op) => this.#engine.mkdir(at, mode, place, op));
    try {
      await make(path);
      return path;
    } catch (error) {
      const { code } = error as LustreError;
      if (code === 'EEXIST') {
        const stats = await this.stat(path, options);
        if (!stats.isDirectory()) throw error;
        return undefined;
      }
      const parent = parentOf(path);
      if (code !== 'ENOENT' || parent === undefined) throw error;
      const first = await this.#mkdirAll(parent, mode, options);
      await make(path).catch((again: LustreError) => {
        if (again.code !== 'EEXIST') throw again;
      });
      return first ?? path;
    }
  }

  /** Makes a directory whose name is `prefix` and six random characters. */
  async mkdtemp(prefix: string): Promise<string> {
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
    for (let tries = 0; ; tries++) {
      const random = crypto.getRandomValues(new Uint8Array(6));
      const path = prefix + [...random].map((byte) => letters[byte % letters.length]).join('');
      try {
        await this.#engine.mkdir(path, 0o700, {});
        return path;
      } catch (error) {
        if ((error as LustreError).code !== 'EEXIST' || tries === 100) throw error;
      }
    }
  }

  rmdir(path: PathLike): Promise<void> {
    return this.#engine.rmdir(text(path));
  }

  unlink(path: PathLike): Promise<void> {
    return this.#engine.unlink(text(path));
  }

  /** Removes a file; with `recursive` a tree; with `force` nothing that is missing is an error. */
  rm(path: PathLike, options: RmOptions = {}): Promise<void> {
    return removeTree(this.#engine, this.#operations, text(path), options);
  }

  rename(from: PathLike, to: PathLike): Promise<void> {
    return this.#engine.rename(text(from), text(to));
  }

  link(existing: PathLike, path: PathLike): Promise<void> {
    return this.#engine.link(text(existing), text(path));
  }

  symlink(target: PathLike, path: PathLike): Promise<void> {
    return this.#engine.symlink(text(target), text(path));
  }

  readlink(path: PathLike): Promise<string> {
    return this.#engine.readlink(text(path));
  }

  realpath(path: PathLike): Promise<string> {
    return this.#engine.realpath(text(path));
  }

  /** Makes a fifo, socket or device: `mode` with the type bits of node:fs constants. */
  mknod(path: PathLike, mode: number, rdev = 0): Promise<void> {
    return this.#engine.mknod(text(path), mode, rdev);
  }

  // Directories.

  /** A directory to iterate over; it closes itself at the end of the iteration. */
  async opendir(path: PathLike, options: SignalOption = {}): Promise<Dir> {
    const handle = await this.#operations.run(options, (op) => this.#engine.opendir(text(path), op));
    return new Dir(this.#engine, this.#operations, handle, text(path), options);
  }

  readdir(path: PathLike, options: ReaddirOptions & { withFileTypes: true }): Promise<Dirent[]>;
  readdir(path: PathLike, options?: ReaddirOptions & { withFileTypes?: false }): Promise<string[]>;
  async readdir(path: PathLike, options: ReaddirOptions = {}): Promise<string[] | Dirent[]> {
    const root = text(path);
    const found: Dirent[] = [];
    const names: string[] = [];
    const visit = async (directory: string, prefix: string): Promise<void> => {
      const below: Dirent[] = [];
      for await (const entry of await this.opendir(directory, options)) {
        found.push(entry);
        names.push(prefix + entry.name);
        if (options.recursive === true && (await this.#isDirectory(directory, entry))) below.push(entry);
      }
      for (const entry of below) await visit(join(directory, entry.name), `${prefix}${entry.name}/`);
    };
    await visit(root, '');
    return options.withFileTypes === true ? found : names;
  }

  /**
   * Everything below a directory, each with its attributes where `stats` asks for them: several directories and many
   * entries at a time, parents before what is in them, otherwise in no order. Symbolic links are not followed; what goes
   * away meanwhile is left out. Ending the iteration early ends the work.
   */
  walk(path: PathLike, options: WalkOptions = {}): AsyncGenerator<WalkEntry, void> {
    return walkTree(this.#engine, this.#operations, text(path), options);
  }

  async #isDirectory(directory: string, entry: Dirent): Promise<boolean> {
    if (entry.hasType) return entry.isDirectory();
    return (await this.lstat(join(directory, entry.name))).isDirectory();
  }

  // Files.

  /** Opens a file. The options say how it is laid out where this makes it: a file that has objects keeps its layout, as its
   * mode. */
  async open(
    path: PathLike,
    flags: string | number = 'r',
    mode: number | string = 0o666,
    options: OpenOptions = {},
  ): Promise<FileHandle> {
    const number = parseFlags(flags) | (options.direct === true ? constants.O_DIRECT : 0);
    const handle = await this.#operations.run(options, (op) =>
      this.#engine.open(text(path), number, toMode(mode), onlyStriping(options), op),
    );
    return new FileHandle(this.#engine, this.#operations, handle, number);
  }

  readFile(
    path: PathLike,
    options: (ReadFileOptions & { encoding: BufferEncoding }) | BufferEncoding,
  ): Promise<string>;
  readFile(path: PathLike, options?: (ReadFileOptions & { encoding?: null }) | null): Promise<Buffer>;
  async readFile(
    path: PathLike,
    options?: ReadFileOptions | BufferEncoding | null,
  ): Promise<Buffer | string> {
    const o: ReadFileOptions = typeof options === 'string' ? { encoding: options } : (options ?? {});
    const file = await this.open(path, o.flag ?? 'r', 0o666, signalOnly(o));
    return closing(file, async () => {
      const bytes = await file.readFile(signalOnly(o));
      return o.encoding == null ? bytes : bytes.toString(o.encoding);
    });
  }

  async writeFile(
    path: PathLike,
    data: Data,
    options?: WriteFileOptions | BufferEncoding | null,
  ): Promise<void> {
    const o: WriteFileOptions = typeof options === 'string' ? { encoding: options } : (options ?? {});
    const { flag = 'w', mode = 0o666 } = o;
    const file = await this.open(path, flag, mode, { ...onlyStriping(o), ...signalOnly(o) });
    await closing(file, async () => {
      await file.writeFile(data, o);
      if (o.flush === true) await file.sync();
    });
  }

  appendFile(path: PathLike, data: Data, options?: WriteFileOptions | BufferEncoding | null): Promise<void> {
    const o: WriteFileOptions = typeof options === 'string' ? { encoding: options } : (options ?? {});
    return this.writeFile(path, data, { ...o, flag: o.flag ?? 'a' });
  }

  /** Copies within this file system. `mode`: COPYFILE_EXCL of node:fs constants. */
  async copyFile(from: PathLike, to: PathLike, mode = 0): Promise<void> {
    await copyWithin(this, text(from), text(to), (mode & constants.COPYFILE_EXCL) !== 0);
  }

  /**
   * Copies a local file in: several RPCs at a time, straight from the file to the sockets, or through memory that does not grow
   * with it. Resolves with its bytes as `close` does: the servers have them, on disk where they could not get them again. Rejects
   * with EIO that names the local file when it becomes shorter meanwhile.
   */
  copyIn(localPath: string, path: PathLike, options: CopyOptions = {}): Promise<number> {
    return copyIn(this, localPath, text(path), options);
  }

  /** Copies a file out to a local path, straight from the sockets. What no object has is a hole. Resolves with its bytes. */
  copyOut(path: PathLike, localPath: string, options: CopyOptions = {}): Promise<number> {
    return copyOut(this, text(path), localPath, options);
  }

  /** Opens a file for `FileHandle.createReadStream`. */
  createReadStream(
    path: PathLike,
    options: StreamOptions = {},
  ): Promise<ReturnType<FileHandle['createReadStream']>> {
    return this.open(path, 'r', 0o666, signalOnly(options)).then((file) => file.createReadStream(options));
  }

  /** Makes or cuts a file for `FileHandle.createWriteStream`. */
  createWriteStream(
    path: PathLike,
    options: StreamOptions & StripingOptions = {},
  ): Promise<ReturnType<FileHandle['createWriteStream']>> {
    const striping = { ...onlyStriping(options), ...signalOnly(options) };
    return this.open(path, 'w', 0o666, striping).then((file) => file.createWriteStream(options));
  }

  // Beyond node:fs.

  /** The FID of an object, `[0x200000401:0x2:0x0]`. */
  fid(path: PathLike): Promise<string> {
    return this.#engine.fid(text(path), false);
  }

  /** A path that leads to a FID. Rejects with ENOENT when there is none. */
  pathOf(fid: string): Promise<string> {
    return this.#engine.pathOf(fid);
  }

  /** How a file lies over its objects, or what files made in a directory get; undefined where there is none. */
  getLayout(path: PathLike): Promise<Layout | undefined> {
    return this.#engine.getLayout(text(path));
  }

  /** The MDTs of a directory. */
  getDirectoryLayout(path: PathLike): Promise<DirectoryPlace> {
    return this.#engine.getDirectoryLayout(text(path));
  }

  /** Where directories go that will be made in it. */
  setDirectoryLayout(path: PathLike, layout: DirectoryStriping): Promise<void> {
    return this.#engine.setDirectoryLayout(text(path), layout);
  }

  /** Sets what files made in a directory get. A file's own layout is given to `open`. */
  setLayout(path: PathLike, layout: StripingOptions): Promise<void> {
    return this.#engine.setLayout(text(path), layout);
  }

  async getxattr(path: PathLike, name: string, options: XattrOptions = {}): Promise<Buffer> {
    const value = await this.#operations.run(options, (op) =>
      this.#engine.getxattr(text(path), name, options.noFollow !== true, op),
    );
    return Buffer.from(value.buffer, value.byteOffset, value.length);
  }

  listxattr(path: PathLike, options: XattrOptions = {}): Promise<string[]> {
    return this.#operations.run(options, (op) =>
      this.#engine.listxattr(text(path), options.noFollow !== true, op),
    );
  }

  /** `flag` `create` fails where it exists, `replace` where it does not. */
  setxattr(
    path: PathLike,
    name: string,
    value: string | Uint8Array,
    options: XattrOptions & { flag?: 'create' | 'replace' } = {},
  ): Promise<void> {
    const flags = options.flag === 'create' ? 1 : options.flag === 'replace' ? 2 : 0;
    return this.#operations.run(options, (op) =>
      this.#engine.setxattr(text(path), name, toBytes(value), flags, options.noFollow !== true, op),
    );
  }

  removexattr(path: PathLike, name: string, options: XattrOptions = {}): Promise<void> {
    return this.#operations.run(options, (op) =>
      this.#engine.setxattr(text(path), name, undefined, 0, options.noFollow !== true, op),
    );
  }

  /** Space and files of the whole file system; `path` is there because node:fs has it. */
  statfs(_path: PathLike = '/', options: SignalOption = {}): Promise<StatFs> {
    return this.#operations.run(options, (op) => this.#engine.statfs(op));
  }

  /** Space and files of each target that answers. */
  async statfsTargets(
    options: SignalOption = {},
  ): Promise<(Omit<TargetSpace, 'usage'> & { statfs: StatFs })[]> {
    const targets = await this.#operations.run(options, (op) => this.#engine.statfsTargets(op));
    return targets.flatMap(({ usage, ...target }) =>
      usage === undefined ? [] : [{ ...target, statfs: usage }],
    );
  }

  /** Resolves when all that this client has written is durable. */
  sync(options: SignalOption = {}): Promise<void> {
    return this.#operations.run(options, (op) => this.#engine.sync(op));
  }
}

/** Runs `work` and closes the file, whatever happens; the first failure is the one that counts. */
async function closing<T>(file: FileHandle, work: () => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
  await file.close();
  return result;
}

function toMode(mode: number | string): number {
  const number = typeof mode === 'string' ? Number.parseInt(mode, 8) : mode;
  if (!Number.isInteger(number) || number < 0)
    throw new LustreError('ERR_INVALID_ARG_VALUE', `${mode} is no mode`, { hint: 'Give an octal number' });
  return number;
}

/** -1 leaves an id as it is. */
function owner(uid: number, gid: number): { uid?: number; gid?: number } {
  for (const id of [uid, gid]) {
    if (!Number.isInteger(id) || id < -1 || id > 0xffff_fffe)
      throw errnoError(Errno.EINVAL, { syscall: 'chown' });
  }
  return { ...(uid !== -1 && { uid }), ...(gid !== -1 && { gid }) };
}

const signalOnly = (options: SignalOption): SignalOption =>
  options.signal === undefined ? {} : { signal: options.signal };

const join = (directory: string, name: string): string =>
  directory.endsWith('/') ? `${directory}${name}` : `${directory}/${name}`;

function parentOf(path: string): string | undefined {
  const trimmed = path.replace(/\/+$/, '');
  const slash = trimmed.lastIndexOf('/');
  if (slash === -1) return undefined;
  const parent = trimmed.slice(0, slash).replace(/\/+$/, '');
  return parent === '' ? undefined : parent;
}
