/**
 * An export: one client of one target as the server keeps it (guide 05 §2.4, §8; guide 04 §3.4, §10), and the way back to
 * it for lock callbacks.
 */
import type { Nid } from '../lnet/nid.ts';
import { requestTimeout } from '../rpc/adaptive-timeout.ts';
import { opcodeName, replyPortalOf } from '../rpc/portals.ts';
import type { PtlRpc } from '../rpc/ptlrpc.ts';
import type { Reply } from '../rpc/rpc.ts';
import type { Outcome } from '../rpc/transmission.ts';
import { UnrepliedList } from '../rpc/xid.ts';
import { Automaton } from '../runtime/automaton.ts';
import { Errno, type ErrorContext, errnoError, LustreError, ProtocolError } from '../runtime/errors.ts';
import type { Bits64 } from '../wire/bits64.ts';
import { ConnectFlag, ConnectFlag2 } from '../wire/connection-constants.ts';
import type { ObdConnectData } from '../wire/connection-structs.ts';
import {
  buffersSize,
  decodeBuffers,
  encodeBuffers,
  type Format,
  type ReplyValues,
  type RequestInputs,
  rpcVersion,
} from '../wire/format.ts';
import { Portal } from '../wire/opcodes.ts';
import { MsgFlag, MsgHeaderFlag, MsgType, RpcVersion } from '../wire/ptlrpc-constants.ts';
import { hasFlag, hasFlag2, repMbits } from './connect-data.ts';
import { type ExportAction, type ExportEvent, type ExportState, exportStates } from './export-states.ts';
import { PortalTimeouts } from './portal-timeouts.ts';
import { ReplyData } from './reply-data.ts';
import type { Export } from './target.ts';

/** Between two tries to reach a client whose connection broke. */
const CALLBACK_RETRY_MS = 200;

export interface ExportOptions {
  readonly ptlrpc: PtlRpc;
  readonly targetName: string;
  readonly clientUuid: string;
  readonly handle: bigint;
  readonly callbackHandle: bigint;
  readonly peer: Nid;
  readonly connectData: ObdConnectData;
  readonly connectCount: number;
  /** The client is a server: it comes back under the same uuid after a restart. */
  readonly isServer: boolean;
  readonly actions: { readonly [action in ExportAction]: (client: ClientExport) => void };
}

export class ClientExport implements Export {
  readonly clientUuid: string;
  readonly handle: bigint;
  readonly targetName: string;
  readonly isServer: boolean;
  readonly state = new Map<symbol, unknown>();
  readonly replies = new ReplyData();
  callbackHandle: bigint;
  peer: Nid;
  connectCount: number;
  /** exp_last_xid: the client has told that it has all replies up to here. */
  lastXid: Bits64 = 0;
  /** Highest transno this client was given. */
  lastTransno = 0n;
  /** Requests in an operation's hands. */
  requests = 0;
  lastRequestAt: number;
  evictReason = '';
  /** The target has been told that it is gone. */
  released = false;
  #connectData!: ObdConnectData;
  /** What the connection's flags say that every request asks of. */
  replyMbits = false;
  bulkMbits = false;
  growingXids = false;
  /** It keeps as many unused locks as replies tell it. */
  resizesLru = false;
  readonly #ptlrpc: PtlRpc;
  readonly #timeouts: PortalTimeouts;
  readonly #callbacks = new UnrepliedList();
  readonly #automaton: Automaton<ExportState, ExportEvent, ExportAction, undefined>;

  constructor(options: ExportOptions) {
    this.#ptlrpc = options.ptlrpc;
    this.targetName = options.targetName;
    this.clientUuid = options.clientUuid;
    this.handle = options.handle;
    this.callbackHandle = options.callbackHandle;
    this.peer = options.peer;
    this.isServer = options.isServer;
    this.connectData = options.connectData;
    this.connectCount = options.connectCount;
    this.lastRequestAt = options.ptlrpc.runtime.now();
    this.#timeouts = new PortalTimeouts(options.ptlrpc.timeouts);
    const { actions } = options;
    const bound = Object.fromEntries(
      Object.entries(actions).map(([name, action]) => [name, () => action(this)]),
    ) as { [action in ExportAction]: () => void };
    this.#automaton = new Automaton(exportStates, `${options.targetName} ${options.clientUuid}`, bound);
  }

  get exportState(): ExportState {
    return this.#automaton.state;
  }

  get connectData(): ObdConnectData {
    return this.#connectData;
  }

  set connectData(granted: ObdConnectData) {
    this.#connectData = granted;
    this.replyMbits = hasFlag2(granted, repMbits);
    this.bulkMbits = hasFlag(granted, ConnectFlag.OBD_CONNECT_BULK_MBITS);
    this.growingXids = hasFlag2(granted, ConnectFlag2.OBD_CONNECT2_INC_XID);
    this.resizesLru = hasFlag(granted, ConnectFlag.OBD_CONNECT_LRU_RESIZE);
  }

  get connected(): boolean {
    return this.exportState === 'CONNECTED';
  }

  dispatch(event: ExportEvent): void {
    this.#automaton.dispatch(event, undefined);
  }

  accepts(event: ExportEvent): boolean {
    return this.#automaton.accepts(event);
  }

  evict(reason: string): void {
    if (!this.#automaton.accepts('evict')) return;
    this.evictReason = reason;
    this.dispatch('evict');
  }

  async callback<F extends Format>(
    format: F,
    request: RequestInputs<F>,
    options: { timeoutMs?: number; opcode?: number } = {},
  ): Promise<Reply<F>> {
    const opcode = options.opcode ?? format.opcodes[0] ?? 0;
    const context = (): ErrorContext => ({
      opcode: opcodeName(opcode),
      target: this.targetName,
      nid: this.peer,
    });
    if (!this.connected) throw errnoError(Errno.ENOTCONN, context());
    const xid = this.#ptlrpc.nextXid();
    const { runtime } = this.#ptlrpc;
    const timeout = options.timeoutMs ?? 1000 * this.#callbackTimeout();
    const giveUpAt = runtime.now() + timeout;
    this.#callbacks.add(xid);
    try {
      for (let resent = false; ; resent = true) {
        const seconds = Math.max(1, Math.ceil((giveUpAt - runtime.now()) / 1000));
        const outcome = await this.#sendCallback(format, request, { opcode, xid, seconds, resent });
        if (outcome.kind === 'reply') return callbackReply(format, outcome, xid, context());
        // A broken connection is no answer of the client's: it may be about to come back.
        const retry = outcome.kind === 'network' && runtime.now() + CALLBACK_RETRY_MS < giveUpAt;
        if (!retry || !this.connected) throw callbackError(outcome, context());
        await new Promise<void>((resolve) => void runtime.after(CALLBACK_RETRY_MS, resolve));
      }
    } finally {
      this.#callbacks.remove(xid);
    }
  }

  #callbackTimeout(): number {
    return requestTimeout(this.#timeouts.estimate(Portal.LDLM_CB_REQUEST_PORTAL));
  }

  /** As captured servers do: connection count 0, null flavour, the client's own handle (guide 04 §10). */
  async #sendCallback<F extends Format>(
    format: F,
    request: RequestInputs<F>,
    how: { opcode: number; xid: number; seconds: number; resent: boolean },
  ): Promise<Outcome> {
    const { slabs, runtime } = this.#ptlrpc;
    const { opcode, xid, seconds: timeout, resent } = how;
    const portal = Portal.LDLM_CB_REQUEST_PORTAL;
    const inputs = {
      ...request,
      ptlrpc_body: {
        pb_handle: this.callbackHandle,
        pb_type: MsgType.PTL_RPC_MSG_REQUEST,
        pb_version: rpcVersion(opcode) | RpcVersion.PTLRPC_MSG_VERSION,
        pb_opc: opcode,
        pb_flags: resent ? MsgFlag.MSG_RESENT : 0,
        pb_last_xid: this.#callbacks.lastXid(),
        pb_timeout: timeout,
        pb_mbits: xid,
      },
    } as RequestInputs<F>;
    const adaptive = hasFlag(this.connectData, ConnectFlag.OBD_CONNECT_AT);
    const flags = (adaptive ? MsgHeaderFlag.MSGHDR_AT_SUPPORT : 0) | MsgHeaderFlag.MSGHDR_CKSUM_INCOMPAT18;
    // A glimpse's reply carries an LVB of unknown size.
    const replySize = buffersSize(format.reply, {}, true) + 256;
    const size = buffersSize(format.request, inputs as { readonly [key: string]: unknown });
    const slab = slabs.take(size);
    const bytes = encodeBuffers<F['request']>(
      format.request,
      inputs,
      { flags, repsize: replySize },
      slab.bytes,
    );
    const latencyMs = this.#timeouts.latency * 1000;
    const transmission = this.#ptlrpc.send(
      {
        peer: this.peer,
        requestPortal: portal,
        replyPortal: replyPortalOf(portal),
        xid,
        replyMatchBits: xid,
        request: slab,
        requestLength: bytes.length,
        replySize,
        adaptive,
        timeoutMs: timeout * 1000 + latencyMs,
        latencyMs,
        bulkMatchBits: 0,
      },
      opcode,
      resent,
    );
    const outcome = await transmission.outcome;
    slabs.give(slab);
    if (outcome.kind === 'reply')
      this.#timeouts.measure(portal, outcome.body, outcome.elapsedMs, runtime.now());
    return outcome;
  }
}

function callbackError(outcome: Exclude<Outcome, { kind: 'reply' }>, context: ErrorContext): LustreError {
  switch (outcome.kind) {
    case 'timeout':
      return errnoError(Errno.ETIMEDOUT, context);
    case 'network': {
      const { error } = outcome;
      const errno = error instanceof LustreError && error.errno !== 0 ? error.errno : Errno.EIO;
      return errnoError(errno, { ...context, cause: error });
    }
    case 'aborted':
      return errnoError(Errno.ESHUTDOWN, context);
    default:
      return new ProtocolError('ERR_LUSTRE_REPLY', 'malformed reply to a callback', context);
  }
}

function callbackReply<F extends Format>(
  format: F,
  outcome: Outcome & { kind: 'reply' },
  xid: number,
  context: ErrorContext,
): Reply<F> {
  const { body, message } = outcome;
  if (body.pb_status < 0) throw errnoError(body.pb_status, context);
  if (body.pb_type === MsgType.PTL_RPC_MSG_ERR) throw errnoError(Errno.EINVAL, context);
  try {
    const values = decodeBuffers(format.reply, message) as ReplyValues<F>;
    return { values, status: body.pb_status, xid, transno: body.pb_transno, bulkBytes: 0 };
  } catch (cause) {
    throw new ProtocolError('ERR_LUSTRE_REPLY', 'malformed reply to a callback', { ...context, cause });
  }
}
