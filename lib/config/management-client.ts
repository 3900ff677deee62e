/**
 * The client of a management server (MGC; guide 14 §3, guide 05 §4): reads configuration logs under their locks, keeps the
 * locks, and reads on when the MGS revokes one because a log has grown.
 */
import { Import } from '../connection/import.ts';
import { ClientNamespace } from '../ldlm/client-namespace.ts';
import type { ResourceId } from '../ldlm/lock.ts';
import type { LockCallbacks } from '../ldlm/lock-callbacks.ts';
import type { LlogRecord } from '../llog/record.ts';
import { readRemoteLog } from '../llog/remote-log.ts';
import type { Endpoint } from '../lnet/network.ts';
import type { Nid } from '../lnet/nid.ts';
import type { PtlRpc } from '../rpc/ptlrpc.ts';
import { LustreError } from '../runtime/errors.ts';
import { type Runtime, type Timer, withLog } from '../runtime/runtime.ts';
import { ConfigType, ConnectFlag as F, ConnectFlag2 as F2 } from '../wire/connection-constants.ts';
import { LockMode, LockType } from '../wire/ldlm-constants.ts';
import { ConfigInterpreter, type ConfigParameter, type FilesystemConfig } from './client-config.ts';
import { configResource } from './config-lock.ts';
import { type RecoveryEntry, readRecoveryTable } from './recovery-table.ts';

export interface ManagementClientOptions {
  readonly runtime: Runtime;
  readonly ptlrpc: PtlRpc;
  /** Portal 15 of the endpoint: how the MGS tells of changes. */
  readonly callbacks: LockCallbacks;
  /** NIDs of the MGS, tried in turn. */
  readonly nids: readonly Nid[];
  /** Default a random UUID. */
  readonly clientUuid?: string;
}

/** A log that is being followed. */
export interface FollowedLog {
  /** False for a log that is not there: an empty one (guide 14 §3). */
  readonly exists: boolean;
  /** No more reading; the lock goes back with the client's. */
  stop(): void;
}

type RecordsListener = (records: readonly LlogRecord[]) => void;

const OUR_VERSION = 0x02110000;
/** Wait before a revoked log is read again, milliseconds, and as much again at random: all clients come at once. */
const REQUEUE_MS = 500;
const RETRY_MS = 5000;
/** Months: the lock is the notification, it must not age away. */
const NEVER_MS = 2 ** 31 - 1;

const ASK = {
  ocd_connect_flags:
    F.OBD_CONNECT_VERSION |
    F.OBD_CONNECT_AT |
    F.OBD_CONNECT_FULL20 |
    F.OBD_CONNECT_IMP_RECOV |
    F.OBD_CONNECT_BULK_MBITS |
    F.OBD_CONNECT_FLAGS2,
  ocd_connect_flags2: F2.OBD_CONNECT2_REP_MBITS,
  ocd_version: OUR_VERSION,
};

export class ManagementClient {
  readonly import: Import;
  readonly #runtime: Runtime;
  readonly #locks: ClientNamespace;
  readonly #callbacks: LockCallbacks;
  readonly #followers = new Set<Follower>();

  constructor(options: ManagementClientOptions) {
    this.#runtime = withLog(options.runtime, { mgs: options.nids[0] });
    this.#callbacks = options.callbacks;
    this.import = new Import({
      runtime: options.runtime,
      ptlrpc: options.ptlrpc,
      target: { name: 'MGS', uuid: 'MGS', kind: 'mgs' },
      nids: options.nids,
      clientUuid: options.clientUuid ?? randomUuid(options.runtime),
      ask: ASK,
    });
    this.#locks = new ClientNamespace({
      name: 'MGC',
      runtime: options.runtime,
      import: this.import,
      onLost: () => undefined,
      lru: { maxAgeMs: NEVER_MS },
    });
    this.#callbacks.add(this.#locks);
    this.import.onEvicted(() => {
      for (const follower of this.#followers) follower.again();
    });
  }

  /** The MGS's NID, for messages. */
  get nid(): Nid {
    return this.import.nid;
  }

  /** Rejects when no MGS answers at any of the NIDs. */
  async connect(): Promise<void> {
    await this.import.connect();
  }

  /**
   * Reads a log and goes on reading it: `listener` gets the records there are now, before this resolves, and each time the
   * MGS has added some. Rejects when the lock or the log cannot be had; a missing log is an empty one.
   */
  async follow(
    name: string,
    type: number,
    resourceName: string,
    listener: RecordsListener,
  ): Promise<FollowedLog> {
    let after = 0;
    return this.#follow({
      name,
      resource: configResource(resourceName, type),
      read: async () => {
        const { exists, records, lastIndex } = await readRemoteLog(this.import, { name, after });
        after = lastIndex;
        return { exists, tell: () => (records.length > 0 ? listener(records) : undefined) };
      },
    });
  }

  /** The same of the table of targets that were started again (guide 05 §7); nothing where the MGS keeps none. */
  async followRecovery(
    fsname: string,
    endpoint: Endpoint,
    listener: (entries: readonly RecoveryEntry[]) => void,
  ): Promise<void> {
    if ((this.import.granted.ocd_connect_flags & F.OBD_CONNECT_IMP_RECOV) === 0n) return;
    let version = 0n;
    await this.#follow({
      name: `${fsname}-cliir`,
      resource: configResource(fsname, ConfigType.MGS_CFG_T_RECOVER),
      read: async () => {
        const table = await readRecoveryTable(this.import, endpoint, fsname, version);
        ({ version } = table);
        return { exists: true, tell: () => listener(table.entries) };
      },
    });
  }

  async #follow(log: LogToFollow): Promise<FollowedLog> {
    const follower = new Follower({ runtime: this.#runtime, locks: this.#locks }, log);
    this.#followers.add(follower);
    try {
      await follower.start();
    } catch (error) {
      this.#followers.delete(follower);
      follower.stop();
      throw error;
    }
    return {
      exists: follower.exists,
      stop: () => {
        this.#followers.delete(follower);
        follower.stop();
      },
    };
  }

  /** Gives the locks back and disconnects. */
  async disconnect(): Promise<void> {
    for (const follower of this.#followers) follower.stop();
    this.#followers.clear();
    try {
      await this.#locks.cancelAll();
      await this.import.disconnect();
    } finally {
      this.#callbacks.remove(this.#locks);
    }
  }
}

interface FollowerContext {
  readonly runtime: Runtime;
  readonly locks: ClientNamespace;
}

interface LogToFollow {
  readonly name: string;
  readonly resource: ResourceId;
  /** What is new since the last time; `tell` hands it on. */
  read(): Promise<{ readonly exists: boolean; tell(): void }>;
}

class Follower {
  readonly #context: FollowerContext;
  readonly #log: LogToFollow;
  #timer: Timer | undefined;
  #stopped = false;
  exists = false;

  constructor(context: FollowerContext, log: LogToFollow) {
    this.#context = context;
    this.#log = log;
  }

  /** Lock, read, and keep the lock: it comes before the open even for a log that is not there (guide 14 §11). */
  async start(): Promise<void> {
    const { locks } = this.#context;
    const { lock } = await locks.enqueue({
      resource: this.#log.resource,
      type: LockType.LDLM_PLAIN,
      mode: LockMode.LCK_CR,
      policy: {},
    });
    try {
      const { exists, tell } = await this.#log.read();
      this.exists = exists;
      if (!this.#stopped) tell();
    } finally {
      if (lock !== undefined) {
        locks.release(lock);
        void lock.gone.then(() => this.again());
      }
    }
  }

  /** The lock is gone: the log may have grown. */
  again(): void {
    if (this.#stopped || this.#timer !== undefined) return;
    const { runtime } = this.#context;
    const wait = REQUEUE_MS + (REQUEUE_MS * (runtime.random(1)[0] ?? 0)) / 256;
    this.#timer = runtime.after(wait, () => this.#restart());
  }

  #restart(): void {
    this.#timer = undefined;
    if (this.#stopped) return;
    this.start().catch((error: unknown) => {
      const { runtime } = this.#context;
      runtime.log.warn({ log: this.#log.name, err: error }, 'configuration log could not be read again');
      if (!this.#stopped) this.#timer ??= runtime.after(RETRY_MS, () => this.#restart());
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}

/**
 * A file system's configuration as a kernel client takes it: `<fsname>-sptlrpc`, `<fsname>-client`, `params`, in this order
 * (guide 14 §3). `onChange` is called with the whole configuration when the MGS has changed it. Rejects with ENOENT when the
 * MGS knows no such file system, ERR_LUSTRE_CONFIG for a log that makes no sense, and with the connection's errors.
 */
export async function readClientConfig(
  mgc: ManagementClient,
  fsname: string,
  options: {
    readonly runtime: Runtime;
    readonly onChange?: (config: FilesystemConfig) => void;
    /** All of the log `params` so far, whenever it has grown. */
    readonly onParams?: (params: readonly ConfigParameter[]) => void;
    /** Targets that were started again, where the MGS tells of them. */
    readonly restarts?: {
      readonly endpoint: Endpoint;
      readonly listener: (entries: readonly RecoveryEntry[]) => void;
    };
  },
): Promise<FilesystemConfig> {
  const { log } = options.runtime;
  const interpreter = new ConfigInterpreter(`${fsname}-client`, log);
  const security = new ConfigInterpreter(`${fsname}-sptlrpc`, log);
  const params = new ConfigInterpreter('params', log);
  let ready = false;
  await mgc.follow(`${fsname}-sptlrpc`, ConfigType.MGS_CFG_T_SPTLRPC, fsname, tolerant(security, log));
  const client = await mgc.follow(`${fsname}-client`, ConfigType.MGS_CFG_T_CONFIG, fsname, (records) => {
    if (!ready) {
      interpreter.run(records);
      return;
    }
    tolerant(interpreter, log)(records);
    options.onChange?.(interpreter.config(fsname));
  });
  if (!client.exists) {
    client.stop();
    throw new LustreError(
      'ENOENT',
      `The management server at ${mgc.nid} knows no file system '${fsname}'`,
      {
        syscall: 'mount',
        path: `${fsname}-client`,
        nid: mgc.nid,
        hint: 'Check the name after the NID, as in NID:/fsname',
      },
      -2,
    );
  }
  ready = true;
  if (options.restarts !== undefined) {
    // It only makes recovery faster: a mount does without.
    await mgc
      .followRecovery(fsname, options.restarts.endpoint, options.restarts.listener)
      .catch((err: unknown) => log.warn({ err }, 'the table of restarted targets could not be read'));
  }
  await mgc.follow('params', ConfigType.MGS_CFG_T_PARAMS, 'params', (records) => {
    tolerant(params, log)(records);
    options.onParams?.(params.params);
  });
  return interpreter.config(fsname);
}

/** Later records, and logs that only refine: what makes no sense is logged and passed over. */
function tolerant(interpreter: ConfigInterpreter, log: Runtime['log']): RecordsListener {
  return (records) => {
    try {
      interpreter.run(records);
    } catch (error) {
      log.warn({ err: error }, 'configuration records that make no sense passed over');
    }
  };
}

/** A version 4 UUID, as clients name themselves. */
export function randomUuid(runtime: Runtime): string {
  const bytes = runtime.random(16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Buffer.from(bytes).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
