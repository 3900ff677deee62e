/**
 * An object storage target (guide 12, guide 16): operations by opcode over a store of objects, with extent locks, grants and
 * transaction numbers.
 */
import type { Operation, Target } from '../../connection/target.ts';
import type { ContentionOptions } from '../../ldlm/contention.ts';
import { ServerNamespace } from '../../ldlm/server-namespace.ts';
import type { Endpoint } from '../../lnet/network.ts';
import { type Runtime, withLog } from '../../runtime/runtime.ts';
import { Opcode } from '../../wire/opcodes.ts';
import { StoredLastRcvd } from '../last-rcvd.ts';
import type { KeyValueStore } from '../store/key-value-store.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { ostGetattr, ostSetattr } from './attributes.ts';
import { BulkMemory } from './bulk-memory.ts';
import { CommitLog, TARGET_TABLE } from './commit-log.ts';
import { BRW_SIZE_MAX, ostConnect } from './connect.ts';
import { ostCreate } from './create.ts';
import { DataSequences } from './data-sequences.ts';
import { ostDestroy } from './destroy.ts';
import { endFileTransfers } from './file-transfers.ts';
import { Grants } from './grants.ts';
import { ostGetInfo, ostLadvise, ostQuotactl, ostSetInfo } from './info.ts';
import { objectLvb } from './lvb.ts';
import { nothingMoved } from './moved-bytes.ts';
import type { OstContext } from './ost-context.ts';
import { ostFallocate, ostPunch } from './punch.ts';
import { ostRead } from './read.ts';
import { seqQuery } from './sequence-query.ts';
import { SpaceGauge } from './space.ts';
import { ostStatfs } from './statfs.ts';
import { ostSeek, ostSync } from './sync.ts';
import { isUrgent } from './urgency.ts';
import { ostWrite } from './write.ts';

const CLIENTS_TABLE = 'clients';
/** Tables that an OST keeps in its key-value store, beside its object store's. */
export const OST_TABLES: readonly string[] = [TARGET_TABLE, CLIENTS_TABLE];
const BULK_MEMORY = 4 * BRW_SIZE_MAX;

export interface OstOptions {
  readonly runtime: Runtime;
  /** Where bulk memory comes from. */
  readonly endpoint: Endpoint;
  readonly fsname: string;
  readonly index: number;
  readonly objects: ObjectStore;
  /** With OST_TABLES. The caller closes it, and `objects`, after `stop`. */
  readonly store: KeyValueStore;
  /** How long a client has to give a lock back that another wants, milliseconds; default 100000. */
  readonly lockTimeoutMs?: number;
  readonly contention?: ContentionOptions;
  /** Bytes of bulk in work at a time; default 64 MiB. */
  readonly bulkMemory?: number;
}

/** An OST as a target, ready to be added to a TargetNode. */
export interface Ost extends Target {
  readonly index: number;
  readonly context: OstContext;
  /** Makes everything durable, as a commit does. */
  commit(): Promise<void>;
  /** The last commit; the target must have been removed from its node. */
  stop(): Promise<void>;
}

/** `demo-OST0001`. */
export function ostName(fsname: string, index: number): string {
  return `${fsname}-OST${index.toString(16).padStart(4, '0')}`;
}

/** Opens an OST over its stores. Rejects with the stores' errors. */
export async function createOst(options: OstOptions): Promise<Ost> {
  const { index, objects, store } = options;
  const name = ostName(options.fsname, index);
  const runtime = withLog(options.runtime, { target: name });
  const clients = new StoredLastRcvd(store, CLIENTS_TABLE);
  const context: OstContext = {
    name,
    index,
    runtime,
    store: objects,
    locks: new ServerNamespace({
      name,
      runtime,
      lvb: (resource) => objectLvb(objects, { index }, resource),
      ...(options.lockTimeoutMs !== undefined && { timeoutMs: options.lockTimeoutMs }),
      ...(options.contention !== undefined && { contention: options.contention }),
    }),
    grants: new Grants(),
    commits: await CommitLog.open({ runtime, store, objects, clients }),
    space: await SpaceGauge.open(runtime, objects),
    memory: new BulkMemory(options.endpoint, options.bulkMemory ?? BULK_MEMORY),
    moved: nothingMoved(),
    sequences: new DataSequences(store, index),
  };
  return {
    name,
    index,
    context,
    uuid: `${name}_UUID`,
    // No replay yet: a client that reconnects after a restart starts afresh (guide 16 §9).
    replayable: false,
    operations: operationsOf(context),
    connect: (asked, client) => ostConnect(context, asked, client),
    onDisconnect(client) {
      endFileTransfers(client);
      context.grants.drop(client.clientUuid);
      context.locks.dropExport(client);
    },
    lastCommitted: () => context.commits.lastCommitted,
    lockVolume: () => context.locks.volume,
    isUrgent: (client, request) => isUrgent(context, client, request),
    lastRcvd: clients,
    commit: () => context.commits.commit(),
    async stop() {
      await context.commits.close();
      context.memory.close();
    },
  };
}

function operationsOf(ost: OstContext): Map<number, Operation> {
  return new Map<number, Operation>([
    ...ost.locks.operations({}),
    [Opcode.OST_GETATTR, ostGetattr(ost)],
    [Opcode.OST_SETATTR, ostSetattr(ost)],
    [Opcode.OST_READ, ostRead(ost)],
    [Opcode.OST_WRITE, ostWrite(ost)],
    [Opcode.OST_CREATE, ostCreate(ost)],
    [Opcode.OST_DESTROY, ostDestroy(ost)],
    [Opcode.OST_GET_INFO, ostGetInfo(ost)],
    [Opcode.OST_SET_INFO, ostSetInfo(ost)],
    [Opcode.OST_PUNCH, ostPunch(ost)],
    [Opcode.OST_FALLOCATE, ostFallocate(ost)],
    [Opcode.OST_STATFS, ostStatfs(ost)],
    [Opcode.OST_SYNC, ostSync(ost)],
    [Opcode.OST_SEEK, ostSeek(ost)],
    [Opcode.OST_LADVISE, ostLadvise(ost)],
    [Opcode.OST_QUOTACTL, ostQuotactl()],
    [Opcode.SEQ_QUERY, seqQuery(ost)],
  ]);
}
