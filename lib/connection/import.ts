/**
 * An import: a client's end of the connection to one target (guide 05 §2, §3, §8 to §11). Connects, keeps alive,
 * reconnects, recovers what it can and tells its users when the server has forgotten them.
 *
 * A server that was started again gets back what it has lost, if it waits for that (import-recovery.ts). Where it does not, or
 * cannot be brought to where it was, all starts afresh as after an eviction: requests that are bound to nothing which was lost
 * wait and go on (import-call.ts); the rest fail with EIO.
 */
import type { Nid } from '../lnet/nid.ts';
import type { Caller, CallOptions, Reply } from '../rpc/rpc.ts';
import type { Transmission } from '../rpc/transmission.ts';
import { UnderWay } from '../rpc/under-way.ts';
import { UnrepliedList } from '../rpc/xid.ts';
import { Automaton } from '../runtime/automaton.ts';
import { Errno, type ErrorContext, errnoError, LustreError } from '../runtime/errors.ts';
import { type Runtime, randomCookie, withLog } from '../runtime/runtime.ts';
import type { ObdConnectData } from '../wire/connection-structs.ts';
import type { Format, PtlrpcBody, RequestInputs } from '../wire/format.ts';
import { RQF_OBD_PING } from '../wire/formats.ts';
import { Opcode } from '../wire/opcodes.ts';
import { connectData, grantedManners, usableModifySlots } from './connect-data.ts';
import { ImportCalls } from './import-calls.ts';
import {
  type ConnectOutcome,
  connectError,
  inactiveError,
  sendConnect,
  sendDisconnect,
} from './import-connect.ts';
import type { ConnectOptions, ImportOptions } from './import-options.ts';
import { ImportRecovery, type SendLock } from './import-recovery.ts';
import { type ImportAction, type ImportEvent, type ImportState, importStates } from './import-states.ts';
import type { ImportView } from './import-view.ts';
import { CallWaiters, ConnectWaiters } from './import-waiters.ts';
import { KeepAlive } from './keep-alive.ts';
import { PortalTimeouts } from './portal-timeouts.ts';
import { ReconnectTimer } from './reconnect-timer.ts';
import { Slots } from './request-slots.ts';
import { TargetNids } from './target-nids.ts';

export type { ConnectOptions, ImportOptions };

/** pb_slv, locks times seconds, and pb_limit, locks (guide 08 §9). */
export interface LockVolume {
  readonly slv: bigint;
  readonly limit: number;
}

const CONNECT_TIMEOUT_MS = 30_000;

export class Import implements Caller {
  readonly name: string;
  readonly callbackHandle: bigint;
  readonly #options: ImportOptions;
  readonly #runtime: Runtime;
  readonly #automaton: Automaton<ImportState, ImportEvent, ImportAction, Error | undefined>;
  readonly #view: ImportView;
  readonly #calls: ImportCalls;
  readonly #recovery: ImportRecovery;
  readonly #timeouts: PortalTimeouts;
  readonly #keepAlive: KeepAlive;
  readonly #unreplied = new UnrepliedList();
  readonly #modifySlots = new Slots(1);
  readonly #inFlight = new UnderWay<Transmission>();
  readonly #connectWaiters: ConnectWaiters<ObdConnectData>;
  readonly #waiting = new CallWaiters();
  readonly #evictedListeners: (() => void | Promise<void>)[] = [];
  readonly #reconnectedListeners: (() => void)[] = [];
  readonly #stopWatching: () => void;
  readonly #asked: ObdConnectData;
  #granted: ObdConnectData;
  #generation = 1;
  #connectCount = 0;
  #remoteHandle = 0n;
  readonly #nids: TargetNids;
  #hasState = false;
  #lockVolume: LockVolume = { slv: 0n, limit: 0 };
  #lastReplyAt = 0;
  #connectedAt = Number.NEGATIVE_INFINITY;
  readonly #reconnect: ReconnectTimer;
  #closeReason: Error | undefined;
  #lastConnectError: Error | undefined;

  constructor(options: ImportOptions) {
    const { target, runtime, ptlrpc } = options;
    this.name = target.name;
    this.#nids = new TargetNids(target.name, options.nids);
    this.#options = options;
    this.#runtime = withLog(runtime, { import: target.name });
    this.callbackHandle = options.callbackHandle ?? randomCookie(runtime);
    this.#timeouts = new PortalTimeouts(ptlrpc.timeouts);
    this.#asked = connectData(options.ask);
    this.#granted = connectData({});
    this.#automaton = new Automaton(importStates, target.name, this.#actions(), (from, event, to) =>
      this.#runtime.log.debug({ from, event, to, nid: this.nid }, 'import state'),
    );
    this.#connectWaiters = new ConnectWaiters(runtime);
    this.#reconnect = new ReconnectTimer(runtime, () => {
      if (this.#automaton.accepts('connect')) this.#dispatch('connect');
    });
    this.#keepAlive = new KeepAlive({
      runtime,
      pingIntervalMs: (ptlrpc.timeouts.obdTimeout * 1000) / 4,
      idleTimeoutMs: options.idleTimeoutMs,
      mayIdle: () => this.#recovery.mayLeave && options.mayIdle?.() !== false,
      calls: () => this.#calls.count,
      ping: () => this.#ping(),
      idle: () => this.#dispatch('idle'),
    });
    this.#view = this.#makeView();
    this.#calls = new ImportCalls(this.#view);
    this.#recovery = new ImportRecovery(this.#view, this.#inFlight);
    this.#stopWatching = ptlrpc.onPeerDown((nid, reason) => {
      if (nid === this.nid) this.#lost(this.#connectCount, reason);
    });
  }

  get state(): ImportState {
    return this.#automaton.state;
  }

  /** What the server granted at the last connect; all zero before. */
  get granted(): ObdConnectData {
    return this.#granted;
  }

  /** Grows with every eviction: what was learned in an earlier generation is void. */
  get generation(): number {
    return this.#generation;
  }

  /** The NID in use, or to be tried next. */
  get nid(): Nid {
    return this.#nids.current;
  }

  /** What the server has on disk, and whether it gets back what it had not. */
  get committed(): { readonly lastCommitted: bigint; readonly replayable: boolean } {
    return this.#recovery;
  }

  /** What the server last said of how many locks we may keep; zero where it says nothing. */
  get lockVolume(): LockVolume {
    return this.#lockVolume;
  }

  /** Calls under way, waiting ones included. */
  get calls(): number {
    return this.#calls.count;
  }

  /** Runs at eviction before anything of the new generation is sent: drop locks, caches, open handles. */
  onEvicted(listener: () => void | Promise<void>): void {
    this.#evictedListeners.push(listener);
  }

  /** Runs when a server that was started again takes locks back: send them all. */
  onLockReplay(listener: (send: SendLock) => Promise<void>): void {
    this.#recovery.onLockReplay(listener);
  }

  /** Runs whenever the import is usable again, after the first connect too. */
  onReconnected(listener: () => void): void {
    this.#reconnectedListeners.push(listener);
  }

  /**
   * Connects and resolves with what was granted. Rejects when no NID can be reached, when the server refuses, or after
   * `timeoutMs` of "not yet"; unless it was refused for good, attempts go on in the background.
   */
  connect(options: ConnectOptions = {}): Promise<ObdConnectData> {
    if (this.state === 'FULL') return Promise.resolve(this.#granted);
    if (this.state === 'CLOSED') return Promise.reject(this.#closedError({ syscall: 'connect' }));
    if (this.state === 'INACTIVE') return Promise.reject(inactiveError({ target: this.name }));
    const done = this.#connectWaiters.wait(options.timeoutMs ?? CONNECT_TIMEOUT_MS, () =>
      this.#connectError(this.#lastConnectError ?? errnoError(Errno.ETIMEDOUT)),
    );
    if (this.#automaton.accepts('connect')) this.#dispatch('connect');
    return done;
  }

  /** The target runs at these NIDs now. Another instance than the one that we are connected to: it was started again. */
  moved(nids: readonly Nid[], instance: number): void {
    const connected = this.#automaton.accepts('lost');
    if (connected && this.#granted.ocd_instance === instance) return;
    this.#nids.prefer(nids, this.state === 'CONNECTING');
    const hint = 'It was started again';
    if (connected) this.#dispatch('lost', errnoError(Errno.ENOTCONN, { target: this.name, hint }));
    else if (this.state === 'DISCON') this.#reconnect.after(0);
  }

  /** Rejects with a LustreError that names opcode, target and NID when the reply's status is negative. */
  call<F extends Format>(format: F, request: RequestInputs<F>, options: CallOptions = {}): Promise<Reply<F>> {
    return this.#calls.call(format, request, options);
  }

  /** In use, or not: calls fail with EIO then, and what the target had given is void (osc.*.active). */
  setActive(active: boolean): void {
    if (active === (this.state !== 'INACTIVE') || this.state === 'CLOSED') return;
    if (this.state === 'FULL') void sendDisconnect(this.#view, this.#connectCount);
    this.#remoteHandle = 0n;
    this.#dispatch(active ? 'activate' : 'deactivate');
  }

  /** Requests in flight, of bulk and of others each. */
  set rpcsInFlightMax(count: number) {
    for (const slots of [this.#view.bulkSlots, this.#view.generalSlots]) slots.resize(count);
  }

  /** Tells the server and ends: calls under way fail with ESHUTDOWN. Safe to call twice. */
  async disconnect(): Promise<void> {
    if (this.state === 'CLOSED') return;
    const tell = this.state === 'FULL';
    const connectCount = this.#connectCount;
    this.#closeReason = this.#closedError({});
    this.#dispatch('close');
    if (tell) await sendDisconnect(this.#view, connectCount);
  }

  #dispatch(event: ImportEvent, reason?: Error): void {
    this.#automaton.dispatch(event, reason);
  }

  #actions(): { [action in ImportAction]: (reason: Error | undefined) => void } {
    return {
      sendConnect: () => void this.#connectOnce(),
      scheduleReconnect: () => this.#scheduleReconnect(),
      interrupt: (reason) => this.#interrupt(reason),
      // At once, but a server that keeps breaking off is not asked more than once a second.
      reconnectNow: () => this.#reconnect.after(this.#runtime.now() - this.#connectedAt > 1000 ? 0 : 1000),
      invalidate: () => void this.#stage('invalidated', this.#dropAll()),
      replayRequests: () => void this.#replayRequests(),
      replayLocks: () => void this.#stage('locksReplayed', this.#recovery.replayLocks()),
      sendFinalPing: () => void this.#stage('barrierPassed', this.#recovery.finish()),
      resend: () => this.#dispatch('recovered'),
      wake: () => this.#becomeFull(),
      sendIdleDisconnect: () => void this.#idleDisconnect(),
      settleIdle: () => this.#settleIdle(),
      shutOut: () => this.#shutOut(),
      failAll: () => this.#failAll(),
    };
  }

  async #connectOnce(): Promise<void> {
    this.#reconnect.cancel();
    const connectCount = ++this.#connectCount;
    const initial = this.#remoteHandle === 0n;
    const { target, clientUuid } = this.#options;
    const outcome = await sendConnect(this.#view, {
      targetUuid: target.uuid,
      clientUuid,
      callbackHandle: this.callbackHandle,
      asked: this.#asked,
      initial,
      firstTransno: initial ? undefined : this.#recovery.list.first,
    });
    if (this.state !== 'CONNECTING' || this.#connectCount !== connectCount) return;
    if (outcome.kind === 'connected') this.#connected(outcome, initial);
    else this.#connectFailed(outcome);
  }

  #connected(outcome: ConnectOutcome & { kind: 'connected' }, initial: boolean): void {
    const sameHandle = outcome.handle === this.#remoteHandle;
    const [was, is] = [this.committed.lastCommitted, outcome.lastCommitted];
    if (is < was && this.#hasState)
      this.#runtime.log.error({ nid: this.nid, was, is }, 'server went back in time; data may be lost');
    this.#recovery.connected(outcome, sameHandle);
    this.#remoteHandle = outcome.handle;
    this.#granted = outcome.granted;
    Object.assign(this.#view, grantedManners(outcome.granted));
    this.#modifySlots.resize(usableModifySlots(outcome.granted, this.#options));
    this.#nids.beginRound();
    this.#reconnect.connected();
    if (outcome.recovering) this.#dispatch(initial ? 'joined' : 'recovering');
    else if (initial) this.#dispatch('connected');
    else if (outcome.reconnect) this.#dispatch(sameHandle ? 'reconnected' : 'evicted');
    else this.#dispatch(this.#hasState ? 'evicted' : 'connected');
  }

  /** Another NID at once, the same one after a while, or never again. */
  #connectFailed(outcome: ConnectOutcome & { kind: 'failed' }): void {
    this.#lastConnectError = outcome.error;
    this.#runtime.log.warn({ nid: this.nid, err: outcome.error, next: outcome.next }, 'connect failed');
    if (outcome.next === 'close') {
      this.#closeReason = this.#connectError(outcome.error);
      this.#dispatch('close');
      return;
    }
    if (outcome.next === 'otherNid') {
      this.#nids.next();
      if (this.#nids.roundOver && outcome.unreachable)
        this.#connectWaiters.reject(this.#connectError(outcome.error));
    }
    this.#dispatch('connectFailed', outcome.error);
  }

  #scheduleReconnect(): void {
    if (this.#nids.inRound) {
      this.#reconnect.after(0);
      return;
    }
    this.#nids.beginRound();
    this.#reconnect.afterRound();
  }

  #becomeFull(): void {
    const now = this.#runtime.now();
    this.#connectedAt = now;
    this.#lastReplyAt = now;
    this.#runtime.log.info({ nid: this.nid, generation: this.#generation }, 'connected');
    this.#connectWaiters.resolve(this.#granted);
    this.#waiting.wakeAll();
    this.#keepAlive.start();
    for (const listener of this.#reconnectedListeners) void this.#guarded(listener);
  }

  /** All attempts under way end; their calls wait for FULL and then resend. */
  #interrupt(reason: Error | undefined): void {
    this.#runtime.log.warn({ nid: this.nid, err: reason }, 'connection lost');
    this.#keepAlive.stop();
    for (const transmission of this.#inFlight) transmission.abort();
  }

  /** The old generation fails, and its users drop what they had. */
  async #dropAll(): Promise<void> {
    const generation = ++this.#generation;
    this.#hasState = false;
    this.#recovery.evicted();
    this.#runtime.log.warn({ nid: this.nid, generation }, 'evicted: locks and uncommitted requests are lost');
    for (const transmission of this.#inFlight) transmission.abort();
    this.#waiting.wakeAll();
    for (const listener of this.#evictedListeners) await this.#guarded(listener);
  }

  async #replayRequests(): Promise<void> {
    const connectCount = this.#connectCount;
    const replayed = this.#recovery.replayRequests().then(async (whole) => {
      if (!whole && this.#connectCount === connectCount) await this.#dropAll();
    });
    await this.#stage('requestsReplayed', replayed);
  }

  /** A step of a recovery: what it comes to is the next event, unless the connection is another one by then. */
  async #stage(event: ImportEvent, step: Promise<void>): Promise<void> {
    const connectCount = this.#connectCount;
    try {
      await step;
    } catch (error) {
      this.#lost(connectCount, error as Error);
      return;
    }
    if (this.#connectCount === connectCount && this.#automaton.accepts(event)) this.#dispatch(event);
  }

  #lost(connectCount: number, reason: Error): void {
    if (connectCount !== this.#connectCount || !this.#automaton.accepts('lost')) return;
    this.#dispatch('lost', reason);
  }

  #ping(): void {
    this.call(RQF_OBD_PING, {}, { noResend: true, noDelay: true }).catch((err: unknown) =>
      this.#runtime.log.debug({ err }, 'ping failed'),
    );
  }

  async #idleDisconnect(): Promise<void> {
    this.#keepAlive.stop();
    const connectCount = this.#connectCount;
    await sendDisconnect(this.#view, connectCount);
    if (this.state === 'CONNECTING' && this.#connectCount === connectCount) this.#dispatch('idled');
  }

  #settleIdle(): void {
    this.#remoteHandle = 0n;
    this.#hasState = false;
    this.#recovery.list.clear();
    this.#waiting.wakeAll();
  }

  #shutOut(): void {
    this.#reconnect.cancel();
    this.#keepAlive.stop();
    void this.#dropAll();
    this.#connectWaiters.reject(inactiveError({ target: this.name, nid: this.nid, syscall: 'connect' }));
  }

  #failAll(): void {
    this.#reconnect.cancel();
    this.#keepAlive.stop();
    this.#stopWatching();
    this.#recovery.list.clear();
    for (const transmission of this.#inFlight) transmission.abort();
    this.#waiting.wakeAll();
    this.#connectWaiters.reject(this.#closedError({ syscall: 'connect' }));
  }

  /** Guide 04 §6, delay rules. */
  async #ready(
    generation: number,
    options: CallOptions,
    resend: boolean,
    context: ErrorContext,
  ): Promise<void> {
    const { state } = this;
    if (state === 'INACTIVE') throw inactiveError(context);
    if (generation !== this.#generation)
      throw errnoError(Errno.EIO, {
        ...context,
        hint: 'The server evicted this client; what it had is void',
      });
    if (state === 'CLOSED') throw this.#closedError(context);
    if (state === 'NEW')
      throw errnoError(Errno.ENOTCONN, { ...context, hint: 'Call connect() before the first request' });
    if (options.noDelay === true) throw errnoError(Errno.EAGAIN, context);
    const woken = this.#waiting.wait(resend, options.signal);
    if (state === 'IDLE') this.#dispatch('connect');
    await woken;
  }

  #makeView(): ImportView {
    const { ptlrpc, target, rpcsInFlightMax = 8, securityPart } = this.#options;
    const part = securityPart ?? (target.kind === 'mgs' ? 3 : 0);
    const self = this;
    return {
      runtime: this.#runtime,
      ptlrpc,
      kind: target.kind,
      targetName: target.name,
      flavour: part << 24,
      timeouts: this.#timeouts,
      unreplied: this.#unreplied,
      get replays() {
        return self.#recovery.list;
      },
      get replayable() {
        return self.#recovery.replayable;
      },
      modifySlots: this.#modifySlots,
      bulkSlots: new Slots(rpcsInFlightMax),
      generalSlots: new Slots(rpcsInFlightMax),
      get nid() {
        return self.nid;
      },
      get generation() {
        return self.#generation;
      },
      get connectCount() {
        return self.#connectCount;
      },
      get remoteHandle() {
        return self.#remoteHandle;
      },
      get lastReplyAt() {
        return self.#lastReplyAt;
      },
      ...grantedManners(this.#granted),
      mayStart: (generation) => generation === this.#generation && this.state === 'FULL',
      ready: (generation, options, resend, context) => this.#ready(generation, options, resend, context),
      finished: (opcode) => {
        if (opcode !== Opcode.OBD_PING) this.#keepAlive.worked();
      },
      started: (transmission) => {
        this.#keepAlive.sent();
        return this.#inFlight.add(transmission);
      },
      ended: (place) => this.#inFlight.remove(place),
      lost: (connectCount, reason) => this.#lost(connectCount, reason),
      replied: (body, opcode) => this.#replied(body, opcode),
    };
  }

  #replied(body: PtlrpcBody, opcode: number): void {
    this.#lastReplyAt = this.#runtime.now();
    if (body.pb_limit !== 0) this.#lockVolume = { slv: body.pb_slv, limit: body.pb_limit };
    const { list } = this.#recovery;
    list.committed(body.pb_last_committed);
    list.done(body.pb_transno);
    this.#keepAlive.uncommitted(list.hasUncommitted);
    if (body.pb_transno !== 0n || opcode === Opcode.LDLM_ENQUEUE) this.#hasState = true;
  }

  async #guarded(listener: () => void | Promise<void>): Promise<void> {
    try {
      await listener();
    } catch (err) {
      this.#runtime.log.error({ err }, 'listener failed');
    }
  }

  readonly #connectError = (cause: Error): LustreError => connectError(this.name, this.#nids.all, cause);

  #closedError(context: ErrorContext): LustreError {
    const cause = this.#closeReason;
    if (cause instanceof LustreError && cause.errno !== -Errno.ESHUTDOWN) return cause;
    return errnoError(Errno.ESHUTDOWN, { target: this.name, nid: this.nid, ...context });
  }
}
