/** What an import is made of (guide 05 §2). */
import type { Nid } from '../lnet/nid.ts';
import type { TargetKind } from '../rpc/portals.ts';
import type { PtlRpc } from '../rpc/ptlrpc.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { ConnectGrant } from './target.ts';

export interface ImportOptions {
  readonly runtime: Runtime;
  readonly ptlrpc: PtlRpc;
  readonly target: { readonly name: string; readonly uuid: string; readonly kind: TargetKind };
  /** Tried in turn. */
  readonly nids: readonly Nid[];
  readonly clientUuid: string;
  /** Connect flags and fields asked, the same at every connect. */
  readonly ask: ConnectGrant;
  /** Disconnect after so long without requests, milliseconds; default never. */
  readonly idleTimeoutMs?: number;
  /** Asked before an idle disconnect: false while there are locks or other state at the server. */
  readonly mayIdle?: () => boolean;
  /** Our handle in the server's callbacks; default random. */
  readonly callbackHandle?: bigint;
  /** Requests in flight, of bulk and of others each; default 8. */
  readonly rpcsInFlightMax?: number;
  /** Modify slots asked for; default one less than requests in flight. */
  readonly modifySlotsMax?: number;
  /** LUSTRE_SP_*: who we are in lm_secflvr; default 3 towards an MGS, else 0 (client). */
  readonly securityPart?: number;
}

export interface ConnectOptions {
  /** How long a server may say "not yet" before connect() rejects; default 30 s. Attempts go on in the background. */
  readonly timeoutMs?: number;
}
