/**
 * From a mount specification to connected targets (guide 05, guide 10 §8): the MGS and its configuration, the MDTs, the
 * root, the OSTs.
 */
import type { ConfigParameter, FilesystemConfig, TargetConfig } from '../../config/client-config.ts';
import { ManagementClient, randomUuid, readClientConfig } from '../../config/management-client.ts';
import { type RecoveryEntry, targetName } from '../../config/recovery-table.ts';
import { Import } from '../../connection/import.ts';
import type { ConnectGrant } from '../../connection/target.ts';
import { LocationClient } from '../../fid/location-client.ts';
import { SequenceClient } from '../../fid/sequence-client.ts';
import type { ClientLock } from '../../ldlm/client-lock.ts';
import { ClientNamespace } from '../../ldlm/client-namespace.ts';
import { LockCallbacks } from '../../ldlm/lock-callbacks.ts';
import type { Endpoint } from '../../lnet/network.ts';
import { type Nid, parseNid } from '../../lnet/nid.ts';
import { PtlRpc } from '../../rpc/ptlrpc.ts';
import type { Caller } from '../../rpc/rpc.ts';
import { LustreError } from '../../runtime/errors.ts';
import { type Runtime, withLog } from '../../runtime/runtime.ts';
import { Portal } from '../../wire/opcodes.ts';
import type { Counters } from '../engine.ts';
import { AHEAD_MAX } from '../files/stat-ahead.ts';
import { LockHooks } from '../lock-hooks.ts';
import type { Credentials } from '../mdc/credentials.ts';
import { getRoot } from '../mdc/get-root.ts';
import { GetattrBatch } from '../mdc/getattr-batch.ts';
import type { MetadataTarget } from '../mdc/target.ts';
import type { ChecksumWish } from '../osc/checksum.ts';
import { GrantLedger } from '../osc/grant.ts';
import { encodeLvb, KnownObjects, resourceKey } from '../osc/known-objects.ts';
import { QuotaMarks } from '../osc/quota-marks.ts';
import { Slots } from '../osc/slots.ts';
import type { ObjectTarget } from '../osc/target.ts';
import type { MountSettings, Session } from '../session.ts';
import { mdtAsk, ostAsk } from './connect-flags.ts';
import { type MountWishes, parseMountOptions } from './mount-options.ts';
import { type MountSpec, parseMountSpec } from './mount-spec.ts';
import { chooseOwnNid } from './own-nid.ts';
import { Parameters } from './parameters.ts';
import type { SessionOptions } from './session-options.ts';
import { type LruSettings, TargetSettings } from './target-settings.ts';

const MIB = 1 << 20;
/** Before a mount is tried again the first two times; then twice as long, up to 32 s, as mount.lustre waits. */
const RETRY_MS = 1000;
const CACHE_BYTES = 64 * MIB;
/** By default: small requests, whose number costs a server little, and each waits for a commit. */
const MDT_IN_FLIGHT = 32;
/** How long servers may take to answer at unmount, milliseconds. */
const GOODBYE_MS = 10_000;

/** Connects to everything that the specification names. Rejects with what could not be reached or was refused. */
export async function connectSession(spec: string, options: SessionOptions): Promise<Session> {
  const parsed = parseMountSpec(spec);
  const wishes = parseMountOptions(options.options ?? '');
  for (let tries = 0; ; tries++) {
    try {
      return await connectOnce(parsed, wishes, options);
    } catch (error) {
      if (tries >= wishes.retry) throw error;
      options.runtime.log.warn({ err: error, tries }, 'mount failed; it is tried again');
      await pause(options.runtime, RETRY_MS * 2 ** Math.min(tries >> 1, 5));
    }
  }
}

/** Some time, for servers to come up. */
function pause(runtime: Runtime, ms: number): Promise<void> {
  return new Promise((resolve) => {
    runtime.after(ms, resolve);
  });
}

async function connectOnce(
  parsed: MountSpec,
  wishes: MountWishes,
  options: SessionOptions,
): Promise<Session> {
  const nid =
    options.nid === undefined ? chooseOwnNid(parsed.nids[0]!, options.runtime) : parseNid(options.nid);
  const runtime = withLog(options.runtime, { mount: parsed.fsname, self: nid });
  const endpoint = await options.network.open({
    nid,
    accept: options.listen !== undefined,
    ...(options.port !== undefined && { port: options.port }),
    ...(options.listen !== undefined && { listen: options.listen }),
    ...(options.nidMap !== undefined && { nidMap: options.nidMap }),
    ...(options.connsPerPeer !== undefined && { connsPerPeer: options.connsPerPeer }),
    ...(options.busyPollUs !== undefined && { busyPollUs: options.busyPollUs }),
  });
  const connector = new Connector(parsed, endpoint, runtime, options, wishes);
  try {
    return await connector.connect();
  } catch (error) {
    await connector.close();
    throw error;
  }
}

/** An import with its namespace. */
interface Connection {
  readonly import: Import;
  readonly locks: ClientNamespace;
}

class Connector {
  readonly #spec: MountSpec;
  readonly #endpoint: Endpoint;
  readonly #runtime: Runtime;
  readonly #options: SessionOptions;
  readonly #wishes: MountWishes;
  readonly #ptlrpc: PtlRpc;
  readonly #callbacks: LockCallbacks;
  readonly #mgc: ManagementClient;
  readonly #clientUuid: string;
  readonly #checksum: ChecksumWish;
  readonly #inFlight: number;
  readonly #connections: Connection[] = [];
  readonly #mdts = new Map<number, MetadataTarget>();
  readonly #callers = new Map<number, Caller>();
  readonly #osts = new Map<number, ObjectTarget>();
  readonly #hooks = new LockHooks();
  /** By target: where it was last started. */
  readonly #moved = new Map<string, readonly Nid[]>();
  readonly #targets = new Map<string, TargetSettings>();
  readonly #settings: MountSettings;
  readonly #parameters: Parameters;
  #paramsLog: readonly ConfigParameter[] = [];
  #configured = false;
  #pools: FilesystemConfig['pools'] = new Map();
  #closing: Promise<void> | undefined;

  constructor(
    spec: MountSpec,
    endpoint: Endpoint,
    runtime: Runtime,
    options: SessionOptions,
    wishes: MountWishes,
  ) {
    this.#spec = spec;
    this.#endpoint = endpoint;
    this.#runtime = runtime;
    this.#options = options;
    this.#wishes = wishes;
    const { checksums } = options;
    this.#checksum = { used: checksums !== false, type: checksums === false ? undefined : checksums };
    this.#inFlight = options.maxRpcsInFlight ?? 8;
    this.#ptlrpc = new PtlRpc(endpoint, runtime);
    this.#settings = {
      cacheBytes: options.cacheBytes ?? CACHE_BYTES,
      statAheadMax: AHEAD_MAX,
      xattrCache: true,
    };
    this.#parameters = new Parameters({
      fsname: spec.fsname,
      log: runtime.log,
      mount: this.#settings,
      timeouts: this.#ptlrpc.timeouts,
      targets: () => this.#targets.values(),
    });
    this.#callbacks = new LockCallbacks(this.#ptlrpc, runtime);
    // One UUID for all targets of a mount, another for the MGC (guide 05 §1).
    this.#clientUuid = randomUuid(runtime);
    this.#mgc = new ManagementClient({
      runtime,
      ptlrpc: this.#ptlrpc,
      callbacks: this.#callbacks,
      nids: spec.nids,
      clientUuid: randomUuid(runtime),
    });
  }

  async connect(): Promise<Session> {
    await this.#mgc.connect();
    const config = await readClientConfig(this.#mgc, this.#spec.fsname, {
      runtime: this.#runtime,
      onChange: (changed) => this.#grow(changed),
      onParams: (params) => this.#setParams(params),
      restarts: { endpoint: this.#endpoint, listener: (entries) => this.#restarted(entries) },
    });
    this.#pools = config.pools;
    if (config.timeout !== undefined) Object.assign(this.#ptlrpc.timeouts, { obdTimeout: config.timeout });
    this.#parameters.follow('client', config.params);
    this.#parameters.follow('params', this.#paramsLog);
    this.#configured = true;
    const usable = config.mdts.filter((mdt) => this.#isWanted(mdt));
    if (usable.length === 0) {
      throw new LustreError(
        'ENODEV',
        `the file system '${this.#spec.fsname}' has no MDT`,
        { syscall: 'mount' },
        -19,
      );
    }
    const lowest = usable[0]!;
    const others = config.mdts.filter((mdt) => mdt !== lowest);
    // The root is on the first MDT: without it there is nothing to mount.
    await this.#connectMdt(lowest);
    const rest = others.map((mdt) => this.#connectLater(mdt, this.#connectMdt(mdt)));
    const who = this.#credentials();
    const first = this.#mdts.get(lowest.index)!;
    const root = await getRoot(first, this.#spec.directory, who, { context: { syscall: 'mount' } });
    await Promise.all([...rest, ...config.osts.map((ost) => this.#connectLater(ost, this.#connectOst(ost)))]);
    const pools = (): FilesystemConfig['pools'] => this.#pools;
    return {
      get pools() {
        return pools();
      },
      fsname: this.#spec.fsname,
      runtime: this.#runtime,
      endpoint: this.#endpoint,
      mdts: this.#mdts,
      osts: this.#osts,
      location: new LocationClient(this.#callers),
      root,
      readOnly: this.#wishes.readOnly,
      who,
      processId: this.#options.processId ?? 0,
      owner: { uid: who.uid, gid: who.gid, privileged: who.uid === 0 },
      lockHooks: this.#hooks,
      settings: this.#settings,
      contentionMs: this.#options.contentionMs ?? 0,
      counters: () => this.#counters(),
      close: () => this.close(),
    };
  }

  /** The MGS tells where targets run that were started again. */
  #restarted(entries: readonly RecoveryEntry[]): void {
    for (const { kind, index, instance, nids } of entries) {
      const name = targetName(this.#spec.fsname, kind, index);
      const reached = nids.filter((nid) => this.#spec.nids.some((mgs) => netOf(mgs) === netOf(nid)));
      if (reached.length === 0) continue;
      this.#moved.set(name, reached);
      for (const { import: imp } of this.#connections) if (imp.name === name) imp.moved(reached, instance);
    }
  }

  #credentials(): Credentials {
    const { uid = 0, gid = 0, groups = [], umask = 0o022 } = this.#options.credentials ?? {};
    return { uid, gid, groups, umask };
  }

  #import(target: TargetConfig, kind: 'mdt' | 'ost', ask: ConnectGrant): Import {
    return new Import({
      runtime: this.#runtime,
      ptlrpc: this.#ptlrpc,
      target: { name: target.name, uuid: target.uuid, kind },
      nids: [...new Set([...(this.#moved.get(target.name) ?? []), ...target.nids.flat()])],
      clientUuid: this.#clientUuid,
      ask,
      rpcsInFlightMax: kind === 'mdt' ? (this.#options.maxRpcsInFlight ?? MDT_IN_FLIGHT) : this.#inFlight,
    });
  }

  /** The log that `lctl set_param -P` writes has grown. */
  #setParams(params: readonly ConfigParameter[]): void {
    this.#paramsLog = params;
    if (this.#configured) this.#parameters.follow('params', params);
  }

  #register(connection: Connection): void {
    this.#connections.push(connection);
    this.#callbacks.add(connection.locks);
  }

  async #connectMdt(target: TargetConfig): Promise<void> {
    const { index } = target;
    const imp = this.#import(target, 'mdt', mdtAsk(this.#checksum.type, this.#wishes.readOnly));
    const known = new KnownObjects();
    const lru: LruSettings = { maxCount: this.#options.lruSize };
    const locks = new ClientNamespace({
      name: target.name,
      runtime: this.#runtime,
      import: imp,
      onBlocking: (lock, bits) => this.#hooks.mdt?.cancelling(index, lock, bits),
      goesAtOnce: (lock) => this.#hooks.mdt?.goesAtOnce(index, lock) ?? true,
      lru,
      onLost: (lock) => this.#hooks.mdt?.lost(index, lock),
      onGlimpse: (lock) => lvbOf(known, lock),
    });
    this.#register({ import: imp, locks });
    const settled = { kind: 'mdt', lru, ioPortal: Portal.MDS_IO_PORTAL } as const;
    const data = this.#dataTarget(target, imp, locks, known, settled);
    const fids = new SequenceClient(imp, this.#runtime);
    // A create of the lost generation may have used any FID of the sequence.
    imp.onEvicted(() => fids.drop());
    this.#callers.set(index, imp);
    const batch = new GetattrBatch({
      name: target.name,
      runtime: this.#runtime,
      caller: imp,
      get granted() {
        return imp.granted;
      },
    });
    this.#mdts.set(index, {
      index,
      name: target.name,
      get nid() {
        return imp.nid;
      },
      caller: imp,
      locks,
      batch,
      data,
      fids,
      runtime: this.#runtime,
      get generation() {
        return imp.generation;
      },
      get granted() {
        return imp.granted;
      },
    });
    await this.#use(target, imp);
  }

  /** Connects, unless it is not to be used. */
  async #use(target: TargetConfig, imp: Import): Promise<void> {
    if (!this.#isWanted(target)) imp.setActive(false);
    this.#parameters.catchUp(target.name);
    if (imp.state === 'NEW') await imp.connect(this.#patience());
  }

  /** A target beside the first MDT that cannot be reached does not stop the mount: its import goes on trying, and what it
   * holds waits. */
  async #connectLater({ name: target }: TargetConfig, connected: Promise<void>): Promise<void> {
    try {
      await connected;
    } catch (err) {
      this.#runtime.log.error({ target, err }, 'target is not connected; what it holds will wait');
    }
  }

  async #connectOst(target: TargetConfig): Promise<void> {
    const imp = this.#import(target, 'ost', ostAsk(this.#checksum.type));
    const known = new KnownObjects();
    const lru: LruSettings = { maxCount: this.#options.lruSize };
    const locks = new ClientNamespace({
      name: target.name,
      runtime: this.#runtime,
      import: imp,
      onGlimpse: (lock) => lvbOf(known, lock),
      onBlocking: (lock, bits) => this.#hooks.ost?.cancelling(target.index, lock, bits),
      goesAtOnce: (lock) => this.#hooks.ost?.goesAtOnce(target.index, lock) ?? true,
      lru,
      onLost: (lock) => this.#hooks.ost?.lost(target.index, lock),
    });
    this.#register({ import: imp, locks });
    const settled = { kind: 'ost', lru, ioPortal: Portal.OST_IO_PORTAL } as const;
    this.#osts.set(target.index, this.#dataTarget(target, imp, locks, known, settled));
    await this.#use(target, imp);
  }

  /** What holds data: an OST, or an MDT for files that keep theirs there. */
  #dataTarget(
    target: TargetConfig,
    imp: Import,
    locks: ClientNamespace,
    known: KnownObjects,
    {
      kind,
      lru,
      ioPortal,
    }: { readonly kind: 'mdt' | 'ost'; readonly lru: LruSettings; readonly ioPortal: number },
  ): ObjectTarget {
    const { index, name } = target;
    const grant = new GrantLedger(grantWish(this.#inFlight));
    imp.onReconnected(() => grant.connected(imp.granted));
    const slots = [new Slots(this.#inFlight), new Slots(this.#inFlight)] as const;
    const settings = new TargetSettings(
      { name, kind, index },
      { import: imp, grant, slots, locks: lru },
      {
        checksum: this.#checksum,
        maxPagesPerRpc: this.#options.maxPagesPerRpc,
        excluded: this.#wishes.exclude.has(name),
      },
    );
    this.#targets.set(name, settings);
    return {
      index,
      name,
      get nid() {
        return imp.nid;
      },
      caller: imp,
      locks,
      endpoint: this.#endpoint,
      runtime: this.#runtime,
      get granted() {
        return settings.granted;
      },
      get active() {
        return imp.state !== 'INACTIVE';
      },
      grant,
      known,
      quota: new QuotaMarks(),
      slots: slots[0],
      locklessSlots: slots[1],
      get checksum() {
        return settings.checksum;
      },
      ioPortal,
      counters: { checksumErrors: 0, resends: 0 },
      committed: imp.committed,
    };
  }

  #isWanted({ name, active }: TargetConfig): boolean {
    return active && !this.#wishes.exclude.has(name);
  }

  #patience(): { timeoutMs?: number } {
    const { connectTimeoutMs } = this.#options;
    return connectTimeoutMs === undefined ? {} : { timeoutMs: connectTimeoutMs };
  }

  /** The MGS has added targets. */
  #grow(config: FilesystemConfig): void {
    if (this.#closing !== undefined) return;
    this.#pools = config.pools;
    for (const mdt of config.mdts)
      if (!this.#mdts.has(mdt.index)) void this.#connectLater(mdt, this.#connectMdt(mdt));
    for (const ost of config.osts)
      if (!this.#osts.has(ost.index)) void this.#connectLater(ost, this.#connectOst(ost));
    this.#parameters.follow('client', config.params);
  }

  #counters(): Omit<Counters, 'cachedBytes'> {
    const rpcs: Record<string, number> = {};
    for (const [opcode, counters] of Object.entries(this.#ptlrpc.counters.client))
      rpcs[opcode] = counters.requests;
    const mdts = [...this.#mdts.values()].map((mdt) => mdt.data.counters);
    const osts = [...[...this.#osts.values()].map((ost) => ost.counters), ...mdts];
    return {
      rpcs,
      checksumErrors: osts.reduce((sum, c) => sum + c.checksumErrors, 0),
      resends: osts.reduce((sum, c) => sum + c.resends, 0),
    };
  }

  /** Locks, OSTs, MDTs, MGS, endpoint; servers that do not answer are not waited for. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#within(
      this.#connections.map(({ import: imp, locks }) =>
        imp.state === 'FULL' ? locks.cancelAll() : undefined,
      ),
    );
    await this.#within(this.#connections.map(({ import: imp }) => imp.disconnect()).reverse());
    await this.#within([
      this.#mgc.import.state === 'FULL' ? this.#mgc.disconnect() : this.#mgc.import.disconnect(),
    ]);
    await this.#within([this.#callbacks.close()]);
    await this.#within([this.#ptlrpc.close()]);
    await this.#endpoint.close();
  }

  /** Waits for all, but no longer than a server may take to say goodbye. */
  async #within(work: readonly (Promise<void> | undefined)[]): Promise<void> {
    let stop: () => void = () => undefined;
    const enough = new Promise<void>((resolve) => {
      const timer = this.#runtime.after(GOODBYE_MS, resolve);
      stop = () => timer.cancel();
    });
    const all = Promise.allSettled(work).then((results) => {
      for (const result of results) {
        if (result.status === 'rejected')
          this.#runtime.log.warn({ err: result.reason }, 'unmount: a step failed');
      }
    });
    await Promise.race([all, enough]);
    stop();
  }
}

const netOf = (nid: Nid): string => nid.slice(nid.indexOf('@'));

function lvbOf(known: KnownObjects, lock: ClientLock): Uint8Array | undefined {
  const attributes = known.forGlimpse(resourceKey(lock.resource));
  return attributes === undefined ? undefined : encodeLvb(attributes);
}

/** Grant for twice the RPCs that may be under way. */
const grantWish = (inFlight: number): number => 2 * inFlight * 4 * MIB;
