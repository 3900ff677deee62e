/** What becomes of file I/O under way when its thread or its process ends. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const addon = resolve(process.env.LUSTRE_NATIVE ?? 'build/Release/lustre.node');
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lustre-threads-'));
});

afterAll(() => rm(folder, { recursive: true }));

/** Starts eight writes of 8 MiB and waits for none. */
const startWrites = (path: string) => `
  const { storage } = require(${JSON.stringify(addon)});
  const fd = require('node:fs').openSync(${JSON.stringify(path)}, 'w+');
  for (let i = 0; i < 8; i++) storage.writev(fd, i << 23, [new Uint8Array(1 << 23)], 4);
`;

/** Runs a script in a process of its own, which a crash may take down. */
function run(script: string, options: readonly string[] = []) {
  const { status, signal, stderr } = spawnSync(process.execPath, [...options, '-e', script], {
    encoding: 'utf8',
    timeout: 25_000,
  });
  return { status, signal, stderr };
}

describe('work under way', () => {
  it('let their worker thread be terminated', () => {
    const worker = `${startWrites(join(folder, 'worker'))} require('node:worker_threads').parentPort.postMessage('started');`;
    const script = `
      const { Worker } = require('node:worker_threads');
      const { once } = require('node:events');
      (async () => {
        for (let i = 0; i < 5; i++) {
          const worker = new Worker(${JSON.stringify(worker)}, { eval: true });
          await once(worker, 'message');
          await worker.terminate();
        }
      })();`;
    expect(run(script)).toEqual({ status: 0, signal: null, stderr: '' });
  });

  it('let a thread be terminated that sums memory lent to it, and the lender use it again', () => {
    const worker = `
      const { parentPort, workerData } = require('node:worker_threads');
      const { storage, lending } = require(${JSON.stringify(addon)});
      const bytes = new Uint8Array(lending.borrow(workerData));
      for (let i = 0; i < 32; i++) storage.checksumAsync(4, [bytes], 0);
      parentPort.postMessage('started');`;
    const script = `
      const { Worker } = require('node:worker_threads');
      const { once } = require('node:events');
      const { lending } = require(${JSON.stringify(addon)});
      (async () => {
        const lender = new lending.MemoryLender();
        for (let i = 0; i < 5; i++) {
          const workerData = lender.lend(new Uint8Array(1 << 24));
          const worker = new Worker(${JSON.stringify(worker)}, { eval: true, workerData });
          await once(worker, 'message');
          await worker.terminate();
          lender.takeBack(workerData);
          globalThis.gc?.();
        }
      })();`;
    expect(run(script, ['--expose-gc'])).toEqual({ status: 0, signal: null, stderr: '' });
  });

  it('let their process exit', () => {
    expect(run(`${startWrites(join(folder, 'exit'))} process.exit(7);`)).toEqual({
      status: 7,
      signal: null,
      stderr: '',
    });
  });
});
