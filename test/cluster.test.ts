/** startCluster on real sockets and a real directory. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pingNid, startCluster } from '../lib/index.ts';
import { pattern } from './client/sim-cluster.ts';

const MIB = 1 << 20;

describe('startCluster', () => {
  it('in this process: serves files of every size, and cleans up', async () => {
    const cluster = await startCluster({ inProcess: true, fsname: 'here', osts: 2 });
    try {
      expect([cluster.spec, cluster.pid]).toEqual(['127.0.0.1@tcp:/here', process.pid]);
      const fs = await cluster.mount();
      for (const length of [0, 1, 4095, 16384, 16385, 3 * MIB + 1, 20 * MIB]) {
        const bytes = pattern(length);
        await fs.writeFile(`/f${length}`, bytes, { stripeCount: 2, stripeSize: 65536 * 3 });
        expect((await fs.readFile(`/f${length}`)).equals(bytes)).toBe(true);
      }
      expect((await fs.statfsTargets()).map((t) => t.name)).toEqual([
        'here-MDT0000',
        'here-OST0000',
        'here-OST0001',
      ]);
      expect((await pingNid('127.0.0.1@tcp', { port: cluster.port }))[0]?.nids).toContain('127.0.0.1@tcp');
      await fs.unmount();
      await expect(cluster.kill()).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
    } finally {
      await cluster.stop();
    }
    expect(existsSync(cluster.dir)).toBe(false);
  }, 60_000);

  it('in a process of its own: keeps what was synced through SIGKILL', async () => {
    const cluster = await startCluster({ fsname: 'child', osts: 1 });
    try {
      expect(cluster.pid).not.toBe(process.pid);
      const bytes = pattern(2 * MIB + 7);
      {
        await using fs = await cluster.mount();
        await fs.mkdir('/d');
        await fs.writeFile('/d/f', bytes);
        await fs.sync();
        await cluster.kill();
      }
      await cluster.restart();
      await using fs = await cluster.mount();
      expect(await fs.readdir('/d')).toEqual(['f']);
      expect((await fs.readFile('/d/f')).equals(bytes)).toBe(true);
    } finally {
      await cluster.stop();
    }
    expect(existsSync(cluster.dir)).toBe(false);
  }, 120_000);

  it('says why servers cannot be started, and leaves nothing behind', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'node-lustre-test-'));
    try {
      await using first = await startCluster({ inProcess: true, dir, osts: 1 });
      await expect(startCluster({ port: first.port, osts: 1, inProcess: true })).rejects.toMatchObject({
        code: 'EADDRINUSE',
      });
      await expect(startCluster({ fsname: 'not a name', inProcess: true })).rejects.toMatchObject({
        code: 'EINVAL',
      });
      await expect(startCluster({ fsname: 'not a name' })).rejects.toThrow(
        /could not be started.*not a name/s,
      );
    } finally {
      await rm(dir, { recursive: true });
    }
  }, 60_000);
});
