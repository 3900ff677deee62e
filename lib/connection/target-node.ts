/**
 * A server node: the targets behind one endpoint (guide 16 §1). Every request is checked in the kernel's order (guide 04
 * §5, §3.4) before a target's operation sees it; connect, disconnect and ping are answered here.
 */
import { silenceLimitMs } from '../rpc/adaptive-timeout.ts';
import { isConnect, isDisconnect, opcodeName } from '../rpc/portals.ts';
import type { PtlRpc } from '../rpc/ptlrpc.ts';
import type { IncomingRequest } from '../rpc/rpc.ts';
import { BulkError } from '../rpc/server-bulk.ts';
import type { ServiceOptions } from '../rpc/service.ts';
import { Errno, LustreError, ProtocolError } from '../runtime/errors.ts';
import type { Runtime, Timer } from '../runtime/runtime.ts';
import { bodyBits, type Format, type RequestValues, rpcVersion } from '../wire/format.ts';
import { RQF_CONNECT, RQF_MDS_DISCONNECT, RQF_OBD_PING } from '../wire/formats.ts';
import { Opcode, Portal } from '../wire/opcodes.ts';
import { MsgFlag, RpcLimit, RpcVersion } from '../wire/ptlrpc-constants.ts';
import { WireError } from '../wire/struct.ts';
import type { ClientExport } from './client-export.ts';
import { TAG_MAX } from './reply-data.ts';
import { failureOf, ServedTarget } from './served-target.ts';
import type { Export, Target } from './target.ts';
import { TargetCall } from './target-call.ts';

/** Portals by the largest request each takes (guide 04 §2.2). Cancels have a service of their own, so that none waits
 * behind what waits for it. */
const services: readonly Omit<ServiceOptions, 'handler'>[] = [
  {
    portals: [Portal.MDS_REQUEST_PORTAL, Portal.MDS_IO_PORTAL, Portal.MDS_READPAGE_PORTAL],
    requestSizeMax: RpcLimit.MDS_REG_MAXREQSIZE,
  },
  {
    portals: [
      Portal.OST_REQUEST_PORTAL,
      Portal.OST_CREATE_PORTAL,
      Portal.MGS_REQUEST_PORTAL,
      Portal.SEQ_CONTROLLER_PORTAL,
      Portal.SEQ_METADATA_PORTAL,
      Portal.SEQ_DATA_PORTAL,
      Portal.FLD_REQUEST_PORTAL,
    ],
    requestSizeMax: RpcLimit.OST_MAXREQSIZE,
  },
  { portals: [Portal.OST_IO_PORTAL], requestSizeMax: RpcLimit.OST_IO_MAXREQSIZE },
  { portals: [Portal.OUT_PORTAL], requestSizeMax: RpcLimit.OUT_MAXREQSIZE, buffers: 2, bufferSize: 2 << 20 },
  { portals: [Portal.LDLM_CANCEL_REQUEST_PORTAL], requestSizeMax: RpcLimit.MDS_REG_MAXREQSIZE },
];

export class TargetNode {
  readonly #ptlrpc: PtlRpc;
  readonly #runtime: Runtime;
  readonly #targets = new Map<string, ServedTarget>();
  readonly #exports = new Map<bigint, { readonly client: ClientExport; readonly of: ServedTarget }>();
  readonly #services: { close(): Promise<void> }[];
  #silenceTimer: Timer | undefined;
  #closed = false;

  constructor(ptlrpc: PtlRpc, runtime: Runtime) {
    this.#ptlrpc = ptlrpc;
    this.#runtime = runtime;
    this.#services = services.map((service) =>
      ptlrpc.serve({
        ...service,
        handler: (request) => this.#handle(request),
        isUrgent: (request) => this.#isUrgent(request),
      }),
    );
    this.#armSilence();
  }

  /** Serves a target from now on. Throws EEXIST when one of that name is there. */
  add(target: Target): void {
    if (this.#targets.has(target.name))
      throw new LustreError('EEXIST', 'the target is served already', { target: target.name }, -Errno.EEXIST);
    const served: ServedTarget = new ServedTarget(target, this.#ptlrpc, this.#runtime, {
      register: (client) => this.#exports.set(client.handle, { client, of: served }),
      forget: (client) => this.#exports.delete(client.handle),
    });
    this.#targets.set(target.name, served);
  }

  /** Stops serving a target: its exports end, connects are told -ENODEV, and what its operations are doing is waited for. */
  async remove(name: string): Promise<void> {
    const served = this.#targets.get(name);
    if (served === undefined) return;
    this.#targets.delete(name);
    await served.stop();
  }

  /** The clients of a target, or of all. */
  exports(targetName?: string): Export[] {
    const all = [...this.#exports.values()];
    return all
      .filter(({ of }) => targetName === undefined || of.target.name === targetName)
      .map(({ client }) => client);
  }

  /** Stops all targets and services. The PtlRpc stays open. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#silenceTimer?.cancel();
    await Promise.all([...this.#targets.keys()].map((name) => this.remove(name)));
    await Promise.all(this.#services.map((service) => service.close()));
  }

  #handle(request: IncomingRequest): void | Promise<void> {
    if (isConnect(request.opcode)) return this.#connect(request);
    const found = this.#exports.get(request.body.pb_handle);
    if (found === undefined) {
      request.replyError(Errno.ENOTCONN);
      return;
    }
    const { client, of: served } = found;
    if (this.#admit(request, client, served)) return this.#serve(request, client, served);
  }

  #isUrgent(request: IncomingRequest): boolean {
    const found = this.#exports.get(request.body.pb_handle);
    return found?.of.target.isUrgent?.(found.client, request) ?? false;
  }

  async #connect(request: IncomingRequest): Promise<void> {
    const { peer } = request;
    let values: RequestValues<typeof RQF_CONNECT>;
    try {
      values = request.decode(RQF_CONNECT);
    } catch (error) {
      this.#runtime.log.warn({ peer, reason: (error as Error).message }, 'malformed connect');
      request.replyError(Errno.EPROTO);
      return;
    }
    const name = values.tgtuuid ?? '';
    const served = this.#find(name);
    if ((request.body.pb_version & RpcVersion.LUSTRE_VERSION_MASK) !== rpcVersion(request.opcode)) {
      request.replyError(Errno.EINVAL);
    } else if (served === undefined || served.stopping) {
      this.#runtime.log.info({ peer, asked: name.slice(0, 64) }, 'connect to a target that is not here');
      request.replyError(Errno.ENODEV);
    } else await served.connect(request, values);
  }

  #find(name: string): ServedTarget | undefined {
    const bare = this.#targets.get(name);
    if (bare !== undefined) return bare;
    for (const served of this.#targets.values()) {
      if (served.target.uuid === name || `${served.target.name}_UUID` === name) return served;
    }
    return undefined;
  }

  /** Guide 04 §5 steps 4 to 9 and §3.4. False when the request has been answered or dropped. */
  #admit(request: IncomingRequest, client: ClientExport, served: ServedTarget): boolean {
    const { body, xid, opcode } = request;
    if (body.pb_conn_cnt < client.connectCount) {
      request.drop('of an older connection');
      return false;
    }
    client.lastRequestAt = this.#runtime.now();
    const refuse = (errno: number, reason: string): boolean => {
      this.#runtime.log.warn(
        { peer: request.peer, target: served.target.name, opcode: opcodeName(opcode), xid, errno, reason },
        'request refused',
      );
      request.replyError(errno);
      return false;
    };
    if (served.stopping) return refuse(Errno.ENODEV, 'the target stops');
    if (!client.connected) return refuse(Errno.ENOTCONN, 'disconnecting');
    const replay = (body.pb_flags & (MsgFlag.MSG_REPLAY | MsgFlag.MSG_REQ_REPLAY_DONE)) !== 0;
    if (replay || body.pb_transno !== 0n) {
      client.evict('replay outside of a recovery');
      return refuse(Errno.ENODEV, 'replay outside of a recovery');
    }
    const lastXid = bodyBits(request.message, 'pb_last_xid');
    if (lastXid > client.lastXid) {
      client.lastXid = lastXid;
      client.replies.release(lastXid);
    }
    if (xid === 0 || xid <= client.lastXid) return refuse(Errno.EPROTO, 'XID already replied to');
    if (body.pb_tag > TAG_MAX) return refuse(Errno.EPROTO, 'no such modify slot');
    request.useMbits(client.replyMbits, client.bulkMbits);
    return this.#reconstruct(request, client, refuse);
  }

  /** Guide 06 §7.3: a request that was done already gets its reply again. */
  #reconstruct(
    request: IncomingRequest,
    client: ClientExport,
    refuse: (errno: number, reason: string) => boolean,
  ): boolean {
    const { body, xid } = request;
    if (body.pb_tag === 0) return true;
    const resent = (body.pb_flags & MsgFlag.MSG_RESENT) !== 0;
    const kept = client.replies.find(xid);
    if (kept !== undefined && resent) {
      request.replyAgain(kept);
      return false;
    }
    if (kept !== undefined) return refuse(Errno.ENOTCONN, 'XID used twice');
    if (client.growingXids && client.replies.xidOf(body.pb_tag) > xid)
      return refuse(Errno.EPROTO, 'the modify slot has a later request');
    return true;
  }

  /** One asynchronous function for a request at most, and none for one that is answered at once: each would cost every request. */
  #serve(request: IncomingRequest, client: ClientExport, served: ServedTarget): void | Promise<void> {
    const operation = served.target.operations.get(request.opcode);
    const ours = request.opcode === Opcode.OBD_PING || isDisconnect(request.opcode);
    if (operation === undefined || ours) return this.#serveBuiltIn(request, client, served);
    let call: TargetCall<Format> | undefined;
    let work: Promise<void> | undefined;
    served.begin(client);
    try {
      if (!this.#versionFits(request)) request.replyError(Errno.EINVAL);
      else {
        const { format } = operation;
        const chosen = typeof format === 'function' ? format(request) : format;
        call = new TargetCall(served, client, request, chosen, request.decode(chosen));
        const handling = operation.handle(call);
        if (handling !== undefined) work = handling;
      }
    } catch (error) {
      this.#operationFailed(error, request, call, served);
    } finally {
      if (work === undefined) served.end(client);
    }
    if (work !== undefined) return this.#await(work, request, call, served, client);
  }

  async #await(
    work: Promise<void>,
    request: IncomingRequest,
    call: TargetCall<Format> | undefined,
    served: ServedTarget,
    client: ClientExport,
  ): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#operationFailed(error, request, call, served);
    } finally {
      served.end(client);
    }
  }

  #versionFits({ body, opcode }: IncomingRequest): boolean {
    return (body.pb_version & RpcVersion.LUSTRE_VERSION_MASK) === rpcVersion(opcode);
  }

  async #serveBuiltIn(request: IncomingRequest, client: ClientExport, served: ServedTarget): Promise<void> {
    const { opcode } = request;
    served.begin(client);
    try {
      if (opcode !== Opcode.OBD_PING && !isDisconnect(opcode)) this.#notSupported(request, served);
      else if (!this.#versionFits(request)) request.replyError(Errno.EINVAL);
      else if (opcode === Opcode.OBD_PING) {
        request.reply(RQF_OBD_PING, {}, { lastCommitted: served.target.lastCommitted() });
      } else {
        await served.disconnect(client);
        request.reply(RQF_MDS_DISCONNECT, {}, { lastCommitted: served.target.lastCommitted() });
      }
    } finally {
      served.end(client);
    }
  }

  #notSupported(request: IncomingRequest, served: ServedTarget): void {
    this.#runtime.log.warn(
      { peer: request.peer, target: served.target.name, opcode: opcodeName(request.opcode) },
      'opcode not supported',
    );
    request.replyError(Errno.EOPNOTSUPP);
  }

  /** Ordinary failures carry the operation's buffers; faults of the request or of ours only the body (guide 16 §2). */
  #operationFailed(
    error: unknown,
    request: IncomingRequest,
    call: TargetCall<Format> | undefined,
    served: ServedTarget,
  ): void {
    const { errno, ordinary } = failureOf(error);
    const names = {
      peer: request.peer,
      target: served.target.name,
      opcode: opcodeName(request.opcode),
      xid: request.xid,
      errno,
    };
    const hostile = error instanceof WireError || error instanceof ProtocolError;
    if (hostile) this.#runtime.log.warn({ ...names, reason: error.message }, 'bad request');
    else if (ordinary)
      this.#runtime.log.debug({ ...names, reason: (error as Error).message }, 'request failed');
    else this.#runtime.log.error({ ...names, err: error }, 'request failed');
    if (request.answered) return;
    if (error instanceof BulkError) request.drop('bulk failed');
    else if (call !== undefined && ordinary) call.fail(errno);
    else request.replyError(errno);
  }

  /** Evicts clients that have been silent for too long (guide 04 §11). */
  #armSilence(): void {
    const { timeouts } = this.#ptlrpc;
    this.#silenceTimer = this.#runtime.after((timeouts.obdTimeout * 1000) / 10, () => {
      if (this.#closed) return;
      const limit = silenceLimitMs(timeouts, timeouts.initialServerEstimate, 0);
      const now = this.#runtime.now();
      for (const { client } of [...this.#exports.values()]) {
        if (client.requests === 0 && now - client.lastRequestAt > limit)
          client.evict(`silent for ${Math.round((now - client.lastRequestAt) / 1000)} s`);
      }
      this.#armSilence();
    });
  }
}
