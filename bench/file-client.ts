/**
 * The clients of the `file` bench, each in a process of its own so that memory and CPU are its own: says `ready`, then does a phase for
 * each line that it is given and prints what it took; ends after the last line. (peers/nfs_file.c does the same with libnfs.)
 */
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { Pool } from 'undici';
import { type Filesystem, mount } from '../lib/index.ts';
import { move } from './calls.ts';

/** What a phase took of the client. */
export interface Phase {
  readonly seconds: number;
  /** User and system CPU seconds. */
  readonly cpu: number;
}

const MIB = 1 << 20;
/** Calls under way, and their size: over two stripes each is two requests of 16 MiB, the most that servers take. */
const LANES = 2;
const CALL = 32 * MIB;

async function phases(works: readonly (() => Promise<unknown>)[]): Promise<void> {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  process.stdout.write('ready\n');
  for (const work of works) {
    await lines.next();
    const [at, before] = [performance.now(), process.cpuUsage()];
    await work();
    const seconds = (performance.now() - at) / 1000;
    const { user, system } = process.cpuUsage(before);
    process.stdout.write(`${JSON.stringify({ seconds, cpu: (user + system) / 1e6 } satisfies Phase)}\n`);
  }
  await lines.next();
  process.stdin.destroy();
}

async function withLustre(
  [spec, port, checksums]: readonly string[],
  work: (filesystem: Filesystem) => Promise<void>,
): Promise<void> {
  const filesystem = await mount(spec!, {
    port: Number(port),
    checksums: checksums === 'on' ? 'crc32c' : false,
  });
  await filesystem.setLayout('/', { stripeCount: 2, stripeSize: MIB });
  await work(filesystem);
  await filesystem.unmount();
}

/** From and to memory. */
async function memory(args: readonly string[], bytes: number): Promise<void> {
  await withLustre(args, async (filesystem) => {
    const file = await filesystem.open('/big', 'w+');
    // Made before time is taken: to fill them costs what hundreds of MiB cost.
    const buffers = Array.from({ length: LANES }, () => Buffer.alloc(CALL, 'a'));
    await phases([() => move(file, 'write', buffers, bytes), () => move(file, 'read', buffers, bytes)]);
    await file.close();
    await filesystem.unlink('/big');
  });
}

/** From and to local files: what `lustre cp` does. */
async function copies(args: readonly string[], from: string, to: string): Promise<void> {
  await withLustre(args, async (filesystem) => {
    await phases([() => filesystem.copyIn(from, '/big'), () => filesystem.copyOut('/big', to)]);
    await filesystem.unlink('/big');
  });
}

/** From and to memory, with nginx. */
async function http(port: number, bytes: number): Promise<void> {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: 1 });
  const chunk = Buffer.alloc(MIB, 'a');
  async function* body(): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes; at += MIB) yield chunk;
  }
  const headers = { 'content-length': String(bytes) };
  await phases([
    async () => {
      const reply = await pool.request({ path: '/big', method: 'PUT', body: Readable.from(body()), headers });
      await reply.body.dump();
      if (reply.statusCode >= 300) throw new Error(`nginx answered ${reply.statusCode}`);
    },
    async () => {
      const reply = await pool.request({ path: '/big', method: 'GET' });
      let got = 0;
      for await (const piece of reply.body) got += (piece as Buffer).length;
      if (got !== bytes) throw new Error(`nginx gave ${got} of ${bytes} bytes`);
    },
  ]);
  await pool.close();
}

const [, , mode, ...args] = process.argv;
if (mode === 'memory') await memory(args, Number(args[3]));
if (mode === 'copies') await copies(args, args[3]!, args[4]!);
if (mode === 'http') await http(Number(args[0]), Number(args[1]));
