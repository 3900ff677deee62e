/** Reads and writes without locks of the client's, of what too many want at once (guide 08 §3.3, Contention). */
import { describe, expect, it } from 'vitest';
import type { FileHandle } from '../../lib/client/file-handle.ts';
import type { Filesystem } from '../../lib/client/filesystem.ts';
import { rpcsOf } from './rpc-count.ts';
import { pattern, type SimCluster, withCluster } from './sim-cluster.ts';

const KIB64 = 65536;
/** Any lock in the way makes an object contended, for two seconds. */
const contention = { locks: 0, timeMs: 2000, bytesMax: KIB64 };
const contentionMs = 3000;

interface Client {
  readonly fs: Filesystem;
  readonly file: FileHandle;
}

/** Clients with the same file of one object open. The first has been sent away from what the second holds. */
async function sentAway(cluster: SimCluster, options: object = { contentionMs }): Promise<[Client, Client]> {
  const { mount } = cluster;
  const clients: Client[] = [];
  for (let i = 0; i < 2; i++) {
    const fs = await mount(i === 0 ? options : {});
    if (i === 0) await fs.writeFile('/f', pattern(KIB64), { stripeCount: 1 });
    clients.push({ fs, file: await fs.open('/f', 'r+') });
  }
  const [a, b] = clients as [Client, Client];
  await b.file.write('theirs', 0);
  expect(await rpcsOf(a.fs, () => a.file.write('mine', 100))).toMatchObject({ LDLM_ENQUEUE: 1 });
  return [a, b];
}

async function textAt(file: FileHandle, position: number, length: number): Promise<string> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
  return buffer.toString('latin1', 0, bytesRead);
}

describe('what too many want', () => {
  it('is read and written without locks for a time, and with them again after', () =>
    withCluster(
      async (cluster) => {
        const [a, b] = await sentAway(cluster);
        const spent = await rpcsOf(a.fs, async () => {
          for (let i = 0; i < 5; i++) await a.file.write(`a${i}`, 200 + 2 * i);
        });
        expect(spent).toEqual({ OST_WRITE: 5 });
        // Nothing waits in the cache: the other client sees it.
        expect(await textAt(b.file, 200, 10)).toBe('a0a1a2a3a4');
        await b.file.write('B', 200);
        // One look at the size, one read; the other client's cached byte is written first.
        expect(await rpcsOf(a.fs, async () => expect(await textAt(a.file, 200, 2)).toBe('B0'))).toEqual({
          LDLM_ENQUEUE: 1,
          OST_READ: 1,
        });
        await cluster.sim.sleep(contentionMs);
        const later = await rpcsOf(a.fs, async () => {
          for (let i = 0; i < 5; i++) await a.file.write(`c${i}`, 200 + 2 * i);
          expect(await textAt(a.file, 200, 10)).toBe('c0c1c2c3c4');
        });
        expect(later.OST_WRITE).toBeUndefined();
        expect(later.LDLM_ENQUEUE).toBe(1);
      },
      { contention },
    ));

  it('is locked as ever where the client does not offer to do without', () =>
    withCluster(
      async (cluster) => {
        const [a, b] = await sentAway(cluster, {});
        await b.file.write('theirs', 0);
        expect(await rpcsOf(a.fs, () => a.file.write('mine', 100))).toMatchObject({ LDLM_ENQUEUE: 1 });
        await a.file.sync();
        expect(await textAt(b.file, 100, 4)).toBe('mine');
      },
      { contention },
    ));

  it('is locked for what is more than one request, for appends, and while a lock is there', () =>
    withCluster(
      async (cluster) => {
        const [a, b] = await sentAway(cluster);
        // Off a page, so that it is cut at every MiB.
        const big = pattern(2 << 20, 7);
        const locked = await rpcsOf(a.fs, () => a.file.write(big, 0, big.length, 1));
        expect(locked.LDLM_ENQUEUE).toBe(1);
        // That lock is still here.
        expect(await rpcsOf(a.fs, () => a.file.write('cached', 0))).toEqual({});
        expect(await textAt(b.file, 0, 6)).toBe('cached');
        await using end = await a.fs.open('/f', 'a');
        await end.write('end');
        expect(await textAt(b.file, big.length, 10)).toHaveLength(4);
      },
      { contention },
    ));

  it('grows, ends and has holes like other files', () =>
    withCluster(
      async (cluster) => {
        const [a, b] = await sentAway(cluster);
        await a.file.write('far', 3 * KIB64);
        expect((await b.file.stat()).size).toBe(3 * KIB64 + 3);
        expect((await a.file.stat()).size).toBe(3 * KIB64 + 3);
        expect(await textAt(a.file, 3 * KIB64 - 2, 100)).toBe('\0\0far');
        expect(await textAt(a.file, 3 * KIB64 + 3, 100)).toBe('');
        await b.file.truncate(10);
        expect((await textAt(a.file, 0, 100)).length).toBe(10);
      },
      { contention },
    ));

  it('never mixes what waits in the cache with what goes without locks', () =>
    withCluster(
      async (cluster) => {
        const { fs } = (await sentAway(cluster))[0];
        const both = await cluster.mount({ contentionMs });
        const files = [await fs.open('/f', 'r+'), await both.open('/f', 'r+')];
        const expected = pattern(KIB64);
        await files[0]!.write(expected, 0, expected.length, 0);
        const { random } = cluster.sim;
        for (let i = 0; i < 200; i++) {
          const at = random.below(KIB64 - 100);
          const length = 1 + random.below(100);
          const bytes = pattern(length, i + 10);
          bytes.copy(expected, at);
          await files[random.below(2)]!.write(bytes, 0, length, at);
          if (random.chance(0.1)) await cluster.sim.sleep(random.between(0, 2000));
          const from = random.below(KIB64 - 200);
          const { buffer } = await files[random.below(2)]!.read(Buffer.alloc(200), 0, 200, from);
          expect(buffer.equals(expected.subarray(from, from + 200)), `round ${i}`).toBe(true);
        }
      },
      { contention },
    ));
});
