/**
 * The directory of a server node: its format, the file system it holds and a lock that keeps a second process out. A lock
 * whose process is gone (SIGKILL, power cut) is taken over.
 */
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { errnoOf, LustreError } from '../runtime/errors.ts';

/** Raised when what a directory holds is laid out another way. */
const FORMAT = 1;
const FORMAT_FILE = 'node-lustre.json';
const LOCK_FILE = 'lock';

/** What the format file says. */
export interface DirectoryContents {
  readonly format: number;
  readonly fsname: string;
}

export interface ServerDirectory {
  readonly path: string;
  /** Lets another process in. */
  release(): void;
}

function failed(
  code: string,
  message: string,
  path: string,
  hint: string,
  errno = 0,
  cause?: unknown,
): LustreError {
  return new LustreError(code, message, { path, hint, cause }, errno);
}

/**
 * Opens or makes a node's directory. Throws EACCES / ENOSPC / ENOTDIR ... when it cannot be made or written,
 * ERR_LUSTRE_STORE_VERSION for one that another version wrote, ERR_LUSTRE_FSNAME for another file system's and EBUSY when a
 * process serves it already.
 */
export function openServerDirectory(path: string, fsname: string): ServerDirectory {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw unusable(path, error);
  }
  const lock = takeLock(path);
  try {
    checkFormat(path, fsname);
  } catch (error) {
    lock.release();
    throw error;
  }
  return lock;
}

function unusable(path: string, cause: unknown): LustreError {
  const code = (cause as { code?: string }).code ?? 'EIO';
  return failed(
    code,
    'The servers cannot keep their data in this directory',
    path,
    'Give --dir a directory that this user may write to',
    -errnoOf(cause),
    cause,
  );
}

function checkFormat(path: string, fsname: string): void {
  const file = join(path, FORMAT_FILE);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) !== 2) throw unusable(path, error);
    const contents: DirectoryContents = { format: FORMAT, fsname };
    writeFileSync(`${file}.new`, `${JSON.stringify(contents)}\n`, { flush: true });
    renameSync(`${file}.new`, file);
    return;
  }
  const found = parseContents(text);
  if (found?.format !== FORMAT) {
    throw failed(
      'ERR_LUSTRE_STORE_VERSION',
      `The directory has format ${found?.format ?? 'unknown'}; this version of node-lustre writes format ${FORMAT}`,
      path,
      'Use the version that wrote it, or another directory',
    );
  }
  if (found.fsname !== fsname) {
    throw failed(
      'ERR_LUSTRE_FSNAME',
      `The directory holds the file system '${found.fsname}', not '${fsname}'`,
      path,
      `Serve it with --fsname ${found.fsname}, or use another directory`,
    );
  }
}

function parseContents(text: string): DirectoryContents | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return undefined;
    const { format, fsname } = value as Record<string, unknown>;
    return typeof format === 'number' && typeof fsname === 'string' ? { format, fsname } : undefined;
  } catch {
    return undefined;
  }
}

function takeLock(path: string): ServerDirectory {
  const file = join(path, LOCK_FILE);
  const mine = processName(process.pid);
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const fd = openSync(file, 'wx');
      writeSync(fd, mine);
      closeSync(fd);
      return { path, release: () => rmSync(file, { force: true }) };
    } catch (error) {
      if ((error as { code?: string }).code !== 'EEXIST') throw unusable(path, error);
    }
    const holder = readHolder(file);
    const pid = Number(holder.split(' ')[0]);
    if (Number.isInteger(pid) && pid > 0 && processName(pid) === holder) {
      throw failed(
        'EBUSY',
        `Process ${pid} already serves this directory`,
        path,
        'Stop that process, or serve another directory',
        -16,
      );
    }
    rmSync(file, { force: true });
  }
  throw failed('EBUSY', 'Another process is starting on this directory', path, 'Try again', -16);
}

function readHolder(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** A process by number and start time, so that a number that was given out again is another process; '' when it is gone. */
function processName(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return `${pid} ${fields[19]}`;
  } catch {
    return '';
  }
}
