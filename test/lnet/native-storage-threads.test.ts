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
function run(script: string) {
  const { status, signal, stderr } = spawnSync(process.execPath, ['-e', script], {
    encoding: 'utf8',
    timeout: 25_000,
  });
  return { status, signal, stderr };
}

describe('writes under way', () => {
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

  it('let their process exit', () => {
    expect(run(`${startWrites(join(folder, 'exit'))} process.exit(7);`)).toEqual({
      status: 7,
      signal: null,
      stderr: '',
    });
  });
});
