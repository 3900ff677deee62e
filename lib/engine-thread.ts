/** Starts the thread of an engine (design: "Threads"): a worker of this process that runs engine-worker.ts. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { EngineSettings, FromEngine, ToEngine } from './client/engine/engine-calls.ts';
import type { EngineListener, EngineThread } from './client/engine/worker-engine.ts';
import type { SessionOptions } from './client/mount/session-options.ts';
import { type ChannelMemory, channelMemory, EngineChannel, type Numbered } from './engine-channel.ts';
import { replyChannel, requestChannel } from './rpc/rpc-counters.ts';
import { errorValue } from './runtime/error-values.ts';
import { LustreError } from './runtime/errors.ts';
import type { Logger } from './runtime/runtime.ts';

/** What is mounted. */
export interface EngineTask {
  readonly spec: string;
  readonly options: Omit<SessionOptions, 'runtime' | 'network'>;
  /** Where `lustre locks` looks in: the engine answers, also while the program computes. */
  readonly control?: string | undefined;
}

/** What the program in the thread is given. */
export interface EngineWorkerData extends EngineTask {
  readonly settings: EngineSettings;
  readonly memory: ChannelMemory;
  /** News that this side has not taken in yet; a program that computes takes in none. */
  readonly backlog: Int32Array;
}

const channels = { request: requestChannel, reply: replyChannel } as const;

/** Mounts in a thread. `log` gets what the engine logs; its level counts, also when it changes. */
export function startEngineThread(
  task: EngineTask,
  log: Logger | undefined,
  listener: EngineListener,
): EngineThread {
  const settings = (): EngineSettings => ({
    logLevel: log?.level ?? 'silent',
    traced: Object.values(channels).some((channel) => channel.hasSubscribers),
  });
  let current = settings();
  const backlog = new Int32Array(new SharedArrayBuffer(4));
  const memory = channelMemory();
  const workerData: EngineWorkerData = { ...task, settings: current, backlog, memory };
  const worker = startWorker(workerData);
  // Alive only while it is held.
  worker.unref();
  const onMessage = (message: FromEngine): void => {
    if (message[0] === 'log') {
      Atomics.sub(backlog, 0, 1);
      if (log !== undefined) logLine(log, message[1]);
    } else if (message[0] === 'trace') {
      Atomics.sub(backlog, 0, 1);
      channels[message[1]].publish(message[2]);
    } else {
      listener.onMessage(message);
    }
  };
  /** Values that no thread can be given (functions, symbols) fail their own call only. */
  const onRefused = (message: ToEngine, cause: unknown): void => {
    if (message[0] !== 'call') throw cause;
    const error = new LustreError('ERR_INVALID_ARG_TYPE', 'an argument is no plain value', {
      syscall: message[2],
      cause,
    });
    listener.onMessage(['failed', message[1], errorValue(error)]);
  };
  const { toEngine, fromEngine } = memory;
  const channel = new EngineChannel<ToEngine, FromEngine>(worker, toEngine, fromEngine, onMessage, onRefused);
  channel.listen();
  let failure: Error | undefined;
  worker.on('error', (error) => {
    failure = error;
  });
  const exited = new Promise<void>((resolve) => {
    worker.once('exit', (code) => {
      channel.drain();
      channel.close();
      listener.onExit(failure ?? new Error(`exit code ${code}`));
      resolve();
    });
  });
  worker.on('message', (message: Numbered<FromEngine>) => channel.fromPort(message));
  return {
    send(message) {
      const now = settings();
      if (now.logLevel !== current.logLevel || now.traced !== current.traced) {
        current = now;
        channel.send(['settings', now]);
      }
      channel.send(message);
    },
    hold: (busy) => (busy ? worker.ref() : worker.unref()),
    async stop() {
      worker.ref();
      await worker.terminate();
      await exited;
    },
  };
}

/** A line of the engine's log, on the caller's own logger: with its bindings, serializers and destination. */
function logLine(log: Logger, line: string): void {
  const { level, msg, ...fields } = JSON.parse(line) as { level: number; msg?: string };
  const name = log.levels.labels[level] ?? 'info';
  const write = log[name as 'info'];
  write.call(log, fields, msg);
}

/** The built program, or its source by way of tsx where nothing is built. */
function startWorker(workerData: EngineWorkerData): Worker {
  // The program's own preloads and flags are not for this thread.
  const settings = { name: 'lustre-engine', workerData, execArgv: [] };
  const program = new URL(`./engine-worker${extname(import.meta.url)}`, import.meta.url);
  if (program.pathname.endsWith('.js')) return new Worker(program, settings);
  const tsx = import.meta.resolve('tsx/esm/api');
  const start = `import('${tsx}').then(({ register }) => { register(); return import('${program}'); });`;
  return new Worker(start, { ...settings, eval: true });
}
