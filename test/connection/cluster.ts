/** A simulated server with one target and clients of it, for the tests of connection/ and rpc/. */
import { Import, type ImportOptions } from '../../lib/connection/import.ts';
import type { ClientRecord, Export, Operation, Target } from '../../lib/connection/target.ts';
import { TargetNode } from '../../lib/connection/target-node.ts';
import type { Endpoint } from '../../lib/lnet/network.ts';
import { PtlRpc, type PtlRpcOptions } from '../../lib/rpc/ptlrpc.ts';
import { createSimulation, type SimProcess, type Simulation } from '../../lib/sim/simulation.ts';
import { ConnectFlag, ConnectFlag2 } from '../../lib/wire/connection-constants.ts';

export const serverNid = '10.0.0.1@tcp';
export const clientNid = '10.0.0.2@tcp';

const F = ConnectFlag;
export const mdtFlags =
  F.OBD_CONNECT_VERSION |
  F.OBD_CONNECT_FID |
  F.OBD_CONNECT_ATTRFID |
  F.OBD_CONNECT_FULL20 |
  F.OBD_CONNECT_AT |
  F.OBD_CONNECT_BRW_SIZE |
  F.OBD_CONNECT_BULK_MBITS |
  F.OBD_CONNECT_MULTIMODRPCS |
  F.OBD_CONNECT_FLAGS2;

export const fullAsk = {
  ocd_connect_flags: mdtFlags,
  ocd_connect_flags2: ConnectFlag2.OBD_CONNECT2_REP_MBITS | ConnectFlag2.OBD_CONNECT2_INC_XID,
  ocd_version: 0x02110000,
  ocd_brw_size: 1 << 20,
};
export const fullOffer = { ...fullAsk, ocd_maxmodrpcs: 8 };

export interface TestTarget extends Target {
  readonly evicted: string[];
  readonly disconnected: string[];
  readonly records: Map<string, ClientRecord>;
}

export function testTarget(operations: Map<number, Operation>, overrides: Partial<Target> = {}): TestTarget {
  const evicted: string[] = [];
  const disconnected: string[] = [];
  const records = new Map<string, ClientRecord>();
  return {
    name: 'demo-MDT0000',
    uuid: 'demo-MDT0000_UUID',
    replayable: true,
    operations,
    connect: () => fullOffer,
    onDisconnect(client: Export, wasEvicted: boolean) {
      (wasEvicted ? evicted : disconnected).push(client.clientUuid);
    },
    lastCommitted: () => 0n,
    lastRcvd: {
      load: () => [...records.values()],
      put: (record) => void records.set(record.uuid, record),
      remove: (uuid) => void records.delete(uuid),
    },
    evicted,
    disconnected,
    records,
    ...overrides,
  };
}

export interface ServerUnderTest {
  readonly process: SimProcess;
  readonly endpoint: Endpoint;
  readonly ptlrpc: PtlRpc;
  readonly node: TargetNode;
}

export interface ClientUnderTest {
  readonly endpoint: Endpoint;
  readonly ptlrpc: PtlRpc;
  readonly imp: Import;
}

export class Cluster {
  readonly sim: Simulation;

  constructor(seed = 1) {
    this.sim = createSimulation({ seed });
  }

  async server(targets: Target[], nid = serverNid, options: PtlRpcOptions = {}): Promise<ServerUnderTest> {
    const process = this.sim.process(`server ${nid}`);
    const endpoint = await process.network.open({ nid });
    const ptlrpc = new PtlRpc(endpoint, process.runtime, options);
    const node = new TargetNode(ptlrpc, process.runtime);
    for (const target of targets) node.add(target);
    return { process, endpoint, ptlrpc, node };
  }

  async client(overrides: Partial<ImportOptions> = {}, nid = clientNid): Promise<ClientUnderTest> {
    const endpoint = await this.sim.network.open({ nid });
    const ptlrpc = new PtlRpc(endpoint, this.sim.runtime);
    const imp = new Import({
      runtime: this.sim.runtime,
      ptlrpc,
      target: { name: 'demo-MDT0000', uuid: 'demo-MDT0000_UUID', kind: 'mdt' },
      nids: [serverNid],
      clientUuid: `client-${nid}`,
      ask: fullAsk,
      ...overrides,
    });
    return { endpoint, ptlrpc, imp };
  }
}
