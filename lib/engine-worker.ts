/** The program of an engine's thread (design: "Threads"): mounts with a clock and a network of its own, then runs calls. */
import { parentPort, workerData } from 'node:worker_threads';
import { pino } from 'pino';
import type { FromEngine, ToEngine } from './client/engine/engine-calls.ts';
import { EngineHost } from './client/engine/engine-host.ts';
import { InlineEngine } from './client/engine/inline-engine.ts';
import { connectSession } from './client/mount/connect.ts';
import { type ControlSocket, listenForLocks } from './control-socket.ts';
import { EngineChannel, type Numbered } from './engine-channel.ts';
import type { EngineWorkerData } from './engine-thread.ts';
import { createNativeNetwork } from './lnet/native-network.ts';
import { type RpcTrace, replyChannel, requestChannel } from './rpc/rpc-counters.ts';
import { errorValue } from './runtime/error-values.ts';
import { nodeRuntime } from './runtime/runtime.ts';

/** Log lines and traces that may wait for a program that computes; what exceeds it is dropped and counted. */
const BACKLOG_MAX = 10_000;

const { spec, options, control, settings, backlog, memory } = workerData as EngineWorkerData;
const port = parentPort!;
let host: EngineHost;
const channel = new EngineChannel<FromEngine, ToEngine>(port, memory.fromEngine, memory.toEngine, receive);
let dropped = 0;

function tell(message: FromEngine): void {
  if (Atomics.load(backlog, 0) >= BACKLOG_MAX) {
    dropped++;
    return;
  }
  Atomics.add(backlog, 0, 1);
  channel.send(message);
  if (dropped === 0) return;
  const lost = dropped;
  dropped = 0;
  log.warn(`${lost} log lines or traces were dropped: the program took none in`);
}

const log = pino(
  { level: settings.logLevel, base: null, timestamp: false },
  { write: (line: string) => tell(['log', line]) },
);
const onRequest = (trace: unknown): void => tell(['trace', 'request', trace as RpcTrace]);
const onReply = (trace: unknown): void => tell(['trace', 'reply', trace as RpcTrace]);

let traced = false;
function apply({ logLevel, traced: wanted }: typeof settings): void {
  log.level = logLevel;
  if (wanted === traced) return;
  traced = wanted;
  if (traced) {
    requestChannel.subscribe(onRequest);
    replyChannel.subscribe(onReply);
  } else {
    requestChannel.unsubscribe(onRequest);
    replyChannel.unsubscribe(onReply);
  }
}

function receive(message: ToEngine): void {
  switch (message[0]) {
    case 'call':
      void host.call(message[1], message[2], message[3]);
      break;
    case 'abort':
      host.abort(message[1]);
      break;
    case 'settings':
      apply(message[1]);
      break;
    case 'unmount':
      void host.unmount();
      break;
  }
}

apply(settings);
// Keeps the thread alive: endpoints and timers do not.
port.ref();
try {
  const runtime = nodeRuntime(log);
  const session = await connectSession(spec, { ...options, runtime, network: createNativeNetwork(runtime) });
  const engine = new InlineEngine(session);
  let socket: ControlSocket | undefined;
  try {
    if (control !== undefined) socket = await listenForLocks(control, (asked) => engine.locks(asked));
  } catch (error) {
    await engine.unmount();
    throw error;
  }
  host = new EngineHost(
    engine,
    (message) => channel.send(message),
    () => socket?.close(),
  );
  port.on('message', (message: Numbered<ToEngine>) => channel.fromPort(message));
  channel.listen();
  channel.send(['mounted']);
} catch (error) {
  channel.send(['ended', undefined, errorValue(error)]);
}
