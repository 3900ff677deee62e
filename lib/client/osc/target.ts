/** What the requests to one OST share. Each request is a file of its own in this folder. */
import type { ClientNamespace } from '../../ldlm/client-namespace.ts';
import type { BulkChecksumName, Endpoint } from '../../lnet/network.ts';
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
  /** False while an administrator has taken it out of use, or the user has. */
  readonly active: boolean;
  readonly grant: GrantLedger;
  readonly known: KnownObjects;
  readonly quota: QuotaMarks;
  /** Limits the data RPCs that are under way. */
  readonly slots: Slots;
  /** Those that go without a lock of ours. */
  readonly locklessSlots: Slots;
  /** Undefined: none. */
  readonly checksum: BulkChecksumName | undefined;
  /** Where data requests go. */
  readonly ioPortal: number;
  readonly counters: { checksumErrors: number; resends: number };
  /** The newest transaction that the server has made durable, as far as its replies have said; and whether it gets back what
   * it loses. */
  readonly committed: { readonly lastCommitted: bigint; readonly replayable: boolean };
}

export const OST_REQUEST_PORTAL = 28;
export const OST_IO_PORTAL = 6;
export const OST_CREATE_PORTAL = 7;
export const OST_BULK_PORTAL = 8;
