/**
 * What every layer is handed instead of the clock, the timers, the random source and the log, so that sim/
 * can run the same code in virtual time from a seed. Only cli/ and index.ts make a real one.
 */
import { randomBytes, randomFillSync } from 'node:crypto';
import { type Logger, pino } from 'pino';

export type { Logger };

export interface Timer {
  cancel(): void;
}

export interface Runtime {
  /** Monotonic milliseconds, with fractions. */
  now(): number;
  /** Milliseconds since the epoch, for timestamps that people or peers see. */
  wallTime(): number;
  /** Calls `fire` once after `ms`; a timer never keeps the process alive by itself. */
  after(ms: number, fire: () => void): Timer;
  /** Calls `fire` once when what is ready now has been seen to. */
  soon(fire: () => void): void;
  /** `n` random bytes; cryptographic in the real runtime, seeded in the simulated one. */
  random(n: number): Uint8Array;
  readonly log: Logger;
}

/** The same runtime with its log bound to a connection, an import, a target ... */
export function withLog(runtime: Runtime, bindings: Record<string, unknown>): Runtime {
  return {
    now: () => runtime.now(),
    wallTime: () => runtime.wallTime(),
    after: (ms, fire) => runtime.after(ms, fire),
    soon: (fire) => runtime.soon(fire),
    random: (n) => runtime.random(n),
    log: runtime.log.child(bindings),
  };
}

/** A random non-zero 64-bit cookie (export handles, lock handles: guide 04 §10). */
export function randomCookie(runtime: Runtime): bigint {
  for (;;) {
    const b = runtime.random(8);
    const cookie = new DataView(b.buffer, b.byteOffset, 8).getBigUint64(0, true);
    if (cookie !== 0n) return cookie;
  }
}

/** The process's own clock, timers and random source. */
export function nodeRuntime(log: Logger = pino({ level: 'silent' })): Runtime {
  return {
    now: () => performance.now(),
    wallTime: () => Date.now(),
    after(ms, fire) {
      const timer = setTimeout(fire, ms);
      timer.unref();
      return { cancel: () => clearTimeout(timer) };
    },
    soon: setImmediate,
    random: pooledRandom,
    log,
  };
}

const POOL = 4096;
const pool = new Uint8Array(POOL);
let taken = POOL;

/** Few bytes at a time come out of a pool, since each call of the generator costs microseconds; none is given twice. */
function pooledRandom(n: number): Uint8Array {
  if (n > POOL / 8) return randomBytes(n);
  if (taken + n > POOL) {
    randomFillSync(pool);
    taken = 0;
  }
  const bytes = pool.slice(taken, taken + n);
  pool.fill(0, taken, taken + n);
  taken += n;
  return bytes;
}
