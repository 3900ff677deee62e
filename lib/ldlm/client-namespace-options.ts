/** What a client's namespace of locks is given: its import, and what happens to what lives under locks (guide 08 §5, §7). */
import type { Caller } from '../rpc/rpc.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { ObdConnectData } from '../wire/connection-structs.ts';
import type { LdlmRequestInput } from '../wire/format.ts';
import type { LdlmReply } from '../wire/ldlm-structs.ts';
import type { ClientLock } from './client-lock.ts';
import type { LruOptions, ServerVolume } from './lock-lru.ts';

/** What a namespace needs of its import. */
export interface LockImport extends Caller {
  /** Our handle in the server's callbacks: how an AST finds this namespace. */
  readonly callbackHandle: bigint;
  /** Of the server, for the log. */
  readonly nid?: string;
  /** What the server last said of how many locks we may keep. */
  readonly lockVolume?: ServerVolume;
  /** What the server granted at connect: whether it takes early cancels, and converts. */
  readonly granted?: ObdConnectData;
  onEvicted(listener: () => void | Promise<void>): void;
  /** Runs when a server that was started again takes locks back. */
  onLockReplay?(listener: (send: (request: LdlmRequestInput) => Promise<LdlmReply>) => Promise<void>): void;
}

export interface ClientNamespaceOptions {
  /** For the log and errors: `demo-OST0000`. */
  readonly name: string;
  readonly runtime: Runtime;
  readonly import: LockImport;
  /** Writes and drops what is cached under the lock, before it goes back. With `lock.discardData` dirty data is dropped
   * unwritten. `bits`: those of a lock on inode bits that go; the lock has the others still. A rejection is logged; the
   * lock goes back all the same. */
  readonly onBlocking?: (lock: ClientLock, bits: bigint) => Promise<void> | void;
  /** False while something has to be written, closed or waited for before the lock can go back: then it does not go with
   * somebody else's request. Without it no lock does for which there is an `onBlocking`. */
  readonly goesAtOnce?: (lock: ClientLock) => boolean;
  /** The LVB as this client knows it (ost_lvb); undefined when it does not know the object. */
  readonly onGlimpse?: (lock: ClientLock) => Uint8Array | undefined;
  /** The server has forgotten the lock (eviction): what is cached under it is void, dirty data is lost. */
  readonly onLost?: (lock: ClientLock) => void;
  readonly lru?: LruOptions;
}
