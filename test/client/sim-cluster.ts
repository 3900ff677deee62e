/** Servers and clients in the simulator, for tests of the file API in virtual time. */

import type { Filesystem } from '../../lib/client/filesystem.ts';
import { type EngineOptions, mountFilesystem } from '../../lib/client/mount.ts';
import { type ServerNode, startServerNode } from '../../lib/server/node.ts';
import { MemoryNodeStorage } from '../../lib/server/node-storage.ts';
import { createSimulation, type Simulation } from '../../lib/sim/simulation.ts';

export interface SimCluster {
  readonly sim: Simulation;
  readonly node: ServerNode;
  /** Mounts as a client of its own; unmounted at the end. */
  mount(options?: Partial<EngineOptions>, directory?: string): Promise<Filesystem>;
}

/** Runs `test` against a fresh file system with `osts` OSTs, and stops everything afterwards. */
export function withCluster(
  test: (cluster: SimCluster) => Promise<void>,
  { osts = 2, seed = 1 }: { osts?: number; seed?: number } = {},
): Promise<void> {
  const sim = createSimulation({ seed });
  const servers = sim.process('servers');
  const body = async (): Promise<void> => {
    const node = await startServerNode({
      runtime: servers.runtime,
      network: servers.network,
      dir: new MemoryNodeStorage(servers.runtime),
      fsname: 'sim',
      nid: '127.0.0.1@tcp',
      osts,
    });
    const mounted: Filesystem[] = [];
    try {
      await test({
        sim,
        node,
        mount: async (options = {}, directory = '') => {
          const client = sim.process(`client ${mounted.length}`);
          const nid = `127.0.1.${mounted.length + 1}@tcp`;
          const { runtime, network } = client;
          const filesystem = await mountFilesystem(`${node.spec}${directory}`, {
            runtime,
            network,
            nid,
            ...options,
          });
          mounted.push(filesystem);
          return filesystem;
        },
      });
    } finally {
      await Promise.all(mounted.map((filesystem) => filesystem.unmount()));
      await node.stop();
    }
  };
  return sim.run(body(), { limitMs: 3_600_000 });
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
