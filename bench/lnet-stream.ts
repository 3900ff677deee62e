/**
 * LNet PUT stream of 1 MiB messages, process to process over loopback, against iperf3 of the same congestion control and a
 * bare C stream with as many buffers. Each round runs the three one after the other, each for more than a second (shorter
 * ones measure how the windows and the compiler warm up); ratios are taken inside a round. Either end is a process of its own.
 */
import { once } from 'node:events';
import { createNativeNetwork } from '../lib/lnet/native-network.ts';
import { type Endpoint, type EndpointCounters, MdOption, type Memory } from '../lib/lnet/network.ts';
import { nodeRuntime } from '../lib/runtime/runtime.ts';
import { median, type Row, row, startBench } from './measure.ts';
import { bareStream, has, iperf3 } from './peers.ts';

const MESSAGE = 1 << 20;
/** What a stream costs is memory, so few buffers on both sides; fewer leave the receiver waiting for the sender's turn. */
const BUFFERS = 4;
/** Before the clock starts: the JavaScript of both sides is compiled, the connections are up. */
const WARM_UP = 500;
const PORTAL = 33;
const sinkNid = '127.0.0.2@tcp';
const sourceNid = '127.0.0.1@tcp';

/** The receiving process: a buffer for each slot, which every message of that slot overwrites. */
async function sink(port: number): Promise<void> {
  const endpoint = await createNativeNetwork(nodeRuntime()).open({ nid: sinkNid, port });
  for (let slot = 0; slot < BUFFERS; slot++) {
    endpoint.attach(
      {
        portal: PORTAL,
        matchBits: BigInt(slot),
        peer: { nid: '*' },
        segments: [{ memory: endpoint.allocate(MESSAGE), offset: 0, length: MESSAGE }],
        threshold: Number.POSITIVE_INFINITY,
        options: MdOption.OP_PUT | MdOption.MANAGE_REMOTE,
        autoUnlink: false,
      },
      () => {},
    );
  }
  process.stdout.write('ready\n');
  // Each line asked is answered with what has been counted so far.
  process.stdin.on('data', () => process.stdout.write(`${JSON.stringify(endpoint.counters())}\n`));
  process.stdin.on('end', () => process.exit(0));
}

interface Side {
  readonly systemCalls: number;
  readonly wakeups: number;
}

interface StreamResult {
  readonly mbPerSecond: number;
  /** Per message. */
  readonly sender: Side;
  readonly receiver: Side;
}

/** The sending process: BUFFERS in flight; the buffer whose message was acknowledged last goes out next. */
async function source(port: number, messages: number): Promise<void> {
  const endpoint = await createNativeNetwork(nodeRuntime()).open({
    nid: sourceNid,
    port,
    accept: false,
    connsPerPeer: 1,
  });
  await endpoint.ping(sinkNid, 5000);
  const buffers = Array.from({ length: BUFFERS }, () => endpoint.allocate(MESSAGE));
  await send(endpoint, buffers, WARM_UP);
  process.stdout.write(`${JSON.stringify(endpoint.counters())}\n`);
  await once(process.stdin, 'data');
  const started = performance.now();
  await send(endpoint, buffers, messages);
  const seconds = (performance.now() - started) / 1000;
  process.stdout.write(`${JSON.stringify({ seconds, counters: endpoint.counters() } satisfies Sent)}\n`);
  process.stdin.destroy();
  await endpoint.close();
}

interface Sent {
  readonly seconds: number;
  readonly counters: EndpointCounters;
}

async function stream(port: number, messages: number): Promise<StreamResult> {
  const sink = startBench('lnet-stream', ['sink', String(port)]);
  await sink.line();
  const source = startBench('lnet-stream', ['source', String(port), String(messages)]);
  const sourceBefore = JSON.parse(await source.line()) as EndpointCounters;
  const sinkBefore = await sink.ask<EndpointCounters>();
  const { seconds, counters } = await source.ask<Sent>();
  const sinkAfter = await sink.ask<EndpointCounters>();
  await once(source.child, 'exit');
  await sink.stop();
  const side = (from: EndpointCounters, to: EndpointCounters): Side => ({
    systemCalls: (to.systemCalls - from.systemCalls) / messages,
    wakeups: (to.wakeups - from.wakeups) / messages,
  });
  return {
    mbPerSecond: (messages * MESSAGE) / seconds / 1e6,
    sender: side(sourceBefore, counters),
    receiver: side(sinkBefore, sinkAfter),
  };
}

function send(endpoint: Endpoint, buffers: readonly Memory[], messages: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let sent = 0;
    let acknowledged = 0;
    const next = (slot: number): void => {
      if (sent === messages) return;
      sent++;
      endpoint.put(
        {
          peer: { nid: sinkNid },
          portal: PORTAL,
          matchBits: BigInt(slot),
          segments: [{ memory: buffers[slot]!, offset: 0, length: MESSAGE }],
          ack: true,
        },
        (event) => {
          if (event.status !== 0) reject(new Error(`PUT failed with ${event.status}`));
          if (event.type !== 'ack') return;
          if (++acknowledged === messages) resolve();
          else next(slot);
        },
      );
    };
    for (let slot = 0; slot < BUFFERS; slot++) next(slot);
  });
}

export async function benchLnetStream(rounds: number, messages: number): Promise<Row[]> {
  const ours: StreamResult[] = [];
  const bare: number[] = [];
  const iperf: number[] = [];
  const withIperf = await has('iperf3');
  for (let i = 0; i < rounds; i++) {
    const port = 21000 + 10 * i;
    ours.push(await stream(port, messages));
    bare.push(await bareStream(port + 1, BUFFERS, messages));
    if (withIperf) iperf.push((await iperf3(port + 2, messages * MESSAGE)).mbPerSecond);
  }
  const speed = median(ours.map((r) => r.mbPerSecond));
  const against = (name: string, values: number[]): Row => ({
    bench: 'lnet-stream',
    what: `PUT stream, 1 MiB messages, ${BUFFERS} buffers`,
    value: speed,
    unit: 'MB/s',
    peer: name,
    peerValue: median(values),
    ratio: median(ours.map((r, i) => r.mbPerSecond / values[i]!)),
  });
  return [
    against(`bare C, ${BUFFERS} buffers, cubic`, bare),
    ...(withIperf ? [against('iperf3 -C cubic -l 1M', iperf)] : []),
    ...(['sender', 'receiver'] as const).flatMap((who) => [
      row('lnet-stream', `system calls per message, ${who}`, median(ours.map((r) => r[who].systemCalls)), ''),
      row(
        'lnet-stream',
        `wake-ups of JavaScript per message, ${who}`,
        median(ours.map((r) => r[who].wakeups)),
        '',
      ),
    ]),
  ];
}

if (process.argv[2] === 'sink') await sink(Number(process.argv[3]));
if (process.argv[2] === 'source') await source(Number(process.argv[3]), Number(process.argv[4]));
