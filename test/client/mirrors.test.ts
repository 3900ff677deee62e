/** Mirrored files whose OSTs go away: reads go on with another mirror. */
import { constants } from 'node:fs';
import { expect, it } from 'vitest';
import { syncFile } from '../../lib/client/files/file-sync.ts';
import { Files } from '../../lib/client/files/files.ts';
import type { OpenFile } from '../../lib/client/files/open-file.ts';
import { connectSession } from '../../lib/client/mount/connect.ts';
import { PathWalker } from '../../lib/client/namespace/path-walk.ts';
import type { FileLayout, LayoutComponent } from '../../lib/layout/file-layout.ts';
import { encodeLayout } from '../../lib/layout/layout-ea.ts';
import { startServerNode } from '../../lib/server/node.ts';
import { MemoryNodeStorage } from '../../lib/server/node-storage.ts';
import { createSimulation } from '../../lib/sim/simulation.ts';
import { LcmeFlag, LcmFlag } from '../../lib/wire/layout-constants.ts';
import { pattern, SERVER_NID } from './sim-cluster.ts';

const OTHER_NID = '127.0.0.9@tcp';
const context = { syscall: 'read', path: '/m' };

/** A file of two mirrors, in step, out of the objects of two files. */
function mirrored(fid: FileLayout['fid'], parts: readonly FileLayout[]): FileLayout {
  const components = parts.map(
    (part, i): LayoutComponent => ({
      ...part.components[0]!,
      id: ((i + 1) << 16) | (i + 1),
      flags: LcmeFlag.LCME_FL_INIT,
    }),
  );
  return { fid, composite: true, generation: 2, flags: LcmFlag.LCM_FL_RDONLY, components };
}

it('is read from another mirror when an OST is away', () => {
  const sim = createSimulation({ seed: 3 });
  const start = (name: string, nid: string, first: number) => {
    const process = sim.process(name);
    const { runtime, network } = process;
    const dir = new MemoryNodeStorage(runtime);
    const alone = first > 0 && { firstOst: first, mgs: false, mdt: false, mgsNids: [SERVER_NID] };
    const node = startServerNode({ runtime, network, dir, fsname: 'sim', nid, osts: 1, ...alone });
    return { process, node };
  };
  return sim.run(
    (async () => {
      const main = await start('mgs, mdt and ost 0', SERVER_NID, 0).node;
      const other = start('ost 1', OTHER_NID, 1);
      await other.node;
      const { runtime, network } = sim.process('client');
      const session = await connectSession(main.spec, { runtime, network, nid: '127.0.1.1@tcp' });
      const walker = new PathWalker(session);
      const files = new Files(session, walker);
      const bytes = pattern(100_000);
      const make = async (path: string, stripeOffset: number): Promise<OpenFile> => {
        const flags = constants.O_CREAT | constants.O_RDWR;
        const where = { syscall: 'open', path };
        const file = await files.open(flags, 0o644, { stripeCount: 1, stripeOffset }, where);
        await files.write(file, [bytes], 0, where);
        await syncFile(session, files, file, true, where);
        return file;
      };
      while (session.osts.size < 2) await sim.sleep(1000);
      // The MDT has to learn of the second OST too.
      const second = async (): Promise<OpenFile> => {
        for (;;) {
          const file = await make('/b', 1).catch((error: { code: string }) => error.code);
          if (typeof file !== 'string') return file;
          expect(file).toBe('EINVAL');
          await sim.sleep(1000);
        }
      };
      const parts = [await second(), await make('/a', 0)];
      const file = await make('/m', 0);
      const layouts = await Promise.all(parts.map(({ inode }) => files.layouts.current(inode, context)));
      const own = mirrored(
        file.inode.fid,
        layouts.map((layout) => layout!),
      );
      file.inode.takeLayout(encodeLayout(own), undefined);
      const read = async (): Promise<boolean> => {
        const have = Buffer.alloc(bytes.length + 5);
        const count = await files.read(file, [have], 0, context);
        return count === bytes.length && have.subarray(0, count).equals(bytes);
      };
      const readsOf = () => session.counters().rpcs.OST_READ ?? 0;
      expect(await read()).toBe(true);

      // The first mirror's OST goes, in the middle of everything.
      other.process.kill();
      const before = sim.runtime.now();
      expect(await read()).toBe(true);
      expect((await files.attributes(file.inode, context)).size).toBe(bytes.length);
      expect(await read()).toBe(true);
      // Nobody waited for it to come back.
      expect(sim.runtime.now() - before).toBeLessThan(60_000);
      expect(readsOf()).toBeGreaterThan(2);

      await Promise.all([...parts, file].map((one) => files.close(one).catch(() => undefined)));
      files.stop();
      await session.close();
      await main.stop();
    })(),
    { limitMs: 3_600_000 },
  );
});
