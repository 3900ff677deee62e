/** What calls, connects and recovery see of their import. */
import type { Nid } from '../lnet/nid.ts';
import type { TargetKind } from '../rpc/portals.ts';
import type { PtlRpc } from '../rpc/ptlrpc.ts';
import type { CallOptions } from '../rpc/rpc.ts';
import type { Transmission } from '../rpc/transmission.ts';
import type { UnrepliedList } from '../rpc/xid.ts';
import type { ErrorContext } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { PtlrpcBody } from '../wire/format.ts';
import type { PortalTimeouts } from './portal-timeouts.ts';
import type { ReplayList } from './replay-list.ts';
import type { Slots } from './request-slots.ts';

/** What a call sees of its import; read anew for each attempt. */
export interface ImportView {
  readonly runtime: Runtime;
  readonly ptlrpc: PtlRpc;
  readonly kind: TargetKind;
  readonly targetName: string;
  readonly nid: Nid;
  readonly generation: number;
  readonly connectCount: number;
  readonly remoteHandle: bigint;
  /** lm_secflvr. */
  readonly flavour: number;
  /** lm_flags. */
  readonly headerFlags: number;
  readonly adaptive: boolean;
  readonly bulkMbits: boolean;
  readonly replyMbits: boolean;
  readonly timeouts: PortalTimeouts;
  readonly unreplied: UnrepliedList;
  readonly replays: ReplayList;
  /** What is done may be replayed. */
  readonly replayable: boolean;
  /** Runtime.now() of the last reply to anything. */
  readonly lastReplyAt: number;
  readonly modifySlots: Slots;
  readonly bulkSlots: Slots;
  readonly generalSlots: Slots;
  /** Requests of `generation` may be sent now. */
  mayStart(generation: number): boolean;
  /** Resolves when to look again. Throws when they never will. */
  ready(generation: number, options: CallOptions, resend: boolean, context: ErrorContext): Promise<void>;
  /** A call has ended, whatever became of it. */
  finished(opcode: number): void;
  /** An attempt of one; `started` gives its place, which `ended` takes. */
  started(transmission: Transmission): number;
  ended(place: number): void;
  /** The attempt made with `connectCount` found the connection dead. */
  lost(connectCount: number, reason: Error): void;
  replied(body: PtlrpcBody, opcode: number): void;
}
