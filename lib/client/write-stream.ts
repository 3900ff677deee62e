/**
 * A Node stream into an open file. Chunks are gathered to pieces of whole requests, and as many pieces are on their way as the path
 * to the servers takes. A chunk stays where its producer has it until it is written, and its callback comes then, in order;
 * 'drain' only says that there is room for more.
 */
import { Writable } from 'node:stream';
import { LustreError } from '../runtime/errors.ts';
import type { Timer } from '../runtime/runtime.ts';
import { areManySmall } from './files/small-buffers.ts';
import { finish, type StreamedFile, type StreamOptions } from './streams.ts';
import { type Flight, FlightWindow } from './transfers/flight-window.ts';
import { GatheredChunks } from './transfers/gathered-chunks.ts';
import { type FlightBounds, mostInFlight, pieceBytes } from './transfers/transfers.ts';

/** What gathers before a producer has to wait, and what goes in one piece. */
const WRITE_PIECE = 8 << 20;
/** Where the path takes more than requests of that size can be. */
const WRITE_PIECE_MAX = 16 << 20;
/** As small as a highWaterMark makes it. */
const WRITE_PIECE_MIN = 64 << 10;
/** Smaller pieces may go through the data cache, which has them at once: they say nothing of the path. */
const TELLING = 4 << 20;
/** How long what is less than a piece waits for more while nothing is under way and nobody waits for it, milliseconds. */
const LINGER = 10;

type Done = (error?: Error | null) => void;

/** What it needs of an open file. */
export interface WritableFile extends StreamedFile {
  writev(buffers: readonly Buffer[], position: number): Promise<{ readonly bytesWritten: number }>;
  /** Each write goes where the file ends then. */
  readonly isAppending: boolean;
}

/** A write that was begun. */
interface Begun {
  readonly bytes: number;
  /** Chunks of the stream that have ended with it. */
  readonly chunks: number;
  /** Bytes of the budget of all streams that it holds. */
  readonly held: number;
  readonly flight: Flight | undefined;
  ended: boolean;
  error?: Error;
}

export class LustreWriteStream extends Writable {
  readonly #file: WritableFile;
  readonly #autoClose: boolean;
  /** Of a piece, while nothing is known of the path. */
  readonly #least: number;
  /** Where the next piece begins. */
  #at: number;
  readonly #gathered = new GatheredChunks();
  /** In the order of the file. */
  readonly #begun: Begun[] = [];
  #bytesBegun = 0;
  readonly #window: FlightWindow;
  /** Known while the first large piece is on its way. */
  #bounds: FlightBounds | undefined;
  #asked = false;
  /** Chunks given to `write`, and callbacks of those that were not written yet. */
  #offered = 0;
  #waiting: { readonly chunk: number; readonly callback: Done }[] = [];
  /** Tells Writable that more may come. */
  #more: Done | undefined;
  /** Tells it that all is written. */
  #finished: Done | undefined;
  #lingering: Timer | 'over' | undefined;
  /** Told when nothing is under way any more. */
  #idle: (() => void) | undefined;
  #failed = false;
  /** From the first byte of the stream on, without a gap. */
  bytesWritten = 0;

  constructor(file: WritableFile, options: StreamOptions) {
    const { signal } = options;
    super({
      highWaterMark: options.highWaterMark ?? WRITE_PIECE,
      autoDestroy: true,
      decodeStrings: true,
      ...(options.encoding !== undefined && { defaultEncoding: options.encoding }),
      ...(signal != null && { signal }),
    });
    this.#file = file;
    this.#autoClose = options.autoClose !== false;
    this.#at = options.start ?? 0;
    this.#window = new FlightWindow(file.transfers.clock, Number.MAX_SAFE_INTEGER);
    this.#least = Math.max(WRITE_PIECE_MIN, Math.min(this.writableHighWaterMark, WRITE_PIECE));
  }

  /** False when there is no more room for now: 'drain' says when. `callback` is called when the chunk's bytes are written, and
   * until then they are the stream's. */
  override write(chunk: unknown, callback?: (error?: Error | null) => void): boolean;
  /** The same of text. */
  override write(
    chunk: unknown,
    encoding: BufferEncoding,
    callback?: (error?: Error | null) => void,
  ): boolean;
  override write(
    chunk: unknown,
    second?: BufferEncoding | ((error?: Error | null) => void),
    third?: (error?: Error | null) => void,
  ): boolean {
    const encoding = typeof second === 'function' ? undefined : second;
    const callback = typeof second === 'function' ? second : third;
    // What Writable refuses it answers itself.
    if (this.writableEnded || this.destroyed) return super.write(chunk, encoding!, callback);
    // Its own callback would come when the chunk is gathered.
    const waits = typeof callback === 'function' ? { chunk: ++this.#offered, callback } : undefined;
    if (waits === undefined) this.#offered++;
    else this.#waiting.push(waits);
    try {
      return super.write(chunk, encoding!);
    } catch (error) {
      this.#offered--;
      if (waits !== undefined) this.#waiting.pop();
      throw error;
    }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#gathered.add(chunk);
    this.#more = done;
    this.#advance();
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    done: (error?: Error | null) => void,
  ): void {
    for (const { chunk } of chunks) this.#gathered.add(chunk);
    this.#more = done;
    this.#advance();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#finished = done;
    this.#advance();
  }

  /** Takes what there is room for, and begins what may be begun. */
  #advance(): void {
    if (this.destroyed) return;
    do {
      const more = this.#mayGather() ? this.#more : undefined;
      if (more !== undefined) {
        this.#more = undefined;
        // Gives all that Writable has kept meanwhile, and then comes here again.
        more();
        if (this.#more !== undefined || this.destroyed) return;
      }
      while (this.#mayBegin()) this.#begin();
    } while (this.#more !== undefined && this.#mayGather());
    if (this.#begun.length > 0 || this.#gathered.bytes > 0) return;
    // Empty chunks are written when those before them are.
    this.#written(this.#gathered.added);
    this.#finished?.();
    this.#finished = undefined;
  }

  #mayGather(): boolean {
    const piece = this.#piece();
    return this.#gathered.bytes < piece && (this.#begun.length === 0 || this.#hasRoom(piece));
  }

  /** One may always; others when they are whole, as far as path and memory go. */
  #mayBegin(): boolean {
    const { bytes } = this.#gathered;
    if (bytes === 0) return false;
    const length = this.#length();
    const isWhole = bytes >= length || this.#finished !== undefined;
    if (this.#begun.length === 0) return isWhole || this.#waiting.length > 0 || this.#hasLingered();
    return isWhole && this.#hasRoom(length) && this.#file.transfers.behind.tryTake(length);
  }

  /** Begins to wait for more if it does not yet. */
  #hasLingered(): boolean {
    if (this.#lingering === 'over') return true;
    this.#lingering ??= this.#file.transfers.clock.after(LINGER, () => {
      this.#lingering = 'over';
      this.#advance();
    });
    return false;
  }

  /** For a piece beside those under way. */
  #hasRoom(bytes: number): boolean {
    // Where an append goes is known when the one before has ended.
    if (this.#bounds === undefined || this.#file.isAppending) return false;
    return this.#bytesBegun + bytes <= Math.min(mostInFlight(this.#bounds), this.#window.size(bytes));
  }

  /** As large as the producer lets it be, and larger where such requests would not fill the path. */
  #piece(): number {
    if (this.#bounds === undefined || this.#least < WRITE_PIECE) return this.#least;
    const piece = pieceBytes(this.#bounds, this.#window.size(this.#least), this.#least);
    return Math.max(this.#least, Math.min(piece, WRITE_PIECE_MAX));
  }

  /** The next piece ends where all of the file's would if all were of one size: so requests are whole whatever went first. */
  #length(): number {
    const piece = this.#piece();
    return piece - (this.#at % piece);
  }

  #ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#file.flightBounds().then(
      (bounds) => {
        this.#bounds = bounds;
        this.#advance();
      },
      // Whatever it is, writes will say so.
      () => undefined,
    );
  }

  #begin(): void {
    const length = this.#length();
    const { buffers, bytes, chunks } = this.#gathered.take(length);
    const held = this.#begun.length > 0 ? bytes : 0;
    if (held > 0) this.#file.transfers.behind.give(length - held);
    const flight = bytes >= TELLING ? this.#window.sent(bytes) : undefined;
    if (flight !== undefined) this.#ask();
    const begun: Begun = { bytes, chunks, held, flight, ended: false };
    const position = this.#at;
    this.#at += bytes;
    this.#bytesBegun += bytes;
    this.#begun.push(begun);
    this.#stopLingering();
    this.#write(buffers, bytes, position).then(
      () => this.#ended(begun),
      (error: Error) => this.#ended(begun, error),
    );
  }

  async #write(buffers: readonly Buffer[], bytes: number, position: number): Promise<void> {
    if (!areManySmall(buffers)) {
      await this.#file.writev(buffers, position);
      return;
    }
    // Of one size, so that they are used again.
    const size = bytes > this.#least / 2 ? Math.max(bytes, this.#least) : bytes;
    await this.#file.transfers.withBuffer(size, async (memory) => {
      let length = 0;
      for (const buffer of buffers) length += buffer.copy(memory, length);
      await this.#file.writev([memory.subarray(0, length)], position);
    });
  }

  #stopLingering(): void {
    if (typeof this.#lingering === 'object') this.#lingering.cancel();
    this.#lingering = undefined;
  }

  #ended(begun: Begun, error?: Error): void {
    begun.ended = true;
    this.#bytesBegun -= begun.bytes;
    if (begun.held > 0) this.#file.transfers.behind.give(begun.held);
    if (error !== undefined) begun.error = error;
    else if (begun.flight !== undefined) this.#window.arrived(begun.flight);
    for (let first = this.#begun[0]; first?.ended === true; first = this.#begun[0]) {
      this.#begun.shift();
      this.#failed ||= first.error !== undefined;
      if (!this.#failed) this.bytesWritten += first.bytes;
      this.#written(first.chunks, first.error);
    }
    if (error !== undefined) this.destroy(error);
    if (this.#begun.length === 0) this.#idle?.();
    this.#advance();
  }

  /** Gives their producers so many of the stream's first chunks back. */
  #written(chunks: number, error?: Error): void {
    const later = this.#waiting.findIndex(({ chunk }) => chunk > chunks);
    const count = later === -1 ? this.#waiting.length : later;
    if (count === 0) return;
    for (const { callback } of this.#waiting.splice(0, count)) process.nextTick(callback, error ?? null);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stopLingering();
    const end = (): void => {
      if (this.#waiting.length > 0) this.#written(this.#offered, error ?? destroyed());
      this.#more?.(error);
      finish(this.#file, this.#autoClose, error, done);
    };
    // Until then their memory is in use.
    if (this.#begun.length === 0) end();
    else this.#idle = end;
  }
}

const destroyed = (): LustreError =>
  new LustreError('ERR_STREAM_DESTROYED', 'the stream was destroyed before this chunk was written');
