/** What the operations of an OST share. */
import type { ServerNamespace } from '../../ldlm/server-namespace.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import type { ObjectStore } from '../store/object-store.ts';
import type { BulkMemory } from './bulk-memory.ts';
import type { CommitLog } from './commit-log.ts';
import type { DataSequences } from './data-sequences.ts';
import type { Grants } from './grants.ts';
import type { MovedBytes } from './moved-bytes.ts';
import type { SpaceGauge } from './space.ts';

/** An object storage target: its store, locks, grants and counters. */
export interface OstContext {
  readonly name: string;
  readonly index: number;
  readonly runtime: Runtime;
  readonly store: ObjectStore;
  readonly locks: ServerNamespace;
  readonly grants: Grants;
  readonly commits: CommitLog;
  readonly space: SpaceGauge;
  readonly memory: BulkMemory;
  readonly moved: MovedBytes;
  readonly sequences: DataSequences;
}

/** End of file in lock extents and obdo ranges. */
export const OBJECT_EOF = 0xffff_ffff_ffff_ffffn;
/** ocd_maxbytes: the largest object. */
export const OBJECT_BYTES_MAX = 0xfff_ffff_f000n;
