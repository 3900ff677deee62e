/**
 * From a mount specification to connected targets (guide 05, guide 10 §8): the MGS and its configuration, the MDTs, the
 * root, the OSTs.
 */
import type { FilesystemConfig, TargetConfig } from '../../config/client-config.ts';
import { ManagementClient, randomUuid, readClientConfig } from '../../config/management-client.ts';
import { type RecoveryEntry, targetName } from '../../config/recovery-table.ts';
import { Import } from '../../connection/import.ts';
import type { ConnectGrant } from '../../connection/target.ts';
import { LocationClient } from '../../fid/location-client.ts';
import { SequenceClient } from '../../fid/sequence-client.ts';
import type { ClientLock } from '../../ldlm/client-lock.ts';
import { ClientNamespace } from '../../ldlm/client-namespace.ts';
import { LockCallbacks } from '../../ldlm/lock-callbacks.ts';
import type { LruOptions } from '../../ldlm/lock-lru.ts';
import type { ChecksumName, Endpoint, Network } from '../../lnet/network.ts';
import { type Nid, parseNid } from '../../lnet/nid.ts';
import { PtlRpc } from '../../rpc/ptlrpc.ts';
import type { Caller } from '../../rpc/rpc.ts';
import { LustreError } from '../../runtime/errors.ts';
import { type Runtime, withLog } from '../../runtime/runtime.ts';
import { Portal } from '../../wire/opcodes.ts';
import type { Counters } from '../engine.ts';
import { LockHooks } from '../lock-hooks.ts';
import type { Credentials } from '../mdc/credentials.ts';
import { getRoot } from '../mdc/get-root.ts';
import { GetattrBatch } from '../mdc/getattr-batch.ts';
import type { MetadataTarget } from '../mdc/target.ts';
import { chooseChecksum } from '../osc/checksum.ts';
import { GrantLedger } from '../osc/grant.ts';
import { encodeLvb, KnownObjects, resourceKey } from '../osc/known-objects.ts';
import { QuotaMarks } from '../osc/quota-marks.ts';
import { Slots } from '../osc/slots.ts';
import type { ObjectTarget } from '../osc/target.ts';
import type { Session } from '../session.ts';
import { mdtAsk, ostAsk } from './connect-flags.ts';
import { DataLimits } from './data-limits.ts';
import { type MountWishes, parseMountOptions } from './mount-options.ts';
import { type MountSpec, parseMountSpec } from './mount-spec.ts';
import { chooseOwnNid } from './own-nid.ts';

export interface SessionOptions {
  readonly runtime: Runtime;
  readonly network: Network;
  /** Our own NID; default chosen to suit the servers'. */
  readonly nid?: Nid;
  /** TCP port of the servers; default 988. */
  readonly port?: number;
  /** NID -> `host:port`, where a NID's address is not where it is reached. */
  readonly nidMap?: Readonly<Record<Nid, string>>;
  /** Accept connections here, `host:port`. Servers need none: they answer on ours. */
  readonly listen?: string;
  readonly connsPerPeer?: number;
  /** Who asks; default root with umask 022. */
  readonly credentials?: Partial<Credentials>;
  /** Of this process, for those who ask who holds a file lock; default 0. */
  readonly processId?: number;
  /** Bulk checksums; default crc32c where the server has it, false for none. */
  readonly checksums?: ChecksumName | false;
  /** Most bytes of file data kept in memory for this mount; default 64 MiB. */
  readonly cacheBytes?: number;
  /**
   * How long small reads and writes of an object go without locks after its server has said that too many want it,
   * milliseconds. Servers then lock for each request, and what is written that way is not cached. Default 0: servers are not
   * told that this client would (kernel clients from 2.15 on would not); they say so only where `max_nolock_bytes` is set.
   */
  readonly contentionMs?: number;
  /** Most locks kept unused for each target (lru_size); default what its server allows, or 1600 where it does not say. */
  readonly lruSize?: number;
  /** Requests in flight to one target, of bulk and of others each; default 8, to an MDT 32. */
  readonly maxRpcsInFlight?: number;
  /** Most data in one request, in pages of 4 KiB (max_pages_per_rpc); default what the servers take, 1 to 16 MiB. */
  readonly maxPagesPerRpc?: number;
  /** In the words of mount.lustre, `flock,exclude=lab-OST0001`. Rejects with EINVAL for what this client does not have. */
  readonly options?: string;
  /** How long to wait for a first connection, milliseconds; default 30000. */
  readonly connectTimeoutMs?: number;
}

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
  readonly #inFlight: number;
  readonly #connections: Connection[] = [];
  readonly #mdts = new Map<number, MetadataTarget>();
  readonly #callers = new Map<number, Caller>();
  readonly #osts = new Map<number, ObjectTarget>();
  readonly #hooks = new LockHooks();
  /** By target: where it was last started. */
  readonly #moved = new Map<string, readonly Nid[]>();
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
    this.#inFlight = options.maxRpcsInFlight ?? 8;
    this.#ptlrpc = new PtlRpc(endpoint, runtime);
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
      restarts: { endpoint: this.#endpoint, listener: (entries) => this.#restarted(entries) },
    });
    this.#pools = config.pools;
    const active = config.mdts.filter((mdt) => this.#isWanted(mdt));
    if (active.length === 0) {
      throw new LustreError(
        'ENODEV',
        `the file system '${this.#spec.fsname}' has no MDT`,
        { syscall: 'mount' },
        -19,
      );
    }
    const [lowest, ...others] = active;
    // The root is on the first MDT: without it there is nothing to mount.
    await this.#connectMdt(lowest!);
    const rest = others.map((mdt) => this.#connectLater(mdt, this.#connectMdt(mdt)));
    const who = this.#credentials();
    const first = this.#mdts.get(lowest!.index)!;
    const root = await getRoot(first, this.#spec.directory, who, { context: { syscall: 'mount' } });
    const osts = config.osts.filter((ost) => this.#isWanted(ost));
    await Promise.all([...rest, ...osts.map((ost) => this.#connectLater(ost, this.#connectOst(ost)))]);
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
      cacheBytes: this.#options.cacheBytes ?? CACHE_BYTES,
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

  #lru(): LruOptions {
    const { lruSize } = this.#options;
    return lruSize === undefined ? {} : { maxCount: lruSize };
  }

  #register(connection: Connection): void {
    this.#connections.push(connection);
    this.#callbacks.add(connection.locks);
  }

  async #connectMdt(target: TargetConfig): Promise<void> {
    const { index } = target;
    const { checksums } = this.#options;
    const imp = this.#import(
      target,
      'mdt',
      mdtAsk(checksums === false ? undefined : checksums, this.#wishes.readOnly),
    );
    const known = new KnownObjects();
    const locks = new ClientNamespace({
      name: target.name,
      runtime: this.#runtime,
      import: imp,
      onBlocking: (lock, bits) => this.#hooks.mdt?.cancelling(index, lock, bits),
      goesAtOnce: (lock) => this.#hooks.mdt?.goesAtOnce(index, lock) ?? true,
      lru: this.#lru(),
      onLost: (lock) => this.#hooks.mdt?.lost(index, lock),
      onGlimpse: (lock) => lvbOf(known, lock),
    });
    this.#register({ import: imp, locks });
    const data = this.#dataTarget(target, imp, locks, known, Portal.MDS_IO_PORTAL);
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
    await imp.connect(this.#patience());
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
    const { checksums } = this.#options;
    const wanted = checksums === false ? undefined : checksums;
    const imp = this.#import(target, 'ost', ostAsk(wanted));
    const known = new KnownObjects();
    const locks = new ClientNamespace({
      name: target.name,
      runtime: this.#runtime,
      import: imp,
      onGlimpse: (lock) => lvbOf(known, lock),
      onBlocking: (lock, bits) => this.#hooks.ost?.cancelling(target.index, lock, bits),
      goesAtOnce: (lock) => this.#hooks.ost?.goesAtOnce(target.index, lock) ?? true,
      lru: this.#lru(),
      onLost: (lock) => this.#hooks.ost?.lost(target.index, lock),
    });
    this.#register({ import: imp, locks });
    this.#osts.set(target.index, this.#dataTarget(target, imp, locks, known, Portal.OST_IO_PORTAL));
    await imp.connect(this.#patience());
  }

  /** What holds data: an OST, or an MDT for files that keep theirs there. */
  #dataTarget(
    { index, name }: TargetConfig,
    imp: Import,
    locks: ClientNamespace,
    known: KnownObjects,
    ioPortal: number,
  ): ObjectTarget {
    const { checksums } = this.#options;
    const wanted = checksums === false ? undefined : checksums;
    const grant = new GrantLedger(grantWish(this.#inFlight));
    imp.onReconnected(() => grant.connected(imp.granted));
    const limits = new DataLimits(imp);
    limits.pagesMax = this.#options.maxPagesPerRpc;
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
        return limits.granted;
      },
      grant,
      known,
      quota: new QuotaMarks(),
      slots: new Slots(this.#inFlight),
      locklessSlots: new Slots(this.#inFlight),
      get checksum() {
        return checksums === false ? undefined : chooseChecksum(imp.granted, wanted);
      },
      ioPortal,
      counters: { checksumErrors: 0, resends: 0 },
      lastCommitted: () => imp.lastCommitted,
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
    for (const mdt of config.mdts) {
      if (this.#isWanted(mdt) && !this.#mdts.has(mdt.index))
        void this.#connectLater(mdt, this.#connectMdt(mdt));
    }
    for (const ost of config.osts) {
      if (this.#isWanted(ost) && !this.#osts.has(ost.index))
        void this.#connectLater(ost, this.#connectOst(ost));
    }
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
