/**
 * What a file system should do, as plainly as it can be said: names, inodes and bytes in memory, with the error codes that
 * Linux gives. Symbolic links point at names beside them that are no links.
 */
import { fail } from '../server/mds/namespace-model.ts';

export interface Inode {
  readonly kind: 'file' | 'directory' | 'symlink';
  mode: number;
  nlink: number;
  bytes: Buffer;
  readonly target: string;
  readonly entries: Map<string, Inode>;
  readonly xattrs: Map<string, string>;
  /** Known only since somebody set it and nobody changed the file. */
  mtime: number | undefined;
  /** What the file system called it when it was first seen. */
  ino: number | undefined;
}

interface Place {
  readonly parent: Inode;
  readonly name: string;
  readonly inode: Inode | undefined;
}

export class Model {
  readonly root = inode('directory', 0o755);

  place(path: string): Place {
    const names = path.split('/').filter((name) => name !== '');
    const name = names.pop()!;
    let parent = this.root;
    for (const each of names) {
      let next: Inode | undefined = parent.entries.get(each);
      if (next?.kind === 'symlink') next = parent.entries.get(next.target);
      parent = next ?? fail('ENOENT');
      if (parent.kind !== 'directory') fail('ENOTDIR');
    }
    return { parent, name, inode: parent.entries.get(name) };
  }

  lookup(path: string): Inode {
    return path === '' ? this.root : (this.place(path).inode ?? fail('ENOENT'));
  }

  /** Links point at names beside them. */
  follow(path: string): Inode {
    const found = this.lookup(path);
    if (found.kind !== 'symlink') return found;
    return this.follow(beside(path, found.target));
  }

  create(path: string, kind: Inode['kind'], mode: number, target = ''): Inode {
    const { parent, name, inode: there } = this.place(path);
    if (there !== undefined) fail('EEXIST');
    const made = inode(kind, mode, target);
    parent.entries.set(name, made);
    return made;
  }

  /** As `open` for writing with O_CREAT: the file that is there, or a new one. */
  openForWriting(path: string, mode: number): Inode {
    const { inode: there } = this.place(path);
    if (there?.kind === 'symlink') return this.openForWriting(beside(path, there.target), mode);
    if (there?.kind === 'directory') fail('EISDIR');
    return there ?? this.create(path, 'file', mode);
  }

  openForReading(path: string): Inode {
    return this.follow(path);
  }

  unlink(path: string): void {
    const { parent, name, inode: there } = this.place(path);
    if (there === undefined) return fail('ENOENT');
    if (there.kind === 'directory') fail('EISDIR');
    parent.entries.delete(name);
    there.nlink--;
  }

  rmdir(path: string): void {
    const { parent, name, inode: there } = this.place(path);
    if (there === undefined) return fail('ENOENT');
    if (there.kind !== 'directory') fail('ENOTDIR');
    if (there.entries.size > 0) fail('ENOTEMPTY');
    parent.entries.delete(name);
  }

  link(from: string, to: string): void {
    const source = this.lookup(from);
    const { parent, name, inode: there } = this.place(to);
    // Linux looks for the name first, an MDT for the directory.
    if (source.kind === 'directory') fail(there === undefined ? 'EPERM' : 'EEXIST or EPERM');
    if (there !== undefined) fail('EEXIST');
    parent.entries.set(name, source);
    source.nlink++;
  }

  rename(from: string, to: string): void {
    const source = this.place(from);
    const target = this.place(to);
    const moved = source.inode ?? fail('ENOENT');
    if (moved.kind === 'directory' && isWithin(moved, target.parent)) fail('EINVAL');
    const there = target.inode;
    if (there === moved) return;
    if (there !== undefined) {
      if (there.kind === 'directory' && isWithin(there, source.parent)) fail('ENOTEMPTY');
      if (moved.kind === 'directory' && there.kind !== 'directory') fail('ENOTDIR');
      if (moved.kind !== 'directory' && there.kind === 'directory') fail('EISDIR');
      if (there.entries.size > 0) fail('ENOTEMPTY');
      there.nlink--;
    }
    source.parent.entries.delete(source.name);
    target.parent.entries.set(target.name, moved);
  }

  /** Of a path; an open file is cut by `resize`. */
  truncate(path: string, length: number): void {
    const found = this.follow(path);
    if (found.kind === 'directory') fail('EISDIR');
    resize(found, length);
  }

  readlink(path: string): string {
    const found = this.lookup(path);
    if (found.kind !== 'symlink') fail('EINVAL');
    return found.target;
  }

  getxattr(path: string, name: string): string {
    return this.follow(path).xattrs.get(name) ?? fail('ENODATA');
  }
}

function inode(kind: Inode['kind'], mode: number, target = ''): Inode {
  return {
    kind,
    mode,
    nlink: 1,
    bytes: Buffer.alloc(0),
    target,
    entries: new Map(),
    xattrs: new Map(),
    mtime: undefined,
    ino: undefined,
  };
}

const beside = (path: string, name: string): string => path.slice(0, path.lastIndexOf('/') + 1) + name;

const isWithin = (top: Inode, below: Inode): boolean =>
  top === below ||
  [...top.entries.values()].some((entry) => entry.kind === 'directory' && isWithin(entry, below));

export function resize(file: Inode, length: number): void {
  const bytes = Buffer.alloc(length);
  file.bytes.copy(bytes, 0, 0, Math.min(length, file.bytes.length));
  file.bytes = bytes;
  file.mtime = undefined;
}

export function write(file: Inode, at: number, bytes: Buffer): void {
  if (bytes.length === 0) return;
  if (at + bytes.length > file.bytes.length) resize(file, at + bytes.length);
  bytes.copy(file.bytes, at);
  file.mtime = undefined;
}
