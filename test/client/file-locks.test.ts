/** flock and byte ranges between clients, as flock(2) and fcntl(2) describe them (guide 08 §8). */
import { describe, expect, it } from 'vitest';
import type { FileHandle } from '../../lib/client/file-handle.ts';
import { type SimCluster, withCluster } from './sim-cluster.ts';

/** The same file, open in two mounts. */
async function shared({ mount }: SimCluster): Promise<[FileHandle, FileHandle]> {
  const [one, two] = [await mount({ processId: 11 }), await mount({ processId: 22 })];
  await one.writeFile('/f', 'x');
  return [await one.open('/f', 'r+'), await two.open('/f', 'r+')];
}

/** What has become of it so far. */
function watch(work: Promise<unknown>): { state: string } {
  const seen = { state: 'waiting' };
  work.then(
    () => {
      seen.state = 'done';
    },
    (error: { code?: string; name: string }) => {
      seen.state = error.name === 'AbortError' ? error.name : (error.code ?? error.name);
    },
  );
  return seen;
}

describe('flock', () => {
  it('is shared or exclusive, waits or not, and ends with the handle', () =>
    withCluster(async (cluster) => {
      const [a, b] = await shared(cluster);
      await a.flock('shared');
      await b.flock('shared', { wait: false });
      await expect(a.flock('exclusive', { wait: false })).rejects.toMatchObject({
        code: 'EAGAIN',
        syscall: 'flock',
        path: '/f',
      });
      await b.flock('unlock');
      await a.flock('exclusive');
      await expect(b.flock('shared', { wait: false })).rejects.toMatchObject({ code: 'EAGAIN' });
      const waiting = b.flock('exclusive');
      const seen = watch(waiting);
      await cluster.sim.sleep(60_000);
      expect(seen.state).toBe('waiting');
      await a.close();
      await waiting;
      expect(cluster.node.mdt?.core.locks.flocks.size).toBe(1);
      await b.close();
      expect(cluster.node.mdt?.core.locks.flocks.size).toBe(0);
    }));

  it('keeps two handles of one mount apart too', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const [a, b] = [await fs.open('/f', 'w+'), await fs.open('/f', 'r')];
      await a.flock('exclusive');
      await expect(b.flock('shared', { wait: false })).rejects.toMatchObject({ code: 'EAGAIN' });
      await a.flock('unlock');
      await b.flock('exclusive', { wait: false });
    }));

  it('is given up by an AbortSignal, and leaves nothing behind', () =>
    withCluster(async (cluster) => {
      const [a, b] = await shared(cluster);
      await b.flock('shared');
      await a.flock('shared');
      const controller = new AbortController();
      const waiting = a.flock('exclusive', { signal: controller.signal });
      const seen = watch(waiting);
      await cluster.sim.sleep(5000);
      expect(seen.state).toBe('waiting');
      controller.abort();
      await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
      await cluster.sim.sleep(100);
      const locks = cluster.node.mdt!.core.locks;
      expect([...locks.flocks.files()].map((file) => file.waiting.size)).toEqual([0]);
      // What it had before it still has.
      await expect(b.flock('exclusive', { wait: false })).rejects.toMatchObject({ code: 'EAGAIN' });
      await a.flock('unlock');
      await b.flock('exclusive', { wait: false });
    }));

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('given up while it is being granted is taken back (seed %i)', (seed) =>
    withCluster(
      async (cluster) => {
        const [a, b] = await shared(cluster);
        await a.flock('exclusive');
        const controller = new AbortController();
        const waiting = b.flock('exclusive', { signal: controller.signal });
        const seen = watch(waiting);
        await cluster.sim.sleep(1000);
        const unlocking = a.flock('unlock');
        await cluster.sim.sleep(cluster.sim.random.between(0, 3));
        controller.abort();
        await unlocking;
        await cluster.sim.sleep(1000);
        if (seen.state === 'done') await b.flock('unlock');
        else expect(seen.state).toBe('AbortError');
        await a.flock('exclusive', { wait: false });
      },
      { seed },
    ),
  );

  it('that waits ends with EBADF when its file is closed', () =>
    withCluster(async (cluster) => {
      const [a, b] = await shared(cluster);
      await a.flock('exclusive');
      const waiting = b.flock('shared');
      const seen = watch(waiting);
      await cluster.sim.sleep(10);
      await b.close();
      expect(seen.state).toBe('EBADF');
    }));

  it('of a client that is gone is free again', () =>
    withCluster(async (cluster) => {
      const [a, b] = await shared(cluster);
      await a.flock('exclusive');
      cluster.sim.faults.partition('127.0.1.1@tcp', '127.0.0.1@tcp');
      await b.flock('exclusive');
      cluster.sim.faults.heal('127.0.1.1@tcp', '127.0.0.1@tcp');
    }));
});

describe('byte ranges', () => {
  it('are the mount’s, not the handle’s, and split, join and end as POSIX has it', () =>
    withCluster(async (cluster) => {
      const [a, b] = await shared(cluster);
      await a.lockRange('exclusive', { start: 0, length: 100 });
      await expect(b.lockRange('shared', { start: 50, length: 10, wait: false })).rejects.toMatchObject({
        code: 'EAGAIN',
        syscall: 'fcntl',
      });
      expect(await b.testRange('shared', { start: 50, length: 10 })).toEqual({
        mode: 'exclusive',
        start: 0,
        end: 99,
        pid: 11,
      });
      expect(await a.testRange('exclusive', { start: 50 })).toBeUndefined();
      await b.lockRange('shared', { start: 200, length: 10 });
      const waiting = b.lockRange('shared', { start: 50, length: 10 });
      const seen = watch(waiting);
      await a.lockRange('unlock', { start: 0, length: 55 });
      await cluster.sim.sleep(100);
      expect(seen.state).toBe('waiting');
      await a.lockRange('unlock', { start: 55, length: 5 });
      await waiting;
      expect(await b.testRange('exclusive')).toEqual({ mode: 'exclusive', start: 60, end: 99, pid: 11 });
      await a.lockRange('exclusive', { start: 1000 });
      expect(await b.testRange('shared', { start: 5000 })).toEqual({
        mode: 'exclusive',
        start: 1000,
        end: undefined,
        pid: 11,
      });
    }));

  it('of the mount go with any handle of the file, those of a handle with it alone', () =>
    withCluster(async ({ mount }) => {
      const [one, two] = [await mount(), await mount()];
      const [a, b] = [await one.open('/f', 'w+'), await one.open('/f', 'r+')];
      const other = await two.open('/f', 'r+');
      await a.lockRange('exclusive', { length: 10 });
      await a.lockRange('exclusive', { start: 10, length: 10, owner: 'handle' });
      await b.close();
      await other.lockRange('exclusive', { length: 10, wait: false });
      await expect(other.lockRange('exclusive', { start: 10, length: 1, wait: false })).rejects.toMatchObject(
        {
          code: 'EAGAIN',
        },
      );
      await a.close();
      await other.lockRange('exclusive', { start: 10, length: 1, wait: false });
    }));

  it('need a file that is open for it, and must be ranges', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      const [w, r] = [await fs.open('/f', 'w'), await fs.open('/f', 'r')];
      await expect(w.lockRange('shared')).rejects.toMatchObject({ code: 'EBADF' });
      await expect(r.lockRange('exclusive')).rejects.toMatchObject({ code: 'EBADF' });
      for (const range of [{ start: -1 }, { start: 1.5 }, { start: 5, length: -5 }, { start: 2 ** 60 }])
        await expect(r.lockRange('shared', range)).rejects.toMatchObject({ code: 'EINVAL' });
      await r.close();
      await expect(r.lockRange('shared')).rejects.toMatchObject({ code: 'EBADF' });
    }));

  it('are refused where owners would wait for each other in a circle, over clients and files', () =>
    withCluster(async ({ mount, sim }) => {
      const mounts = [await mount(), await mount(), await mount()];
      const files: FileHandle[][] = [];
      for (const fs of mounts) {
        const mine: FileHandle[] = [];
        for (const name of ['/f0', '/f1', '/f2']) mine.push(await fs.open(name, 'a+'));
        files.push(mine);
      }
      for (const i of [0, 1, 2]) await files[i]![i]!.lockRange('exclusive', { length: 10 });
      const first = watch(files[0]![1]!.lockRange('exclusive', { length: 1 }));
      const second = files[1]![2]!.lockRange('exclusive', { length: 1 });
      const seen = watch(second);
      await sim.sleep(1000);
      expect([first.state, seen.state]).toEqual(['waiting', 'waiting']);
      await expect(files[2]![0]!.lockRange('exclusive', { length: 1 })).rejects.toMatchObject({
        code: 'EDEADLK',
        syscall: 'fcntl',
        path: '/f0',
      });
      await files[2]![2]!.lockRange('unlock');
      await second;
      await files[1]![1]!.lockRange('unlock');
      await sim.sleep(100);
      expect(first.state).toBe('done');
    }));
});
