/**
 * The program's end of an engine in a thread of its own (design: "Threads"). Forwards every call of `Engine` to it; memory
 * is lent, and taken back when the call's answer has come or the thread is gone, never before.
 */
import { checkMemory, MemoryLender } from '../../lnet/lent-memory.ts';
import { errorOf } from '../../runtime/error-values.ts';
import { Errno, LustreError } from '../../runtime/errors.ts';
import type { Counters, Engine } from '../engine.ts';
import {
  COPIED_MAX,
  type Crossing,
  type EngineCall,
  engineCalls,
  type FromEngine,
  type ToEngine,
} from './engine-calls.ts';

/** The thread, as whoever starts processes made it. */
export interface EngineThread {
  /** What is sent in one turn of the event loop goes together. Throws for what cannot cross. */
  send(message: ToEngine): void;
  /** Whether it keeps the process alive. */
  hold(busy: boolean): void;
  /** Ends it; resolves when it is gone and nothing works on lent memory any more. */
  stop(): Promise<void>;
}

export interface EngineListener {
  onMessage(message: FromEngine): void;
  /** The thread is gone; `cause` when it ended by itself. */
  onExit(cause: Error | undefined): void;
}

interface Pending {
  readonly call: EngineCall;
  readonly path: string | undefined;
  readonly lent: readonly number[];
  /** Whose bytes come with the answer. */
  readonly rooms: readonly Uint8Array[];
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Starts an engine in a thread and resolves when it has mounted; rejects with why it could not. */
export async function startWorkerEngine(start: (listener: EngineListener) => EngineThread): Promise<Engine> {
  const forwarder = new Forwarder(start);
  await forwarder.mount();
  return forwarder.engine();
}

class Forwarder implements EngineListener {
  readonly #thread: EngineThread;
  readonly #lender = new MemoryLender();
  readonly #pending = new Map<number, Pending>();
  #next = 1;
  /** What is waited for: while there is any, the thread keeps the process alive. */
  #waits = 0;
  readonly #mounted: Promise<void>;
  #onMounted!: () => void;
  /** Resolves when the thread has no more to say. */
  readonly #ended: Promise<void>;
  #onEnded!: () => void;
  #error: Error | undefined;
  #counters: Counters | undefined;
  #unmounting: Promise<void> | undefined;
  /** Why calls are refused. */
  #gone: Error | undefined;

  constructor(start: (listener: EngineListener) => EngineThread) {
    this.#mounted = new Promise((resolve) => {
      this.#onMounted = resolve;
    });
    this.#ended = new Promise((resolve) => {
      this.#onEnded = resolve;
    });
    this.#thread = start(this);
  }

  async mount(): Promise<void> {
    this.#wait();
    try {
      await Promise.race([this.#mounted, this.#ended]);
      if (this.#error === undefined) return;
      await this.#thread.stop();
      throw this.#error;
    } finally {
      this.#waited();
    }
  }

  engine(): Engine {
    const calls: Partial<Record<EngineCall, (...args: unknown[]) => Promise<unknown>>> = {};
    for (const call of Object.keys(engineCalls) as EngineCall[])
      calls[call] = (...args) => this.#forward(call, args);
    return {
      ...calls,
      counters: () =>
        this.#counters === undefined ? this.#forward('counters', []) : Promise.resolve(this.#counters),
      abort: (operation) => {
        if (this.#gone === undefined) this.#thread.send(['abort', operation]);
      },
      unmount: () => {
        this.#unmounting ??= this.#unmount();
        return this.#unmounting;
      },
    } as Engine;
  }

  #forward(call: EngineCall, args: unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const path = typeof args[0] === 'string' ? args[0] : undefined;
      if (this.#gone !== undefined || this.#unmounting !== undefined) {
        reject(this.#shutDown(call, path));
        return;
      }
      const lent: number[] = [];
      const number = this.#next++;
      let rooms: readonly Uint8Array[] = [];
      try {
        const memory = engineCalls[call];
        if (memory !== 'values') {
          const buffers = args[1] as readonly Uint8Array[];
          const copied = buffers.reduce((sum, { length }) => sum + length, 0) <= COPIED_MAX;
          if (copied && memory === 'fills') rooms = buffers;
          args[1] = buffers.map((bytes) => (copied ? copyOf(bytes, memory) : this.#lend(bytes, lent)));
        }
        this.#thread.send(['call', number, call, args]);
      } catch (error) {
        this.#takeBack(lent);
        reject(error);
        return;
      }
      this.#pending.set(number, { call, path, lent, rooms, resolve, reject });
      this.#wait();
    });
  }

  #lend(bytes: Uint8Array, lent: number[]): Crossing {
    if (bytes.length === 0) return { room: 0 };
    const number = this.#lender.lend(bytes);
    lent.push(number);
    return { lent: number };
  }

  #takeBack(lent: readonly number[]): void {
    for (const number of lent) this.#lender.takeBack(number);
  }

  async #unmount(): Promise<void> {
    if (this.#gone !== undefined) throw this.#gone;
    this.#wait();
    this.#thread.send(['unmount']);
    await this.#ended;
    await this.#thread.stop();
    this.#waited();
    if (this.#error !== undefined) throw this.#error;
  }

  onMessage(message: FromEngine): void {
    switch (message[0]) {
      case 'mounted':
        this.#onMounted();
        break;
      case 'done':
        this.#done(message[1], message[2], message[3] ?? []);
        break;
      case 'failed':
        this.#settle(message[1])?.reject(errorOf(message[2]));
        break;
      case 'ended':
        this.#counters = message[1];
        this.#error = message[2] === undefined ? undefined : errorOf(message[2]);
        this.#onEnded();
        break;
    }
  }

  /** Whatever was under way has no answer any more, and nobody works on its memory. */
  onExit(cause: Error | undefined): void {
    const expected = this.#unmounting !== undefined || this.#counters !== undefined;
    if (!expected) {
      this.#error ??= new LustreError(
        'ERR_LUSTRE_ENGINE',
        `the thread of the engine ended: ${cause?.message ?? 'nobody knows why'}`,
        { hint: 'Mount again; what was under way may or may not have been done', cause },
      );
    }
    this.#gone =
      this.#error ?? new LustreError('ESHUTDOWN', 'the file system is unmounted', {}, -Errno.ESHUTDOWN);
    for (const number of [...this.#pending.keys()]) {
      const { call, path, reject } = this.#settle(number)!;
      reject(this.#error ?? this.#shutDown(call, path));
    }
    this.#onEnded();
  }

  #done(number: number, result: unknown, filled: readonly Uint8Array[]): void {
    const pending = this.#settle(number);
    if (pending === undefined) return;
    filled.forEach((bytes, i) => {
      const room = pending.rooms[i];
      // Unless the program has given the buffer away meanwhile.
      if (room !== undefined && room.length >= bytes.length) room.set(bytes);
    });
    pending.resolve(result);
  }

  #settle(number: number): Pending | undefined {
    const pending = this.#pending.get(number);
    if (pending === undefined) return undefined;
    this.#pending.delete(number);
    this.#takeBack(pending.lent);
    this.#waited();
    return pending;
  }

  #shutDown(call: EngineCall, path: string | undefined): Error {
    const why = this.#error === undefined ? 'the file system is unmounted' : this.#error.message;
    const context = { syscall: call, path, cause: this.#error };
    return new LustreError('ESHUTDOWN', why, context, -Errno.ESHUTDOWN);
  }

  #wait(): void {
    if (this.#waits++ === 0) this.#thread.hold(true);
  }

  #waited(): void {
    if (--this.#waits === 0) this.#thread.hold(false);
  }
}

/** A view would cross with all of its buffer. */
function copyOf(bytes: Uint8Array, memory: 'fills' | 'takes'): Crossing {
  checkMemory(bytes);
  return memory === 'fills' ? { room: bytes.length } : new Uint8Array(bytes);
}
