/**
 * The traffic of our own client and servers, captured on loopback: decodes without rest, Wireshark's dissectors read the
 * same in it, and they flag no kind of message of ours that they do not flag of the kernel's.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Unit } from '../../lib/cli/decode/conversation.ts';
import { decodeCapture } from '../../lib/cli/decode/decode-capture.ts';
import { encodeMessage } from '../../lib/cli/decode/encode-message.ts';
import { CaptureError, readCapture } from '../../lib/cli/decode/pcap.ts';
import { hasTshark, malformedKinds, readBoth } from '../../lib/cli/decode/tshark.ts';
import { startCluster } from '../../lib/index.ts';
import { Opcode } from '../../lib/wire/opcodes.ts';
import { captures } from './captures.ts';

const folder = mkdtempSync(join(tmpdir(), 'own-traffic-'));
const file = join(folder, 'own.pcapng');

/** dumpcap listening on loopback, or undefined where it is absent or may not. It comes with tshark. */
async function startCapture(port: number): Promise<ChildProcess | undefined> {
  const child = spawn('dumpcap', ['-q', '-i', 'lo', '-B', '64', '-f', `tcp port ${port}`, '-w', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child.on('error', () => undefined);
  if (child.stderr === null) return undefined;
  for await (const line of createInterface({ input: child.stderr }))
    if (line.startsWith('File:')) return child;
  return undefined;
}

/** Every kind of file operation once, and two clients that want the same file. */
async function work(): Promise<number> {
  await using cluster = await startCluster({ port: await probe() });
  await using one = await cluster.mount();
  await one.mkdir('/d');
  await one.writeFile('/d/small', 'text');
  await one.writeFile('/d/große', Buffer.alloc(3 << 20, 7));
  await one.symlink('small', '/d/link');
  await one.readlink('/d/link');
  await one.link('/d/small', '/d/second');
  await one.rename('/d/second', '/d/renamed');
  await one.chmod('/d/small', 0o600);
  await one.utimes('/d/small', 1, 2);
  await one.truncate('/d/große', 100_000);
  await one.setxattr('/d/small', 'user.colour', 'green');
  await one.listxattr('/d/small');
  await Promise.all(Array.from({ length: 100 }, (_, i) => one.writeFile(`/d/file-${i}`, '')));
  expect((await one.readdir('/d')).length).toBe(104);
  await expect(one.stat('/d/nothing')).rejects.toMatchObject({ code: 'ENOENT' });
  {
    await using two = await cluster.mount();
    expect(await two.readFile('/d/small', 'utf8')).toBe('text');
    await two.appendFile('/d/small', ' of two');
    expect(await one.readFile('/d/small', 'utf8')).toBe('text of two');
    expect((await two.stat('/d/große')).size).toBe(100_000);
  }
  await one.statfs('/');
  await one.rm('/d', { recursive: true });
  return cluster.port;
}

/** The port has to be known before the cluster starts; the capture is started for it. */
let port = 0;
let capturing: ChildProcess | undefined;
async function probe(): Promise<number> {
  port = 20_000 + (process.pid % 10_000);
  capturing = await startCapture(port);
  return port;
}

/** The units so far; undefined while dumpcap is in the middle of writing. */
async function unitsSoFar(): Promise<Unit[] | undefined> {
  const units: Unit[] = [];
  try {
    await decodeCapture(readCapture(file), (unit) => units.push(unit), { ports: [port] });
    return units;
  } catch (error) {
    if (error instanceof CaptureError) return undefined;
    throw error;
  }
}

const tshark = await hasTshark();

describe.skipIf(!tshark)('our own traffic', () => {
  let units: Unit[] = [];

  beforeAll(async () => {
    await work();
    if (capturing === undefined) return;
    // Packets come to the file a moment later: both clients' good-byes end it.
    units = await vi.waitFor(
      async () => {
        const so = (await unitsSoFar()) ?? [];
        const ends = so.filter(
          (unit) => unit.kind === 'reply' && unit.request?.opcode === Opcode.MGS_DISCONNECT,
        );
        expect(ends.length).toBe(2);
        return so;
      },
      { timeout: 20_000, interval: 200 },
    );
    capturing.kill('SIGINT');
    await once(capturing, 'close');
  }, 90_000);

  afterAll(() => {
    capturing?.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  it('decodes without rest, and each reply has its request', ({ skip }) => {
    if (capturing === undefined) skip('dumpcap may not capture on lo (it needs root)');
    expect(units.flatMap((unit) => unit.problems)).toEqual([]);
    const alone = units.filter((unit) => ['reply', 'bulk'].includes(unit.kind) && unit.request === undefined);
    expect(alone).toEqual([]);
    const rpcs = units.flatMap((unit) => (unit.rpc === undefined ? [] : [unit.rpc]));
    expect(rpcs.length).toBeGreaterThan(500);
    for (const rpc of rpcs) expect(encodeMessage(rpc)?.length).toBe(rpc.message.size);
  });

  it('is read alike by tshark', { timeout: 60_000 }, async ({ skip }) => {
    if (capturing === undefined) skip('dumpcap may not capture on lo (it needs root)');
    const { disagreements, rpcs } = await readBoth(file, { ports: [port] });
    expect(disagreements.slice(0, 10)).toEqual([]);
    expect(rpcs).toBeGreaterThan(500);
  });

  it('has no kind of message flagged that the kernel has not', { timeout: 120_000 }, async ({ skip }) => {
    if (capturing === undefined) skip('dumpcap may not capture on lo (it needs root)');
    if (captures.length < 10) skip('the kernel captures are not beside the checkout');
    const ours = new Set((await malformedKinds(file, { ports: [port] })).keys());
    // The kernel's kinds are asked of the same tshark, capture by capture until none of ours is left.
    for (const [, path] of captures) {
      if (ours.size === 0) break;
      for (const kind of (await malformedKinds(path)).keys()) ours.delete(kind);
    }
    expect([...ours]).toEqual([]);
  });
});
