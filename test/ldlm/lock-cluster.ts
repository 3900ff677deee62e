/** A simulated target with a lock manager, and clients of it with theirs, for the tests of ldlm/. */
import { Import } from '../../lib/connection/import.ts';
import type { Target } from '../../lib/connection/target.ts';
import { TargetNode } from '../../lib/connection/target-node.ts';
import {
  ClientNamespace,
  type ClientNamespaceOptions,
  type EnqueueResult,
} from '../../lib/ldlm/client-namespace.ts';
import type { Policy, ResourceId } from '../../lib/ldlm/lock.ts';
import { LockCallbacks } from '../../lib/ldlm/lock-callbacks.ts';
import { ServerNamespace, type ServerNamespaceOptions } from '../../lib/ldlm/server-namespace.ts';
import type { OperationsOptions } from '../../lib/ldlm/server-operations.ts';
import type { TargetKind } from '../../lib/rpc/portals.ts';
import { PtlRpc } from '../../lib/rpc/ptlrpc.ts';
import { createSimulation, type Simulation } from '../../lib/sim/simulation.ts';
import { ConnectFlag, ConnectFlag2 } from '../../lib/wire/connection-constants.ts';
import { LockType } from '../../lib/wire/ldlm-constants.ts';
import { fullAsk, fullOffer, testTarget } from '../connection/cluster.ts';

const serverNid = '10.0.0.1@tcp';
const moreFlags =
  ConnectFlag.OBD_CONNECT_CANCELSET | ConnectFlag.OBD_CONNECT_LRU_RESIZE | ConnectFlag.OBD_CONNECT_FLOCK_DEAD;

export interface LockServer {
  readonly namespace: ServerNamespace;
  readonly evicted: string[];
}

export interface LockClient {
  readonly nid: string;
  readonly imp: Import;
  readonly locks: ClientNamespace;
  readonly callbacks: LockCallbacks;
  readonly ptlrpc: PtlRpc;
}

export type ClientHooks = Pick<
  ClientNamespaceOptions,
  'onBlocking' | 'goesAtOnce' | 'onGlimpse' | 'onLost' | 'lru'
>;

export async function lockServer(
  sim: Simulation,
  options: Partial<ServerNamespaceOptions> = {},
  operations: OperationsOptions = {},
  more: Partial<Target> = {},
): Promise<LockServer> {
  const endpoint = await sim.network.open({ nid: serverNid });
  const ptlrpc = new PtlRpc(endpoint, sim.runtime);
  const node = new TargetNode(ptlrpc, sim.runtime);
  const namespace = new ServerNamespace({ name: 'demo-OST0000', runtime: sim.runtime, ...options });
  const evicted: string[] = [];
  const overrides: Partial<Target> = {
    name: 'demo-OST0000',
    uuid: 'demo-OST0000_UUID',
    connect: () => ({
      ...fullOffer,
      ocd_connect_flags: fullOffer.ocd_connect_flags | moreFlags,
      ocd_connect_flags2: fullOffer.ocd_connect_flags2 | ConnectFlag2.OBD_CONNECT2_LOCK_CONVERT,
    }),
    lockVolume: () => namespace.volume,
    onDisconnect: (client, wasEvicted) => {
      if (wasEvicted) evicted.push(client.clientUuid);
      namespace.dropExport(client);
    },
    ...more,
  };
  node.add(testTarget(namespace.operations(operations), overrides));
  return { namespace, evicted };
}

let clients = 0;

/** A connected client of the server. */
export async function lockClient(
  sim: Simulation,
  hooks: ClientHooks = {},
  kind: TargetKind = 'ost',
): Promise<LockClient> {
  const nid = `10.0.1.${(++clients % 250) + 1}@tcp`;
  const endpoint = await sim.network.open({ nid });
  const ptlrpc = new PtlRpc(endpoint, sim.runtime);
  const imp = new Import({
    runtime: sim.runtime,
    ptlrpc,
    target: { name: 'demo-OST0000', uuid: 'demo-OST0000_UUID', kind },
    nids: [serverNid],
    clientUuid: `client-${nid}`,
    ask: {
      ...fullAsk,
      ocd_connect_flags: fullAsk.ocd_connect_flags | moreFlags,
      ocd_connect_flags2: fullAsk.ocd_connect_flags2 | ConnectFlag2.OBD_CONNECT2_LOCK_CONVERT,
    },
  });
  const callbacks = new LockCallbacks(ptlrpc, sim.runtime);
  const locks = new ClientNamespace({ name: 'demo-OST0000', runtime: sim.runtime, import: imp, ...hooks });
  callbacks.add(locks);
  await imp.connect();
  return { nid, imp, locks, callbacks, ptlrpc };
}

export const resource = (n: number): ResourceId => [0x280000401n, BigInt(n), 0n, 0n];
export const EOF = 0xffff_ffff_ffff_ffffn;

export const extent = (start: number, end: number | bigint): Policy => ({
  extent: { start: BigInt(start), end: BigInt(end) },
});

export const bits = (inodeBits: number, tryBits = 0): Policy => ({
  inodeBits: BigInt(inodeBits),
  ...(tryBits !== 0 && { tryBits: BigInt(tryBits) }),
});

/** Enqueues on resource 1: an extent or inode bits lock, by its policy. */
export const take = (client: LockClient, mode: number, policy: Policy, flags = 0): Promise<EnqueueResult> =>
  client.locks.enqueue({
    resource: resource(1),
    type: policy.extent === undefined ? LockType.LDLM_IBITS : LockType.LDLM_EXTENT,
    mode,
    policy,
    flags,
  });

/** A test body that runs in a simulation of its own. */
export const inSimulation =
  (body: (sim: Simulation) => Promise<void>, seed = 1) =>
  async (): Promise<void> => {
    const sim = createSimulation({ seed });
    await sim.run(body(sim));
  };
