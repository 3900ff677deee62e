/** What the requests to one MDT share. Each request is a file of its own in this folder. */
import type { Fid } from '../../fid/fid.ts';
import type { SequenceClient } from '../../fid/sequence-client.ts';
import type { ClientNamespace } from '../../ldlm/client-namespace.ts';
import type { Caller } from '../../rpc/rpc.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import type { ObdConnectData } from '../../wire/connection-structs.ts';
import type { ObjectTarget } from '../osc/target.ts';
import type { GetattrBatch } from './getattr-batch.ts';

/** The import and namespace of an MDT, as its requests need them. */
export interface MetadataTarget {
  readonly index: number;
  readonly name: string;
  readonly nid: string;
  readonly caller: Caller;
  readonly locks: ClientNamespace;
  /** For getattr intents of many names. */
  readonly batch: GetattrBatch;
  /** For the data that this MDT keeps itself. */
  readonly data: ObjectTarget;
  readonly fids: SequenceClient;
  readonly runtime: Runtime;
  /** Grows with every eviction: handles and locks of an earlier one are void. */
  readonly generation: number;
  /** What the server granted at the last connect. */
  readonly granted: ObdConnectData;
}

export type { RequestContext, RequestOptions } from '../request-options.ts';

/** Early cancels: server handles of our own locks that the request conflicts with (guide 08 §5.3). */
export type EarlyCancels = readonly bigint[];

export const earlyCancelRequest = (
  handles: EarlyCancels,
): { lock_count: number; lock_handle: readonly bigint[] } => ({
  lock_count: handles.length,
  lock_handle: handles,
});

/** Portals that a client chooses by request, so that waiting ones do not block each other (guide 09 §1.1). */
export const MDS_REQUEST_PORTAL = 12;
export const MDS_IO_PORTAL = 13;
export const MDS_BULK_PORTAL = 14;
export const MDS_READPAGE_PORTAL = 23;

/** Room for a layout in requests and replies while nothing larger has been seen: what kernels begin with. */
export const EA_ROOM = 128;
/** Room for a layout, an ACL and what else varies in the reply to an intent, bytes. */
export const INTENT_REPLY_ROOM = 1024;

export function seconds(runtime: Runtime): bigint {
  return BigInt(Math.floor(runtime.wallTime() / 1000));
}

export type { Fid };
