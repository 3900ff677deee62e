/** Servers and clients in the simulator, for tests of the file API in virtual time. */

import type { Filesystem } from '../../lib/client/filesystem.ts';
import { type EngineOptions, mountFilesystem } from '../../lib/client/mount.ts';
import type { ContentionOptions } from '../../lib/ldlm/contention.ts';
import type { Network } from '../../lib/lnet/network.ts';
import { type ServerNode, startServerNode } from '../../lib/server/node.ts';
import { MemoryNodeStorage } from '../../lib/server/node-storage.ts';
import { createSimulation, type Simulation } from '../../lib/sim/simulation.ts';

export const SERVER_NID = '127.0.0.1@tcp';

export interface SimCluster {
  readonly sim: Simulation;
  /** The servers that run now. */
  readonly node: ServerNode;
  /** Mounts as a client of its own (127.0.1.1@tcp, 127.0.1.2@tcp ...); unmounted at the end. */
  mount(options?: Partial<EngineOptions>, directory?: string): Promise<Filesystem>;
  /** A power cut: what was not committed is gone. Then starts the servers again. */
  crash(): Promise<void>;
}

/** Runs `test` against a fresh file system with `osts` OSTs, and stops everything afterwards. */
export function withCluster(
  test: (cluster: SimCluster) => Promise<void>,
  { seed = 1, realFiles = false, allVirtual = false, ...servers }: ClusterSetup = {},
): Promise<void> {
  const sim = createSimulation({ seed });
  return sim.run(runCluster(sim, servers, test), { limitMs: 3_600_000, realFiles, allVirtual });
}

export interface ClusterSetup {
  readonly osts?: number;
  readonly seed?: number;
  /** The test works on local files too. */
  readonly realFiles?: boolean;
  /** The test waits for nothing real. */
  readonly allVirtual?: boolean;
  /** Puts something between the servers and their network. */
  readonly wrap?: (network: Network) => Network;
  /** When OSTs send clients away to do without locks; default never. */
  readonly contention?: ContentionOptions;
}

async function runCluster(
  sim: Simulation,
  { osts = 2, wrap = (network) => network, contention = {} }: ClusterSetup,
  test: (cluster: SimCluster) => Promise<void>,
): Promise<void> {
  let servers = sim.process('servers');
  const storage = new MemoryNodeStorage(servers.runtime);
  const start = (): Promise<ServerNode> => {
    const { runtime } = servers;
    const network = wrap(servers.network);
    return startServerNode({
      runtime,
      network,
      dir: storage,
      fsname: 'sim',
      nid: SERVER_NID,
      osts,
      contention,
    });
  };
  let node = await start();
  const mounted: Filesystem[] = [];
  const mount: SimCluster['mount'] = async (options = {}, directory = '') => {
    const { runtime, network } = sim.process(`client ${mounted.length}`);
    const nid = `127.0.1.${mounted.length + 1}@tcp`;
    const filesystem = await mountFilesystem(`${node.spec}${directory}`, {
      runtime,
      network,
      nid,
      ...options,
    });
    mounted.push(filesystem);
    return filesystem;
  };
  const crash = async (): Promise<void> => {
    servers.kill();
    storage.crash();
    servers = sim.process('servers again');
    node = await start();
  };
  try {
    await test({
      sim,
      get node() {
        return node;
      },
      mount,
      crash,
    });
  } finally {
    await Promise.all(mounted.map((filesystem) => filesystem.unmount()));
    await node.stop();
  }
}

/** Bytes that tell where they come from. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed * 2654435761;
  for (let i = 0; i < length; i++) {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    bytes[i] = state >> 16;
  }
  return bytes;
}
