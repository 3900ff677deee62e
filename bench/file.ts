/**
 * One large file, stripe count 2, written then read, checksums on and off: MB/s, CPU seconds per GiB of each side and the client's peak
 * memory; against iperf3, and nginx + undici moving the same file (PUT and GET). All files and both stores are on tmpfs: a disk that
 * takes less than the wire brings would be all that is measured.
 */
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Pool } from 'undici';
import { mount, startCluster } from '../lib/index.ts';
import { cpuSeconds, median, peakRssMiB, type Row, row, scratch, startBench } from './measure.ts';
import { has, iperf3, nginx } from './peers.ts';

interface Moved {
  readonly write: number;
  readonly read: number;
  readonly writeCpu: number;
  readonly readCpu: number;
  readonly peakRssMiB: number;
}

/** Times `write` then `read` and prints them; runs in a process of its own so that its memory and CPU are its own. */
async function timed(write: () => Promise<void>, read: () => Promise<void>): Promise<void> {
  const once = async (work: () => Promise<void>): Promise<[number, number]> => {
    const cpu = cpuSeconds(process.pid);
    const at = performance.now();
    await work();
    return [(performance.now() - at) / 1000, cpuSeconds(process.pid) - cpu];
  };
  const [writeSeconds, writeCpu] = await once(write);
  const [readSeconds, readCpu] = await once(read);
  const moved: Moved = {
    write: writeSeconds,
    read: readSeconds,
    writeCpu,
    readCpu,
    peakRssMiB: peakRssMiB(process.pid),
  };
  process.stdout.write(`${JSON.stringify(moved)}\n`);
}

async function lustreClient(
  spec: string,
  port: number,
  checksums: string,
  from: string,
  to: string,
): Promise<void> {
  const filesystem = await mount(spec, { port, checksums: checksums === 'on' ? 'crc32c' : false });
  await filesystem.setLayout('/', { stripeCount: 2, stripeSize: 1 << 20 });
  await timed(
    async () => void (await filesystem.copyIn(from, '/big')),
    async () => void (await filesystem.copyOut('/big', to)),
  );
  await filesystem.unlink('/big');
  await filesystem.unmount();
}

async function httpClient(port: number, from: string, to: string): Promise<void> {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: 2 });
  await timed(
    async () => {
      const { size } = await (await open(from)).stat();
      const body = createReadStream(from, { highWaterMark: 1 << 20 });
      const reply = await pool.request({
        path: '/big',
        method: 'PUT',
        body,
        headers: { 'content-length': String(size) },
      });
      await reply.body.dump();
      if (reply.statusCode >= 300) throw new Error(`nginx answered ${reply.statusCode}`);
    },
    async () => {
      const reply = await pool.request({ path: '/big', method: 'GET' });
      await pipeline(reply.body, createWriteStream(to, { highWaterMark: 1 << 20 }));
    },
  );
  await pool.close();
}

async function makeFile(path: string, mib: number): Promise<void> {
  const chunk = randomBytes(1 << 20);
  const file = await open(path, 'w');
  for (let i = 0; i < mib; i++) {
    chunk.writeUInt32LE(i, 0);
    await file.write(chunk);
  }
  await file.close();
}

export async function benchFile(rounds: number, mib: number): Promise<Row[]> {
  const dir = await scratch('/dev/shm');
  const store = join(dir, 'store');
  const from = join(dir, 'from');
  const to = join(dir, 'to');
  await makeFile(from, mib);
  const results: Record<string, { moved: Moved; server: number }[]> = { on: [], off: [], nginx: [] };
  const streams: number[] = [];
  const withNginx = await has('nginx');
  const withIperf = await has('iperf3');
  const run = async (key: string, serverPid: number, args: readonly string[]): Promise<void> => {
    // Pages that a virtual machine has given back to its host cost seconds a GiB at their first touch: let there be some in use.
    await makeFile(to, 2 * mib);
    await rm(to);
    const cpu = cpuSeconds(serverPid);
    const child = startBench('file', args);
    const moved = JSON.parse(await child.line()) as Moved;
    await child.stop('SIGCONT');
    results[key]!.push({ moved, server: cpuSeconds(serverPid) - cpu });
    await rm(to, { force: true });
  };
  for (let i = 0; i < rounds; i++) {
    for (const checksums of ['on', 'off']) {
      {
        await using cluster = await startCluster({ fsname: 'bench', osts: 2, dir: store });
        const { pid, spec, port } = cluster;
        await run(checksums, pid ?? 0, ['lustre', spec, String(port), checksums, from, to]);
      }
      await rm(store, { recursive: true });
    }
    if (withIperf) streams.push(await iperf3(21200 + i, mib << 20));
    if (withNginx) {
      const peer = await nginx(store, 21250 + i);
      await waitForPort(21250 + i);
      await run('nginx', peer.child.pid!, ['http', String(21250 + i), from, to]);
      await peer.stop('SIGKILL');
      await rm(store, { recursive: true });
    }
  }
  await rm(dir, { recursive: true });
  return report(results, streams, mib);
}

function report(
  results: Record<string, { moved: Moved; server: number }[]>,
  streams: number[],
  mib: number,
): Row[] {
  const megabytes = (mib * 1048576) / 1e6;
  const gib = mib / 1024;
  const rows: Row[] = [];
  const speed = (key: string, way: 'write' | 'read'): number =>
    median(results[key]!.map((r) => megabytes / r.moved[way]));
  for (const checksums of ['on', 'off']) {
    const runs = results[checksums]!;
    for (const way of ['write', 'read'] as const) {
      const what = `${mib} MiB ${way}, stripe 2, checksums ${checksums}`;
      const value = speed(checksums, way);
      if (streams.length > 0)
        rows.push(row('file', what, value, 'MB/s', { name: 'iperf3', value: median(streams) }));
      if (results.nginx!.length > 0) {
        rows.push(row('file', what, value, 'MB/s', { name: 'nginx + undici', value: speed('nginx', way) }));
      }
      if (streams.length === 0 && results.nginx!.length === 0) rows.push(row('file', what, value, 'MB/s'));
      const cpu = median(runs.map((r) => r.moved[`${way}Cpu`] / gib));
      rows.push(row('file', `${what}: client CPU`, cpu, 's/GiB'));
    }
    const server = median(runs.map((r) => r.server / gib));
    rows.push(row('file', `write and read, checksums ${checksums}: server CPU`, server, 's/GiB'));
    rows.push(
      row(
        'file',
        `client's peak memory, checksums ${checksums}`,
        median(runs.map((r) => r.moved.peakRssMiB)),
        'MiB',
      ),
    );
  }
  return rows;
}

async function waitForPort(port: number): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const up = await fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      () => false,
    );
    if (up) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing answers on port ${port}`);
}

const [, , mode, ...args] = process.argv;
if (mode === 'lustre') await lustreClient(args[0]!, Number(args[1]), args[2]!, args[3]!, args[4]!);
if (mode === 'http') await httpClient(Number(args[0]), args[1]!, args[2]!);
