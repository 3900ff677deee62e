/** What all copies and streams of one mount have together: a clock, and bounds of what they use at once. */
import { allocateLarge } from '../../lnet/large-buffer.ts';
import type { Runtime } from '../../runtime/runtime.ts';
import { ByteBudget } from './byte-budget.ts';

/** Pieces in memory on their way from one file to another, bytes. */
const BUFFERED_MAX = 128 << 20;
/** Pieces straight between local files and servers, bytes: each has as many descriptors of its file as it has MiB. */
const STRAIGHT_MAX = 256 << 20;
/** What streams have read beyond the first piece of each, bytes. */
const AHEAD_MAX = 128 << 20;
/** What write streams have under way beyond the first piece of each, bytes. */
const BEHIND_MAX = 128 << 20;
/** Buffers that are kept for the next piece, bytes. */
const SPARE_MAX = 32 << 20;
/** Smaller ones are made anew. */
const SPARE_MIN = 1 << 20;

/** What may be in flight of one file. */
export interface FlightBounds {
  /** OSTs of its layout. */
  readonly width: number;
  /** Most bytes of one request, as negotiated (brw_size). */
  readonly rpcBytes: number;
  /** Requests to each OST (max_rpcs_in_flight). */
  readonly rpcs: number;
}

/** Bytes of a request that larger ones save little beside. */
const RPC_GOOD = 4 << 20;

/** Most bytes that its OSTs may have in flight. */
export const mostInFlight = ({ width, rpcBytes, rpcs }: FlightBounds): number => width * rpcBytes * rpcs;

/** Bytes of a piece that is whole requests to all OSTs: about `least`, and of larger ones where those would not be enough for
 * `inFlight` bytes to be under way. */
export function pieceBytes({ width, rpcBytes, rpcs }: FlightBounds, inFlight: number, least: number): number {
  const good = width * Math.min(rpcBytes, RPC_GOOD);
  const fewest = Math.ceil(least / good);
  const most = Math.max(fewest, Math.floor((width * rpcBytes) / good));
  const wanted = Math.ceil(inFlight / rpcs / good);
  return good * Math.max(fewest, Math.min(wanted, most));
}

export class Transfers {
  readonly clock: Pick<Runtime, 'now' | 'after'>;
  readonly buffered: ByteBudget = new ByteBudget(BUFFERED_MAX);
  readonly straight: ByteBudget = new ByteBudget(STRAIGHT_MAX);
  readonly ahead: ByteBudget = new ByteBudget(AHEAD_MAX);
  readonly behind: ByteBudget = new ByteBudget(BEHIND_MAX);
  readonly #spare: Buffer[] = [];

  constructor(clock: Pick<Runtime, 'now' | 'after'>) {
    this.clock = clock;
  }

  /** Runs `work` with `size` bytes of memory, used again where they were used before. */
  async withBuffer(size: number, work: (buffer: Buffer) => Promise<void>): Promise<void> {
    const at = this.#spare.findIndex(({ length }) => length === size);
    const buffer = this.#spare.splice(at, at === -1 ? 0 : 1)[0] ?? allocateLarge(size);
    try {
      await work(buffer);
    } finally {
      if (size >= SPARE_MIN && (this.#spare.length + 1) * size <= SPARE_MAX) this.#spare.push(buffer);
    }
  }
}
