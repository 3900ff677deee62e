/** Parameters that an administrator sets for all clients: at mount and while mounted. */
import { describe, expect, it } from 'vitest';
import { isMatch, Parameters, type Settable } from '../../lib/client/mount/parameters.ts';
import { TargetSettings } from '../../lib/client/mount/target-settings.ts';
import { GrantLedger } from '../../lib/client/osc/grant.ts';
import { connectData } from '../../lib/connection/connect-data.ts';
import { defaultTimeouts } from '../../lib/rpc/adaptive-timeout.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';
import { rpcsOf } from './rpc-count.ts';
import { pattern, type SimCluster, withCluster } from './sim-cluster.ts';

const MIB = 1 << 20;

/** Sets it at the MGS, and waits until clients have read on. */
async function set({ node, sim }: SimCluster, ...parameters: string[]): Promise<void> {
  for (const parameter of parameters) await node.mgs!.setParam(parameter);
  await sim.sleep(5000);
}

describe('a target that is taken out of use', () => {
  it('fails what needs it, at once, and is there again when it is put back', () =>
    withCluster(async (cluster) => {
      const fs = await cluster.mount();
      const bytes = pattern(300_000);
      await fs.writeFile('/on0', bytes, { stripeCount: 1, stripeOffset: 0 });
      await fs.writeFile('/on1', bytes, { stripeCount: 1, stripeOffset: 1 });
      const file = await fs.open('/on1', 'r+');
      await file.write(Buffer.from('dirty'));
      await set(cluster, 'osc.sim-OST0001-*.active=0');
      const inactive = { code: 'EIO', message: expect.stringContaining('active=0') };
      await expect(fs.readFile('/on1')).rejects.toMatchObject(inactive);
      await expect(file.sync()).rejects.toMatchObject({ code: 'EIO' });
      // Of bytes that are lost the next one is told.
      await expect(file.close()).rejects.toMatchObject({ code: 'EIO' });
      expect((await fs.readFile('/on0')).equals(bytes)).toBe(true);
      expect((await fs.getLayout('/on1'))?.objects.map(({ ostIndex }) => ostIndex)).toEqual([1]);
      expect((await fs.statfsTargets()).map(({ name }) => name)).toEqual(['sim-MDT0000', 'sim-OST0000']);
      await fs.statfs('/');
      // Who comes later finds it so.
      const later = await cluster.mount();
      expect((await later.readFile('/on0')).equals(bytes)).toBe(true);
      await expect(later.readFile('/on1')).rejects.toMatchObject(inactive);
      await set(cluster, 'osc.sim-OST0001-*.active=1');
      for (const client of [fs, later]) {
        expect((await client.readFile('/on1')).length).toBe(bytes.length);
        await client.writeFile('/on1', bytes);
        expect((await client.statfsTargets()).length).toBe(3);
      }
      expect((await later.readFile('/on1')).equals(bytes)).toBe(true);
      const third = await cluster.mount();
      expect((await third.readFile('/on1')).equals(bytes)).toBe(true);
    }));

  it('is never the MDT of the root, and never comes back for a mount that excludes it', () =>
    withCluster(async (cluster) => {
      const fs = await cluster.mount({ options: 'exclude=sim-OST0001' });
      await set(cluster, 'mdc.*.active=0', 'osc.*.active=1');
      await fs.writeFile('/f', 'x', { stripeCount: 1, stripeOffset: 0 });
      expect((await fs.statfsTargets()).map(({ name }) => name)).toEqual(['sim-MDT0000', 'sim-OST0000']);
    }));
});

describe('limits', () => {
  it('bound RPCs and the cache, from the next one on', () =>
    withCluster(async (cluster) => {
      const fs = await cluster.mount();
      await set(
        cluster,
        'osc.*.max_pages_per_rpc=1M',
        'llite.*.max_cached_mb=8',
        'osc.*.checksum_type=adler',
      );
      const writes = async (path: string): Promise<number> =>
        (await rpcsOf(fs, () => fs.writeFile(path, Buffer.alloc(8 * MIB), { stripeCount: 1 }))).OST_WRITE ??
        0;
      expect(await writes('/1m')).toBe(8);
      await set(cluster, 'osc.*.max_pages_per_rpc=1024', 'osc.*.checksums=0', 'osc.*.max_rpcs_in_flight=1');
      expect(await writes('/4m')).toBe(2);
      await using file = await fs.open('/slow', 'w');
      const page = Buffer.alloc(64 << 10);
      for (let at = 0; at < 32 * MIB; at += page.length) {
        await file.write(page);
        if (at % MIB === 0)
          expect((await fs.counters()).cachedBytes).toBeLessThanOrEqual(8 * MIB + 4 * page.length);
      }
      // What means nothing to us is passed over.
      await set(
        cluster,
        'osc.*.no_such=1',
        'llite.*.max_cached_mb=many',
        'mdt.*.identity_upcall=NONE',
        '=',
        'x',
      );
      expect(await writes('/more')).toBe(2);
    }));

  it('leave extended attributes and attributes ahead to be asked for each time', () =>
    withCluster(async (cluster) => {
      const fs = await cluster.mount();
      await fs.writeFile('/f', 'x');
      await fs.setxattr('/f', 'user.a', Buffer.from('1'));
      await fs.getxattr('/f', 'user.a');
      expect(await rpcsOf(fs, () => fs.getxattr('/f', 'user.a'))).toEqual({});
      await set(cluster, 'llite.*.xattr_cache=0', 'llite.*.statahead_max=0');
      expect(await rpcsOf(fs, () => fs.getxattr('/f', 'user.a'))).toEqual({ MDS_GETXATTR: 1 });
    }));
});

describe('records', () => {
  const settings = () => {
    const calls: unknown[] = [];
    const imports = {
      granted: connectData({}),
      setActive: (active: boolean) => void calls.push(active),
      rpcsInFlightMax: 8,
    };
    const grant = new GrantLedger(MIB);
    const one = (name: string, kind: 'mdt' | 'ost', index: number): TargetSettings =>
      new TargetSettings(
        { name, kind, index },
        { import: imports, grant, slots: [], locks: {} },
        { checksum: { used: true, type: undefined }, maxPagesPerRpc: undefined, excluded: false },
      );
    const targets = [
      one('lab-MDT0000', 'mdt', 0),
      one('lab-OST0000', 'ost', 0),
      one('lab-OST0001', 'ost', 1),
    ];
    const settable: Settable = {
      fsname: 'lab',
      log: nodeRuntime().log,
      mount: { cacheBytes: 64 * MIB, statAheadMax: 256, xattrCache: true },
      timeouts: { ...defaultTimeouts },
      targets: () => targets,
    };
    return { calls, imports, grant, targets, settable, parameters: new Parameters(settable) };
  };

  it('of conf_param name the device, those of set_param -P a pattern', () => {
    const { calls, imports, grant, targets, settable, parameters } = settings();
    const client = [
      { device: 'lab-OST0001-osc', parameter: 'osc.active=0' },
      { device: 'lab-client', parameter: 'llite.max_cached_mb=128' },
      { device: '', parameter: 'sys.at_max=1200' },
    ];
    parameters.follow('client', client);
    expect(calls).toEqual([false]);
    expect(settable.mount.cacheBytes).toBe(128 * MIB);
    expect(settable.timeouts.atMax).toBe(1200);
    const general = (parameter: string) => ({ device: 'general', parameter });
    parameters.follow('params', [
      general('timeout=40'),
      general('at_max=0'),
      general('osc.lab-OST000[01]*.max_rpcs_in_flight=16'),
      general('osc.*.max_dirty_mb=3'),
      general('ldlm.namespaces.lab-OST0001*.lru_size=100'),
      general('ldlm.namespaces.*-mdc-*.lru_max_age=5s'),
    ]);
    expect(settable.timeouts).toMatchObject({ obdTimeout: 40, atMax: 1200 });
    expect(imports.rpcsInFlightMax).toBe(16);
    expect(grant.dirtyMax).toBe(3 * MIB);
    expect(targets.map(({ locks }) => locks)).toEqual([{ maxAgeMs: 5000 }, {}, { maxCount: 100 }]);
    // Only what is new; and all of it for a target that is new.
    parameters.follow('client', [...client, { device: 'lab-OST0000-osc', parameter: 'osc.active=1' }]);
    expect(calls).toEqual([false, true]);
    parameters.catchUp('lab-OST0001');
    expect(calls).toEqual([false, true, false]);
  });

  it('match names as a shell does', () => {
    expect(isMatch('lab-OST000[1-3]-*', 'lab-OST0002-osc-ffff')).toBe(true);
    expect(isMatch('lab-OST000?-osc-*', 'lab-OST0002-osc-ffff')).toBe(true);
    expect(isMatch('lab-OST0001*', 'lab-OST0002-osc-ffff')).toBe(false);
    for (const bad of ['[', '(', 'a{9', '\\', '*'.repeat(300), '[z-a]'])
      expect(isMatch(bad, 'lab-OST0001')).toBe(false);
  });
});
