/** The engine in a thread of its own, as programs mount it: real threads, real sockets. */
import { type ChildProcess, spawn } from 'node:child_process';
import { channel } from 'node:diagnostics_channel';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EngineThread, startWorkerEngine } from '../../lib/client/engine/worker-engine.ts';
import type { Engine } from '../../lib/client/engine.ts';
import { askControl } from '../../lib/control-socket.ts';
import { startEngineThread } from '../../lib/engine-thread.ts';
import { type Cluster, mount, startCluster } from '../../lib/index.ts';
import { pattern } from './sim-cluster.ts';

const MIB = 1 << 20;
const long = process.env.LUSTRE_LONG !== undefined;
/** Seconds that a client blocks its event loop for; the servers evict one that keeps a lock for half of them. */
const BLOCK_S = long ? 60 : 6;
const EVICT_S = BLOCK_S / 2;

interface Program {
  readonly child: ChildProcess;
  line(): Promise<Record<string, unknown>>;
  readonly code: Promise<number | null>;
}

/** A TypeScript program in a process of its own that prints lines of JSON. */
function start(name: string, ...args: string[]): Program {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const file = fileURLToPath(new URL(`./programs/${name}`, import.meta.url));
  const child = spawn(process.execPath, ['--import', tsx, file, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    async line() {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`${name} ended without a word`);
      return JSON.parse(value) as Record<string, unknown>;
    },
    code: new Promise((resolve) => child.once('exit', resolve)),
  };
}

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster({ fsname: 'threads', osts: 2, lockTimeoutMs: EVICT_S * 1000 });
});
afterAll(() => cluster.stop());

describe('a mount with its engine in a thread', { timeout: 60_000 }, () => {
  it('does what node:fs/promises does', async () => {
    await using lustre = await cluster.mount();
    const bytes = pattern(3 * MIB + 17);
    await lustre.mkdir('/d/e', { recursive: true });
    await lustre.writeFile('/d/e/f', bytes, { stripeCount: 2, stripeSize: 65536 });
    expect((await lustre.readFile('/d/e/f')).equals(bytes)).toBe(true);
    await using file = await lustre.open('/d/e/f', 'r+');
    const parts = [Buffer.from('one'), new Uint8Array(0), Buffer.from('two')];
    expect((await file.writev(parts, 10)).bytesWritten).toBe(6);
    const into = [Buffer.alloc(4), Buffer.alloc(2)];
    expect((await file.readv(into, 10)).bytesRead).toBe(6);
    expect(Buffer.concat(into).toString()).toBe('onetwo');
    expect((await file.stat({ bigint: true })).size).toBe(BigInt(bytes.length));
    await lustre.setxattr('/d', 'user.a', 'value');
    expect((await lustre.getxattr('/d', 'user.a')).toString()).toBe('value');
    expect(await lustre.readdir('/', { recursive: true })).toEqual(['d', 'd/e', 'd/e/f']);
    expect(await lustre.getLayout('/d/e/f')).toMatchObject({ stripeCount: 2, stripeSize: 65536 });
    await lustre.rm('/d', { recursive: true });
    expect(await lustre.readdir('/')).toEqual([]);
  });

  it('locks for a group, beside another client and its own thread', async () => {
    await using one = await cluster.mount();
    await using two = await cluster.mount({ engine: 'inline' });
    const bytes = pattern(2 * MIB);
    await one.writeFile('/group', '', { stripeCount: 2, stripeSize: 65536 });
    await using mine = await one.open('/group', 'r+');
    await using theirs = await two.open('/group', 'r+');
    await mine.groupLock(12);
    const refused = theirs.groupLock(13, { wait: false });
    await expect(refused).rejects.toMatchObject({ code: 'EAGAIN', syscall: 'groupLock', path: '/group' });
    await theirs.groupLock(12);
    const half = bytes.length / 2;
    await Promise.all([mine.write(bytes, 0, half, 0), theirs.write(bytes, half, half, half)]);
    for (const file of [mine, theirs]) {
      const { buffer } = await file.read(Buffer.alloc(bytes.length), 0, bytes.length, 0);
      expect(buffer.equals(bytes)).toBe(true);
    }
    const controller = new AbortController();
    const other = (await one.open('/group', 'r')).groupLock(14, { signal: controller.signal });
    controller.abort();
    await expect(other).rejects.toMatchObject({ name: 'AbortError' });
    await mine.groupUnlock(12);
    await theirs.groupUnlock(12);
    expect((await one.readFile('/group')).equals(bytes)).toBe(true);
  });

  it('reads and writes few bytes and many, in one buffer and in several', async () => {
    await using lustre = await cluster.mount();
    await using file = await lustre.open('/sizes', 'w+');
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 251));
    const pieces = (...lengths: number[]): Buffer[] => lengths.map((length) => Buffer.alloc(length, 0xff));
    let at = 0;
    for (const end of [1, 4096, 4096, 20_480, 20_481, 70_000]) {
      await file.write(bytes, at, end - at, at);
      at = end;
    }
    await file.writev([bytes.subarray(3, 5), Buffer.alloc(0), bytes.subarray(5, 9)], 3);
    const whole = Buffer.alloc(70_000);
    expect((await file.read(whole, 0, 70_000, 0)).bytesRead).toBe(70_000);
    expect(whole.equals(bytes)).toBe(true);
    const few = pieces(10, 0, 100, 50);
    expect((await file.readv(few, 69_900)).bytesRead).toBe(100);
    // Behind the end nothing is touched.
    expect(Buffer.concat(few).equals(Buffer.concat([bytes.subarray(69_900), Buffer.alloc(60, 0xff)]))).toBe(
      true,
    );
    const part = Buffer.alloc(64, 0xff);
    await file.read(part, 20, 30, 1000);
    expect(part.subarray(20, 50).equals(bytes.subarray(1000, 1030))).toBe(true);
    expect(part[19]! & part[50]!).toBe(0xff);
  });

  it('rejects with the errors of the engine, whole', async () => {
    await using lustre = await cluster.mount();
    const error = await lustre.stat('/none').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      name: 'LustreError',
      code: 'ENOENT',
      errno: -2,
      syscall: 'stat',
      path: '/none',
    });
    expect(error).toHaveProperty('message', "ENOENT: no such file or directory, stat '/none'");
    await lustre.writeFile('/f', 'x');
    await using file = await lustre.open('/f', 'r');
    const shared = new Uint8Array(new SharedArrayBuffer(8));
    await expect(file.read(shared)).rejects.toMatchObject({ code: 'EINVAL' });
    const strange = Symbol('no size') as never;
    await expect(lustre.truncate('/f', strange)).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
    expect(await lustre.readFile('/f', 'utf8')).toBe('x');
  });

  it('rejects where nobody answers, and leaves no thread behind', async () => {
    const options = { port: 1, connectTimeoutMs: 2000 };
    await expect(mount('127.0.0.1@tcp:/none', options)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await expect(mount('nonsense')).rejects.toMatchObject({ code: 'EINVAL' });
    await expect(cluster.mount({ nid: 'nonsense' })).rejects.toMatchObject({ code: 'EINVAL' });
  });

  it('hands signals, logs, traces and counters across', async () => {
    const lines: { level: number; msg: string; program: string }[] = [];
    const log = pino(
      { level: 'debug', base: { program: 'mine' } },
      { write: (line) => lines.push(JSON.parse(line)) },
    );
    const traces: unknown[] = [];
    const onTrace = (trace: unknown): void => void traces.push(trace);
    channel('node-lustre:rpc:request').subscribe(onTrace);
    const lustre = await cluster.mount({ log });
    await lustre.writeFile('/f', 'x');
    channel('node-lustre:rpc:request').unsubscribe(onTrace);
    expect(lines.every(({ program }) => program === 'mine')).toBe(true);
    expect(lines.map(({ level }) => level)).toContain(20);
    expect(traces).toContainEqual(expect.objectContaining({ end: 'client', xid: expect.any(BigInt) }));
    const { rpcs } = await lustre.counters();
    expect(rpcs).toMatchObject({ OST_WRITE: 1, MDS_CLOSE: 1 });

    const aborted = new AbortController();
    const reading = lustre.readFile('/f', { signal: aborted.signal });
    aborted.abort(new Error('changed my mind'));
    await expect(reading).rejects.toThrow('changed my mind');

    await lustre.unmount();
    await lustre.unmount();
    expect((await lustre.counters()).rpcs).toMatchObject({ OST_WRITE: 1, MDS_DISCONNECT: 1 });
    await expect(lustre.stat('/f')).rejects.toMatchObject({ code: 'ESHUTDOWN', syscall: 'stat', path: '/f' });
  });
});

describe('a thread that goes', () => {
  async function startEngine(): Promise<{ engine: Engine; thread: EngineThread }> {
    let thread: EngineThread | undefined;
    const task = {
      spec: cluster.spec,
      options: { port: cluster.port, credentials: { uid: 0, gid: 0, groups: [], umask: 0 } },
    };
    const engine = await startWorkerEngine((listener) => {
      thread = startEngineThread(task, undefined, listener);
      return thread;
    });
    return { engine, thread: thread! };
  }

  it('ends all calls with an error, and never works on memory that JavaScript has got back', async () => {
    const { engine, thread } = await startEngine();
    const striping = { stripeCount: 2, stripeSize: 65536 };
    const handle = await engine.open('/big', 0o102, 0o644, striping);
    const bytes = pattern(32 * MIB);
    await engine.write(handle, [bytes], 0);
    const into = Array.from({ length: 8 }, () => Buffer.allocUnsafeSlow(32 * MIB).fill(0));
    const reads = into.map((buffer) => engine.read(handle, [buffer], 0));
    const failed = Promise.allSettled(reads);
    await Promise.race(reads);
    await thread.stop();
    const results = await failed;
    const snapshots = into.map((buffer) => Buffer.from(buffer));
    const codes = results.map((r) =>
      r.status === 'rejected' ? (r.reason as { code: string }).code : 'read',
    );
    expect(codes).toContain('read');
    expect(codes).toContain('ERR_LUSTRE_ENGINE');
    await expect(engine.stat('/big', true)).rejects.toMatchObject({ code: 'ESHUTDOWN' });
    await expect(engine.unmount()).rejects.toMatchObject({ code: 'ERR_LUSTRE_ENGINE' });
    expect(into.every((buffer, i) => buffer.equals(snapshots[i]!))).toBe(true);
  }, 60_000);

  it('unmounts with reads and writes under way', async () => {
    const { engine } = await startEngine();
    const handle = await engine.open('/big', 0o2, 0o644, {});
    const buffers = Array.from({ length: 6 }, () => Buffer.alloc(16 * MIB));
    const calls = buffers.map((buffer, i) =>
      i % 2 === 0 ? engine.read(handle, [buffer], 0) : engine.write(handle, [buffer], i * 16 * MIB),
    );
    const settled = Promise.allSettled(calls);
    await engine.unmount();
    for (const result of await settled) {
      if (result.status === 'rejected') expect(['ESHUTDOWN', 'EIO']).toContain(result.reason.code);
      else expect(result.value).toBe(16 * MIB);
    }
  }, 60_000);
});

describe('processes', () => {
  it('end by themselves with a mount that is idle, and at once with process.exit', async () => {
    const ends = ['idle', 'unmount', 'exit'];
    const programs = ends.map((end) => start('mounted.ts', cluster.spec, `${cluster.port}`, end));
    for (const program of programs) expect(await program.line()).toEqual({ read: 'hello' });
    expect(await Promise.all(programs.map(({ code }) => code))).toEqual([0, 0, 7]);
  }, 60_000);

  it('exit in the middle of calls, with their code', async () => {
    const programs = Array.from({ length: 4 }, () =>
      start('mounted.ts', cluster.spec, `${cluster.port}`, 'busy'),
    );
    for (const program of programs) await program.line();
    expect(await Promise.all(programs.map(({ code }) => code))).toEqual([7, 7, 7, 7]);
  }, 60_000);

  it('move bulk data without a copy of it', async () => {
    const program = start('bulk-memory.ts', cluster.spec, `${cluster.port}`);
    const { same, mib, growthMiB } = await program.line();
    expect([same, mib]).toEqual([true, 256]);
    // A copy on either way would be all of it.
    expect(growthMiB).toBeLessThan(100);
    expect(await program.code).toBe(0);
  }, 120_000);
});

describe('a program that blocks its event loop', () => {
  async function blocked(engine: 'worker' | 'inline'): Promise<[number, Record<string, unknown>]> {
    await using lustre = await cluster.mount();
    await lustre.writeFile('/shared', 'untouched!!!!!!!!!');
    const control = join(cluster.dir, `${engine}.sock`);
    const program = start(
      'blocked-client.ts',
      cluster.spec,
      `${cluster.port}`,
      engine,
      `${BLOCK_S}`,
      control,
    );
    expect(await program.line()).toEqual({ holding: true });
    const at = performance.now();
    await using file = await lustre.open('/shared', 'r+');
    await file.write('during', 6);
    const waited = (performance.now() - at) / 1000;
    // Who looks in need not wait for the program either.
    if (engine === 'worker') expect(await askControl(control, 'locks')).toHaveLength(3);
    const after = await program.line();
    expect(await program.code).toBe(0);
    return [waited, after];
  }

  it('gives its locks up at once, is not evicted and loses nothing', async () => {
    const [waited, after] = await blocked('worker');
    expect(after).toEqual({ found: 'beforeduringafter!', reconnects: 0 });
    expect(waited).toBeLessThan(EVICT_S);
  }, 180_000);

  it('with its engine in the same thread keeps the others waiting, and is evicted', async () => {
    const [waited, after] = await blocked('inline');
    expect(after).not.toEqual({ found: 'beforeduringafter!', reconnects: 0 });
    expect(waited).toBeGreaterThan(EVICT_S / 2);
  }, 180_000);
});
