/**
 * One large file, stripe count 2, written then read, checksums on and off: MB/s and CPU seconds per GiB of each side, against iperf3,
 * nginx + undici (PUT and GET), nfs-ganesha + libnfs (NFSv3), and the bare C pair that moves a file with CRC32C (peers/file_peer.c). The
 * client's end is memory, so that its disk is not measured; `copies` are those of `lustre cp`, with a local file there. Stores and local
 * files are on tmpfs.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { startCluster } from '../lib/index.ts';
import type { Phase } from './file-client.ts';
import {
  cpuSeconds,
  haveFreePages,
  median,
  output,
  peakRssMiB,
  type Row,
  type Running,
  row,
  scratch,
  startBench,
} from './measure.ts';
import {
  enclosedGanesha,
  type Floor,
  filePeer,
  floor,
  freePort,
  has,
  iperf3,
  nginx,
  type Stream,
  sourceFile,
} from './peers.ts';

const MIB = 1 << 20;
const ways = ['write', 'read'] as const;
type Way = (typeof ways)[number];
/** A copy has a file at both ends, and needs not be as large. */
const COPY_MIB = 1024;

interface Moved {
  readonly mib: number;
  readonly phases: Record<Way, Phase & { readonly serverCpu: number }>;
  readonly peakRssMiB: number;
}

/** What was measured, by name; and of each round the iperf3 stream and the floor. */
interface Results {
  readonly moved: Record<string, Moved[]>;
  readonly streams: Stream[];
  readonly floors: Record<Way, Floor[]>;
}

/** Drives a client through its phases; the store is in `dir`. */
async function drive(client: Running, serverPid: number, mib: number, dir: string): Promise<Moved> {
  const phase = async (): Promise<Phase & { serverCpu: number }> => {
    const before = cpuSeconds(serverPid);
    const took = await client.ask<Phase>();
    return { ...took, serverCpu: cpuSeconds(serverPid) - before };
  };
  await client.line();
  await haveFreePages(dir, mib * MIB);
  const phases = { write: await phase(), read: await phase() };
  const peak = peakRssMiB(client.child.pid!);
  client.child.stdin!.write('\n');
  await client.stop('SIGCONT');
  return { mib, phases, peakRssMiB: peak };
}

async function makeFile(path: string, mib: number): Promise<void> {
  const chunk = randomBytes(MIB);
  const file = await open(path, 'w');
  for (let i = 0; i < mib; i++) {
    chunk.writeUInt32LE(i, 0);
    await file.write(chunk);
  }
  await file.close();
}

/** As much as was asked for where memory has it twice over: a store, pages to warm up, and what else runs. */
function fitting(mib: number): number {
  const free = Math.max(freemem() / MIB, availableMiB());
  let size = mib;
  while (size > 64 && 2 * size + 2 * COPY_MIB > free) size /= 2;
  return size;
}

function availableMiB(): number {
  const match = /MemAvailable:\s+(\d+) kB/.exec(readFileSync('/proc/meminfo', 'utf8'));
  return Number(match?.[1] ?? 0) / 1024;
}

export async function benchFile(rounds: number, wantedMib: number): Promise<Row[]> {
  const mib = fitting(wantedMib);
  const copyMib = Math.min(mib, COPY_MIB);
  const dir = await scratch('/dev/shm');
  const paths = { store: join(dir, 'store'), from: join(dir, 'from'), to: join(dir, 'to') };
  const results: Results = { moved: {}, streams: [], floors: { write: [], read: [] } };
  const peer = await filePeer();
  const libnfs = await nfsPeer();
  const run = async (key: string, client: () => Running, serverPid: number, size: number): Promise<void> => {
    const before = results.moved[key] ?? [];
    results.moved[key] = [...before, await drive(client(), serverPid, size, dir)];
  };
  const empty = (): Promise<void> => rm(paths.store, { recursive: true, force: true });
  const ours = async (checksums: string): Promise<void> => {
    await empty();
    await using cluster = await startCluster({ fsname: 'bench', osts: 2, dir: paths.store });
    const { spec, port } = cluster;
    const mountArgs = [spec, String(port), checksums];
    const pid = cluster.pid ?? 0;
    const inMemory = ['memory', ...mountArgs, String(mib * MIB)];
    await run(`checksums ${checksums}`, () => startBench('file-client', inMemory), pid, mib);
    await makeFile(paths.from, copyMib);
    const files = ['copies', ...mountArgs, paths.from, paths.to];
    await run(`copies, checksums ${checksums}`, () => startBench('file-client', files), pid, copyMib);
    await rm(paths.from);
    await rm(paths.to);
  };
  for (let i = 0; i < rounds; i++) {
    await ours('on');
    if (await has('iperf3')) results.streams.push(await iperf3(await freePort(), mib * MIB));
    if (peer !== undefined) {
      await empty();
      await haveFreePages(dir, mib * MIB);
      results.floors.write.push(await floor(peer, await freePort(), mib, paths.to, '-'));
      results.floors.read.push(await floor(peer, await freePort(), mib, '-', paths.to));
      await rm(paths.to);
    }
    await ours('off');
    if (await has('nginx')) {
      await empty();
      const port = await freePort();
      const server = await nginx(paths.store, port);
      await waitForPort(port);
      const args = ['http', String(port), String(mib * MIB)];
      const running = run('nginx + undici', () => startBench('file-client', args), server.child.pid!, mib);
      await running.finally(() => server.stop('SIGKILL'));
    }
    if (libnfs !== undefined) {
      await empty();
      const { server, inside, url } = await enclosedGanesha(paths.store);
      const client = (): Running => inside(libnfs, [url, '8', String(mib)]);
      const running = run('nfs-ganesha + libnfs', client, server.child.pid!, mib);
      await running.finally(() => server.stop('SIGKILL'));
    }
  }
  await rm(dir, { recursive: true });
  for (const binary of [peer, libnfs]) if (binary !== undefined) await rm(binary);
  return report(results, mib);
}

async function nfsPeer(): Promise<string | undefined> {
  // A network of its own wants root.
  if (process.getuid?.() !== 0) return undefined;
  for (const program of ['ganesha.nfsd', 'rpcbind', 'unshare', 'ip'])
    if (!(await has(program))) return undefined;
  const binary = join(tmpdir(), `lustre-nfs-file-${process.pid}`);
  await output('cc', ['-O2', '-o', binary, await sourceFile('peers/nfs_file.c'), '-lnfs']);
  return binary;
}

const speedOf = ({ mib, phases }: Moved, way: Way): number => (mib * 1.048576) / phases[way].seconds;

function report({ moved, streams, floors }: Results, mib: number): Row[] {
  const speed = (key: string, way: Way): number => median(moved[key]!.map((m) => speedOf(m, way)));
  const others = Object.keys(moved).filter((key) => key.includes('+'));
  const rows: Row[] = [];
  for (const key of Object.keys(moved).filter((name) => name.includes('checksums'))) {
    const size = moved[key]![0]!.mib;
    for (const way of ways) {
      const what = `${size} MiB ${way}, stripe 2, ${key}`;
      const value = speed(key, way);
      const peers = [
        ...(streams.length > 0 ? [{ name: 'iperf3', value: median(streams.map((s) => s.mbPerSecond)) }] : []),
        ...(key.startsWith('copies') ? [] : others.map((name) => ({ name, value: speed(name, way) }))),
        ...(floors[way].length > 0
          ? [
              {
                name: 'bare C pair, file at the server, CRC32C',
                value: median(floors[way].map((f) => (mib * 1.048576) / f.seconds)),
              },
            ]
          : []),
      ];
      rows.push(...peers.map((peer) => row('file', what, value, 'MB/s', peer)));
      if (peers.length === 0) rows.push(row('file', what, value, 'MB/s'));
      rows.push(...cpuRows(what, moved[key]!, streams, floors, way, mib));
    }
    rows.push(
      row('file', `client's peak memory, ${key}`, median(moved[key]!.map((m) => m.peakRssMiB)), 'MiB'),
    );
  }
  for (const key of others) {
    for (const way of ways) {
      const gib = mib / 1024;
      const of = (side: 'cpu' | 'serverCpu'): number =>
        median(moved[key]!.map((m) => m.phases[way][side] / gib));
      rows.push(row('file', `${mib} MiB ${way}, ${key}: client CPU`, of('cpu'), 's/GiB'));
      rows.push(row('file', `${mib} MiB ${way}, ${key}: server CPU`, of('serverCpu'), 's/GiB'));
    }
  }
  return rows;
}

/** Each side against the side of iperf3 that has the bytes to send or to take. */
function cpuRows(
  what: string,
  runs: readonly Moved[],
  streams: readonly Stream[],
  floors: Results['floors'],
  way: Way,
  mib: number,
): Row[] {
  const rows: Row[] = [];
  for (const side of ['client', 'server'] as const) {
    const value = median(
      runs.map((m) => m.phases[way][side === 'client' ? 'cpu' : 'serverCpu'] / (m.mib / 1024)),
    );
    const sends = (side === 'client') === (way === 'write');
    const label = `${what}: ${side} CPU`;
    if (streams.length > 0) {
      const theirs = median(streams.map((s) => (sends ? s.senderCpu : s.receiverCpu) / (mib / 1024)));
      rows.push(row('file', label, value, 's/GiB', { name: 'iperf3', value: theirs }, true));
    } else rows.push(row('file', label, value, 's/GiB'));
    if (floors[way].length > 0) {
      const theirs = median(floors[way].map((f) => (sends ? f.senderCpu : f.receiverCpu) / (mib / 1024)));
      rows.push(row('file', label, value, 's/GiB', { name: 'bare C pair', value: theirs }, true));
    }
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
