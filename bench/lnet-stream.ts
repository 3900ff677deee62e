/**
 * LNet PUT stream of 1 MiB messages, process to process over loopback, against iperf3 of the same congestion control and a
 * bare C stream with as many buffers. Each round runs the three one after the other; ratios are taken inside a round.
 */
import { createNativeNetwork } from '../lib/lnet/native-network.ts';
import { MdOption } from '../lib/lnet/network.ts';
import { nodeRuntime } from '../lib/runtime/runtime.ts';
import { median, type Row, startBench } from './measure.ts';
import { bareStream, has, iperf3 } from './peers.ts';

const MESSAGE = 1 << 20;
const BUFFERS = 16;
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
  process.stdin.on('end', () => process.exit(0)).resume();
}

interface StreamResult {
  readonly mbPerSecond: number;
  readonly systemCalls: number;
  readonly wakeups: number;
}

/** Sends `messages` with BUFFERS in flight; the buffer whose message was acknowledged last goes out next. */
async function stream(port: number, messages: number): Promise<StreamResult> {
  const endpoint = await createNativeNetwork(nodeRuntime()).open({ nid: sourceNid, port, accept: false });
  await endpoint.ping(sinkNid, 5000);
  const before = endpoint.counters();
  const started = performance.now();
  await new Promise<void>((resolve, reject) => {
    let sent = 0;
    let acknowledged = 0;
    const send = (slot: number, memory: ReturnType<typeof endpoint.allocate>): void => {
      if (sent === messages) return;
      sent++;
      endpoint.put(
        {
          peer: { nid: sinkNid },
          portal: PORTAL,
          matchBits: BigInt(slot),
          segments: [{ memory, offset: 0, length: MESSAGE }],
          ack: true,
        },
        (event) => {
          if (event.status !== 0) reject(new Error(`PUT failed with ${event.status}`));
          if (event.type !== 'ack') return;
          if (++acknowledged === messages) resolve();
          else send(slot, memory);
        },
      );
    };
    for (let slot = 0; slot < BUFFERS; slot++) send(slot, endpoint.allocate(MESSAGE));
  });
  const seconds = (performance.now() - started) / 1000;
  const after = endpoint.counters();
  await endpoint.close();
  return {
    mbPerSecond: (messages * MESSAGE) / seconds / 1e6,
    systemCalls: (after.systemCalls - before.systemCalls) / messages,
    wakeups: (after.wakeups - before.wakeups) / messages,
  };
}

export async function benchLnetStream(rounds: number, messages: number): Promise<Row[]> {
  const ours: StreamResult[] = [];
  const bare: number[] = [];
  const iperf: number[] = [];
  const withIperf = await has('iperf3');
  for (let i = 0; i < rounds; i++) {
    const port = 21000 + 10 * i;
    const child = startBench('lnet-stream', ['sink', String(port)]);
    await child.line();
    ours.push(await stream(port, messages));
    await child.stop();
    bare.push(await bareStream(port + 1, BUFFERS, messages));
    if (withIperf) iperf.push(await iperf3(port + 2, messages * MESSAGE));
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
    {
      bench: 'lnet-stream',
      what: 'system calls per message, sender',
      value: median(ours.map((r) => r.systemCalls)),
      unit: '',
    },
    {
      bench: 'lnet-stream',
      what: 'wake-ups of JavaScript per message, sender',
      value: median(ours.map((r) => r.wakeups)),
      unit: '',
    },
  ];
}

if (process.argv[2] === 'sink') await sink(Number(process.argv[3]));
