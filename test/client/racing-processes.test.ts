/**
 * Eight client processes, each with an engine and locks of its own, race for the same files on an embedded cluster; what they
 * leave is checked byte by byte. A second and a half for each race, with LUSTRE_LONG a minute.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, type Filesystem, startCluster } from '../../lib/index.ts';

const library = new URL('../../dist/lib/index.js', import.meta.url);
const program = fileURLToPath(new URL('./programs/racing-client.mjs', import.meta.url));
const CLIENTS = 8;
const RECORD = 1000;
const SECONDS = process.env.LUSTRE_LONG === undefined ? 1.5 : 60;
const LIMIT_MS = 120_000 + SECONDS * 1000;

interface Client {
  readonly child: ChildProcess;
  /** Runs a race; resolves with how often this client did what it is about. */
  race(name: string): Promise<number>;
  readonly code: Promise<number | null>;
}

function startClient(cluster: Cluster, number: number): Client {
  const args = [program, library.href, cluster.spec, `${cluster.port}`, `${number}`];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    async race(race) {
      child.stdin.write(`${JSON.stringify({ race, seconds: SECONDS })}\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`client ${number} ended in the race '${race}'`);
      return (JSON.parse(value) as { done: number }).done;
    },
    code: new Promise((resolve) => child.once('exit', resolve)),
  };
}

const payload = (client: number, n: number, length: number): Buffer =>
  Buffer.alloc(length, createHash('sha256').update(`${client}/${n}`).digest());

// npm test builds dist/ first; a lone `npx vitest` may find none.
describe.skipIf(!existsSync(library))('eight client processes', () => {
  let cluster: Cluster;
  let lustre: Filesystem;
  let clients: Client[];
  const race = (name: string): Promise<number[]> => Promise.all(clients.map((client) => client.race(name)));

  beforeAll(async () => {
    cluster = await startCluster({ fsname: 'racing', osts: 2 });
    lustre = await cluster.mount();
    await lustre.writeFile('/records', '', { stripeCount: 2, stripeSize: 65536 });
    await lustre.writeFile('/log', '', { stripeCount: 2, stripeSize: 65536 });
    await lustre.mkdir('/court');
    for (const name of ['ball', 'count', 'locked']) await lustre.writeFile(`/court/${name}`, '0'.repeat(16));
    clients = Array.from({ length: CLIENTS }, (_, number) => startClient(cluster, number));
  });
  afterAll(async () => {
    for (const { child } of clients) child.stdin?.end();
    const codes = await Promise.all(clients.map(({ code }) => code));
    await lustre.unmount();
    await cluster.stop();
    expect(codes).toEqual(new Array(CLIENTS).fill(0));
  });

  it(
    'write records of one file in turn',
    async () => {
      const done = await race('records');
      const records = Math.max(
        ...done.map((count, client) => (count === 0 ? 0 : (count - 1) * CLIENTS + client + 1)),
      );
      const bytes = await lustre.readFile('/records');
      expect(bytes.length).toBe(records * RECORD);
      for (let at = 0; at < records; at++) {
        const [client, n] = [at % CLIENTS, Math.floor(at / CLIENTS)];
        const want = n < done[client]! ? payload(client, n, RECORD) : Buffer.alloc(RECORD);
        expect(
          bytes.subarray(at * RECORD, (at + 1) * RECORD).equals(want),
          `record ${n} of client ${client}`,
        ).toBe(true);
      }
    },
    LIMIT_MS,
  );

  it(
    'append to one file: all records are there, whole and in the order of each',
    async () => {
      const done = await race('appends');
      const bytes = await lustre.readFile('/log');
      const seen = new Array<number>(CLIENTS).fill(0);
      for (let at = 0; at < bytes.length; ) {
        const [client, n, length] = [0, 4, 8].map((offset) => bytes.readUInt32LE(at + offset)) as [
          number,
          number,
          number,
        ];
        expect(n, `record at ${at} of client ${client}`).toBe(seen[client]);
        expect(
          bytes.subarray(at + 12, at + 12 + length).equals(payload(client, n, length)),
          `bytes at ${at}`,
        ).toBe(true);
        seen[client] = n + 1;
        at += 12 + length;
      }
      expect(seen).toEqual(done);
    },
    LIMIT_MS,
  );

  for (const [name, path] of [
    ['renames', '/court/ball'],
    ['unlinks', '/court/count'],
    ['locks', '/court/locked'],
  ] as const) {
    it(
      `exclude each other by ${name}: no count is lost`,
      async () => {
        const done = await race(name);
        const count = Number(await lustre.readFile(path, 'utf8'));
        expect(count).toBe(done.reduce((sum, n) => sum + n, 0));
        expect(count).toBeGreaterThan(0);
        expect((await lustre.readdir('/court')).sort()).toEqual(['ball', 'count', 'locked']);
      },
      LIMIT_MS,
    );
  }
});
