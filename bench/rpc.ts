/**
 * RPC round trips with 4 KiB each way, two processes, a whole import and target at the ends, against a bare C TCP ping-pong of
 * the same size with as many in flight. Also of each end: CPU, bytes allocated in JavaScript's heap, and collecting them.
 */
import { createInterface } from 'node:readline';
import { Import } from '../lib/connection/import.ts';
import type { Call, Operation, Target } from '../lib/connection/target.ts';
import { TargetNode } from '../lib/connection/target-node.ts';
import { createNativeNetwork } from '../lib/lnet/native-network.ts';
import { PtlRpc } from '../lib/rpc/ptlrpc.ts';
import { nodeRuntime } from '../lib/runtime/runtime.ts';
import { ConnectFlag } from '../lib/wire/connection-constants.ts';
import { RQF_MDS_GET_INFO } from '../lib/wire/formats.ts';
import { Opcode } from '../lib/wire/opcodes.ts';
import { HeapMeter, type HeapUse } from './heap-meter.ts';
import { cpuSeconds, median, type Row, type Running, row, startBench } from './measure.ts';
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
  await answerMeters();
  process.exit(0);
}

/** Each line of input starts the meter of the heap, or stops it and prints what it says. */
async function answerMeters(): Promise<void> {
  let meter: HeapMeter | undefined;
  for await (const _ of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(meter?.stop() ?? {})}\n`);
    meter = meter === undefined ? new HeapMeter() : undefined;
  }
}

interface End {
  /** Microseconds per RPC. */
  readonly cpu: number;
  /** Bytes per RPC. */
  readonly heap: number;
  /** Microseconds per RPC. */
  readonly collecting: number;
}

interface RpcResult extends RoundTrips {
  readonly client: End;
  readonly server: End;
}

function perRpc(count: number, seconds: number, { bytes, collecting }: HeapUse): End {
  return { cpu: (seconds / count) * 1e6, heap: bytes / count, collecting: (collecting / count) * 1e3 };
}

async function askMeter(server: Running): Promise<HeapUse> {
  server.child.stdin!.write('\n');
  return JSON.parse(await server.line()) as HeapUse;
}

async function roundTrips(
  importer: Import,
  server: Running,
  window: number,
  count: number,
): Promise<RpcResult> {
  const getinfo_val = new Uint8Array(SIZE - 512).fill(7);
  const getinfo_key = new TextEncoder().encode('bench\0');
  const took: number[] = [];
  let started = 0;
  const lane = async (): Promise<void> => {
    while (started < count) {
      started++;
      const at = performance.now();
      await importer.call(RQF_MDS_GET_INFO, { getinfo_key, getinfo_val }, { replyRoom: SIZE });
      took.push(performance.now() - at);
    }
  };
  const pid = server.child.pid!;
  await askMeter(server);
  const meter = new HeapMeter();
  const cpu = [cpuSeconds(process.pid), cpuSeconds(pid)] as const;
  const begin = performance.now();
  await Promise.all(Array.from({ length: window }, lane));
  const seconds = (performance.now() - begin) / 1000;
  const used = [cpuSeconds(process.pid) - cpu[0], cpuSeconds(pid) - cpu[1]] as const;
  const client = perRpc(count, used[0], meter.stop());
  const serving = perRpc(count, used[1], await askMeter(server));
  took.sort((a, b) => a - b);
  return {
    perSecond: count / seconds,
    p50: took[Math.floor(count / 2)]! * 1000,
    p99: took[Math.floor(count * 0.99)]! * 1000,
    client,
    server: serving,
  };
}

/** An import that is connected to a serving process, and warm. */
async function withServer(work: (importer: Import, server: Running) => Promise<void>): Promise<void> {
  const server = startBench('rpc', ['serve', String(PORT)]);
  await server.line();
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
  await roundTrips(importer, server, 8, 2000);
  await work(importer, server);
  await importer.disconnect();
  await endpoint.close();
  await server.stop();
}

/** Rates by requests in flight, ours and the bare ping-pong's. */
export async function rpcRates(
  windows: readonly number[],
  count: number,
): Promise<{ readonly window: number; readonly perSecond: number; readonly bare: number }[]> {
  const rates: { window: number; perSecond: number; bare: number }[] = [];
  await withServer(async (importer, server) => {
    for (const window of windows) {
      const { perSecond } = await roundTrips(importer, server, window, count);
      const { perSecond: bare } = await barePingPong(PORT + 1, SIZE, window, count);
      rates.push({ window, perSecond, bare });
    }
  });
  return rates;
}

export async function benchRpc(rounds: number, count: number): Promise<Row[]> {
  const rows: Row[] = [];
  await withServer(async (importer, server) => {
    for (const window of WINDOWS) rows.push(...(await rpcRows(importer, server, window, rounds, count)));
  });
  return rows;
}

async function rpcRows(
  importer: Import,
  server: Running,
  window: number,
  rounds: number,
  count: number,
): Promise<Row[]> {
  const ours: RpcResult[] = [];
  const bare: RoundTrips[] = [];
  for (let i = 0; i < rounds; i++) {
    ours.push(await roundTrips(importer, server, window, count));
    bare.push(await barePingPong(PORT + 1 + i, SIZE, window, count));
  }
  const name = 'bare C ping-pong';
  const of = (key: keyof RoundTrips): [number, { name: string; value: number }] => [
    median(ours.map((r) => r[key])),
    { name, value: median(bare.map((r) => r[key])) },
  ];
  const label = `4 KiB round trip, ${window} in flight`;
  const rows = [
    row('rpc', `${label}, rate`, of('perSecond')[0], '/s', of('perSecond')[1]),
    row('rpc', `${label}, p50`, of('p50')[0], 'us', of('p50')[1], true),
    row('rpc', `${label}, p99`, of('p99')[0], 'us', of('p99')[1], true),
  ];
  for (const end of ['client', 'server'] as const) {
    const middle = (key: keyof End): number => median(ours.map((r) => r[end][key]));
    rows.push(row('rpc', `${label}, ${end} CPU`, middle('cpu'), 'us'));
    rows.push(row('rpc', `${label}, ${end} heap`, middle('heap'), 'B'));
    rows.push(row('rpc', `${label}, ${end} collecting`, middle('collecting'), 'us'));
  }
  return rows;
}

if (process.argv[2] === 'serve') await serve(Number(process.argv[3]));
