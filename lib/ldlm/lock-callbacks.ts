/**
 * Portal 15: what servers ask of a client's locks (guide 08 §4). Each namespace of the endpoint is found by the handle that
 * its import gave the server at connect.
 */
import { opcodeName } from '../rpc/portals.ts';
import type { PtlRpc } from '../rpc/ptlrpc.ts';
import type { IncomingRequest } from '../rpc/rpc.ts';
import { Errno } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { LdlmRequestValue } from '../wire/format.ts';
import {
  RQF_LDLM_BL_CALLBACK,
  RQF_LDLM_CALLBACK,
  RQF_LDLM_CP_CALLBACK,
  RQF_LDLM_GL_CALLBACK,
} from '../wire/formats.ts';
import { LockFlag, LockType } from '../wire/ldlm-constants.ts';
import { Opcode, Portal } from '../wire/opcodes.ts';
import type { ClientLock } from './client-lock.ts';
import type { ClientNamespace } from './client-namespace.ts';
import { resourceName } from './description.ts';
import { sameResource } from './resource-name.ts';
import { ELDLM_NO_LOCK_DATA } from './status.ts';

export class LockCallbacks {
  readonly #runtime: Runtime;
  readonly #namespaces = new Map<bigint, ClientNamespace>();
  readonly #service: { close(): Promise<void> };

  constructor(ptlrpc: Pick<PtlRpc, 'serve'>, runtime: Runtime) {
    this.#runtime = runtime;
    this.#service = ptlrpc.serve({
      portals: [Portal.LDLM_CB_REQUEST_PORTAL],
      handler: (request) => this.#handle(request),
    });
  }

  /** Before the import connects: the first callback may come with the first lock. */
  add(namespace: ClientNamespace): void {
    this.#namespaces.set(namespace.callbackHandle, namespace);
  }

  remove(namespace: ClientNamespace): void {
    this.#namespaces.delete(namespace.callbackHandle);
  }

  close(): Promise<void> {
    return this.#service.close();
  }

  #handle(request: IncomingRequest): void {
    const namespace = this.#namespaces.get(request.body.pb_handle);
    if (namespace === undefined) {
      this.#refuse(request, Errno.ENOTCONN, 'for a connection that is not ours');
      return;
    }
    if (request.opcode === Opcode.LDLM_SET_INFO) {
      request.reply(RQF_LDLM_CALLBACK, {});
      return;
    }
    const { dlm_req } = request.decode(RQF_LDLM_CALLBACK);
    const flags = (dlm_req?.lock_flags ?? 0) >>> 0;
    if (dlm_req === undefined || (flags & ~allowedFlags) !== 0) {
      this.#refuse(request, Errno.EPROTO, `with flags 0x${flags.toString(16)}`);
      return;
    }
    const lock = namespace.byHandle(dlm_req.lock_handle[0] ?? 0n);
    if (lock === undefined) {
      // The normal race: we have cancelled it already (guide 08 §4.3).
      this.#refuse(request, Errno.EINVAL, 'for a lock that is not here', 'debug');
      return;
    }
    switch (request.opcode) {
      case Opcode.LDLM_BL_CALLBACK:
        this.#blocking(request, namespace, lock, dlm_req);
        return;
      case Opcode.LDLM_CP_CALLBACK:
        this.#completion(request, namespace, lock, dlm_req);
        return;
      case Opcode.LDLM_GL_CALLBACK:
        this.#glimpse(request, namespace, lock);
        return;
      default:
        this.#refuse(request, Errno.EPROTO, 'of an unknown kind');
    }
  }

  /** The answer says "heard", at once; giving back takes as long as it takes. */
  #blocking(
    request: IncomingRequest,
    namespace: ClientNamespace,
    lock: ClientLock,
    dlm_req: LdlmRequestValue,
  ): void {
    request.reply(RQF_LDLM_BL_CALLBACK, {});
    const discard = (dlm_req.lock_flags & LockFlag.LDLM_FL_DISCARD_DATA) !== 0;
    namespace.blocked(lock, discard, wantedBits(lock, dlm_req));
  }

  #completion(
    request: IncomingRequest,
    namespace: ClientNamespace,
    lock: ClientLock,
    dlm_req: LdlmRequestValue,
  ): void {
    const { dlm_lvb } = request.decode(RQF_LDLM_CP_CALLBACK);
    const lvb = (dlm_lvb ?? new Uint8Array(0)).slice();
    request.reply(RQF_LDLM_CP_CALLBACK, {});
    if ((dlm_req.lock_flags & LockFlag.LDLM_FL_FLOCK_DEADLOCK) !== 0) {
      namespace.refused(lock, Errno.EDEADLK);
      return;
    }
    try {
      namespace.completed(lock, dlm_req.lock_handle[1] ?? 0n, dlm_req.lock_desc, lvb);
    } catch (error) {
      // Kernels answer 0 here too, and fail the lock on their side (guide 08 §4.2).
      this.#runtime.log.warn(
        { err: error, peer: request.peer, opcode: opcodeName(request.opcode) },
        'a completion AST made no sense',
      );
      return;
    }
    if ((dlm_req.lock_flags & LockFlag.LDLM_FL_AST_SENT) !== 0) namespace.blocked(lock, false);
  }

  #glimpse(request: IncomingRequest, namespace: ClientNamespace, lock: ClientLock): void {
    const lvb = namespace.glimpse(lock);
    if (lvb === undefined) request.replyError(ELDLM_NO_LOCK_DATA);
    else request.reply(RQF_LDLM_GL_CALLBACK, { dlm_lvb: lvb });
  }

  #refuse(request: IncomingRequest, errno: number, reason: string, level: 'warn' | 'debug' = 'warn'): void {
    const { peer, opcode } = request;
    this.#runtime.log[level]({ peer, opcode: opcodeName(opcode), errno, reason }, 'lock callback refused');
    request.replyError(errno);
  }
}

/** Which inode bits a blocking AST wants: all, unless it says which and of which resource (guide 08 §6). */
function wantedBits(lock: ClientLock, { lock_desc }: LdlmRequestValue): bigint | undefined {
  const { l_resource, l_policy_data } = lock_desc;
  if (lock.type !== LockType.LDLM_IBITS || l_resource.lr_type !== lock.type) return undefined;
  if (!sameResource(resourceName(l_resource.lr_name.name), lock.resource)) return undefined;
  return l_policy_data.l_inodebits.cancel_bits || undefined;
}

/** LDLM_FL_WIRE_AST_FLAGS_MASK: AST_SENT, FLOCK_DEADLOCK, DISCARD_DATA. */
const allowedFlags =
  LockFlag.LDLM_FL_AST_SENT | LockFlag.LDLM_FL_FLOCK_DEADLOCK | LockFlag.LDLM_FL_DISCARD_DATA;
