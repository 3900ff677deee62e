/** One attempt of a request outside an import's slots and states: what connects, ends and recovers it (guide 05 §2, guide 06 §4). */
import { replyPortalOf, requestPortalOf } from '../rpc/portals.ts';
import type { Bulk } from '../rpc/rpc.ts';
import type { Outcome, Transmission } from '../rpc/transmission.ts';
import type { UnderWay } from '../rpc/under-way.ts';
import { buffersSize, encodeBuffers, type Format, type RequestInputs, rpcVersion } from '../wire/format.ts';
import { MsgType, RpcVersion } from '../wire/ptlrpc-constants.ts';
import type { ImportView } from './import-view.ts';

export interface Exchange<F extends Format> {
  readonly format: F;
  readonly opcode: number;
  readonly adaptive: boolean;
  readonly headerFlags: number;
  /** Seconds. */
  readonly timeout: number;
  readonly replyRoom: number;
  readonly values: RequestInputs<F>;
  /** Of an earlier request that is sent again; default new. */
  readonly xid?: number;
  readonly mbits?: number;
  readonly replySize?: number;
  readonly bulk?: Bulk | undefined;
  readonly portals?: { readonly request: number; readonly reply: number };
}

/** Sends it and waits for what comes of it; in `inFlight` meanwhile. */
export async function exchange<F extends Format>(
  view: ImportView,
  x: Exchange<F>,
  inFlight?: UnderWay<Transmission>,
): Promise<Outcome> {
  const { ptlrpc } = view;
  const xid = x.xid ?? ptlrpc.nextXid();
  const mbits = x.mbits ?? xid;
  const body = (x.values as { ptlrpc_body?: object }).ptlrpc_body;
  const values = {
    ...x.values,
    ptlrpc_body: {
      pb_handle: view.remoteHandle,
      pb_type: MsgType.PTL_RPC_MSG_REQUEST,
      pb_version: rpcVersion(x.opcode) | RpcVersion.PTLRPC_MSG_VERSION,
      pb_opc: x.opcode,
      pb_conn_cnt: view.connectCount,
      pb_timeout: x.timeout,
      pb_mbits: mbits,
      ...body,
    },
  } as RequestInputs<F>;
  const replySize = x.replySize ?? x.format.replySize + x.replyRoom;
  const inputs = values as { readonly [key: string]: unknown };
  const slab = ptlrpc.slabs.take(buffersSize(x.format.request, inputs));
  const header = { secflvr: view.flavour, repsize: replySize, flags: x.headerFlags };
  const bytes = encodeBuffers<F['request']>(x.format.request, values, header, slab.bytes);
  const requestPortal = x.portals?.request ?? requestPortalOf(view.kind, x.opcode);
  const latencyMs = view.timeouts.latency * 1000;
  const transmission = ptlrpc.send(
    {
      peer: view.nid,
      requestPortal,
      replyPortal: x.portals?.reply ?? replyPortalOf(requestPortal),
      xid,
      replyMatchBits: view.replyMbits ? mbits : xid,
      request: slab,
      requestLength: bytes.length,
      replySize,
      adaptive: x.adaptive,
      timeoutMs: x.timeout * 1000 + latencyMs,
      latencyMs,
      bulk: x.bulk,
      bulkMatchBits: mbits,
    },
    x.opcode,
    false,
  );
  const place = inFlight?.add(transmission);
  try {
    return await transmission.outcome;
  } finally {
    if (place !== undefined) inFlight?.remove(place);
    ptlrpc.slabs.give(slab);
  }
}
