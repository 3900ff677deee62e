/** How an import connects and says goodbye (guide 05 §2, §8). */
import { requestTimeout } from '../rpc/adaptive-timeout.ts';
import { opcodeName, requestPortalOf, type TargetKind } from '../rpc/portals.ts';
import type { Outcome } from '../rpc/transmission.ts';
import { Errno, type ErrorContext, errnoError, LustreError, ProtocolError } from '../runtime/errors.ts';
import type { ObdConnectData } from '../wire/connection-structs.ts';
import { decodeBuffers } from '../wire/format.ts';
import { RQF_CONNECT, RQF_MDS_DISCONNECT } from '../wire/formats.ts';
import { Opcode } from '../wire/opcodes.ts';
import { MsgOpFlag, MsgType } from '../wire/ptlrpc-constants.ts';
import { checkGrant } from './connect-data.ts';
import { exchange } from './import-exchange.ts';
import type { ImportView } from './import-view.ts';

/** INITIAL_CONNECT_TIMEOUT: max(5, obd_timeout / 20), seconds. */
const connectTimeout = (obdTimeout: number): number => Math.max(5, Math.floor(obdTimeout / 20));
/** A server may know fields that we do not: room for them in the connect reply. */
const CONNECT_REPLY_ROOM = 128;

const connectOpcode: { readonly [kind in TargetKind]: number } = {
  mgs: Opcode.MGS_CONNECT,
  mdt: Opcode.MDS_CONNECT,
  ost: Opcode.OST_CONNECT,
};
const disconnectOpcode: { readonly [kind in TargetKind]: number } = {
  mgs: Opcode.MGS_DISCONNECT,
  mdt: Opcode.MDS_DISCONNECT,
  ost: Opcode.OST_DISCONNECT,
};

export interface ConnectRequest {
  readonly targetUuid: string;
  readonly clientUuid: string;
  readonly callbackHandle: bigint;
  readonly asked: ObdConnectData;
  readonly initial: boolean;
  /** The first transaction to replay, if the server was started again. */
  readonly firstTransno: bigint | undefined;
}

export type ConnectOutcome =
  | {
      readonly kind: 'connected';
      readonly handle: bigint;
      readonly granted: ObdConnectData;
      readonly lastCommitted: bigint;
      readonly reconnect: boolean;
      readonly recovering: boolean;
      readonly replayable: boolean;
    }
  | {
      readonly kind: 'failed';
      readonly error: Error;
      readonly next: 'sameNid' | 'otherNid' | 'close';
      /** No server answered at all. */
      readonly unreachable: boolean;
    };

export async function sendConnect(view: ImportView, request: ConnectRequest): Promise<ConnectOutcome> {
  const opcode = connectOpcode[view.kind];
  const timeout = connectTimeout(view.ptlrpc.timeouts.obdTimeout);
  const { initial, firstTransno, asked } = request;
  const replays = firstTransno === undefined ? 0 : MsgOpFlag.MSG_CONNECT_TRANSNO;
  const outcome = await exchange(view, {
    format: RQF_CONNECT,
    opcode,
    // AT is not in force until it is granted, so the reply comes to offset 0.
    adaptive: false,
    headerFlags: 0,
    timeout,
    replyRoom: CONNECT_REPLY_ROOM,
    values: {
      ptlrpc_body: {
        pb_op_flags: (initial ? MsgOpFlag.MSG_CONNECT_INITIAL : 0) | replays,
        pb_mbits: 0n,
        pb_service_time: view.timeouts.estimate(requestPortalOf(view.kind, opcode)),
      },
      tgtuuid: request.targetUuid,
      cluuid: request.clientUuid,
      conn: request.callbackHandle,
      connect_data: firstTransno === undefined ? asked : { ...asked, ocd_transno: firstTransno },
      selinux_pol: null,
    },
  });
  const where = { opcode: opcodeName(opcode), target: view.targetName, nid: view.nid };
  if (outcome.kind !== 'reply') return failedAttempt(outcome, where);
  const status = outcome.body.pb_status;
  if (status !== 0 || outcome.body.pb_type !== MsgType.PTL_RPC_MSG_REPLY)
    return refused(status < 0 ? -status : Errno.EINVAL, where);
  try {
    const { connect_data: granted, ptlrpc_body: body } = decodeBuffers(RQF_CONNECT.reply, outcome.message);
    if (granted === undefined || body.pb_handle === 0n)
      throw new ProtocolError('ERR_LUSTRE_CONNECT', 'connect reply without data or handle', where);
    checkGrant(view.kind, asked, granted, { target: view.targetName, nid: view.nid });
    return {
      kind: 'connected',
      handle: body.pb_handle,
      granted,
      lastCommitted: body.pb_last_committed,
      reconnect: (body.pb_op_flags & MsgOpFlag.MSG_CONNECT_RECONNECT) !== 0,
      recovering: (body.pb_op_flags & MsgOpFlag.MSG_CONNECT_RECOVERING) !== 0,
      replayable: (body.pb_op_flags & MsgOpFlag.MSG_CONNECT_REPLAYABLE) !== 0,
    };
  } catch (error) {
    return { kind: 'failed', error: error as Error, next: 'close', unreachable: false };
  }
}

/** Body only, no resend. Whatever comes of it, we are gone. */
export async function sendDisconnect(view: ImportView, connectCount: number): Promise<void> {
  await exchange(view, {
    format: RQF_MDS_DISCONNECT,
    opcode: disconnectOpcode[view.kind],
    adaptive: view.adaptive,
    headerFlags: view.headerFlags,
    timeout: requestTimeout(view.timeouts.estimate(requestPortalOf(view.kind, disconnectOpcode[view.kind]))),
    replyRoom: 0,
    values: { ptlrpc_body: { pb_conn_cnt: connectCount } },
  });
}

type Where = { opcode: string; target: string; nid: string };

function failedAttempt(outcome: Exclude<Outcome, { kind: 'reply' }>, where: Where): ConnectOutcome {
  if (outcome.kind === 'malformed' || outcome.kind === 'truncated') {
    const text = outcome.kind === 'malformed' ? outcome.error.message : `${outcome.needed} bytes long`;
    const error = new ProtocolError('ERR_LUSTRE_CONNECT', `malformed connect reply: ${text}`, where);
    return { kind: 'failed', error, next: 'otherNid', unreachable: true };
  }
  const error =
    outcome.kind === 'network'
      ? wrap(outcome.error, where)
      : errnoError(outcome.kind === 'timeout' ? Errno.ETIMEDOUT : Errno.ECONNRESET, where);
  return { kind: 'failed', error, next: 'otherNid', unreachable: true };
}

function wrap(cause: Error, where: Where): Error {
  const errno = cause instanceof LustreError && cause.errno !== 0 ? cause.errno : Errno.EIO;
  return errnoError(errno, { ...where, cause });
}

/** Guide 05 §3: what a status in the connect reply means for the next attempt. */
function refused(errno: number, where: Where): ConnectOutcome {
  const error = errnoError(errno, { syscall: 'connect', ...where });
  const fail = (next: 'sameNid' | 'otherNid' | 'close'): ConnectOutcome => ({
    kind: 'failed',
    error,
    next,
    unreachable: false,
  });
  switch (errno) {
    case Errno.EBUSY:
    case Errno.EAGAIN:
    case Errno.EALREADY:
    case Errno.EINPROGRESS:
      return fail('sameNid');
    case Errno.EPROTO:
    case Errno.EACCES:
    case Errno.EPERM:
    case Errno.EROFS:
    case Errno.EBADE:
    case Errno.EBADF:
    case Errno.EINVAL:
      return fail('close');
    default:
      return fail('otherNid');
  }
}

/** What callers of connect() see of an attempt that failed. */
export function connectError(target: string, nids: string, cause: Error): LustreError {
  if (cause instanceof LustreError && cause.code.startsWith('ERR_')) return cause;
  const errno = cause instanceof LustreError ? cause.errno : 0;
  return errnoError(errno === 0 ? Errno.EIO : errno, {
    syscall: 'connect',
    target,
    nid: nids,
    hint: 'Check that the server runs, that the NID is right and that no firewall is between',
    cause,
  });
}

/** Of a target that an administrator has taken out of use: a kernel's reads and writes fail with EIO, too. */
export function inactiveError(context: ErrorContext): LustreError {
  return errnoError(Errno.EIO, {
    ...context,
    hint: 'The target is inactive in the configuration (active=0)',
  });
}
