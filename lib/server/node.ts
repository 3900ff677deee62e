/**
 * A server node: MGS, MDT0000 and OSTs behind one endpoint (guide 16 §1). The targets register with the MGS over the wire
 * and the MDT learns of OSTs from its configuration log, as servers on machines of their own would.
 */
import { ConfigInterpreter } from '../config/client-config.ts';
import { ManagementClient } from '../config/management-client.ts';
import { TargetNode } from '../connection/target-node.ts';
import type { ContentionOptions } from '../ldlm/contention.ts';
import { LockCallbacks } from '../ldlm/lock-callbacks.ts';
import type { LockReport, ReportOptions } from '../ldlm/lock-report.ts';
import { reportServerLocks } from '../ldlm/server-report.ts';
import type { Endpoint, Network } from '../lnet/network.ts';
import { type Nid, parseNid } from '../lnet/nid.ts';
import { PtlRpc } from '../rpc/ptlrpc.ts';
import { LustreError } from '../runtime/errors.ts';
import { type Runtime, withLog } from '../runtime/runtime.ts';
import { ConfigType } from '../wire/connection-constants.ts';
import { createMdt, MDT_TABLES, type Mdt } from './mds/mdt.ts';
import { MGS_TABLES } from './mgs/config-database.ts';
import { createMgs, type Mgs } from './mgs/mgs.ts';
import { NODE_OBJECT_TABLES, type NodeStorage, openDirectoryStorage } from './node-storage.ts';
import type { MovedBytes } from './oss/moved-bytes.ts';
import { createOst, OST_TABLES, type Ost } from './oss/ost.ts';
import { registerTarget } from './registration.ts';

export interface ServerNodeOptions {
  readonly runtime: Runtime;
  readonly network: Network;
  /** Where the targets keep what they store; made if it is missing. Or storage of another kind. */
  readonly dir: string | NodeStorage;
  /** 1 to 8 letters, digits, `_` and `-`. */
  readonly fsname: string;
  readonly nid: Nid;
  /** TCP port; default 988. */
  readonly port?: number;
  /** `host:port` to listen at instead of the NID's address. */
  readonly listen?: string;
  readonly nidMap?: Readonly<Record<Nid, string>>;
  /** As EndpointOptions has it; default 100. */
  readonly busyPollUs?: number;
  /** OSTs on this node, 0 to 1000. */
  readonly osts: number;
  /** Index of the first OST; default 0. */
  readonly firstOst?: number;
  /** Default true. */
  readonly mgs?: boolean;
  /** Default true. */
  readonly mdt?: boolean;
  /** How long a client has to give a lock back that another wants before it is evicted, milliseconds; default 100000. */
  readonly lockTimeoutMs?: number;
  /** When OSTs send clients away that ask for a lock on what many want; default never. */
  readonly contention?: ContentionOptions;
  /** NIDs of the MGS when it is another node's. */
  readonly mgsNids?: readonly Nid[];
}

export interface ServerNode {
  readonly nid: Nid;
  /** The TCP port that is listened on. */
  readonly port: number;
  /** What to mount: `10.0.0.1@tcp:/demo`. */
  readonly spec: string;
  readonly endpoint: Endpoint;
  readonly ptlrpc: PtlRpc;
  readonly targets: TargetNode;
  readonly mgs: Mgs | undefined;
  readonly mdt: Mdt | undefined;
  readonly osts: readonly Ost[];
  /** The locks of all targets, as they are now. */
  locks(options?: ReportOptions): LockReport[];
  /** By OST, which way the bytes of reads and writes went. */
  moved(): Record<string, MovedBytes>;
  /** Makes everything durable. */
  commit(): Promise<void>;
  /** Disconnects, commits and closes everything. Clients see a server that went away. A second call does nothing. */
  stop(): Promise<void>;
}

const OSTS_MAX = 1000;
const DEFAULT_PORT = 988;

/**
 * Starts the servers. Resolves once they are registered and serve. Rejects with EADDRINUSE / EACCES for the port, with the
 * directory's errors (ERR_LUSTRE_STORE_VERSION, ERR_LUSTRE_FSNAME, EBUSY, EACCES ...), or with the MGS's; what had
 * been opened is closed again.
 */
export async function startServerNode(options: ServerNodeOptions): Promise<ServerNode> {
  checkOptions(options);
  const starting = new StartingNode(options);
  try {
    return await starting.start();
  } catch (error) {
    await starting.stop();
    throw error;
  }
}

function checkOptions(options: ServerNodeOptions): void {
  const invalid = (message: string, hint: string): LustreError =>
    new LustreError('EINVAL', message, { syscall: 'serve', hint }, -22);
  if (!/^[A-Za-z0-9_-]{1,8}$/.test(options.fsname))
    throw invalid(`'${options.fsname}' is not a file system's name`, 'Use 1 to 8 letters, digits, _ and -');
  if (!Number.isInteger(options.osts) || options.osts < 0 || options.osts > OSTS_MAX)
    throw invalid(`${options.osts} OSTs`, `Give a number from 0 to ${OSTS_MAX}`);
  if (options.mgs === false && (options.mgsNids ?? []).length === 0)
    throw invalid('A node without an MGS needs the NIDs of one', 'Give mgsNids');
}

class StartingNode {
  readonly #options: ServerNodeOptions;
  readonly #runtime: Runtime;
  readonly #nid: Nid;
  /** What has been opened, to be closed in reverse order. */
  readonly #undo: { readonly what: string; readonly close: () => void | Promise<void> }[] = [];
  #stopped: Promise<void> | undefined;

  constructor(options: ServerNodeOptions) {
    this.#options = options;
    this.#nid = parseNid(options.nid);
    this.#runtime = withLog(options.runtime, { node: this.#nid });
  }

  async start(): Promise<ServerNode> {
    const { fsname } = this.#options;
    const storage = this.#openStorage();
    const endpoint = await this.#openEndpoint();
    const ptlrpc = new PtlRpc(endpoint, this.#runtime);
    this.#later('rpc', () => ptlrpc.close());
    const callbacks = new LockCallbacks(ptlrpc, this.#runtime);
    this.#later('lock callbacks', () => callbacks.close());
    const targets = new TargetNode(ptlrpc, this.#runtime);
    this.#later('targets', () => targets.close());
    const mgs = this.#options.mgs === false ? undefined : await this.#startMgs(storage, targets);
    const osts: Ost[] = [];
    const first = this.#options.firstOst ?? 0;
    for (let index = first; index < first + this.#options.osts; index++)
      osts.push(await this.#startOst(storage, targets, endpoint, index));
    const mdt = this.#options.mdt === false ? undefined : await this.#startMdt(storage, targets, ptlrpc);
    await this.#register(ptlrpc, callbacks, mdt, osts);
    const port = 'port' in endpoint && typeof endpoint.port === 'number' ? endpoint.port : undefined;
    this.#runtime.log.info({ fsname, osts: osts.length, mdt: mdt !== undefined }, 'servers started');
    return {
      nid: this.#nid,
      port: port ?? this.#options.port ?? DEFAULT_PORT,
      spec: `${(this.#options.mgsNids ?? [this.#nid]).join(':')}:/${fsname}`,
      endpoint,
      ptlrpc,
      targets,
      mgs,
      mdt,
      osts,
      locks: (options) =>
        [mgs?.locks, mdt?.core.locks, ...osts.map(({ context }) => context.locks)]
          .filter((namespace) => namespace !== undefined)
          .map((namespace) => reportServerLocks(namespace, options)),
      moved: () =>
        Object.fromEntries(osts.map(({ name, context }) => [name, structuredClone(context.moved)])),
      commit: async () => {
        await Promise.all(osts.map((ost) => ost.commit()));
      },
      stop: () => this.stop(),
    };
  }

  /** Closes what has been opened, whatever fails on the way. */
  stop(): Promise<void> {
    this.#stopped ??= this.#closeAll();
    return this.#stopped;
  }

  async #closeAll(): Promise<void> {
    for (const { what, close } of this.#undo.reverse()) {
      try {
        await close();
      } catch (err) {
        this.#runtime.log.error({ err, what }, 'could not be closed in order');
      }
    }
  }

  #later(what: string, close: () => void | Promise<void>): void {
    this.#undo.push({ what, close });
  }

  #openStorage(): NodeStorage {
    const { dir, fsname } = this.#options;
    const storage = typeof dir === 'string' ? openDirectoryStorage(dir, fsname, this.#runtime) : dir;
    this.#later('directory', () => storage.release());
    return storage;
  }

  async #openEndpoint(): Promise<Endpoint> {
    const { network, port, listen, nidMap, busyPollUs } = this.#options;
    let endpoint: Endpoint;
    try {
      endpoint = await network.open({
        nid: this.#nid,
        ...(port === undefined ? {} : { port }),
        ...(listen === undefined ? {} : { listen }),
        ...(nidMap === undefined ? {} : { nidMap }),
        ...(busyPollUs === undefined ? {} : { busyPollUs }),
      });
    } catch (error) {
      throw listenError(error, listen ?? `port ${port ?? DEFAULT_PORT} of ${this.#nid}`);
    }
    this.#later('endpoint', () => endpoint.close());
    return endpoint;
  }

  async #startMgs(storage: NodeStorage, targets: TargetNode): Promise<Mgs> {
    const store = await storage.openTables('mgs', MGS_TABLES);
    this.#later('mgs store', () => store.close());
    const mgs = await createMgs({ runtime: this.#runtime, store });
    targets.add(mgs);
    this.#later('MGS', () => targets.remove(mgs.name));
    return mgs;
  }

  async #startOst(
    storage: NodeStorage,
    targets: TargetNode,
    endpoint: Endpoint,
    index: number,
  ): Promise<Ost> {
    const folder = `ost${index.toString(16).padStart(4, '0')}`;
    const store = await storage.openTables(folder, [...OST_TABLES, ...NODE_OBJECT_TABLES]);
    this.#later(`${folder} store`, () => store.close());
    const objects = storage.openObjects(folder, store);
    this.#later(`${folder} objects`, () => objects.close());
    const ost = await createOst({
      runtime: this.#runtime,
      endpoint,
      fsname: this.#options.fsname,
      index,
      objects,
      store,
      ...this.#lockTimeout(),
      ...(this.#options.contention !== undefined && { contention: this.#options.contention }),
    });
    this.#later(ost.name, () => ost.stop());
    targets.add(ost);
    this.#later(ost.name, () => targets.remove(ost.name));
    return ost;
  }

  async #startMdt(storage: NodeStorage, targets: TargetNode, ptlrpc: PtlRpc): Promise<Mdt> {
    const store = await storage.openTables('mdt0000', MDT_TABLES);
    this.#later('mdt0000 store', () => store.close());
    const mdt = await createMdt({
      runtime: this.#runtime,
      ptlrpc,
      store,
      fsname: this.#options.fsname,
      statfs: () => storage.statfs('mdt0000'),
      ...this.#lockTimeout(),
    });
    this.#later(mdt.name, () => mdt.stop());
    targets.add(mdt);
    this.#later(mdt.name, () => targets.remove(mdt.name));
    return mdt;
  }

  #lockTimeout(): { lockTimeoutMs?: number } {
    const { lockTimeoutMs } = this.#options;
    return lockTimeoutMs === undefined ? {} : { lockTimeoutMs };
  }

  /** Registers all targets, the MDT first, and has the MDT told of OSTs by its log from now on. */
  async #register(
    ptlrpc: PtlRpc,
    callbacks: LockCallbacks,
    mdt: Mdt | undefined,
    osts: readonly Ost[],
  ): Promise<void> {
    const { fsname } = this.#options;
    const mgc = new ManagementClient({
      runtime: this.#runtime,
      ptlrpc,
      callbacks,
      nids: this.#options.mgsNids ?? [this.#nid],
    });
    this.#later('MGC', () => mgc.disconnect());
    await mgc.connect();
    const nids = [this.#nid];
    if (mdt !== undefined) await registerTarget(mgc.import, { fsname, kind: 'mdt', index: mdt.index, nids });
    for (const ost of osts) await registerTarget(mgc.import, { fsname, kind: 'ost', index: ost.index, nids });
    if (mdt !== undefined) await this.#followOsts(mgc, mdt);
  }

  async #followOsts(mgc: ManagementClient, mdt: Mdt): Promise<void> {
    const interpreter = new ConfigInterpreter(mdt.name, this.#runtime.log);
    await mgc.follow(mdt.name, ConfigType.MGS_CFG_T_CONFIG, this.#options.fsname, (records) => {
      interpreter.run(records);
      for (const ost of interpreter.osts()) {
        if (ost.active && ost.nids.length > 0) mdt.addOst({ ...ost, nids: ost.nids.flat() });
      }
    });
  }
}

function listenError(error: unknown, where: string): unknown {
  const code = (error as { code?: unknown }).code;
  const hints: { readonly [code: string]: string } = {
    EADDRINUSE: 'Stop what listens there, or give another --port',
    EACCES: 'Ports below 1024 need root or CAP_NET_BIND_SERVICE; give a --port above',
    EADDRNOTAVAIL: "The NID's address is not one of this machine's; give --nid or --listen",
  };
  const hint = typeof code === 'string' ? hints[code] : undefined;
  if (hint === undefined || !(error instanceof LustreError)) return error;
  return new LustreError(
    error.code,
    `The servers cannot listen on ${where}`,
    { syscall: 'listen', hint, cause: error },
    error.errno,
  );
}
