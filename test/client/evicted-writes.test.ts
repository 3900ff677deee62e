/**
 * A client that is evicted while one of its writes is halfway into the object's file: once its lock is another's, nothing of
 * it gets there any more, however late the rest comes (guide 12 §5.9). Real sockets: only they receive into files.
 */
import { connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Cluster, startCluster } from '../../lib/cluster.ts';

const SERVER = '127.0.0.1@tcp';
const MIB = 1 << 20;

/** Stands between a client and its servers, and can hold back what the client sends. */
class Gate {
  readonly #server = createServer((socket) => this.#join(socket));
  readonly #sockets = new Set<Socket>();
  readonly #held: (() => void)[] = [];
  #port = 0;
  /** Bytes that still pass. */
  #pass = Number.POSITIVE_INFINITY;
  #shut: (() => void) | undefined;

  async open(port: number): Promise<string> {
    this.#port = port;
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  #join(client: Socket): void {
    const server = connect(this.#port, '127.0.0.1');
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.setNoDelay(true);
    }
    server.on('data', (bytes) => client.write(bytes));
    server.on('close', () => client.destroy());
    client.on('close', () => server.destroy());
    client.on('data', (bytes) => {
      const now = Math.min(bytes.length, this.#pass);
      this.#pass -= now;
      if (now > 0) server.write(bytes.subarray(0, now));
      if (now === bytes.length) return;
      const rest = bytes.subarray(now);
      this.#held.push(() => server.write(rest));
      this.#shut?.();
    });
  }

  /** Resolves when so many bytes more have passed, and from then on nothing does. */
  shutAfter(bytes: number): Promise<void> {
    this.#pass = bytes;
    return new Promise((resolve) => {
      this.#shut = resolve;
    });
  }

  /** What was held back goes on its way, and what follows. */
  reopen(): void {
    this.#pass = Number.POSITIVE_INFINITY;
    this.#shut = undefined;
    for (const send of this.#held.splice(0)) send();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

let cluster: Cluster;
const gate = new Gate();
beforeAll(async () => {
  cluster = await startCluster({ osts: 1, lockTimeoutMs: 1500 });
});
afterAll(async () => {
  gate.close();
  await cluster.stop();
});

it('nothing of a write under way gets into a file once its client was evicted and another has the lock', async () => {
  const slow = await cluster.mount({
    nid: '127.0.9.1@tcp',
    nidMap: { [SERVER]: await gate.open(cluster.port) },
  });
  const other = await cluster.mount({ nid: '127.0.9.2@tcp' });
  const writer = await slow.open('/f', 'w+', 0o644, { direct: true });
  // It has its lock, and the object its pages.
  await writer.write(Buffer.alloc(MIB, 'o'), 0, MIB, 0);
  const reader = await other.open('/f', 'r+', 0, { direct: true });

  const shut = gate.shutAfter(600_000);
  const late = writer.write(Buffer.alloc(MIB, 'a'), 0, MIB, 0).then(
    () => 'written',
    (error: Error & { code?: string }) => error.code,
  );
  await shut;
  // Waits until the servers have given up on the writer.
  const seen = Buffer.alloc(MIB);
  expect((await reader.read(seen, 0, MIB, 0)).bytesRead).toBe(MIB);
  // The write was halfway there: that much of it is.
  const begun = seen.indexOf('o');
  expect(begun).toBeGreaterThan(100_000);
  expect(begun).toBeLessThan(600_000);
  expect(seen.subarray(0, begun).equals(Buffer.alloc(begun, 'a'))).toBe(true);
  expect(seen.subarray(begun).equals(Buffer.alloc(MIB - begun, 'o'))).toBe(true);

  const mine = Buffer.alloc(MIB, 'b');
  await reader.write(mine, 0, MIB, 0);
  gate.reopen();
  const told = await late;
  // What follows the rest of the payload on the same connection has come, so the rest has too.
  await writer.close().catch(() => undefined);
  await slow.writeFile('/g', Buffer.alloc(3 * MIB, 'g'), { flush: true });
  const after = Buffer.alloc(MIB);
  await reader.read(after, 0, MIB, 0);
  expect(after.equals(mine)).toBe(true);
  expect(told).toBe('EIO');
  await reader.close();
  await slow.unmount();
  await other.unmount();
}, 60_000);
