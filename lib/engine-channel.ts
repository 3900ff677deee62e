/**
 * What the threads of a program and of its engine say to each other (design: "Threads"): values in memory that both map, and a
 * doorbell, which costs half of what a message port does. What does not fit there, or is not plain, goes through the port;
 * all has a number, and is taken in in that order.
 *
 * The writer stores the record, then the place behind it, then rings; the reader takes all that it finds whenever it is
 * rung. So nothing can be left lying: a ring comes after everything that was stored before it. A reader that has not hung
 * its bell yet looks once when it has.
 */
import { Doorbell, ringDoorbell } from './lnet/doorbell.ts';
import { LustreError } from './runtime/errors.ts';
import { PlainReader, PlainWriter } from './runtime/plain-values.ts';

/** Bytes of one value at most. */
const VALUE_MAX = 64 << 10;
/** Of each direction, a power of two: as many calls of a page as are under way at most, or thousands of smaller ones. */
const RING_BYTES = 512 << 10;
const CONTROL_BYTES = 256;
/** Indices of 32-bit words, a cache line each: bytes written, bytes read, the reader's bell. */
const WRITTEN = 0;
const READ = 16;
const BELL = 32;
/** Before a value: its bytes with this header, and its number. */
const HEADER = 8;
/** Instead of the bytes: the ring goes on at its beginning. */
const GO_ROUND = -1;

const roundUp8 = (n: number): number => (n + 7) & ~7;

/** Memory of both directions. */
export interface ChannelMemory {
  readonly toEngine: SharedArrayBuffer;
  readonly fromEngine: SharedArrayBuffer;
}

export function channelMemory(bytes = RING_BYTES): ChannelMemory {
  const direction = (): SharedArrayBuffer => new SharedArrayBuffer(CONTROL_BYTES + bytes);
  return { toEngine: direction(), fromEngine: direction() };
}

/** One direction, as its writer has it. */
export class ValueRingWriter {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #writer: PlainWriter;

  constructor(memory: SharedArrayBuffer, valueMax = VALUE_MAX) {
    this.#words = new Int32Array(memory);
    this.#bytes = new Uint8Array(memory, CONTROL_BYTES);
    this.#writer = new PlainWriter(Math.min(valueMax, this.#bytes.length));
  }

  /** False when there is no room for it, or it is nothing for shared memory. */
  put(number: number, value: unknown): boolean {
    const length = this.#writer.encode(value);
    if (length === 0) return false;
    const words = this.#words;
    const written = words[WRITTEN]!;
    const capacity = this.#bytes.length;
    const total = HEADER + roundUp8(length);
    let at = written & (capacity - 1);
    const skipped = at + total > capacity ? capacity - at : 0;
    if (skipped + total > capacity - ((written - Atomics.load(words, READ)) | 0)) {
      this.#writer.takeBack();
      return false;
    }
    if (skipped > 0) {
      words[(CONTROL_BYTES + at) >> 2] = GO_ROUND;
      at = 0;
    }
    words[(CONTROL_BYTES + at) >> 2] = total;
    words[((CONTROL_BYTES + at) >> 2) + 1] = number;
    this.#bytes.set(this.#writer.bytes.subarray(0, length), at + HEADER);
    Atomics.store(words, WRITTEN, (written + skipped + total) | 0);
    return true;
  }

  /** After what was put. */
  ring(): void {
    const bell = Atomics.load(this.#words, BELL);
    if (bell !== 0) ringDoorbell(bell);
  }
}

/** One direction, as its reader has it. */
export class ValueRingReader {
  readonly #words: Int32Array;
  readonly #capacity: number;
  readonly #reader: PlainReader;

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
    this.#capacity = memory.byteLength - CONTROL_BYTES;
    this.#reader = new PlainReader(memory, CONTROL_BYTES, this.#capacity);
  }

  /** Which bell is to be rung. */
  hang(bell: number): void {
    Atomics.store(this.#words, BELL, bell);
  }

  /** How far it was written, for `take`. */
  written(): number {
    return Atomics.load(this.#words, WRITTEN);
  }

  /** The value of this number in a list of its own; undefined when the next one before `written` is another, or none. */
  take(number: number, written: number): [unknown] | undefined {
    const words = this.#words;
    let read = words[READ]!;
    if (read === written) return undefined;
    let at = read & (this.#capacity - 1);
    if (words[(CONTROL_BYTES + at) >> 2] === GO_ROUND) {
      read = (read + this.#capacity - at) | 0;
      at = 0;
    }
    const word = (CONTROL_BYTES + at) >> 2;
    if (words[word + 1] !== number) return undefined;
    const value = this.#reader.decode(at + HEADER);
    Atomics.store(words, READ, (read + words[word]!) | 0);
    return [value];
  }
}

/** What goes through the port. */
export type Numbered<T> = readonly [number, T];

export interface ChannelPort {
  postMessage(value: unknown): void;
}

/** One end. Whoever has the port hands what comes there to `fromPort`. */
export class EngineChannel<Out, In> {
  readonly #port: ChannelPort;
  readonly #writer: ValueRingWriter;
  readonly #reader: ValueRingReader;
  readonly #onMessage: (message: In) => void;
  readonly #onRefused: (message: Out, cause: unknown) => void;
  readonly #flush = (): void => this.flush();
  #messages: Out[] = [];
  #bell: Doorbell | undefined;
  #sent = 0;
  #taken = 0;

  /** `onRefused` is told of what can cross in no way. */
  constructor(
    port: ChannelPort,
    out: SharedArrayBuffer,
    incoming: SharedArrayBuffer,
    onMessage: (message: In) => void,
    onRefused: (message: Out, cause: unknown) => void = (_, cause) => {
      throw cause;
    },
  ) {
    this.#port = port;
    this.#writer = new ValueRingWriter(out);
    this.#reader = new ValueRingReader(incoming);
    this.#onMessage = onMessage;
    this.#onRefused = onRefused;
  }

  /** Begins to take in what comes. */
  listen(): void {
    this.#bell = new Doorbell(() => this.drain());
    this.#reader.hang(this.#bell.number);
    this.drain();
  }

  /** Goes when the code that runs has returned, with all that it says meanwhile. */
  send(message: Out): void {
    if (this.#messages.push(message) === 1) process.nextTick(this.#flush);
  }

  flush(): void {
    const messages = this.#messages;
    this.#messages = [];
    let put = false;
    for (const message of messages) {
      if (this.#writer.put(this.#sent, message)) put = true;
      else if (!this.#post(message)) continue;
      this.#sent = (this.#sent + 1) | 0;
    }
    if (put) this.#writer.ring();
  }

  #post(message: Out): boolean {
    try {
      this.#port.postMessage([this.#sent, message] satisfies Numbered<Out>);
      return true;
    } catch (cause) {
      this.#onRefused(message, cause);
      return false;
    }
  }

  /** What was sent before it is in the memory, or has come through the port already. */
  fromPort([number, message]: Numbered<In>): void {
    this.drain();
    if (number !== this.#taken)
      throw new LustreError(
        'ERR_LUSTRE_ENGINE',
        `message ${number} came through the port instead of ${this.#taken}`,
        {
          syscall: 'receive',
          hint: 'This is a bug of the channel to the engine: unmount, mount again and report it',
        },
      );
    this.#taken = (this.#taken + 1) | 0;
    this.#onMessage(message);
    this.drain();
  }

  /** Takes in what has come, up to what the port still has before it. */
  drain(): void {
    // What comes meanwhile rings again.
    const written = this.#reader.written();
    try {
      for (;;) {
        const next = this.#reader.take(this.#taken, written);
        if (next === undefined) return;
        this.#taken = (this.#taken + 1) | 0;
        this.#onMessage(next[0] as In);
      }
    } catch (error) {
      // One that fails does not keep the others from being taken in.
      if (this.#bell !== undefined) ringDoorbell(this.#bell.number);
      throw error;
    }
  }

  /** The other end is gone. */
  close(): void {
    this.#bell?.close();
  }
}
