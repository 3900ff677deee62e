/** What mount options do to a mount. */
import { expect, it } from 'vitest';
import { mountFilesystem } from '../../lib/client/mount.ts';
import { startServerNode } from '../../lib/server/node.ts';
import { MemoryNodeStorage } from '../../lib/server/node-storage.ts';
import { createSimulation } from '../../lib/sim/simulation.ts';
import { SERVER_NID, withCluster } from './sim-cluster.ts';

it('ro: everything can be read, and nothing changed', () =>
  withCluster(async ({ mount }) => {
    const writer = await mount();
    await writer.mkdir('/d');
    await writer.writeFile('/d/f', 'before');
    const fs = await mount({ options: 'ro' });
    expect(await fs.readFile('/d/f', 'utf8')).toBe('before');
    expect(await fs.readdir('/d')).toEqual(['f']);
    expect((await fs.stat('/d/f')).size).toBe(6);
    const refused: readonly Promise<unknown>[] = [
      fs.writeFile('/d/f', 'after'),
      fs.open('/d/f', 'r+'),
      fs.open('/d/new', 'a'),
      fs.mkdir('/e'),
      fs.unlink('/d/f'),
      fs.rename('/d/f', '/g'),
      fs.chmod('/d/f', 0o600),
      fs.lchown('/d/f', 1, 1),
      fs.utimes('/d/f', 1, 1),
      fs.truncate('/d/f', 0),
      fs.setxattr('/d/f', 'user.a', 'b'),
      fs.setLayout('/d', { stripeCount: 2 }),
    ];
    for (const call of refused) await expect(call).rejects.toMatchObject({ code: 'EROFS' });
    expect(await writer.readFile('/d/f', 'utf8')).toBe('before');
  }));

it('retry: a mount that failed is tried again until the servers are there', () => {
  const sim = createSimulation({ seed: 1 });
  const { runtime, network } = sim.process('client');
  const tried = (options: string) =>
    mountFilesystem(`${SERVER_NID}:/sim`, { runtime, network, nid: '127.0.1.1@tcp', options });
  return sim.run(
    (async () => {
      await expect(tried('')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      await expect(tried('retry=2')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
      const mounting = tried('retry=20');
      await sim.sleep(5000);
      const servers = sim.process('servers');
      const node = await startServerNode({
        runtime: servers.runtime,
        network: servers.network,
        dir: new MemoryNodeStorage(servers.runtime),
        fsname: 'sim',
        nid: SERVER_NID,
        osts: 1,
      });
      const filesystem = await mounting;
      expect(await filesystem.readdir('/')).toEqual([]);
      await filesystem.unmount();
      await node.stop();
    })(),
    { limitMs: 600_000 },
  );
});
