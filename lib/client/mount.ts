/** Mounting: a session with all targets, the engine on it, and the file system that programs use. */

import { InlineEngine } from './engine/inline-engine.ts';
import { Filesystem } from './filesystem.ts';
import { connectSession } from './mount/connect.ts';
import { formatMountSpec, parseMountSpec } from './mount/mount-spec.ts';
import type { SessionOptions } from './mount/session-options.ts';

export interface EngineOptions extends SessionOptions {
  /** Told when calls are under way and when no more are; whoever starts a process keeps it alive meanwhile. */
  readonly onActivity?: (busy: boolean) => void;
  /** Called when the file system has been unmounted. */
  readonly onUnmount?: () => void | Promise<void>;
}

/** Mounts `NID[,NID][:NID]:/fsname[/directory]`. Rejects with EINVAL for a bad specification, with the connection's errors
 * (ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT ...), ENOENT for a file system that the MGS does not know. */
export async function mountFilesystem(spec: string, options: EngineOptions): Promise<Filesystem> {
  const text = formatMountSpec(parseMountSpec(spec));
  options.onActivity?.(true);
  try {
    const session = await connectSession(text, options);
    const engine = new InlineEngine(session, options.onActivity);
    return new Filesystem(engine, text, options.runtime, options.onUnmount);
  } finally {
    options.onActivity?.(false);
  }
}
