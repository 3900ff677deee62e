/**
 * The one error type of the library. Operating errors carry Node's codes (`ENOENT`, `errno`, `syscall`,
 * `path`) so that they read like those of `node:fs`, and beside them what Lustre knows: the FID, the
 * target, the NID and the opcode.
 */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** What was tried and on what; every known part goes into the message. */
export interface ErrorContext {
  /** The operation: a system call's name (`open`) or what a person would call it (`connect`). */
  syscall?: string | undefined;
  path?: string | undefined;
  dest?: string | undefined;
  fid?: string | undefined;
  target?: string | undefined;
  nid?: string | undefined;
  opcode?: string | undefined;
  /** What to do about it, as a sentence. */
  hint?: string | undefined;
  cause?: unknown;
}

/** An error of the Lustre client, servers or protocol. `code` is a Node code or `ERR_LUSTRE_…`. */
export class LustreError extends Error {
  readonly code: string;
  /** Negative Linux errno, as `node:fs` errors carry it; 0 when the error has no errno. */
  readonly errno: number;
  readonly syscall: string | undefined;
  readonly path: string | undefined;
  readonly dest: string | undefined;
  readonly fid: string | undefined;
  readonly target: string | undefined;
  readonly nid: string | undefined;
  readonly opcode: string | undefined;

  constructor(code: string, message: string, context: ErrorContext = {}, errno = 0) {
    super(
      describe(code, message, context),
      context.cause === undefined ? undefined : { cause: context.cause },
    );
    this.name = 'LustreError';
    this.code = code;
    this.errno = errno;
    this.syscall = context.syscall;
    this.path = context.path;
    this.dest = context.dest;
    this.fid = context.fid;
    this.target = context.target;
    this.nid = context.nid;
    this.opcode = context.opcode;
  }
}

/** A peer broke the protocol: bad magic, length, count, offset, enum, handle or an event out of turn. */
export class ProtocolError extends LustreError {
  constructor(code: string, message: string, context: ErrorContext = {}, errno = -71) {
    super(code, message, context, errno);
    this.name = 'ProtocolError';
  }
}

/** Linux errno values by name; wire errnos are Linux/x86 numbers on every architecture (guide 04 §4.4). */
// biome-ignore format: a table
export const Errno = {
  EPERM: 1, ENOENT: 2, EIO: 5, ENXIO: 6, E2BIG: 7, EBADF: 9, EAGAIN: 11, ENOMEM: 12, EACCES: 13, EFAULT: 14,
  EBUSY: 16, EEXIST: 17, EXDEV: 18, ENODEV: 19, ENOTDIR: 20, EISDIR: 21, EINVAL: 22, EFBIG: 27, ENOSPC: 28,
  EROFS: 30, EMLINK: 31, ERANGE: 34, EDEADLK: 35, ENAMETOOLONG: 36, ENOLCK: 37, ENOTEMPTY: 39, ELOOP: 40, ENODATA: 61,
  ETIME: 62, EREMOTE: 66, EPROTO: 71, EBADR: 53, EOVERFLOW: 75, EOPNOTSUPP: 95, EADDRINUSE: 98,
  ECONNRESET: 104, ESHUTDOWN: 108, ETIMEDOUT: 110, ECONNREFUSED: 111, EHOSTUNREACH: 113, EALREADY: 114,
  EUSERS: 87, EINPROGRESS: 115, ESTALE: 116, EDQUOT: 122, ECANCELED: 125, ENOTCONN: 107, EBADE: 52,
} as const;
export type ErrnoName = keyof typeof Errno;

const nameByNumber = new Map<number, string>(Object.entries(Errno).map(([name, n]) => [n, name]));
const systemNames = new Map<number, string>(Object.entries(constants.errno).map(([name, n]) => [n, name]));
const systemText = new Map<string, string>([...getSystemErrorMap().values()]);

/** The name of a Linux errno given as a positive or negative number: `errnoName(-2) === 'ENOENT'`. */
export function errnoName(errno: number): string {
  const n = Math.abs(errno);
  return nameByNumber.get(n) ?? systemNames.get(n) ?? `E${n}`;
}

/** An operating error in Node's form from a Linux errno (either sign). */
export function errnoError(errno: number, context: ErrorContext = {}): LustreError {
  const code = errnoName(errno);
  return new LustreError(code, systemText.get(code) ?? code, context, -Math.abs(errno));
}

/** The positive Linux errno of any error: its own `errno`, else from its `code`, else EIO. */
export function errnoOf(error: unknown): number {
  const e = error as { errno?: unknown; code?: unknown };
  if (typeof e?.errno === 'number' && e.errno !== 0) return Math.abs(e.errno);
  if (typeof e?.code === 'string' && e.code in Errno) return Errno[e.code as ErrnoName];
  return Errno.EIO;
}

function describe(code: string, message: string, c: ErrorContext): string {
  let text = code.startsWith('ERR_') ? message : `${code}: ${message}`;
  if (c.syscall !== undefined) text += `, ${c.syscall}`;
  if (c.path !== undefined) text += ` '${c.path}'`;
  if (c.dest !== undefined) text += ` -> '${c.dest}'`;
  const where = [c.opcode, c.fid, c.target, c.nid].filter((part) => part !== undefined);
  if (where.length > 0) text += ` (${where.join(' ')})`;
  if (c.hint !== undefined) text += `. ${c.hint}`;
  return text;
}
