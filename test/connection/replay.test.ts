/** A client's part in its server's recovery (guide 06 §4): what it sends again, in which order and with which marks. */
import { describe, expect, test } from 'vitest';
import type { Import } from '../../lib/connection/import.ts';
import { ClientNamespace } from '../../lib/ldlm/client-namespace.ts';
import type { Bulk, KeptBulk, MadeState } from '../../lib/rpc/rpc.ts';
import { SeededRandom } from '../../lib/sim/random.ts';
import { RQF_MDS_CLOSE, RQF_MDS_REINT_UNLINK, RQF_OBD_PING } from '../../lib/wire/formats.ts';
import { LockFlag, LockMode, LockType } from '../../lib/wire/ldlm-constants.ts';
import { Cluster, serverNid } from './cluster.ts';
import { RecoveringMdt } from './recovering-mdt.ts';

async function withMdt(
  body: (mdt: RecoveringMdt, imp: Import, cluster: Cluster) => Promise<void>,
  seed = 1,
): Promise<void> {
  const cluster = new Cluster(seed);
  await cluster.sim.run(
    (async () => {
      const mdt = new RecoveringMdt(cluster);
      await mdt.start();
      const { imp } = await cluster.client();
      await imp.connect();
      await body(mdt, imp, cluster);
    })(),
  );
}

const change = (imp: Import, name: string): Promise<unknown> =>
  imp.call(RQF_MDS_REINT_UNLINK, { name }, { modifies: true });

/** Until the client has noticed, and is through with it. */
async function recovered(imp: Import, cluster: Cluster): Promise<void> {
  await imp.call(RQF_OBD_PING, {}).catch(() => undefined);
  for (let i = 0; i < 100 && imp.state !== 'FULL'; i++) await cluster.sim.sleep(100);
  expect(imp.state).toBe('FULL');
}

describe('a server that was started again', () => {
  test('gets back what it has lost, in order, with the old XIDs and transactions', () =>
    withMdt(async (mdt, imp, cluster) => {
      await change(imp, 'kept');
      mdt.commit();
      for (const name of ['a', 'b', 'c']) await change(imp, name);
      const before = [...mdt.done];
      mdt.crash();
      expect(mdt.done.map(({ name }) => name)).toEqual(['kept']);
      await recovered(imp, cluster);
      expect(mdt.faults).toEqual([]);
      expect(mdt.done).toEqual(before);
      expect(mdt.replays.map(({ what, flags }) => [what, flags])).toEqual([
        ['a', 0x4],
        ['b', 0x4],
        ['c', 0x4],
      ]);
      expect(imp.generation).toBe(1);
      // Once more, nothing having been committed meanwhile.
      await change(imp, 'd');
      mdt.crash();
      await recovered(imp, cluster);
      expect(mdt.replays.map(({ what }) => what)).toEqual(['a', 'b', 'c', 'd']);
      expect(mdt.faults).toEqual([]);
    }));

  test('gets nothing back that it had on disk', () =>
    withMdt(async (mdt, imp, cluster) => {
      for (const name of ['a', 'b']) await change(imp, name);
      mdt.commit();
      mdt.crash();
      await recovered(imp, cluster);
      expect(mdt.replays).toEqual([]);
      expect(mdt.faults).toEqual([]);
      expect(mdt.done.map(({ name }) => name)).toEqual(['a', 'b']);
    }));

  test('is asked for its locks as they were, and their new handles go back', () =>
    withMdt(async (mdt, imp, cluster) => {
      const locks = new ClientNamespace({ name: 'demo-MDT0000', runtime: cluster.sim.runtime, import: imp });
      const { lock } = await locks.enqueue({
        resource: [1n, 2n, 0n, 0n],
        type: LockType.LDLM_IBITS,
        mode: LockMode.LCK_PR,
        policy: { inodeBits: 3n },
      });
      const before = lock?.serverHandle;
      mdt.crash();
      await recovered(imp, cluster);
      const as = LockFlag.LDLM_FL_REPLAY | LockFlag.LDLM_FL_BLOCK_GRANTED;
      expect(mdt.replays).toEqual([{ what: `lock ${lock?.handle.toString(16)}`, flags: as, transno: 0n }]);
      expect(lock?.state).toBe('GRANTED');
      expect(lock?.serverHandle).not.toBe(before);
      expect(mdt.locks.get(lock?.handle ?? 0n)).toBe(lock?.serverHandle);
      expect(mdt.faults).toEqual([]);
    }));

  test('opens again what is open, however long ago, and closes by the new handle', () =>
    withMdt(async (mdt, imp, cluster) => {
      let handle = 0x11n;
      const heard: object[] = [];
      const file: MadeState = { made: true, remade: (reply) => void heard.push(reply) };
      const open = { makes: file, modifies: true };
      await imp.call(RQF_MDS_REINT_UNLINK, { name: 'open' }, open);
      mdt.commit();
      await change(imp, 'later');
      mdt.commit();
      mdt.crash();
      await recovered(imp, cluster);
      expect(mdt.faults.filter((fault) => !/behind/.test(fault))).toEqual([]);
      expect(heard).toHaveLength(1);
      handle = 0x22n;
      const close = { ends: file, current: () => ({ mdt_epoch: { mio_open_handle: handle } }) };
      await imp.call(RQF_MDS_CLOSE, { mdt_epoch: { mio_open_handle: 0x11n } }, close);
      mdt.crash();
      await recovered(imp, cluster);
      expect(mdt.replays).toEqual([]);
      expect(heard).toHaveLength(1);
    }));

  test('that cannot get back what it has lost has forgotten us', () =>
    withMdt(async (mdt, imp, cluster) => {
      const memory = (await cluster.sim.network.open({ nid: '10.0.0.77@tcp' })).allocate(4096);
      const segments = [{ memory, offset: 0, length: 4096 }];
      const bulk = { direction: 'source', portal: 8, segments } as const;
      // What was fetched from memory is not there any more.
      await imp.call(RQF_MDS_REINT_UNLINK, { name: 'written' }, { bulk });
      mdt.crash();
      await recovered(imp, cluster);
      expect(mdt.replays).toEqual([]);
      expect(imp.generation).toBe(2);
      mdt.commit();
      mdt.crash();
      await recovered(imp, cluster);
      expect(imp.generation).toBe(2);
    }));

  /** One page of bulk. */
  async function page({ sim }: Cluster): Promise<{ bytes: Uint8Array; bulk: Bulk }> {
    const memory = (await sim.network.open({ nid: '10.0.0.77@tcp' })).allocate(4096);
    const segments = [{ memory, offset: 0, length: 4096 }];
    return { bytes: memory.bytes, bulk: { direction: 'source', portal: 8, segments } };
  }

  test('gets the bytes of a bulk back that were kept, and lets go of them when they are on disk', () =>
    withMdt(async (mdt, imp, cluster) => {
      const { bytes, bulk } = await page(cluster);
      bytes.fill(7);
      let held = 0;
      const keep = (): KeptBulk => {
        held++;
        return { segments: bulk.segments, release: () => void held-- };
      };
      for (let i = 0; i < 2; i++)
        await imp.call(RQF_MDS_REINT_UNLINK, { name: 'written' }, { bulk, keep, modifies: true });
      expect(held).toBe(2);
      mdt.crash();
      await recovered(imp, cluster);
      expect(mdt.faults).toEqual([]);
      expect(mdt.replays.map(({ what }) => what)).toEqual(['written', 'written']);
      expect(mdt.fetched).toEqual([1, 2, 3, 4].map(() => [7, 7]));
      expect([imp.generation, held]).toEqual([1, 2]);
      mdt.commit();
      await imp.call(RQF_OBD_PING, {});
      expect(held).toBe(0);
    }));

  test('does not get back what was not kept: who wrote it is told, all else is as it was', () =>
    withMdt(async (mdt, imp, cluster) => {
      const { bulk } = await page(cluster);
      const lost: string[] = [];
      const write = (name: string): Promise<unknown> =>
        imp.call(RQF_MDS_REINT_UNLINK, { name: 'written' }, { bulk, lost: () => lost.push(name) });
      await write('on disk');
      mdt.commit();
      await imp.call(RQF_OBD_PING, {});
      await write('a');
      await change(imp, 'b');
      mdt.crash();
      await recovered(imp, cluster);
      expect(mdt.replays.map(({ what }) => what)).toEqual(['b']);
      expect([lost, imp.generation]).toEqual([['a'], 1]);
      await write('c');
      mdt.forget();
      await recovered(imp, cluster);
      // A server that does not say that it was started again has evicted us, and has what it answered.
      expect([lost, imp.generation]).toEqual([['a'], 2]);
    }));

  test.each([
    ['has other versions', { status: -75 }],
    ['answers with another transaction', { transno: 77n }],
  ])('that %s has forgotten us', (_, options) =>
    withMdt(async (mdt, imp, cluster) => {
      await change(imp, 'a');
      mdt.answer = (request) => {
        request.reply(RQF_MDS_REINT_UNLINK, {}, options);
        return true;
      };
      mdt.crash();
      await recovered(imp, cluster);
      expect(imp.generation).toBe(2);
      expect(mdt.recovering).toBe(false);
    }),
  );

  test('is not left because the MGS says so, too late', () =>
    withMdt(async (mdt, imp, cluster) => {
      for (const name of ['a', 'b']) await change(imp, name);
      mdt.crash();
      mdt.answer = () => {
        imp.moved([serverNid], 0);
        return false;
      };
      await recovered(imp, cluster);
      expect(mdt.replays.map(({ what, flags }) => [what, flags])).toEqual([
        ['a', 0x4],
        ['b', 0x4],
      ]);
      expect(mdt.connects).toBe(2);
    }));

  test('that refuses one request gets the others', () =>
    withMdt(async (mdt, imp, cluster) => {
      for (const name of ['a', 'b']) await change(imp, name);
      let refused = false;
      mdt.answer = (request) => {
        if (refused) return false;
        refused = true;
        request.reply(RQF_MDS_REINT_UNLINK, {}, { status: -2 });
        return true;
      };
      mdt.crash();
      await recovered(imp, cluster);
      expect(mdt.done.map(({ name }) => name)).toEqual(['b']);
      expect(imp.generation).toBe(1);
    }));

  test('that breaks off in between goes on where it was, or begins from the beginning', () =>
    withMdt(async (mdt, imp, cluster) => {
      for (const name of ['a', 'b', 'c']) await change(imp, name);
      let seen = 0;
      mdt.answer = (request) => {
        if (++seen !== 2) return false;
        // It has done it, and nobody hears of it.
        request.drop('lost');
        return true;
      };
      mdt.crash();
      await recovered(imp, cluster);
      expect(mdt.replays.map(({ what, flags }) => [what, flags])).toEqual([
        ['a', 0x4],
        ['b', 0x6],
        ['c', 0x4],
      ]);
      seen = 0;
      mdt.answer = (request) => {
        if (++seen !== 2) return false;
        mdt.answer = undefined;
        mdt.crash();
        request.replyError(107);
        return true;
      };
      mdt.crash();
      await recovered(imp, cluster);
      expect(mdt.done.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
      expect(mdt.faults).toEqual([]);
    }));
});

describe('restarts at any moment', () => {
  test.each(Array.from({ length: 40 }, (_, i) => i + 1))(
    'seed %i: what was answered is there once, in order',
    (seed) =>
      withMdt(async (mdt, imp, cluster) => {
        const random = new SeededRandom(seed, 0);
        const { sim } = cluster;
        const locks = new ClientNamespace({ name: 'demo-MDT0000', runtime: sim.runtime, import: imp });
        const answered: string[] = [];
        let over = false;
        const programs = [0, 1, 2, 3].map(async (p) => {
          for (let i = 0; i < 12; i++) {
            const name = `${p}.${i}`;
            await change(imp, name);
            answered.push(name);
            const { lock } = await locks.enqueue({
              resource: [BigInt(p), BigInt(i), 0n, 0n],
              type: LockType.LDLM_IBITS,
              mode: LockMode.LCK_PR,
              policy: { inodeBits: 3n },
            });
            // What is unused is not worth a request when all clients come back.
            if (lock !== undefined && i % 2 === 0) locks.release(lock);
            await sim.sleep(random.below(400));
          }
        });
        const trouble = (async () => {
          while (!over) {
            await sim.sleep(200 + random.below(1500));
            if (random.below(2) === 0) mdt.commit();
            switch (random.below(3)) {
              case 0:
                mdt.crash();
                break;
              case 1:
                // Some seconds of silence, and what was under way is lost.
                mdt.down = true;
                mdt.crash();
                await sim.sleep(random.below(20_000));
                mdt.down = false;
                break;
              default:
                mdt.down = true;
                await sim.sleep(random.below(3000));
                mdt.down = false;
            }
            await sim.sleep(20_000);
          }
        })();
        await Promise.all(programs);
        over = true;
        await trouble;
        await recovered(imp, cluster);
        expect(mdt.faults).toEqual([]);
        expect(imp.generation).toBe(1);
        const there = mdt.done.map(({ name }) => name);
        expect(there.toSorted()).toEqual(answered.toSorted());
        const transnos = mdt.done.map(({ transno }) => transno);
        expect(transnos).toEqual(transnos.toSorted((a, b) => (a < b ? -1 : 1)));
        for (const lock of locks.locks)
          expect([lock.describe(), mdt.locks.get(lock.handle)]).toEqual([lock.describe(), lock.serverHandle]);
      }, seed),
  );
});
