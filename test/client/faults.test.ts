import { describe, expect, it } from 'vitest';
import { headOf } from '../../lib/client/osc/brw.ts';
import type { Endpoint, Network } from '../../lib/lnet/network.ts';
import { pattern, SERVER_NID, withCluster } from './sim-cluster.ts';

const CLIENT = '127.0.1.1@tcp';

describe('a client on a bad network', () => {
  it.each([1, 2, 3])('loses nothing when connections are reset (seed %i)', (seed) =>
    withCluster(
      async ({ mount, sim }) => {
        const fs = await mount();
        sim.faults.drop(CLIENT, SERVER_NID, 0.02);
        await fs.mkdir('/d');
        for (let i = 0; i < 25; i++) {
          const bytes = pattern(i * 9000 + 1, i + 1);
          await fs.writeFile(`/d/f${i}`, bytes, { stripeCount: 2, stripeSize: 65536 });
          expect((await fs.readFile(`/d/f${i}`)).equals(bytes)).toBe(true);
        }
        sim.faults.drop(CLIENT, SERVER_NID, 0);
        expect((await fs.readdir('/d')).length).toBe(25);
        for (let i = 0; i < 25; i++) expect((await fs.stat(`/d/f${i}`)).size).toBe(i * 9000 + 1);
      },
      { seed },
    ),
  );

  it('waits out a partition', () =>
    withCluster(async ({ mount, sim }) => {
      const fs = await mount();
      await fs.writeFile('/f', 'before');
      sim.faults.partition(CLIENT, SERVER_NID);
      const writing = fs.writeFile('/f', 'after');
      sim.runtime.after(20_000, () => sim.faults.heal(CLIENT, SERVER_NID));
      await writing;
      expect(await fs.readFile('/f', 'utf8')).toBe('after');
    }));

  it('unmounts in bounded time when the servers are gone, with files open', () =>
    withCluster(async ({ mount, sim }) => {
      const fs = await mount();
      const file = await fs.open('/f', 'w');
      await file.write(Buffer.from('x'));
      sim.faults.partition(CLIENT, SERVER_NID);
      const started = sim.now;
      await fs.unmount();
      expect(sim.now - started).toBeLessThan(90_000);
      await expect(fs.stat('/')).rejects.toMatchObject({ code: 'ESHUTDOWN' });
      sim.faults.heal(CLIENT, SERVER_NID);
    }));
});

/** Until replay is there, a restart is an eviction: what was under way fails with EIO once for each target, then goes on. */
async function afterEviction<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if ((error as { code: string }).code !== 'EIO' || tries === 3) throw error;
    }
  }
}

describe('a client whose servers lose their power', () => {
  it('goes on with what was durable', () =>
    withCluster(async ({ mount, crash }) => {
      const fs = await mount();
      const bytes = pattern(300_000);
      await fs.mkdir('/d');
      await fs.writeFile('/d/f', bytes, { stripeCount: 2, stripeSize: 65536 });
      await fs.sync();
      await crash();
      expect((await afterEviction(() => fs.readFile('/d/f'))).equals(bytes)).toBe(true);
      await afterEviction(() => fs.writeFile('/d/g', 'new'));
      expect((await fs.readdir('/d')).sort()).toEqual(['f', 'g']);
    }));

  it('is told on files and locks that were open, and can open them again', () =>
    withCluster(async ({ mount, crash }) => {
      const fs = await mount();
      const file = await fs.open('/f', 'w+');
      await file.write(Buffer.from('kept'));
      await file.sync();
      await file.flock('exclusive');
      const reader = await fs.open('/f', 'r');
      await crash();
      await afterEviction(() => fs.stat('/'));
      const told = { code: 'ESTALE', path: '/f', target: 'sim-MDT0000' };
      for (const lost of [
        () => file.read(Buffer.alloc(4), 0, 4, 0),
        () => file.write(Buffer.from('more')),
        () => file.sync(),
        () => file.stat(),
        () => file.flock('exclusive'),
        () => reader.read(Buffer.alloc(4), 0, 4, 0),
      ])
        await expect(lost()).rejects.toMatchObject(told);
      await file.close();
      await reader.close();
      const other = await (await mount()).open('/f', 'r+');
      await other.flock('exclusive');
      expect(await other.readFile('utf8')).toBe('kept');
      await other.close();
      expect(await afterEviction(() => fs.readFile('/f', 'utf8'))).toBe('kept');
    }));
});

const OST_BULK_PORTAL = 8;

/** Flips a bit in so many bulk transfers on their way: those to the client, and those from it. */
function damaging(left: { reads: number; writes: number }): (network: Network) => Network {
  const flip = (bytes: Uint8Array, at: number): void => {
    bytes[at] = (bytes[at] ?? 0) ^ 0x10;
  };
  const wrap = (endpoint: Endpoint): Endpoint => {
    const put: Endpoint['put'] = (options, handler) => {
      if (options.portal !== OST_BULK_PORTAL || left.reads === 0) return endpoint.put(options, handler);
      left.reads--;
      const bytes = Buffer.concat(
        options.segments.map(({ memory, offset, length }) => memory.bytes.subarray(offset, offset + length)),
      );
      flip(bytes, bytes.length >> 1);
      const segments = [{ memory: endpoint.pin(bytes), offset: 0, length: bytes.length }];
      return endpoint.put({ ...options, segments }, handler);
    };
    const get: Endpoint['get'] = (options, handler) =>
      endpoint.get(options, (event) => {
        const segment = options.segments[0];
        if (
          options.portal === OST_BULK_PORTAL &&
          event.type === 'reply' &&
          left.writes > 0 &&
          segment !== undefined
        ) {
          left.writes--;
          flip(segment.memory.bytes, segment.offset);
          // What is summed as it comes is what came.
          const came = headOf(options.segments, event.mlength);
          const sum = options.checksum === undefined ? 0 : endpoint.checksum(options.checksum, came);
          handler({ ...event, checksum: sum });
          return;
        }
        handler(event);
      });
    return new Proxy(endpoint, {
      get(target, key) {
        if (key === 'put') return put;
        if (key === 'get') return get;
        const value: unknown = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
  return (network) => ({ open: async (options) => wrap(await network.open(options)) });
}

describe('bytes that arrive damaged', () => {
  it('are noticed and go again, both ways', () => {
    const left = { reads: 0, writes: 0 };
    return withCluster(
      async ({ mount }) => {
        const [writer, reader] = [await mount(), await mount()];
        const bytes = pattern(300_000);
        left.writes = 2;
        await writer.writeFile('/f', bytes, { stripeCount: 2, stripeSize: 65536 });
        left.reads = 2;
        expect((await reader.readFile('/f')).equals(bytes)).toBe(true);
        expect(left).toEqual({ reads: 0, writes: 0 });
        expect(await writer.counters()).toMatchObject({ checksumErrors: 2, resends: 2 });
        expect(await reader.counters()).toMatchObject({ checksumErrors: 2, resends: 2 });
      },
      { wrap: damaging(left) },
    );
  });

  it('again and again are EIO, with the target named', () => {
    const left = { reads: 0, writes: 0 };
    return withCluster(
      async ({ mount }) => {
        const [writer, fs] = [await mount(), await mount()];
        await writer.writeFile('/f', pattern(100_000));
        left.reads = 1000;
        await expect(fs.readFile('/f')).rejects.toMatchObject({ code: 'EIO', target: 'sim-OST0000' });
        left.reads = 0;
        expect((await fs.readFile('/f')).equals(pattern(100_000))).toBe(true);
      },
      { wrap: damaging(left) },
    );
  });
});
