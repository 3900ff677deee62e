/** A Node stream out of an open file: a consumer that keeps up has as many reads ahead of it as the path to the servers takes. */
import { Readable } from 'node:stream';
import { allocateLarge } from '../lnet/large-buffer.ts';
import { finish, type StreamedFile, type StreamOptions } from './streams.ts';
import { type Flight, FlightWindow } from './transfers/flight-window.ts';
import { type FlightBounds, mostInFlight, pieceBytes } from './transfers/transfers.ts';

/** Large pieces: each is at least one whole RPC. */
const READ_PIECE = 4 << 20;
/** Where the path takes more than requests of that size can be. */
const READ_PIECE_MAX = 16 << 20;
/** Smaller pieces go through the data cache, which reads ahead by itself. */
const AHEAD_MIN = 1 << 20;
/** Of what the path holds, for each piece is new memory, which costs more than its bytes: no more than the consumer needs. */
const GAIN = 1;
/** Pieces under way before anything is known of the path. */
const AHEAD_FIRST = 2;
/** The first read of a file, which for most files is the only one; its buffers are kept, at most so many. */
const FIRST_READ = 1 << 20;
const SPARE_MAX = 16;
const spare: Buffer[] = [];

/** What it needs of an open file. */
export interface ReadableFile extends StreamedFile {
  read(buffer: Buffer, options: { readonly position: number }): Promise<{ readonly bytesRead: number }>;
}

/** A read that was begun; they are handed on in order. */
interface Begun {
  readonly want: number;
  /** Bytes of the budget of all streams that it holds. */
  ahead: number;
  /** Nobody wants it any more. */
  dropped: boolean;
  readonly flight: Flight | undefined;
  outcome?: { readonly bytes: Buffer } | { readonly error: Error };
}

export class LustreReadStream extends Readable {
  readonly #file: ReadableFile;
  readonly #autoClose: boolean;
  /** Where the next read begins. */
  #next: number;
  /** Of the last byte wanted. */
  #end: number;
  readonly #begun: Begun[] = [];
  /** How much may be under way; undefined until the consumer has taken a large piece, and the bounds are known. */
  #window: FlightWindow | undefined;
  #bounds: FlightBounds | undefined;
  #asked = false;
  /** Bytes begun and not handed on. */
  #bytesAhead = 0;
  /** The consumer waits for a piece. */
  #wanted = false;
  #size = READ_PIECE;
  bytesRead = 0;

  constructor(file: ReadableFile, options: StreamOptions) {
    const { signal, encoding } = options;
    super({
      highWaterMark: options.highWaterMark ?? READ_PIECE,
      autoDestroy: true,
      ...(signal != null && { signal }),
      ...(encoding !== undefined && { encoding }),
    });
    this.#file = file;
    this.#autoClose = options.autoClose !== false;
    this.#next = options.start ?? 0;
    this.#end = options.end ?? Number.MAX_SAFE_INTEGER;
  }

  override _read(size: number): void {
    this.#size = size;
    this.#wanted = true;
    this.#beginMore();
    const first = this.#begun[0];
    // Not within this call: a Readable joins what it gets here with what it has, and that copies both.
    if (first === undefined || first.outcome !== undefined) process.nextTick(() => this.#advance());
  }

  #beginMore(): void {
    while (this.#next <= this.#end && this.#mayBegin()) this.#begin();
  }

  /** Begins what may be begun and hands on what is there. */
  #advance(): void {
    if (this.destroyed) return;
    this.#beginMore();
    if (!this.#wanted) return;
    const first = this.#begun[0];
    if (first === undefined) {
      this.#wanted = false;
      this.push(null);
    } else if (first.outcome !== undefined) {
      this.#handOn(first, first.outcome);
    }
  }

  /** The first one may always; those ahead of it as far as path and memory go. */
  #mayBegin(): boolean {
    if (this.#begun.length === 0) return true;
    if (!this.#asked) return false;
    const piece = this.#piece();
    const most = this.#window?.size(piece) ?? AHEAD_FIRST * piece;
    return this.#bytesAhead + piece <= most && this.#file.transfers.ahead.tryTake(piece);
  }

  /** As the consumer asks, and larger where such requests would not fill the path. */
  #piece(): number {
    if (this.#bounds === undefined || this.#window === undefined || this.#size < READ_PIECE)
      return this.#size;
    const piece = pieceBytes(this.#bounds, this.#window.size(this.#size), this.#size);
    return Math.max(this.#size, Math.min(piece, READ_PIECE_MAX));
  }

  #begin(): void {
    const isAhead = this.#begun.length > 0;
    const isFirst = this.bytesRead === 0 && !isAhead;
    const piece = this.#piece();
    const most = isFirst ? Math.min(piece, FIRST_READ) : piece;
    const want = Math.min(Math.max(most, 65536), this.#end - this.#next + 1);
    const flight = this.#window?.sent(want);
    const begun: Begun = { want, ahead: isAhead ? piece : 0, dropped: false, flight };
    const position = this.#next;
    this.#next += want;
    this.#bytesAhead += want;
    this.#begun.push(begun);
    const ended = (outcome: NonNullable<Begun['outcome']>): void => {
      if (flight !== undefined) this.#window?.arrived(flight);
      begun.outcome = outcome;
      if (begun.dropped) this.#giveBack(begun);
      else if (begun === this.#begun[0]) this.#advance();
    };
    readPiece(this.#file, want, position).then(
      (bytes) => ended({ bytes }),
      (error: Error) => ended({ error }),
    );
  }

  #giveBack(begun: Begun): void {
    if (begun.ahead > 0) this.#file.transfers.ahead.give(begun.ahead);
    begun.ahead = 0;
  }

  /** What is under way holds its memory until it has ended. */
  #dropAll(): void {
    for (const begun of this.#begun.splice(0)) {
      begun.dropped = true;
      if (begun.outcome !== undefined) this.#giveBack(begun);
    }
  }

  /** The consumer keeps up with large pieces. */
  #readAhead(): void {
    if (this.#asked) return;
    this.#asked = true;
    this.#file.flightBounds().then(
      (bounds) => {
        this.#bounds = bounds;
        this.#window = new FlightWindow(this.#file.transfers.clock, mostInFlight(bounds), GAIN);
        this.#advance();
      },
      // Whatever it is, reads will say so.
      () => undefined,
    );
  }

  #handOn(begun: Begun, outcome: NonNullable<Begun['outcome']>): void {
    this.#begun.shift();
    this.#bytesAhead -= begun.want;
    this.#giveBack(begun);
    this.#wanted = false;
    if ('error' in outcome) {
      this.destroy(outcome.error);
      return;
    }
    const { bytes } = outcome;
    this.bytesRead += bytes.length;
    if (bytes.length < begun.want) {
      // Only at the end of the file are there fewer bytes than were asked for; what was read behind it is of no use.
      this.#end = -1;
      this.#dropAll();
    } else if (this.#size >= AHEAD_MIN) this.#readAhead();
    this.push(bytes.length === 0 ? null : bytes);
    // Reads on while the consumer works on this piece.
    this.#advance();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#dropAll();
    finish(this.#file, this.#autoClose, error, done);
  }
}

/** What is read belongs to the consumer: little is copied, and the buffer used again. */
async function readPiece(file: ReadableFile, want: number, position: number): Promise<Buffer> {
  const kept = want === FIRST_READ ? (spare.pop() ?? Buffer.allocUnsafeSlow(want)) : undefined;
  const buffer = kept ?? allocateLarge(want);
  const { bytesRead } = await file.read(buffer, { position });
  if (kept === undefined || bytesRead > FIRST_READ / 2) return buffer.subarray(0, bytesRead);
  const piece = Buffer.from(buffer.subarray(0, bytesRead));
  if (spare.length < SPARE_MAX) spare.push(kept);
  return piece;
}
