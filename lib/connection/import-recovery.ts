/**
 * What an import does at a server that was started again and takes its clients back (guide 06 §4): its transactions and open
 * files one by one, its locks, and the ping that waits for all other clients.
 */
import { requestTimeout } from '../rpc/adaptive-timeout.ts';
import { opcodeName, requestPortalOf } from '../rpc/portals.ts';
import type { Outcome, Transmission } from '../rpc/transmission.ts';
import type { UnderWay } from '../rpc/under-way.ts';
import { Errno, errnoError, ProtocolError } from '../runtime/errors.ts';
import {
  decodeBuffers,
  type Format,
  type LdlmRequestInput,
  type RequestInputs,
  required,
} from '../wire/format.ts';
import { RQF_LDLM_ENQUEUE, RQF_OBD_PING } from '../wire/formats.ts';
import type { LdlmReply } from '../wire/ldlm-structs.ts';
import { Opcode } from '../wire/opcodes.ts';
import { MsgFlag, MsgType } from '../wire/ptlrpc-constants.ts';
import type { ConnectOutcome } from './import-connect.ts';
import { type Exchange, exchange } from './import-exchange.ts';
import type { ImportView } from './import-view.ts';
import { ReplayList, type Transaction } from './replay-list.ts';

/** Sends a lock to be granted, or to wait, as before; rejects when the server will not. */
export type SendLock = (request: LdlmRequestInput) => Promise<LdlmReply>;

type Answer = Outcome & { kind: 'reply' };

export class ImportRecovery {
  readonly list: ReplayList = new ReplayList();
  /** The server lets requests be replayed. */
  replayable = false;
  readonly #view: ImportView;
  readonly #inFlight: UnderWay<Transmission>;
  readonly #lockListeners: ((send: SendLock) => Promise<void>)[] = [];
  /** Done at this start of the server, which may break off in between. */
  readonly #replayed = new Set<Transaction>();
  #unanswered: Transaction | undefined;
  /** Which start of the server this is; 0 where it does not say. */
  #instance = 0;
  /** Since the connection before this one. */
  #restarted = false;

  constructor(view: ImportView, inFlight: UnderWay<Transmission>) {
    this.#view = view;
    this.#inFlight = inFlight;
  }

  /** pb_last_committed: the highest seen. */
  get lastCommitted(): bigint {
    return this.list.lastCommitted;
  }

  /** Who has left gets nothing back into a server that has lost it. */
  get mayLeave(): boolean {
    return !this.list.hasUncommitted;
  }

  onLockReplay(listener: (send: SendLock) => Promise<void>): void {
    this.#lockListeners.push(listener);
  }

  /** With another handle the server was started again, perhaps once more: all begins from the beginning. */
  connected(
    { lastCommitted, replayable, recovering, granted }: ConnectOutcome & { kind: 'connected' },
    sameHandle: boolean,
  ): void {
    const { ocd_instance: instance } = granted;
    this.#restarted = recovering || (instance !== this.#instance && this.#instance !== 0);
    this.#instance = instance;
    // Nobody has said so yet of what went to disk just before the restart.
    this.list.committed(lastCommitted);
    this.replayable = replayable;
    if (sameHandle) return;
    this.#replayed.clear();
    this.#unanswered = undefined;
  }

  /** The server has forgotten us, and perhaps what it had answered. */
  evicted(): void {
    this.list.clear(this.#restarted);
  }

  /**
   * One after the other, in the order of their transactions. False when the server is not what it was before, or cannot be
   * brought there: it has lost what cannot be replayed, or others have changed it meanwhile. Rejects when the connection
   * is lost.
   */
  async replayRequests(): Promise<boolean> {
    const { list } = this;
    const { runtime } = this.#view;
    if (!this.replayable || !list.giveUpUnkept()) return false;
    let whole = true;
    for (const transaction of list.inOrder()) {
      if (this.#replayed.has(transaction)) continue;
      const { opcode, transno } = transaction;
      const { body, message } = await this.#replay(transaction);
      this.#replayed.add(transaction);
      const { pb_status: status } = body;
      const about = { opcode: opcodeName(opcode), transno, status, was: transaction.status };
      if (body.pb_transno !== 0n && body.pb_transno !== transno) {
        runtime.log.error(
          { ...about, is: body.pb_transno },
          'a replay was answered with another transaction',
        );
        return false;
      }
      if (status < 0) {
        // Others have changed what it changed (guide 06 §5.2).
        if (status === -Errno.EOVERFLOW) whole = false;
        runtime.log.warn(about, 'a replayed request was refused');
        list.drop(transaction);
      } else if (transaction.makes !== undefined) {
        transaction.makes.remade(decodeBuffers(transaction.format.reply, message));
      }
    }
    return whole;
  }

  async replayLocks(): Promise<void> {
    const send: SendLock = async (dlm_req) => {
      const { message } = await this.#send({
        ...this.#exchange(RQF_LDLM_ENQUEUE, Opcode.LDLM_ENQUEUE),
        values: { ptlrpc_body: this.#body(MsgFlag.MSG_REQ_REPLAY_DONE), dlm_req },
      });
      return required(decodeBuffers(RQF_LDLM_ENQUEUE.reply, message), 'dlm_rep');
    };
    await Promise.all(this.#lockListeners.map((listener) => listener(send)));
  }

  /** Resolves once the server is through with its recovery, of all clients. */
  async finish(): Promise<void> {
    await this.#send({
      ...this.#exchange(RQF_OBD_PING, Opcode.OBD_PING),
      values: { ptlrpc_body: this.#body(MsgFlag.MSG_REQ_REPLAY_DONE | MsgFlag.MSG_LOCK_REPLAY_DONE) },
    });
  }

  /** What the server says to one transaction, in however many attempts. */
  async #replay(transaction: Transaction): Promise<Answer> {
    const { format, opcode, xid, mbits, request, current, requestPortal, bulk } = transaction;
    const own = (request as { ptlrpc_body?: { pb_flags?: number } }).ptlrpc_body;
    const resent = this.#unanswered === transaction ? MsgFlag.MSG_RESENT : 0;
    this.#unanswered = transaction;
    const body = {
      ...own,
      pb_flags: (own?.pb_flags ?? 0) | MsgFlag.MSG_REPLAY | resent,
      pb_tag: transaction.tag,
      pb_last_xid: xid - 1,
      pb_transno: transaction.transno,
      pb_service_time: this.#view.timeouts.latency,
      pb_pre_versions: transaction.preVersions,
    };
    const answer = await this.#send(
      {
        ...this.#exchange(format, opcode, requestPortal),
        xid,
        mbits,
        replySize: transaction.replySize,
        bulk,
        portals: { request: requestPortal, reply: transaction.replyPortal },
        values: { ...request, ...current?.(), ptlrpc_body: body } as object as RequestInputs<Format>,
      },
      true,
    );
    this.#unanswered = undefined;
    return answer;
  }

  #body(flags: number): object {
    return { pb_flags: flags, pb_last_xid: this.#view.unreplied.lastXid() };
  }

  #exchange<F extends Format>(format: F, opcode: number, portal?: number): Omit<Exchange<F>, 'values'> {
    const { adaptive, headerFlags, timeouts, kind } = this.#view;
    const timeout = requestTimeout(timeouts.estimate(portal ?? requestPortalOf(kind, opcode)));
    return { format, opcode, adaptive, headerFlags, timeout, replyRoom: 0 };
  }

  /** Rejects with what makes the connection useless; with `anyStatus` the server may refuse. */
  async #send<F extends Format>(what: Exchange<F>, anyStatus = false): Promise<Answer> {
    const { targetName: target, nid, runtime, timeouts, kind } = this.#view;
    const about = { opcode: opcodeName(what.opcode), target, nid };
    let outcome = await exchange(this.#view, what, this.#inFlight);
    if (outcome.kind === 'truncated')
      outcome = await exchange(this.#view, { ...what, replySize: outcome.needed }, this.#inFlight);
    switch (outcome.kind) {
      case 'reply': {
        const { body, elapsedMs } = outcome;
        const { pb_status: status } = body;
        const portal = what.portals?.request ?? requestPortalOf(kind, what.opcode);
        timeouts.measure(portal, body, elapsedMs, runtime.now());
        if (
          body.pb_type === MsgType.PTL_RPC_MSG_ERR &&
          (status === -Errno.ENOTCONN || status === -Errno.ENODEV)
        )
          throw errnoError(status, about);
        this.#view.replied(body, what.opcode);
        if (!anyStatus && status < 0) throw errnoError(status, about);
        return outcome;
      }
      case 'network':
        throw outcome.error;
      case 'malformed':
        throw new ProtocolError('ERR_LUSTRE_REPLY', `malformed reply: ${outcome.error.message}`, about);
      case 'truncated':
        throw errnoError(Errno.EOVERFLOW, about);
      default:
        throw errnoError(outcome.kind === 'timeout' ? Errno.ETIMEDOUT : Errno.ECONNRESET, about);
    }
  }
}
