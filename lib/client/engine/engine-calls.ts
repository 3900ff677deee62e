/**
 * What crosses between a program's thread and the thread of its engine (design: "Threads"): calls of `Engine` by name, their
 * results, and what the engine has to say besides. All of it plain values; memory is lent (lnet/lent-memory.ts).
 */
import type { RpcTrace } from '../../rpc/rpc-counters.ts';
import type { ErrorValue } from '../../runtime/error-values.ts';
import type { Counters, Engine } from '../engine.ts';

/** Calls that are forwarded as they are; `unmount` ends the thread and `abort` is no call. */
export type EngineCall = Exclude<keyof Engine, 'abort' | 'unmount'>;

/** How the arguments of each call cross: as values, or with a list of buffers as the second one, that the engine fills or
 * takes bytes from. */
export const engineCalls: { readonly [call in EngineCall]: 'values' | 'fills' | 'takes' } = {
  counters: 'values',
  pause: 'values',
  locks: 'values',
  stat: 'values',
  access: 'values',
  setattr: 'values',
  truncate: 'values',
  readlink: 'values',
  realpath: 'values',
  fid: 'values',
  pathOf: 'values',
  mkdir: 'values',
  mknod: 'values',
  symlink: 'values',
  link: 'values',
  rename: 'values',
  unlink: 'values',
  rmdir: 'values',
  open: 'values',
  close: 'values',
  read: 'fills',
  write: 'takes',
  handleCopyOut: 'values',
  handleCopyIn: 'values',
  handleFlightBounds: 'values',
  handleStat: 'values',
  handleSetattr: 'values',
  handleTruncate: 'values',
  handleSync: 'values',
  handleLock: 'values',
  handleTestLock: 'values',
  handleGroupLock: 'values',
  handleGroupUnlock: 'values',
  handleSeek: 'values',
  handleFallocate: 'values',
  handleExtents: 'values',
  handleAdvise: 'values',
  handleDataVersion: 'values',
  opendir: 'values',
  readdir: 'values',
  readdirStats: 'values',
  getLayout: 'values',
  setLayout: 'values',
  getDirectoryLayout: 'values',
  setDirectoryLayout: 'values',
  openLeased: 'values',
  openMirror: 'values',
  openUnnamed: 'values',
  changeLayout: 'values',
  getxattr: 'values',
  listxattr: 'values',
  setxattr: 'values',
  getHsmState: 'values',
  setHsmState: 'values',
  requestHsm: 'values',
  releaseHsm: 'values',
  openChangelog: 'values',
  readChangelog: 'values',
  clearChangelog: 'values',
  getProject: 'values',
  setProject: 'values',
  getQuota: 'values',
  setQuota: 'values',
  statfs: 'values',
  statfsTargets: 'values',
  sync: 'values',
};

/** Bytes of a call that cross as a copy at most: for so few, lending costs more than copying. */
export const COPIED_MAX = 16384;

/** How a buffer crosses: lent, by its number; as a copy of its bytes; or as the number of bytes that are to come back. */
export type Crossing = { readonly lent: number } | Uint8Array | { readonly room: number };

/** What the program's side may change while the engine runs. */
export interface EngineSettings {
  /** Of the caller's logger. */
  readonly logLevel: string;
  /** Somebody listens to the diagnostics channels. */
  readonly traced: boolean;
}

/** To the engine. The elements of a call: its number, its name, its arguments. */
export type ToEngine =
  | readonly ['call', number, EngineCall, readonly unknown[]]
  | readonly ['abort', number]
  | readonly ['settings', EngineSettings]
  | readonly ['unmount'];

export type TracedChannel = 'request' | 'reply';

/** From the engine. */
export type FromEngine =
  | readonly ['mounted']
  /** With the bytes for buffers that are not lent, each as far as it was filled. */
  | readonly ['done', number, unknown, (readonly Uint8Array[])?]
  | readonly ['failed', number, ErrorValue]
  /** A line of pino's JSON. */
  | readonly ['log', string]
  | readonly ['trace', TracedChannel, RpcTrace]
  /** The last message: the counters after the mount ended, or why it could not be made or ended. */
  | readonly ['ended', Counters | undefined, ErrorValue | undefined];
