/** Endpoints, threads and processes: nothing hangs, nothing is lost, memory stays. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import type { NativeLnetEndpoint } from '../../lib/lnet/native-endpoint.ts';
import { openNativeEndpoint } from '../../lib/lnet/native-network.ts';
import { type EndpointOptions, type LnetEvent, MdOption } from '../../lib/lnet/network.ts';
import { NID_ANY } from '../../lib/lnet/nid.ts';
import { nodeRuntime } from '../../lib/runtime/runtime.ts';
import { keptEvent } from './kept-event.ts';

const runtime = nodeRuntime();
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const program = (name: string) => fileURLToPath(new URL(`./programs/${name}`, import.meta.url));
const A = '127.0.0.1@tcp';
const B = '127.0.0.2@tcp';

const open: NativeLnetEndpoint[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((endpoint) => endpoint.close()));
});

async function openEndpoint(options: EndpointOptions): Promise<NativeLnetEndpoint> {
  const endpoint = await openNativeEndpoint(runtime, options);
  open.push(endpoint);
  return endpoint;
}

async function pair(): Promise<[NativeLnetEndpoint, NativeLnetEndpoint]> {
  const a = await openEndpoint({ nid: A, listen: '127.0.0.1:0' });
  const b = await openEndpoint({ nid: B, listen: '127.0.0.2:0', nidMap: { [A]: `127.0.0.1:${a.port}` } });
  return [a, b];
}

const run = promisify(execFile);

function startWorker(name: string, data: object): Worker {
  return new Worker(program('worker.mjs'), { workerData: { program: program(name), ...data } });
}

describe('processes', () => {
  test('an idle endpoint does not keep a process alive', async () => {
    const { stdout } = await run(process.execPath, ['--import', tsx, program('exit-open.ts')], {
      timeout: 20_000,
    });
    expect(stdout.trim()).toBe(A);
  });

  test('process.exit with open endpoints ends at once, with its code', async () => {
    const ended = run(process.execPath, ['--import', tsx, program('exit-open.ts'), 'exit'], {
      timeout: 20_000,
    });
    await expect(ended).rejects.toMatchObject({ code: 7, signal: null, stderr: '' });
  });

  test('a worker has endpoints of its own, and may be terminated with one open', async () => {
    const a = await openEndpoint({ nid: A, listen: '127.0.0.1:0' });
    for (let i = 0; i < 3; i++) {
      const worker = startWorker('worker-endpoint.ts', { nid: B, peer: A, port: a.port });
      const answer = await new Promise((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
      expect(answer).toEqual([A]);
      await worker.terminate();
    }
  });
});

describe('threads', () => {
  test('a worker terminated while it sends files takes nothing with it, and sends nothing but the file', async () => {
    const length = 1 << 20;
    const content = randomBytes(length);
    const directory = await mkdtemp(join(tmpdir(), 'lustre-send-'));
    const path = join(directory, 'file');
    await writeFile(path, content);
    const a = await openEndpoint({ nid: A, listen: '127.0.0.1:0' });
    const sink = a.allocate(length);
    let whole = 0;
    let wrong = 0;
    let onWhole: (() => void) | undefined;
    a.attach(
      {
        portal: 9,
        matchBits: 1n,
        peer: { nid: NID_ANY },
        segments: [{ memory: sink, offset: 0, length }],
        threshold: Number.POSITIVE_INFINITY,
        options: MdOption.OP_PUT | MdOption.MANAGE_REMOTE,
        autoUnlink: false,
      },
      (event) => {
        if (event.status !== 0) return;
        whole++;
        // Later ones bring the same bytes, so that what is overwritten meanwhile looks the same.
        if (event.mlength !== length || !content.equals(sink.bytes)) wrong++;
        onWhole?.();
      },
    );
    const move = { nid: B, peer: A, port: a.port, path, length };
    for (const rounds of [1, 5, 20]) {
      const before = whole;
      const worker = startWorker('move-files.ts', { ...move, receives: false });
      await new Promise<void>((resolve, reject) => {
        worker.once('error', reject);
        onWhole = () => {
          if (whole - before >= rounds) resolve();
        };
      });
      await worker.terminate();
    }
    expect(wrong).toBe(0);
    const b = await openEndpoint({ nid: B, accept: false, nidMap: { [A]: `127.0.0.1:${a.port}` } });
    await expect(b.ping(A, 10_000)).resolves.toMatchObject({ nids: [A] });
    await rm(directory, { recursive: true });
  });

  test('a worker terminated while it receives into files takes nothing with it', async () => {
    const length = 1 << 20;
    const content = randomBytes(length);
    const directory = await mkdtemp(join(tmpdir(), 'lustre-receive-'));
    const path = join(directory, 'file');
    const a = await openEndpoint({ nid: A, listen: '127.0.0.1:0' });
    const memory = a.allocate(length);
    content.copy(memory.bytes);
    a.attach(
      {
        portal: 9,
        matchBits: 1n,
        peer: { nid: NID_ANY },
        segments: [{ memory, offset: 0, length }],
        threshold: Number.POSITIVE_INFINITY,
        options: MdOption.OP_GET | MdOption.MANAGE_REMOTE,
        autoUnlink: false,
      },
      () => undefined,
    );
    const move = { nid: B, peer: A, port: a.port, path, length };
    for (const rounds of [1, 5, 20]) {
      await writeFile(path, '');
      const worker = startWorker('move-files.ts', { ...move, receives: true });
      let whole = 0;
      await new Promise<void>((resolve, reject) => {
        worker.once('error', reject);
        worker.on('message', () => {
          if (++whole >= rounds) resolve();
        });
      });
      await worker.terminate();
      // What its descriptors held up to then is the same bytes each time.
      expect(content.equals(await readFile(path))).toBe(true);
    }
    const b = await openEndpoint({ nid: B, accept: false, nidMap: { [A]: `127.0.0.1:${a.port}` } });
    await expect(b.ping(A, 10_000)).resolves.toMatchObject({ nids: [A] });
    await rm(directory, { recursive: true });
  });
});

describe('closing', () => {
  test('close is done once, twice is the same, afterwards everything is refused', async () => {
    const [a, b] = await pair();
    await b.ping(A, 5000);
    const closing = a.close();
    expect(a.close()).toBe(closing);
    await closing;
    expect(() => a.pin(new Uint8Array(1))).toThrow(expect.objectContaining({ code: 'ESHUTDOWN' }));
    expect(() => a.allocate(1)).toThrow(expect.objectContaining({ code: 'ESHUTDOWN' }));
    expect(() => a.setLazyPortal(3)).toThrow(expect.objectContaining({ code: 'ESHUTDOWN' }));
    expect(a.counters().receiveMessages).toBeGreaterThan(0);
    await expect(a.ping(B, 1000)).rejects.toMatchObject({ code: 'ESHUTDOWN' });
  });

  test('the port is free again at once', async () => {
    const first = await openEndpoint({ nid: A, listen: '127.0.0.1:0' });
    const b = await openEndpoint({ nid: B, accept: false, nidMap: { [A]: `127.0.0.1:${first.port}` } });
    await b.ping(A, 5000);
    await first.close();
    const second = await openEndpoint({ nid: A, listen: `127.0.0.1:${first.port}` });
    await second.close();
  });

  test('what is under way ends with ESHUTDOWN', async () => {
    const [a, b] = await pair();
    await b.ping(A, 5000);
    const memory = b.allocate(10);
    const last = new Promise<LnetEvent>((resolve) =>
      b.get(
        { peer: { nid: A }, portal: 5, matchBits: 1n, segments: [{ memory, offset: 0, length: 10 }] },
        (event) => {
          if (event.unlinked) resolve(keptEvent(event));
        },
      ),
    );
    await b.close();
    expect(await last).toMatchObject({ status: -108, unlinked: true });
    await a.close();
  });
});

describe('pressure', () => {
  test('a thread that does not drain for a while: pings are answered, nothing is lost', async () => {
    const a = await openEndpoint({ nid: A, listen: '127.0.0.1:0' });
    const worker = startWorker('flood.ts', { nid: B, peer: A, port: a.port, count: 20_000 });
    const flooded = new Int32Array(new SharedArrayBuffer(4));
    const done = new Promise((resolve, reject) => {
      worker.once('error', reject);
      worker.on('message', (message) =>
        message === 'ready' ? worker.postMessage(flooded) : resolve(message),
      );
    });
    const memory = a.allocate(64);
    const seen = new Set<bigint>();
    const all = new Promise<void>((resolve) => {
      a.attach(
        {
          portal: 9,
          matchBits: 1n,
          peer: { nid: NID_ANY },
          segments: [{ memory, offset: 0, length: 64 }],
          threshold: Number.POSITIVE_INFINITY,
          options: MdOption.OP_PUT | MdOption.MANAGE_REMOTE,
          autoUnlink: false,
        },
        (event) => {
          seen.add(event.hdrData);
          // The first event blocks this thread until the worker has sent everything it can and has been pinged.
          if (seen.size === 1) Atomics.wait(flooded, 0, 0, 20_000);
          if (seen.size === 20_000) resolve();
        },
      );
    });
    const answer = await done;
    expect(answer).toMatchObject({ pinged: true, failures: [] });
    await all;
    expect(a.counters().dropped).toBe(0);
    await worker.terminate();
  });

  test('thousands in flight, sizes from 0 to 1 MiB, every one exactly once', async () => {
    const [a, b] = await pair();
    const sink = a.allocate(1 << 20);
    const arrivals: number[] = [];
    const count = 3000;
    const all = new Promise<void>((resolve) => {
      a.attach(
        {
          portal: 9,
          matchBits: 0n,
          ignoreBits: 0xffff_ffff_ffff_ffffn,
          peer: { nid: NID_ANY },
          segments: [{ memory: sink, offset: 0, length: 1 << 20 }],
          threshold: count,
          options: MdOption.OP_PUT | MdOption.MANAGE_REMOTE,
          autoUnlink: true,
        },
        (event) => {
          arrivals.push(Number(event.matchBits));
          if (event.unlinked) resolve();
        },
      );
    });
    const source = b.pin(new Uint8Array(1 << 20));
    const sent = Array.from({ length: count }, (_, i) => {
      const length = i % 50 === 0 ? 1 << 20 : (i * 7919) % 5000;
      return new Promise<LnetEvent[]>((resolve) => {
        const events: LnetEvent[] = [];
        b.put(
          {
            peer: { nid: A },
            portal: 9,
            matchBits: BigInt(i),
            segments: [{ memory: source, offset: 0, length }],
            ack: i % 2 === 0,
          },
          (event) => {
            events.push(keptEvent(event));
            if (event.unlinked) resolve(events);
          },
        );
      });
    });
    const results = await Promise.all(sent);
    await all;
    expect(arrivals.toSorted((x, y) => x - y)).toEqual(Array.from({ length: count }, (_, i) => i));
    for (const [i, events] of results.entries()) {
      expect(events.map((event) => event.status)).toEqual(i % 2 === 0 ? [0, 0] : [0]);
    }
  });

  test('many half-open connections do not keep real peers out', async () => {
    const [a, b] = await pair();
    const sockets = Array.from({ length: 300 }, () => connect(a.port, '127.0.0.1'));
    const hungUp = sockets.map((socket) => {
      socket.on('error', () => {});
      return new Promise((resolve) => socket.once('close', resolve));
    });
    await Promise.race(hungUp);
    await expect(b.ping(A, 20_000)).resolves.toMatchObject({ nids: [A] });
    for (const socket of sockets) socket.destroy();
  }, 40_000);
});

describe('memory', () => {
  test('bytes stay valid after release, and a released buffer may go only after its last operation', async () => {
    const [a, b] = await pair();
    const memory = a.allocate(4096);
    expect(memory.bytes.byteLength).toBe(4096);
    const arrived = new Promise<LnetEvent>((resolve) =>
      a.attach(
        {
          portal: 9,
          matchBits: 1n,
          peer: { nid: NID_ANY },
          segments: [{ memory, offset: 0, length: 4096 }],
          threshold: 1,
          options: MdOption.OP_PUT,
          autoUnlink: true,
        },
        resolve,
      ),
    );
    memory.release();
    memory.release();
    expect(() =>
      a.put(
        { peer: { nid: B }, portal: 1, matchBits: 1n, segments: [{ memory, offset: 0, length: 1 }] },
        () => {},
      ),
    ).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    const source = b.pin(new Uint8Array(4096).fill(9));
    b.put(
      { peer: { nid: A }, portal: 9, matchBits: 1n, segments: [{ memory: source, offset: 0, length: 4096 }] },
      () => {},
    );
    source.release();
    expect((await arrived).mlength).toBe(4096);
    expect(memory.bytes.every((byte) => byte === 9)).toBe(true);
  });

  test('shared and resizable buffers, and memory of another endpoint, are refused', async () => {
    const [a, b] = await pair();
    expect(() => a.pin(new Uint8Array(new SharedArrayBuffer(8)))).toThrow(
      expect.objectContaining({ code: 'EINVAL' }),
    );
    expect(() => a.allocate(-1)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
    const foreign = b.allocate(10);
    expect(() => a.checksum('crc32c', [{ memory: foreign, offset: 0, length: 10 }])).toThrow();
  });
});
