/** Group locks of open files between clients (guide 08 §3.3, guide 11 §5). */
import { describe, expect, it } from 'vitest';
import type { FileHandle } from '../../lib/client/file-handle.ts';
import { LockFlag, LockMode } from '../../lib/wire/ldlm-constants.ts';
import { rpcsOf } from './rpc-count.ts';
import { pattern, type SimCluster, withCluster } from './sim-cluster.ts';

const KIB64 = 65536;
const striped = { stripeCount: 2, stripeSize: KIB64 };
const EINVAL = { code: 'EINVAL' };

/** The same striped file, open in as many mounts. */
async function shared({ mount }: SimCluster, clients: number): Promise<FileHandle[]> {
  const handles: FileHandle[] = [];
  for (let i = 0; i < clients; i++) {
    const fs = await mount();
    if (i === 0) await fs.writeFile('/f', '', striped);
    handles.push(await fs.open('/f', 'r+'));
  }
  return handles;
}

function watch(work: Promise<unknown>): { state: string } {
  const seen = { state: 'waiting' };
  const failed = (error: { code?: string; name: string }): void => {
    seen.state = error.name === 'AbortError' ? error.name : (error.code ?? error.name);
  };
  work.then(() => {
    seen.state = 'done';
  }, failed);
  return seen;
}

/** The server's group locks, by target. */
function groupsAt({ node }: SimCluster): string[] {
  return node.osts.flatMap(({ context: { locks } }) =>
    [...locks.resources()].flatMap(({ granted }) =>
      [...granted]
        .filter(({ mode }) => mode === LockMode.LCK_GROUP)
        .map(({ policy: { extent } }) => `${locks.name} ${extent?.start} ${extent?.end} ${extent?.gid}`),
    ),
  );
}

async function readAll(file: FileHandle, room = 8 * KIB64): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(room, 0xff), 0, room, 0);
  return buffer.subarray(0, bytesRead);
}

describe('group locks', () => {
  it('let the group write side by side, and see each other’s bytes at once', () =>
    withCluster(async (cluster) => {
      const [a, b] = (await shared(cluster, 2)) as [FileHandle, FileHandle];
      await Promise.all([a.groupLock(7), b.groupLock(7)]);
      expect(groupsAt(cluster)).toEqual([
        ...['sim-OST0000 0 18446744073709551615 7', 'sim-OST0000 0 18446744073709551615 7'],
        ...['sim-OST0001 0 18446744073709551615 7', 'sim-OST0001 0 18446744073709551615 7'],
      ]);
      const expected = pattern(4 * KIB64);
      for (let at = 0; at < expected.length; at += 9000) {
        const writer = (at / 9000) % 2 === 0 ? a : b;
        await writer.write(expected, at, Math.min(9000, expected.length - at), at);
      }
      for (const file of [a, b]) expect(await readAll(file)).toEqual(expected);
      await a.write('new', 10);
      expect((await readAll(b)).subarray(10, 13).toString()).toBe('new');
      await b.truncate(20);
      expect((await readAll(a)).length).toBe(20);
      expect((await a.stat()).size).toBe(20);
    }));

  it('ask for nothing more once they are there', () =>
    withCluster(async ({ mount }) => {
      const fs = await mount();
      await fs.writeFile('/f', '', striped);
      await using file = await fs.open('/f', 'r+');
      const locked = await rpcsOf(fs, () => file.groupLock(1));
      expect(locked.LDLM_ENQUEUE).toBe(2);
      const spent = await rpcsOf(fs, async () => {
        for (let i = 0; i < 10; i++) await file.write(pattern(KIB64, i), 0, KIB64, i * KIB64);
        await file.read(Buffer.alloc(KIB64), 0, KIB64, KIB64);
      });
      expect(spent).toEqual({ OST_WRITE: 10, OST_READ: 1 });
      expect(await rpcsOf(fs, () => file.groupUnlock(1))).toEqual({ LDLM_CANCEL: 2 });
    }));

  it('keep other groups and everybody else waiting until the last member has gone', () =>
    withCluster(async (cluster) => {
      const [a, b, c, d] = (await shared(cluster, 4)) as [FileHandle, FileHandle, FileHandle, FileHandle];
      await a.groupLock(1);
      await b.groupLock(1);
      await a.write('group', 0);
      await expect(c.groupLock(2, { wait: false })).rejects.toMatchObject({
        code: 'EAGAIN',
        syscall: 'groupLock',
        path: '/f',
      });
      const other = watch(c.groupLock(2));
      const ordinary = watch(d.read(Buffer.alloc(10), 0, 10, 0));
      await cluster.sim.sleep(600_000);
      expect([other.state, ordinary.state]).toEqual(['waiting', 'waiting']);
      // A look at the size waits for nobody.
      expect((await d.stat()).size).toBe(5);
      await a.groupUnlock(1);
      await cluster.sim.sleep(1000);
      expect([other.state, ordinary.state]).toEqual(['waiting', 'waiting']);
      await b.close();
      await cluster.sim.sleep(1000);
      expect(other.state).toBe('done');
      await c.close();
      await cluster.sim.sleep(1000);
      expect(ordinary.state).toBe('done');
      expect(groupsAt(cluster)).toEqual([]);
    }));

  it('take what others cache with them, written first', () =>
    withCluster(async (cluster) => {
      const [a, b] = (await shared(cluster, 2)) as [FileHandle, FileHandle];
      await b.write('cached', 0);
      await a.groupLock(5, { wait: false });
      expect((await readAll(a)).toString()).toBe('cached');
      await a.write('C', 0);
      const reading = readAll(b);
      await a.groupUnlock(5);
      expect((await reading).toString()).toBe('Cached');
      // From here on as before: cached under ordinary locks.
      await b.write('again', 0);
      expect((await readAll(a)).toString()).toBe('againd');
    }));

  it('cover appends, ranges, times and what only looks', () =>
    withCluster(async ({ mount }) => {
      const [one, two] = [await mount(), await mount()];
      await one.writeFile('/f', '', striped);
      await using a = await one.open('/f', 'a+');
      await using b = await two.open('/f', 'a+');
      await a.groupLock(3);
      await b.groupLock(3);
      for (let i = 0; i < 6; i++) await (i % 2 === 0 ? a : b).appendFile(pattern(30_000, i));
      expect(await readAll(a)).toEqual(Buffer.concat([0, 1, 2, 3, 4, 5].map((i) => pattern(30_000, i))));
      await a.punchHole(0, KIB64);
      expect(await b.seekData(0)).toBe(KIB64);
      expect((await a.extents()).length).toBeGreaterThan(0);
      await a.utimes(1, 1);
      expect((await b.stat()).mtimeMs).toBe(1000);
      await a.sync();
    }));

  it('are one a handle, of a group that is a number', () =>
    withCluster(async (cluster) => {
      const [a] = (await shared(cluster, 1)) as [FileHandle];
      for (const gid of [0, -1, 1.5, 2 ** 53]) await expect(a.groupLock(gid)).rejects.toMatchObject(EINVAL);
      await expect(a.groupUnlock(1)).rejects.toMatchObject(EINVAL);
      await a.groupLock(1);
      await expect(a.groupLock(1)).rejects.toMatchObject(EINVAL);
      await expect(a.groupUnlock(2)).rejects.toMatchObject({ code: 'EINVAL', syscall: 'groupUnlock' });
      await a.groupUnlock(1);
      await a.groupLock(2 ** 53 - 1);
      expect(groupsAt(cluster)[0]).toBe('sim-OST0000 0 18446744073709551615 9007199254740991');
    }));

  it('that are waited for end with a signal or with the file, and leave nothing behind', () =>
    withCluster(async (cluster) => {
      const [a, b, c] = (await shared(cluster, 3)) as [FileHandle, FileHandle, FileHandle];
      await a.groupLock(1);
      const controller = new AbortController();
      const first = watch(b.groupLock(2, { signal: controller.signal }));
      const second = watch(c.groupLock(2));
      await cluster.sim.sleep(1000);
      controller.abort();
      await c.close();
      await cluster.sim.sleep(1000);
      expect([first.state, second.state]).toEqual(['AbortError', 'EBADF']);
      await a.groupUnlock(1);
      await b.groupLock(9, { wait: false });
      expect(new Set(groupsAt(cluster).map((lock) => lock.split(' ').at(-1)))).toEqual(new Set(['9']));
    }));

  it('of a client that is gone are free again, and it is told', () =>
    withCluster(async (cluster) => {
      const [a, b] = (await shared(cluster, 2)) as [FileHandle, FileHandle];
      await a.groupLock(1);
      const waiting = b.groupLock(2);
      for (const { context } of cluster.node.osts)
        for (const [lock] of [...context.locks.resources()].map(({ granted }) => [...granted]))
          context.locks.evict(lock!.client!, 'for the test');
      await cluster.sim.sleep(60_000);
      await expect(a.write('lost', 0)).rejects.toMatchObject({ code: 'EIO' });
      await a.groupUnlock(1);
      await waiting;
      await b.groupUnlock(2);
      await a.groupLock(1);
      await a.write('again', 0);
      expect((await readAll(a)).toString()).toBe('again');
    }));

  it('say in the request whether they wait', () =>
    withCluster(async (cluster) => {
      const [a] = (await shared(cluster, 1)) as [FileHandle];
      await a.groupLock(1, { wait: false });
      const flags = cluster.node.osts.flatMap(({ context: { locks } }) =>
        [...locks.resources()].flatMap(({ granted }) => [...granted].map((lock) => lock.flags)),
      );
      expect(flags).toEqual([LockFlag.LDLM_FL_BLOCK_NOWAIT, LockFlag.LDLM_FL_BLOCK_NOWAIT]);
    }));
});
