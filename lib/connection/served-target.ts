/**
 * A target as a node serves it: its exports by client, and the answer to a connect (guide 05 §2.4), step for step as the
 * kernel's target_handle_connect gives it.
 */
import type { PtlRpc } from '../rpc/ptlrpc.ts';
import type { IncomingRequest } from '../rpc/rpc.ts';
import { Errno, errnoError, errnoOf, LustreError } from '../runtime/errors.ts';
import { type Runtime, randomCookie, withLog } from '../runtime/runtime.ts';
import type { Bits64 } from '../wire/bits64.ts';
import { ConnectFlag } from '../wire/connection-constants.ts';
import { ObdConnectData } from '../wire/connection-structs.ts';
import type { RequestValues } from '../wire/format.ts';
import { RQF_CONNECT } from '../wire/formats.ts';
import { MsgOpFlag } from '../wire/ptlrpc-constants.ts';
import { ClientExport } from './client-export.ts';
import { grantConnect, hasFlag } from './connect-data.ts';
import type { ExportAction } from './export-states.ts';
import type { ClientRecord, Target } from './target.ts';

/** LR_MAX_CLIENTS: clients of one target. */
const CLIENTS_MAX = 131_072;
/** A record whose client has not come back in the longest recovery window is of no more use, milliseconds. */
const STALE_RECORD_MS = 900_000;
const UUID_MAX = 40;
const STOP_GRACE_MS = 2000;

/** What a served target needs from its node: the table of handles. */
export interface ExportTable {
  register(client: ClientExport): void;
  forget(client: ClientExport): void;
}

export class ServedTarget {
  readonly target: Target;
  stopping = false;
  #requests = 0;
  #whenIdle: () => void = () => {};
  readonly #ptlrpc: PtlRpc;
  readonly #runtime: Runtime;
  readonly #table: ExportTable;
  readonly #clients = new Map<string, ClientExport>();
  /** Clients known from last_rcvd that have not connected yet. */
  readonly #known: Map<string, ClientRecord>;
  readonly #actions: { readonly [action in ExportAction]: (client: ClientExport) => void };

  constructor(target: Target, ptlrpc: PtlRpc, runtime: Runtime, table: ExportTable) {
    this.target = target;
    this.#ptlrpc = ptlrpc;
    this.#runtime = withLog(runtime, { target: target.name });
    this.#table = table;
    this.#known = new Map(target.lastRcvd?.load().map((record) => [record.uuid, record]) ?? []);
    if (this.#known.size > 0) runtime.after(STALE_RECORD_MS, () => this.#dropStaleRecords());
    this.#actions = {
      register: (client) => this.#clients.set(client.clientUuid, client),
      announce: (client) => this.#table.register(client),
      forget: (client) => this.#forget(client),
      renew: (client) => {
        client.lastXid = 0;
      },
      dropState: (client) => this.#dropState(client),
      dropRecord: (client) => this.#settle(this.target.lastRcvd?.remove(client.clientUuid), client),
    };
  }

  get clients(): Iterable<ClientExport> {
    return this.#clients.values();
  }

  /** Takes a connect request that named this target. Answers it. */
  async connect(request: IncomingRequest, values: RequestValues<typeof RQF_CONNECT>): Promise<void> {
    const log = { peer: request.peer, client: values.cluuid, connCnt: request.body.pb_conn_cnt };
    try {
      const asked = this.#checkRequest(request, values);
      const uuid = values.cluuid ?? '';
      const known = this.#existing(request, asked, uuid, values.conn ?? 0n);
      if (known !== undefined) await this.#reconnect(known, request, asked);
      else await this.#connectNew(request, asked, uuid, values.conn ?? 0n);
    } catch (error) {
      const errno = errnoOf(error);
      this.#runtime.log.warn({ ...log, errno, reason: (error as Error).message }, 'connect refused');
      request.replyError(errno);
    }
  }

  /** The target stops: exports end, their clients' records stay. Resolves when the requests in its operations' hands are
   * done, or after a moment: some wait for what will not come. */
  async stop(): Promise<void> {
    this.stopping = true;
    for (const client of [...this.#clients.values()]) if (client.accepts('stop')) client.dispatch('stop');
    if (this.#requests === 0) return;
    await new Promise<void>((resolve) => {
      const grace = this.#runtime.after(STOP_GRACE_MS, resolve);
      this.#whenIdle = () => {
        grace.cancel();
        resolve();
      };
    });
  }

  /** Keeps what a client was answered last (guide 06 §7.1). The reply does not wait for it. */
  record(client: ClientExport, xid: Bits64, status: number): void {
    if (!client.connected) return;
    const { clientUuid: uuid, lastTransno } = client;
    this.#settle(
      this.target.lastRcvd?.put({ uuid, lastTransno, lastXid: BigInt(xid), lastResult: status }),
      client,
    );
  }

  /** Around each request of an export. */
  begin(client: ClientExport): void {
    this.#requests++;
    client.requests++;
  }

  end(client: ClientExport): void {
    client.requests--;
    client.lastRequestAt = this.#runtime.now();
    this.#requests--;
    if (this.#requests === 0) this.#whenIdle();
  }

  /** Ends an export at its client's wish. */
  async disconnect(client: ClientExport): Promise<void> {
    client.dispatch('disconnect');
    client.released = true;
    try {
      await this.target.onDisconnect?.(client, false);
    } catch (err) {
      this.#runtime.log.error({ client: client.clientUuid, err }, 'disconnect of a client failed');
    }
    if (client.accepts('disconnected')) client.dispatch('disconnected');
  }

  #checkRequest(request: IncomingRequest, values: RequestValues<typeof RQF_CONNECT>): ObdConnectData {
    const raw = request.message.buffers[4]?.length ?? 0;
    if (values.connect_data === undefined || raw > 8 * ObdConnectData.size)
      throw errnoError(Errno.EPROTO, { syscall: 'connect data' });
    const uuid = values.cluuid ?? '';
    if (uuid === '' || uuid.length >= UUID_MAX) throw errnoError(Errno.EINVAL, { syscall: 'client uuid' });
    if ((request.body.pb_op_flags & MsgOpFlag.MSG_CONNECT_LIBCLIENT) !== 0)
      throw errnoError(Errno.EPROTO, { syscall: 'LIBCLIENT' });
    if (!hasFlag(values.connect_data, ConnectFlag.OBD_CONNECT_FULL20))
      throw errnoError(Errno.EPROTO, { syscall: 'FULL20' });
    return values.connect_data;
  }

  /** Step 2 and 3: the export that this connect renews, or none. Throws where it may not. */
  #existing(
    request: IncomingRequest,
    asked: ObdConnectData,
    uuid: string,
    callbackHandle: bigint,
  ): ClientExport | undefined {
    const client = this.#clients.get(uuid);
    if (client === undefined) return undefined;
    const { pb_op_flags, pb_conn_cnt, pb_handle } = request.body;
    const refuse = (errno: number, why: string): never => {
      throw errnoError(errno, { syscall: why });
    };
    if (!client.connected) refuse(Errno.EALREADY, 'another connect or disconnect of it is running');
    const initial = (pb_op_flags & MsgOpFlag.MSG_CONNECT_INITIAL) !== 0;
    if (client.isServer && isServer(asked) && initial && callbackHandle !== client.callbackHandle) {
      // A server that comes back under its fixed name: what its earlier life held is gone.
      client.evict('the server that was this client has started again');
      return undefined;
    }
    if (initial && client.peer !== request.peer) refuse(Errno.EALREADY, 'connected from another NID');
    if (callbackHandle !== client.callbackHandle) refuse(Errno.EALREADY, 'connected with another handle');
    if (pb_handle !== client.handle && client.requests > 0) refuse(Errno.EBUSY, 'has requests in work');
    if (pb_conn_cnt <= client.connectCount) refuse(Errno.EALREADY, 'connection count is not new');
    return client;
  }

  async #reconnect(client: ClientExport, request: IncomingRequest, asked: ObdConnectData): Promise<void> {
    client.connectCount = request.body.pb_conn_cnt;
    client.peer = request.peer;
    client.lastRequestAt = this.#runtime.now();
    client.connectData = this.#negotiate(request, asked, client.clientUuid, true);
    client.dispatch('reconnect');
    this.#runtime.log.info({ peer: client.peer, client: client.clientUuid }, 'client reconnected');
    this.#answer(client, request, MsgOpFlag.MSG_CONNECT_RECONNECT);
  }

  async #connectNew(
    request: IncomingRequest,
    asked: ObdConnectData,
    uuid: string,
    callbackHandle: bigint,
  ): Promise<void> {
    if (this.#clients.size >= CLIENTS_MAX) throw errnoError(Errno.EOVERFLOW, { syscall: 'too many clients' });
    const connectData = this.#negotiate(request, asked, uuid, false);
    const client = new ClientExport({
      ptlrpc: this.#ptlrpc,
      targetName: this.target.name,
      clientUuid: uuid,
      handle: randomCookie(this.#runtime),
      callbackHandle,
      peer: request.peer,
      connectData,
      connectCount: request.body.pb_conn_cnt,
      isServer: isServer(asked),
      actions: this.#actions,
    });
    client.dispatch('connect');
    try {
      if (!hasFlag(connectData, ConnectFlag.OBD_CONNECT_LIGHTWEIGHT)) await this.#putRecord(client);
      await this.target.onConnect?.(client);
    } catch (error) {
      if (client.accepts('refused')) client.dispatch('refused');
      throw error;
    }
    if (!client.accepts('accepted')) throw errnoError(Errno.ENODEV, { syscall: 'target stopped' });
    client.dispatch('accepted');
    this.#runtime.log.info({ peer: client.peer, client: uuid }, 'client connected');
    this.#answer(client, request, 0);
  }

  #negotiate(
    request: IncomingRequest,
    asked: ObdConnectData,
    uuid: string,
    reconnect: boolean,
  ): ObdConnectData {
    const offered = this.target.connect(asked, { uuid, peer: request.peer, reconnect });
    return grantConnect(asked, offered);
  }

  #answer(client: ClientExport, request: IncomingRequest, flags: number): void {
    const replayable = this.target.replayable ? MsgOpFlag.MSG_CONNECT_REPLAYABLE : 0;
    request.reply(
      RQF_CONNECT,
      { connect_data: client.connectData },
      { handle: client.handle, opFlags: flags | replayable, lastCommitted: this.target.lastCommitted() },
    );
  }

  async #putRecord(client: ClientExport): Promise<void> {
    const known = this.#known.get(client.clientUuid);
    this.#known.delete(client.clientUuid);
    await this.target.lastRcvd?.put(
      known ?? { uuid: client.clientUuid, lastTransno: 0n, lastXid: 0n, lastResult: 0 },
    );
  }

  #forget(client: ClientExport): void {
    if (this.#clients.get(client.clientUuid) === client) this.#clients.delete(client.clientUuid);
    this.#table.forget(client);
    if (client.evictReason !== '')
      this.#runtime.log.warn(
        { peer: client.peer, client: client.clientUuid, reason: client.evictReason },
        'client evicted',
      );
  }

  /** An orderly disconnect has told the target already and waited for it. */
  #dropState(client: ClientExport): void {
    if (client.released) return;
    client.released = true;
    try {
      this.#settle(this.target.onDisconnect?.(client, client.exportState === 'EVICTED'), client);
    } catch (err) {
      this.#runtime.log.error({ client: client.clientUuid, err }, 'dropping a client failed');
    }
  }

  #settle(work: void | Promise<void>, client: ClientExport): void {
    work?.catch((err: unknown) => {
      this.#runtime.log.error({ client: client.clientUuid, err }, 'record of a client not changed');
    });
  }

  #dropStaleRecords(): void {
    for (const uuid of this.#known.keys()) {
      const removed = this.target.lastRcvd?.remove(uuid);
      removed?.catch((err: unknown) => this.#runtime.log.error({ client: uuid, err }, 'record not removed'));
    }
    this.#known.clear();
  }
}

function isServer(asked: ObdConnectData): boolean {
  const { OBD_CONNECT_MDS, OBD_CONNECT_MDS_MDS, OBD_CONNECT_LIGHTWEIGHT } = ConnectFlag;
  return hasFlag(asked, OBD_CONNECT_MDS | OBD_CONNECT_MDS_MDS | OBD_CONNECT_LIGHTWEIGHT);
}

/** An errno to answer with, and whether the error is an operation's ordinary failure rather than a fault. */
export function failureOf(error: unknown): { errno: number; ordinary: boolean } {
  const ordinary = error instanceof LustreError && !error.code.startsWith('ERR_');
  return { errno: errnoOf(error), ordinary };
}
