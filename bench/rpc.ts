/**
 * RPC round trips with 4 KiB each way, two processes, a whole import and target at the ends, against a bare C TCP ping-pong of
 * the same size with as many in flight. Also of each end: CPU, system calls of the endpoint (the event loop's own, one for each
 * time that it waits, come on top), times that it was switched out, bytes allocated in JavaScript's heap, and collecting them.
 * At last the same with the import in a thread of its own, asked by messages as a mount's engine is.
 *
 * Neither end starts a process: whoever does writes each of its pages into a copy afterwards, and in a guest whose page tables
 * the host shadows such a fault costs as much as an RPC.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Import } from '../lib/connection/import.ts';
import type { Call, Operation, Target } from '../lib/connection/target.ts';
import { TargetNode } from '../lib/connection/target-node.ts';
import { type ChannelMemory, channelMemory, EngineChannel, type Numbered } from '../lib/engine-channel.ts';
import { createNativeNetwork } from '../lib/lnet/native-network.ts';
import type { Endpoint } from '../lib/lnet/network.ts';
import { PtlRpc } from '../lib/rpc/ptlrpc.ts';
import { nodeRuntime } from '../lib/runtime/runtime.ts';
import { ConnectFlag } from '../lib/wire/connection-constants.ts';
import { RQF_MDS_GET_INFO } from '../lib/wire/formats.ts';
import { Opcode } from '../lib/wire/opcodes.ts';
import { answerMeters, HeapMeter, type HeapUse } from './heap-meter.ts';
import { contextSwitches, median, type Row, type Running, row, startBench } from './measure.ts';
import { barePingPong, type RoundTrips } from './peers.ts';

const SIZE = 4096;
const WINDOWS = [1, 8, 64];
const PORT = 21100;
const serverNid = '127.0.0.2@tcp';
const flags =
  ConnectFlag.OBD_CONNECT_VERSION |
  ConnectFlag.OBD_CONNECT_FID |
  ConnectFlag.OBD_CONNECT_ATTRFID |
  ConnectFlag.OBD_CONNECT_FULL20 |
  ConnectFlag.OBD_CONNECT_AT |
  ConnectFlag.OBD_CONNECT_BULK_MBITS;
const connectFields = { ocd_connect_flags: flags, ocd_version: 0x02110000 };

/** The serving process: a target whose GET_INFO gives the value back. */
async function serve(port: number): Promise<void> {
  const endpoint = await createNativeNetwork(nodeRuntime()).open({ nid: serverNid, port });
  const node = new TargetNode(new PtlRpc(endpoint, nodeRuntime()), nodeRuntime());
  const echo: Operation = {
    format: RQF_MDS_GET_INFO,
    handle: (call: Call<typeof RQF_MDS_GET_INFO>) => call.reply({ getinfo_val: call.values.getinfo_val }),
  };
  const target: Target = {
    name: 'bench-MDT0000',
    uuid: 'bench-MDT0000_UUID',
    replayable: false,
    operations: new Map([[Opcode.MDS_GET_INFO, echo]]),
    connect: () => connectFields,
    lastCommitted: () => 0n,
  };
  node.add(target);
  process.stdout.write('ready\n');
  await answerMeters(() => new EndMeter(endpoint));
  process.exit(0);
}

/** What this end uses between two moments. */
class EndMeter {
  readonly #endpoint: Endpoint;
  readonly #heap = new HeapMeter();
  readonly #calls: number;
  readonly #switches = contextSwitches(process.pid);
  readonly #cpu = process.cpuUsage();

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
    this.#calls = endpoint.counters().systemCalls;
  }

  stop(): EndUse {
    const { user, system } = process.cpuUsage(this.#cpu);
    return {
      cpu: user + system,
      calls: this.#endpoint.counters().systemCalls - this.#calls,
      switches: contextSwitches(process.pid) - this.#switches,
      ...this.#heap.stop(),
    };
  }
}

interface EndUse extends HeapUse {
  /** Microseconds. */
  readonly cpu: number;
  readonly calls: number;
  readonly switches: number;
}

interface Asked extends RoundTrips {
  readonly use: EndUse | undefined;
}

interface RpcResult extends RoundTrips {
  readonly client: EndUse;
  readonly server: EndUse;
}

/** `count` calls, `window` at a time: seconds of all, milliseconds of each, in order of length. */
async function lanes(
  call: () => Promise<unknown>,
  window: number,
  count: number,
): Promise<{ readonly seconds: number; readonly took: readonly number[] }> {
  const took: number[] = [];
  let started = 0;
  const lane = async (): Promise<void> => {
    while (started < count) {
      started++;
      const at = performance.now();
      await call();
      took.push(performance.now() - at);
    }
  };
  const begin = performance.now();
  await Promise.all(Array.from({ length: window }, lane));
  const seconds = (performance.now() - begin) / 1000;
  return { seconds, took: took.sort((a, b) => a - b) };
}

function timesOf(took: readonly number[], seconds: number): RoundTrips {
  const { length: count } = took;
  return {
    perSecond: count / seconds,
    p50: took[Math.floor(count / 2)]! * 1000,
    p99: took[Math.floor(count * 0.99)]! * 1000,
  };
}

/** The bytes that go there and come back. */
const value = new Uint8Array(SIZE - 512).fill(7);
const getinfo_key = new TextEncoder().encode('bench\0');

async function ask(importer: Import, getinfo_val: Uint8Array): Promise<Uint8Array> {
  const { values } = await importer.call(RQF_MDS_GET_INFO, { getinfo_key, getinfo_val }, { replyRoom: SIZE });
  return values.getinfo_val!;
}

interface Client {
  readonly importer: Import;
  readonly endpoint: Endpoint;
}

async function connect(): Promise<Client> {
  const runtime = nodeRuntime();
  const endpoint = await createNativeNetwork(runtime).open({
    nid: '127.0.0.1@tcp',
    port: PORT,
    accept: false,
  });
  const importer = new Import({
    runtime,
    ptlrpc: new PtlRpc(endpoint, runtime),
    target: { name: 'bench-MDT0000', uuid: 'bench-MDT0000_UUID', kind: 'mdt' },
    nids: [serverNid],
    clientUuid: 'bench',
    ask: connectFields,
    rpcsInFlightMax: 64,
  });
  await importer.connect();
  return { importer, endpoint };
}

async function disconnect({ importer, endpoint }: Client): Promise<void> {
  await importer.disconnect();
  await endpoint.close();
}

/** The asking process: `WINDOW COUNT` a line, each answered with how it went. */
async function answerRounds(call: () => Promise<unknown>, meter?: () => EndMeter): Promise<void> {
  process.stdout.write('ready\n');
  for await (const line of createInterface({ input: process.stdin })) {
    const [window, count] = line.split(' ').map(Number) as [number, number];
    const metered = meter?.();
    const { seconds, took } = await lanes(call, window, count);
    const use = metered?.stop();
    process.stdout.write(`${JSON.stringify({ ...timesOf(took, seconds), use } satisfies Asked)}\n`);
  }
}

async function askInline(): Promise<void> {
  // What it is asked by keeps the process alive, an endpoint does not.
  process.stdin.resume();
  const client = await connect();
  await answerRounds(
    () => ask(client.importer, value),
    () => new EndMeter(client.endpoint),
  );
  await disconnect(client);
}

async function askThroughThread(): Promise<void> {
  const hop = new Hop();
  await answerRounds(() => hop.ask(value));
  await hop.end();
}

function round(client: Running, window: number, count: number): Promise<Asked> {
  return client.ask<Asked>(`${window} ${count}`);
}

async function meteredRound(
  client: Running,
  server: Running,
  window: number,
  count: number,
): Promise<RpcResult> {
  await server.ask();
  const { use, ...times } = await round(client, window, count);
  return { ...times, client: use!, server: await server.ask<EndUse>() };
}

/** Both ends, connected and warm: what is compiled for many in flight is not for one. */
async function withEnds(
  how: 'ask' | 'hop',
  warmUp: number,
  work: (client: Running, server: Running) => Promise<void>,
): Promise<void> {
  const server = startBench('rpc', ['serve', String(PORT)]);
  await server.line();
  const client = startBench('rpc', [how]);
  await client.line();
  await round(client, 64, warmUp);
  await work(client, server);
  client.child.stdin!.end();
  await once(client.child, 'exit');
  await server.stop();
}

/** To the thread and back: a number, and the bytes, none to disconnect. */
type Message = readonly [number, Uint8Array | undefined];

/** An import in a thread of its own. */
class Hop {
  readonly #worker: Worker;
  readonly #channel: EngineChannel<Message, Message>;
  readonly #pending = new Map<number, (value: unknown) => void>();
  #next = 0;

  constructor() {
    const memory = channelMemory();
    const settings: HopData = { bench: 'rpc hop', memory };
    this.#worker = new Worker(fileURLToPath(import.meta.url), { workerData: settings });
    this.#worker.on('error', (error) => {
      throw error;
    });
    const answered = ([number, answer]: Message): void => {
      this.#pending.get(number)?.(answer);
      this.#pending.delete(number);
    };
    this.#channel = new EngineChannel(this.#worker, memory.toEngine, memory.fromEngine, answered);
    this.#worker.on('message', (message: Numbered<Message>) => this.#channel.fromPort(message));
    this.#channel.listen();
  }

  ask(bytes: Uint8Array | undefined): Promise<unknown> {
    return new Promise((resolve) => {
      this.#pending.set(++this.#next, resolve);
      this.#channel.send([this.#next, bytes]);
    });
  }

  async end(): Promise<void> {
    await this.ask(undefined);
    await this.#worker.terminate();
    this.#channel.close();
  }
}

interface HopData {
  readonly bench: 'rpc hop';
  readonly memory: ChannelMemory;
}

function serveHop(port: NonNullable<typeof parentPort>, memory: ChannelMemory): void {
  const connecting = connect();
  const answer = async ([number, bytes]: Message): Promise<void> => {
    const client = await connecting;
    if (bytes === undefined) await disconnect(client);
    channel.send([number, bytes && (await ask(client.importer, bytes))]);
  };
  const channel = new EngineChannel<Message, Message>(
    port,
    memory.fromEngine,
    memory.toEngine,
    (message) => void answer(message),
  );
  port.on('message', (message: Numbered<Message>) => channel.fromPort(message));
  channel.listen();
}

async function hopRows(rounds: number, count: number): Promise<Row[]> {
  const rows: Row[] = [];
  await withEnds('hop', count, async (client) => {
    for (const window of [1, 64]) {
      const ours: RoundTrips[] = [];
      const bare: RoundTrips[] = [];
      for (let i = 0; i < rounds; i++) {
        ours.push(await round(client, window, count));
        bare.push(await barePingPong(PORT + 1 + i, SIZE, window, count));
      }
      const label = `4 KiB round trip through a thread of its own, ${window} in flight`;
      rows.push(...roundTripRows(label, ours, bare));
    }
  });
  return rows;
}

/** Rates by requests in flight, ours and the bare ping-pong's. */
export async function rpcRates(
  windows: readonly number[],
  count: number,
): Promise<{ readonly window: number; readonly perSecond: number; readonly bare: number }[]> {
  const rates: { window: number; perSecond: number; bare: number }[] = [];
  await withEnds('ask', 2 * count, async (client) => {
    for (const window of windows) {
      const { perSecond } = await round(client, window, count);
      const { perSecond: bare } = await barePingPong(PORT + 1, SIZE, window, count);
      rates.push({ window, perSecond, bare });
    }
  });
  return rates;
}

export async function benchRpc(rounds: number, count: number): Promise<Row[]> {
  const rows: Row[] = [];
  await withEnds('ask', 2 * count, async (client, server) => {
    for (const window of WINDOWS) rows.push(...(await rpcRows(client, server, window, rounds, count)));
  });
  rows.push(...(await hopRows(rounds, count)));
  return rows;
}

function roundTripRows(label: string, ours: readonly RoundTrips[], bare: readonly RoundTrips[]): Row[] {
  const name = 'bare C ping-pong';
  const of = (key: keyof RoundTrips): [number, { name: string; value: number }] => [
    median(ours.map((r) => r[key])),
    { name, value: median(bare.map((r) => r[key])) },
  ];
  return [
    row('rpc', `${label}, rate`, of('perSecond')[0], '/s', of('perSecond')[1]),
    row('rpc', `${label}, p50`, of('p50')[0], 'us', of('p50')[1], true),
    row('rpc', `${label}, p99`, of('p99')[0], 'us', of('p99')[1], true),
  ];
}

async function rpcRows(
  client: Running,
  server: Running,
  window: number,
  rounds: number,
  count: number,
): Promise<Row[]> {
  const ours: RpcResult[] = [];
  const bare: RoundTrips[] = [];
  for (let i = 0; i < rounds; i++) {
    ours.push(await meteredRound(client, server, window, count));
    bare.push(await barePingPong(PORT + 1 + i, SIZE, window, count));
  }
  const label = `4 KiB round trip, ${window} in flight`;
  const rows = roundTripRows(label, ours, bare);
  for (const end of ['client', 'server'] as const) {
    const middle = (key: keyof EndUse): number => median(ours.map((r) => r[end][key])) / count;
    rows.push(row('rpc', `${label}, ${end} CPU`, middle('cpu'), 'us'));
    rows.push(row('rpc', `${label}, ${end} system calls`, middle('calls'), ''));
    rows.push(row('rpc', `${label}, ${end} switches`, middle('switches'), ''));
    rows.push(row('rpc', `${label}, ${end} heap`, middle('bytes'), 'B'));
    rows.push(row('rpc', `${label}, ${end} collecting`, 1000 * middle('collecting'), 'us'));
  }
  return rows;
}

if (!isMainThread) {
  const { bench, memory } = workerData as HopData;
  if (bench === 'rpc hop') serveHop(parentPort!, memory);
}
if (isMainThread && process.argv[2] === 'serve') await serve(Number(process.argv[3]));
if (isMainThread && process.argv[2] === 'ask') await askInline();
if (isMainThread && process.argv[2] === 'hop') await askThroughThread();
