/** A simulated OST with its stores in memory, and clients of it. */
import { Import } from '../../../lib/connection/import.ts';
import { TargetNode } from '../../../lib/connection/target-node.ts';
import type { Segment } from '../../../lib/lnet/network.ts';
import { PtlRpc } from '../../../lib/rpc/ptlrpc.ts';
import { createOst, OST_TABLES, type Ost } from '../../../lib/server/oss/ost.ts';
import { MemoryObjectDisk, MemoryObjectStore } from '../../../lib/server/store/memory-object-store.ts';
import { MemoryDisk, openMemoryStore } from '../../../lib/server/store/memory-store.ts';
import { createSimulation, type SimProcess, type Simulation } from '../../../lib/sim/simulation.ts';
import { ConnectFlag as F, ConnectFlag2 as F2 } from '../../../lib/wire/connection-constants.ts';
import type { ObdConnectData } from '../../../lib/wire/connection-structs.ts';

export const OST_NID = '10.0.0.1@tcp';
/** What a kernel client asks (captures/01 pkt 85). */
export const CLIENT_ASK = {
  ocd_connect_flags: 0xa0465af2e3640038n,
  ocd_connect_flags2: 0x400148202n,
  ocd_version: 0x02110000,
  ocd_grant: 0x8000000,
  ocd_brw_size: 0x4000000,
  ocd_ibits_known: 0x7fn,
  ocd_grant_blkbits: 12,
  ocd_cksum_types: 0xf7,
};
/** What an MDT asks (guide 16 §11.1). */
export const MDT_ASK = {
  ocd_connect_flags:
    F.OBD_CONNECT_INDEX |
    F.OBD_CONNECT_VERSION |
    F.OBD_CONNECT_AT |
    F.OBD_CONNECT_FULL20 |
    F.OBD_CONNECT_MDS |
    F.OBD_CONNECT_SKIP_ORPHAN |
    F.OBD_CONNECT_FID |
    F.OBD_CONNECT_LVB_TYPE |
    F.OBD_CONNECT_BULK_MBITS |
    F.OBD_CONNECT_FLAGS2,
  ocd_connect_flags2: F2.OBD_CONNECT2_REP_MBITS,
  ocd_version: 0x02110000,
};

export class OstCluster {
  readonly sim: Simulation;
  readonly disk = new MemoryDisk();
  readonly objectDisk = new MemoryObjectDisk();
  readonly capacity: number;
  process!: SimProcess;
  ost!: Ost;
  objects!: MemoryObjectStore;
  #clients = 0;

  constructor(seed = 1, capacity = 1 << 30) {
    this.sim = createSimulation({ seed });
    this.capacity = capacity;
  }

  /** Starts the OST, again after `crash`. */
  async start(): Promise<void> {
    this.process = this.sim.process('ost');
    const { runtime, network } = this.process;
    const endpoint = await network.open({ nid: OST_NID });
    const store = openMemoryStore({ disk: this.disk, tables: OST_TABLES });
    this.objects = new MemoryObjectStore({ runtime, disk: this.objectDisk, capacity: this.capacity });
    this.ost = await createOst({ runtime, endpoint, fsname: 'demo', index: 0, objects: this.objects, store });
    new TargetNode(new PtlRpc(endpoint, runtime), runtime).add(this.ost);
  }

  async connect(ask: Partial<ObdConnectData> = CLIENT_ASK): Promise<OstClient> {
    this.#clients += 1;
    const nid = `10.0.1.${this.#clients}@tcp`;
    const endpoint = await this.sim.network.open({ nid });
    const ptlrpc = new PtlRpc(endpoint, this.sim.runtime);
    const imp = new Import({
      runtime: this.sim.runtime,
      ptlrpc,
      target: { name: 'demo-OST0000', uuid: 'demo-OST0000_UUID', kind: 'ost' },
      nids: [OST_NID],
      clientUuid: `client-${this.#clients}`,
      ask,
    });
    const granted = await imp.connect();
    return {
      imp,
      granted,
      memory: (bytes) => [{ memory: endpoint.pin(bytes), offset: 0, length: bytes.length }],
    };
  }
}

export interface OstClient {
  readonly imp: Import;
  readonly granted: ObdConnectData;
  memory(bytes: Uint8Array): Segment[];
}
