/** What a target's lock manager is given: its limits, and what it asks of the target (guide 08 §3.3, §4.4, §9). */
import type { Runtime } from '../runtime/runtime.ts';
import type { ContentionOptions } from './contention.ts';
import type { ResourceId } from './lock.ts';

export interface ServerNamespaceOptions {
  /** For the log: `demo-OST0000`. */
  readonly name: string;
  readonly runtime: Runtime;
  /** OST objects: the LVB (ost_lvb) as the disk has it. A rejection fails the enqueue (ENOENT: no such object). */
  readonly lvb?: (resource: ResourceId) => Promise<Uint8Array> | Uint8Array;
  /** The least that a client has to answer a callback and to give a lock back (ldlm_enqueue_min); default 100 s. */
  readonly timeoutMs?: number;
  /** Most locks of all clients together; more are refused with EINPROGRESS; default 2 million. */
  readonly locksMax?: number;
  /** Locks beyond which a client is asked for its oldest; at twice as many it gets no more. Default a quarter of all. */
  readonly locksPerClient?: number;
  readonly contention?: ContentionOptions;
}
