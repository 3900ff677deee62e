/** What the calls of `Filesystem` take beside paths. */
import type { DirectoryStriping, StripingOptions } from './engine.ts';
import type { SignalOption } from './operations.ts';

export type PathLike = string | Uint8Array;

export interface StatOptions extends SignalOption {
  readonly bigint?: boolean;
}

export interface OpenOptions extends SignalOption, StripingOptions {
  /** Reads and writes go round the client's cache, straight between buffers and servers, whatever their size (O_DIRECT). */
  readonly direct?: boolean;
}

export interface MkdirOptions extends SignalOption, StripingOptions, DirectoryStriping {
  readonly recursive?: boolean;
  readonly mode?: number;
}

export interface ReaddirOptions extends SignalOption {
  readonly withFileTypes?: boolean;
  readonly recursive?: boolean;
}

export interface RmOptions extends SignalOption {
  readonly recursive?: boolean;
  readonly force?: boolean;
}

export interface ReadFileOptions extends SignalOption {
  readonly encoding?: BufferEncoding | null;
  readonly flag?: string | number;
}

export interface WriteFileOptions extends SignalOption, StripingOptions {
  readonly encoding?: BufferEncoding | null;
  readonly mode?: number;
  readonly flag?: string | number;
  /** Durable before it resolves. */
  readonly flush?: boolean;
}

export interface XattrOptions extends SignalOption {
  /** Of a symlink itself, not of what it leads to. */
  readonly noFollow?: boolean;
}
