/** Open flags as node:fs takes them: text or number, to the flags that an MDT knows (guide 09 §5). */
import { constants } from 'node:fs';
import { LustreError } from '../runtime/errors.ts';
import { OpenFlag } from '../wire/mds-constants.ts';

const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_SYNC, O_DIRECTORY, O_NOFOLLOW } =
  constants;
const ACCESS_MASK = O_RDONLY | O_WRONLY | O_RDWR;

const byText: Readonly<Record<string, number>> = {
  r: O_RDONLY,
  rs: O_RDONLY | O_SYNC,
  'r+': O_RDWR,
  'rs+': O_RDWR | O_SYNC,
  w: O_WRONLY | O_CREAT | O_TRUNC,
  wx: O_WRONLY | O_CREAT | O_TRUNC | O_EXCL,
  'w+': O_RDWR | O_CREAT | O_TRUNC,
  'wx+': O_RDWR | O_CREAT | O_TRUNC | O_EXCL,
  a: O_WRONLY | O_CREAT | O_APPEND,
  ax: O_WRONLY | O_CREAT | O_APPEND | O_EXCL,
  as: O_WRONLY | O_CREAT | O_APPEND | O_SYNC,
  'a+': O_RDWR | O_CREAT | O_APPEND,
  'ax+': O_RDWR | O_CREAT | O_APPEND | O_EXCL,
  'as+': O_RDWR | O_CREAT | O_APPEND | O_SYNC,
};
const aliases: Readonly<Record<string, string>> = {
  sr: 'rs',
  'sr+': 'rs+',
  xw: 'wx',
  'xw+': 'wx+',
  xa: 'ax',
  sa: 'as',
  'xa+': 'ax+',
  'sa+': 'as+',
};

/** Number of node:fs flags. Throws ERR_INVALID_ARG_VALUE for text that is none. */
export function parseFlags(flags: string | number = 'r'): number {
  if (typeof flags === 'number') return flags;
  const value = byText[aliases[flags] ?? flags];
  if (value === undefined) {
    throw new LustreError('ERR_INVALID_ARG_VALUE', `'${flags}' are no open flags`, {
      hint: `Write one of ${Object.keys(byText).join(', ')}`,
    });
  }
  return value;
}

export const canRead = (flags: number): boolean => (flags & ACCESS_MASK) !== O_WRONLY;
export const canWrite = (flags: number): boolean => (flags & ACCESS_MASK) !== O_RDONLY;
export const appends = (flags: number): boolean => (flags & O_APPEND) !== 0;
export const truncates = (flags: number): boolean => (flags & O_TRUNC) !== 0;
export const isSync = (flags: number): boolean => (flags & O_SYNC) === O_SYNC;
export const isDirect = (flags: number): boolean => (flags & constants.O_DIRECT) !== 0;
export const noFollow = (flags: number): boolean => (flags & O_NOFOLLOW) !== 0;
export const creates = (flags: number): boolean => (flags & O_CREAT) !== 0;

/** Neither writes, makes nor cuts: the open of such a file has no effect of its own. */
export const readsOnly = (flags: number): boolean =>
  !canWrite(flags) && (flags & (O_CREAT | O_TRUNC | O_EXCL | O_SYNC)) === 0;
export const wantsDirectory = (flags: number): boolean => (flags & O_DIRECTORY) !== 0;

/** The open flags of the request. */
export function openFlags(flags: number): bigint {
  let open = 0n;
  if (canRead(flags)) open |= OpenFlag.MDS_FMODE_READ;
  if (canWrite(flags)) open |= OpenFlag.MDS_FMODE_WRITE;
  if (creates(flags)) open |= OpenFlag.MDS_OPEN_CREAT;
  if ((flags & O_EXCL) !== 0) open |= OpenFlag.MDS_OPEN_EXCL;
  if (truncates(flags)) open |= OpenFlag.MDS_OPEN_TRUNC;
  if (appends(flags)) open |= OpenFlag.MDS_OPEN_APPEND;
  if (isSync(flags)) open |= OpenFlag.MDS_OPEN_SYNC;
  if ((flags & O_DIRECTORY) !== 0) open |= OpenFlag.MDS_OPEN_DIRECTORY;
  if (noFollow(flags)) open |= OpenFlag.MDS_OPEN_NOFOLLOW;
  return open;
}
