/** Writes a large buffer and reads it into another, and prints by how much the process's peak memory has grown meanwhile. */
import { readFileSync } from 'node:fs';
import { mount } from '../../../lib/index.ts';

const MIB = 1 << 20;
const SIZE = 256 * MIB;
const [spec = '', port = ''] = process.argv.slice(2);

function peakMiB(): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024;
}

const lustre = await mount(spec, { port: Number(port) });
// Ordinary memory of JavaScript, every page of it present before the measurement begins.
const from = Buffer.alloc(SIZE, 'what is written');
const to = Buffer.alloc(SIZE, '?');
const file = await lustre.open('/bulk', 'w+', 0o644, { stripeCount: 2, stripeSize: MIB });
await file.write(from.subarray(0, MIB), 0, MIB, 0);
const before = peakMiB();
for (let at = 0; at < SIZE; at += 32 * MIB) await file.write(from, at, 32 * MIB, at);
for (let at = 0; at < SIZE; at += 32 * MIB) await file.read(to, at, 32 * MIB, at);
const growthMiB = Math.round(peakMiB() - before);
await file.close();
await lustre.unlink('/bulk');
await lustre.unmount();
process.stdout.write(`${JSON.stringify({ same: from.equals(to), mib: SIZE / MIB, growthMiB })}\n`);
