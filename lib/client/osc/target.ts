/** What the requests to one OST share. Each request is a file of its own in this folder. */
import type { Fid } from '../../fid/fid.ts';
import type { ClientNamespace } from '../../ldlm/client-namespace.ts';
import type { ChecksumName, Endpoint } from '../../lnet/network.ts';
import type { Caller } from '../../rpc/rpc.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import type { ObdConnectData } from '../../wire/connection-structs.ts';
import type { GrantLedger } from './grant.ts';
import type { KnownObjects } from './known-objects.ts';
import type { QuotaMarks } from './quota-marks.ts';
import type { Slots } from './slots.ts';

/** The import, namespace and ledgers of an OST, as its requests need them. */
export interface ObjectTarget {
  readonly index: number;
  readonly name: string;
  readonly nid: string;
  readonly caller: Caller;
  readonly locks: ClientNamespace;
  readonly endpoint: Endpoint;
  readonly runtime: Runtime;
  readonly granted: ObdConnectData;
  readonly grant: GrantLedger;
  readonly known: KnownObjects;
  readonly quota: QuotaMarks;
  /** Limits the data RPCs that are under way. */
  readonly slots: Slots;
  /** Those that go without a lock of ours. */
  readonly locklessSlots: Slots;
  /** Undefined: none. */
  readonly checksum: ChecksumName | undefined;
  /** Where data requests go. */
  readonly ioPortal: number;
  readonly counters: { checksumErrors: number; resends: number };
  /** The newest transaction that the server has made durable, as far as its replies have said. */
  lastCommitted(): bigint;
}

/** One object of a striped file, with what requests say about the file. */
export interface StripeObject {
  readonly fid: Fid;
  /** The file. */
  readonly parent: Fid;
  readonly stripe: number;
  readonly stripeSize: number;
  readonly stripeCount: number;
  /** The component that it belongs to, of a composite layout. */
  readonly component?: { readonly id: number; readonly start: number; readonly end: number };
  /** Whom it is charged to; where it is not known, whoever writes. */
  readonly owner?: { readonly uid: number; readonly gid: number; readonly projid: number };
  /** Of a mirrored file: the layout that the client goes by, so that the server can refuse one that is out of date. */
  readonly layoutVersion?: number;
}

/** Owner ids that go with data, for the server's accounts. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
  /** The caller may use reserved resources (root). */
  readonly privileged: boolean;
}

export const OST_REQUEST_PORTAL = 28;
export const OST_IO_PORTAL = 6;
export const OST_CREATE_PORTAL = 7;
export const OST_BULK_PORTAL = 8;

/** End of file in extents and ranges. */
export const EOF = 0xffff_ffff_ffff_ffffn;
