/**
 * A whole cluster in one process, in virtual time, from a seed (design: sim/). Code under test gets `runtime` and `network`
 * and cannot tell them from the real ones; `run` advances the clock from event to event until a promise settles.
 */
import { type Logger, pino } from 'pino';
import type { Endpoint, EndpointOptions, Network } from '../lnet/network.ts';
import { LustreError } from '../runtime/errors.ts';
import type { Runtime, Timer } from '../runtime/runtime.ts';
import type { SimEndpoint } from './endpoint.ts';
import { type NetworkFaults, SimNetwork } from './network.ts';
import { SeededRandom } from './random.ts';
import { VirtualTime } from './virtual-time.ts';

/** 2026-01-01T00:00:00Z: where virtual wall time starts. */
const EPOCH_MS = 1_767_225_600_000;
const LOG_LINES_MAX = 20_000;
const DEFAULT_LIMIT_MS = 4 * 3600_000;

export interface SimulationOptions {
  readonly seed: number;
  /** One-way latency of every link, milliseconds: a number or a range. Default [0.05, 0.5]. */
  readonly latencyMs?: number | readonly [number, number];
}

export interface LogLine {
  readonly level: number;
  /** Virtual wall time, milliseconds since the epoch. */
  readonly time: number;
  readonly msg: string;
  readonly [key: string]: unknown;
}

/** One simulated process: what it has set up dies with `kill`. */
export interface SimProcess {
  readonly runtime: Runtime;
  readonly network: Network;
  /** Its timers and handlers never run again; its peers see connection resets. */
  kill(): void;
}

export interface RunOptions {
  /** Virtual milliseconds after which a promise that has not settled is an error; default 4 hours. */
  readonly limitMs?: number;
  /** The work uses files of the real disk too, which take no virtual time: the clock stands while a request for one is open. */
  readonly realFiles?: boolean;
  /** The work waits for nothing outside of the simulation, no file, thread or real timer: no turns of the real event loop are
   * spent on it. */
  readonly allVirtual?: boolean;
}

export class Simulation {
  readonly seed: number;
  readonly runtime: Runtime;
  readonly network: Network;
  readonly faults: NetworkFaults;
  /** Seeded chance for the test's own choices. */
  readonly random: SeededRandom;
  readonly #time = new VirtualTime();
  readonly #net: SimNetwork;
  readonly #log: LogLine[] = [];
  readonly #logger: Logger;
  #streams = 2;
  #failure: { readonly error: unknown } | undefined;

  constructor(options: SimulationOptions) {
    this.seed = options.seed;
    const latency = options.latencyMs ?? [0.05, 0.5];
    this.#logger = this.#makeLogger();
    this.random = new SeededRandom(options.seed, 0);
    this.#net = new SimNetwork({
      time: this.#time,
      random: new SeededRandom(options.seed, 1),
      latencyMs: typeof latency === 'number' ? [latency, latency] : latency,
      guard: (handler) => this.#guard(handler),
    });
    this.network = this.#net;
    this.faults = this.#net;
    this.runtime = this.#makeRuntime((ms, fire) => this.#time.after(ms, fire));
  }

  /** Virtual milliseconds since the start. */
  get now(): number {
    return this.#time.now;
  }

  /** What the code under test has logged, oldest first; the last 20,000 lines. */
  get log(): readonly LogLine[] {
    return this.#log;
  }

  /** A process with a runtime and endpoints of its own, for tests that kill and restart it. */
  process(name: string): SimProcess {
    const timers = new Set<Timer>();
    const endpoints: SimEndpoint[] = [];
    let dead = false;
    const runtime = this.#makeRuntime((ms, fire) => {
      if (dead) return { cancel: () => {} };
      const timer = this.#time.after(ms, () => {
        timers.delete(timer);
        fire();
      });
      timers.add(timer);
      return {
        cancel: () => {
          timers.delete(timer);
          timer.cancel();
        },
      };
    });
    const open = async (options: EndpointOptions): Promise<Endpoint> => {
      if (dead) throw new LustreError('ESHUTDOWN', `the simulated process ${name} was killed`, {}, -108);
      const endpoint = this.#net.openEndpoint(options);
      endpoints.push(endpoint);
      return endpoint;
    };
    const kill = (): void => {
      dead = true;
      for (const timer of timers) timer.cancel();
      for (const endpoint of endpoints) endpoint.kill();
    };
    return { runtime: { ...runtime, log: runtime.log.child({ process: name }) }, network: { open }, kill };
  }

  /** Advances virtual time until the promise settles. Rejects when nothing is left that could settle it. */
  async run<T>(work: Promise<T>, options: RunOptions = {}): Promise<T> {
    let settled = false;
    const done = (): void => {
      settled = true;
    };
    work.then(done, done);
    const limit = this.#time.now + (options.limitMs ?? DEFAULT_LIMIT_MS);
    for (;;) {
      do await (options.allVirtual === true ? runTicks() : drainMicrotasks());
      while (options.realFiles === true && fileRequestsOpen());
      this.#throwFailure();
      if (settled) return work;
      if ((this.#time.nextAt ?? 0) > limit)
        throw this.#stuck(`the promise did not settle within ${limit - this.#time.now} ms of virtual time`);
      if (!this.#step()) throw this.#stuck('deadlock: nothing is scheduled and the promise is still pending');
    }
  }

  /** Lets `ms` of virtual time pass. */
  async advance(ms: number): Promise<void> {
    const until = this.#time.now + ms;
    for (;;) {
      await drainMicrotasks();
      this.#throwFailure();
      if ((this.#time.nextAt ?? Number.POSITIVE_INFINITY) > until) break;
      this.#step();
    }
    this.#time.advanceTo(until);
  }

  /** A promise for use inside `run`: resolves after `ms` of virtual time. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#time.after(ms, resolve);
    });
  }

  /** How to replay, for the end of a failure message. */
  get replay(): string {
    return `seed ${this.seed} at ${this.#time.now.toFixed(3)} ms of virtual time; replay with createSimulation({ seed: ${this.seed} }), in a test over seeds with SIM_SEED=${this.seed}`;
  }

  #step(): boolean {
    let stepped = false;
    this.#guard(() => {
      stepped = this.#time.step();
    });
    return stepped || this.#failure !== undefined;
  }

  #guard(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  #throwFailure(): void {
    const failure = this.#failure;
    if (failure === undefined) return;
    this.#failure = undefined;
    const text = failure.error instanceof Error ? failure.error.message : String(failure.error);
    throw new LustreError('ERR_LUSTRE_SIMULATION', `a handler or timer threw: ${text} (${this.replay})`, {
      cause: failure.error,
    });
  }

  #stuck(what: string): LustreError {
    const tail = this.#log.slice(-10).map((line) => `\n  ${JSON.stringify(line)}`);
    const log = tail.length === 0 ? '' : `\nlast log lines:${tail.join('')}`;
    return new LustreError('ERR_LUSTRE_SIMULATION', `${what} (${this.replay})${log}`);
  }

  #makeRuntime(after: Runtime['after']): Runtime {
    const random = new SeededRandom(this.seed, this.#streams++);
    return {
      now: () => this.#time.now,
      wallTime: () => EPOCH_MS + Math.floor(this.#time.now),
      after,
      soon: (fire) => void after(0, fire),
      random: (n) => random.bytes(n),
      log: this.#logger,
    };
  }

  #makeLogger(): Logger {
    const time = (): string => `,"time":${EPOCH_MS + this.#time.now}`;
    const write = (line: string): void => {
      this.#log.push(JSON.parse(line) as LogLine);
      if (this.#log.length > LOG_LINES_MAX) this.#log.splice(0, LOG_LINES_MAX / 2);
    };
    // pino's default hooks no process state when it is given its own destination.
    return pino({ level: 'trace', base: null, timestamp: time }, { write });
  }
}

export function createSimulation(options: SimulationOptions): Simulation {
  return new Simulation(options);
}

function fileRequestsOpen(): boolean {
  return process.getActiveResourcesInfo().some((type) => /^(FSReq|FILEHANDLE)/.test(type));
}

/** Two rounds of ticks, before each of which all microtasks run: the second is for what other ticks have made ready. */
function runTicks(): Promise<void> {
  return new Promise((resolve) => process.nextTick(() => process.nextTick(resolve)));
}

/** A macrotask turn: every microtask that is ready, and those they make ready, run before it comes. */
function drainMicrotasks(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
