/**
 * A server's half of bulk (guide 04 §7): PUTs into the client's sink or GETs from its source, one per MiB that the
 * client announced by its match bits, each waited for.
 */
import { combineAll } from '../lnet/checksum-combine.ts';
import type {
  ChecksumName,
  Endpoint,
  FileRange,
  LnetEvent,
  MdHandle,
  Memory,
  Segment,
} from '../lnet/network.ts';
import type { Nid } from '../lnet/nid.ts';
import { type ErrorContext, errnoError, LustreError } from '../runtime/errors.ts';
import type { Runtime, Timer } from '../runtime/runtime.ts';
import { addBits64, type Bits64, lowWord } from '../wire/bits64.ts';
import { BULK_PAGE, BULK_PIECE, BULK_PIECES_MAX, bytesOfFile, splitBulk, splitFile } from './bulk-pieces.ts';
import type { BulkMoved } from './rpc.ts';

/** Bulk did not come through: the request gets no reply, so that the client resends it. */
export class BulkError extends LustreError {
  constructor(cause: Error, context: ErrorContext) {
    super(
      'code' in cause && typeof cause.code === 'string' ? cause.code : 'EIO',
      'bulk transfer failed',
      { ...context, cause },
      'errno' in cause && typeof cause.errno === 'number' ? cause.errno : -5,
    );
    this.name = 'BulkError';
  }
}

export interface BulkPayload {
  readonly segments: readonly Segment[];
  /** What moves instead of segments, where the endpoint moves files. */
  readonly file?: FileRange;
  /** Of a GET: taken over what comes. A file names its own. */
  readonly checksum?: ChecksumName | undefined;
}

/** One descriptor's part. */
interface Piece extends BulkPayload {
  readonly bytes: number;
}

export interface BulkTransfer extends BulkPayload {
  readonly endpoint: Endpoint;
  readonly runtime: Runtime;
  readonly direction: 'get' | 'put';
  readonly peer: Nid;
  readonly portal: number;
  /** Match bits of the last descriptor. */
  readonly lastMatchBits: Bits64;
  /** Most descriptors that the client may have announced, a power of two. */
  readonly piecesMax: number;
  /** As in Bulk (rpc.ts). */
  readonly pageOffset: number;
  /** Where the zero bytes of an empty PUT come from. */
  readonly empty: Memory;
  readonly timeoutMs: number;
}

/** Descriptors announced: the low bits of the last one's match bits count them (guide 04 §3.3). */
export function announcedPieces(lastMatchBits: Bits64, piecesMax: number): number {
  return (lowWord(lastMatchBits) & (piecesMax - 1)) + 1;
}

export interface RunningBulk {
  /** What moved. Rejects with the first error, after the network has let go of the memory. */
  readonly done: Promise<BulkMoved>;
  /** Gives up: `done` rejects with `reason`. */
  abort(reason: Error): void;
}

/** Starts all transfers at once. Throws EPROTO where the client announced less room than there is to move. */
export function startBulk(transfer: BulkTransfer): RunningBulk {
  const count = announcedPieces(transfer.lastMatchBits, transfer.piecesMax);
  const { file, segments } = transfer;
  const bytes = file === undefined ? lengthOf(segments) : bytesOfFile(file);
  if (count > BULK_PIECES_MAX || bytes + (transfer.pageOffset % BULK_PAGE) > count * BULK_PIECE)
    throw new LustreError(
      'EPROTO',
      `the client announced ${count} MiB of bulk; ${bytes} bytes are to be moved`,
      { nid: transfer.peer },
      -71,
    );
  return new Bulk(transfer, piecesOf(transfer, count));
}

const lengthOf = (segments: readonly Segment[]): number => segments.reduce((sum, s) => sum + s.length, 0);

function piecesOf({ file, segments, pageOffset }: BulkTransfer, count: number): Piece[] {
  if (file === undefined)
    return splitBulk(segments, pageOffset, count).map((piece) => ({
      segments: piece,
      bytes: lengthOf(piece),
    }));
  return splitFile(file, pageOffset, count).map((piece) =>
    piece.length > 0 ? { segments: [], file: piece, bytes: bytesOfFile(piece) } : { segments: [], bytes: 0 },
  );
}

class Bulk implements RunningBulk {
  readonly done: Promise<BulkMoved>;
  readonly #transfer: BulkTransfer;
  readonly #pieces: readonly Piece[];
  /** By piece. */
  readonly #checksums: number[] = [];
  #resolve!: (moved: BulkMoved) => void;
  #reject!: (error: Error) => void;
  readonly #handles = new Set<MdHandle>();
  readonly #timer: Timer;
  #linked = 1;
  #moved = 0;
  #fileError = 0;
  #error: Error | undefined;

  constructor(transfer: BulkTransfer, pieces: readonly Piece[]) {
    this.#transfer = transfer;
    this.#pieces = pieces;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#timer = transfer.runtime.after(transfer.timeoutMs, () =>
      this.abort(errnoError(-110, { syscall: `bulk ${transfer.direction}`, nid: transfer.peer })),
    );
    const first = addBits64(transfer.lastMatchBits, 1 - pieces.length);
    try {
      pieces.forEach((piece, i) => {
        // An empty GET moves nothing and would only cost a round trip; an empty PUT ends the client's descriptor.
        if (transfer.direction === 'put' || piece.bytes > 0) this.#start(piece, i, addBits64(first, i));
      });
    } catch (error) {
      this.abort(error instanceof Error ? error : new Error(String(error)));
    }
    this.#unlinked();
  }

  abort(reason: Error): void {
    if (this.#error !== undefined || this.#linked === 0) return;
    this.#error = reason;
    for (const handle of [...this.#handles]) handle.unlink();
  }

  #start(piece: Piece, index: number, matchBits: Bits64): void {
    const { endpoint, direction, peer, portal, empty, checksum } = this.#transfer;
    const { file, bytes: want } = piece;
    const segments =
      file === undefined && want === 0 ? [{ memory: empty, offset: 0, length: 0 }] : piece.segments;
    const from = { peer: { nid: peer }, portal, matchBits, segments };
    const options = file === undefined ? from : { ...from, file };
    let handle: MdHandle | undefined;
    let posted = false;
    const handler = (event: LnetEvent): void => {
      if (event.type === (direction === 'put' ? 'send' : 'reply'))
        this.#checksums[index] = event.checksum ?? 0;
      if (event.status !== 0) this.abort(endpoint.lastError(peer) ?? errnoError(event.status, { nid: peer }));
      else if (event.type === 'ack' || event.type === 'reply') this.#completed(event, want);
      if (!event.unlinked) return;
      if (handle !== undefined) this.#handles.delete(handle);
      this.#unlinked();
    };
    this.#linked++;
    try {
      handle =
        direction === 'put'
          ? endpoint.put({ ...options, ack: true }, handler)
          : endpoint.get({ ...options, checksum }, handler);
      posted = true;
      this.#handles.add(handle);
    } finally {
      if (!posted) this.#linked--;
    }
  }

  #completed(event: LnetEvent, want: number): void {
    this.#moved += event.mlength;
    this.#fileError ||= event.fileError ?? 0;
    if (event.mlength !== want)
      this.abort(
        errnoError(-5, { syscall: `bulk: ${event.mlength} of ${want} bytes`, nid: this.#transfer.peer }),
      );
  }

  #unlinked(): void {
    this.#linked--;
    if (this.#linked > 0) return;
    this.#timer.cancel();
    if (this.#error !== undefined) this.#reject(this.#error);
    else this.#resolve({ bytes: this.#moved, checksum: this.#checksum(), fileError: this.#fileError });
  }

  #checksum(): number {
    const type = this.#transfer.file?.checksum ?? this.#transfer.checksum;
    if (type === undefined) return 0;
    return combineAll(
      type,
      this.#pieces.map(({ bytes }, i) => ({ bytes, checksum: this.#checksums[i] ?? 0 })),
    );
  }
}
