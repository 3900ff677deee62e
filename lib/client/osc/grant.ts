/**
 * Write grant, client side (guide 12 §7): space that the OST has set aside for us. Bytes may wait in the cache only with
 * grant reserved for them, so that the server cannot run out of space for them later; without, they go through at once.
 */
import { ConnectFlag } from '../../wire/connection-constants.ts';
import type { ObdConnectData } from '../../wire/connection-structs.ts';

const PAGE = 4096;
/** The server takes a larger wish for none. */
const WISH_MAX = 0x7fff_ffff;

export class GrantLedger {
  #available = 0;
  #inFlight = 0;
  /** For bytes that wait in the cache. */
  #reserved = 0;
  #block = PAGE;
  #extentTax = 0;
  #extentMax = PAGE;
  readonly #wish: number;
  readonly #waiting: (() => void)[] = [];
  /** Most bytes that may wait in the cache or be under way (max_dirty_mb). */
  dirtyMax: number = Number.POSITIVE_INFINITY;

  /** `wish`: bytes that we would like to hold in all. */
  constructor(wish: number) {
    this.#wish = Math.min(wish, WISH_MAX);
  }

  /** Takes over what a connect granted. */
  connected(granted: ObdConnectData): void {
    if ((granted.ocd_connect_flags & ConnectFlag.OBD_CONNECT_GRANT) === 0n) return;
    this.#available = Math.max(0, granted.ocd_grant - this.#inFlight - this.#reserved);
    if ((granted.ocd_connect_flags & ConnectFlag.OBD_CONNECT_GRANT_PARAM) === 0n) return;
    this.#block = 2 ** Math.min(granted.ocd_grant_blkbits, 20);
    this.#extentTax = granted.ocd_grant_tax_kb * 1024;
    this.#extentMax = Math.max(PAGE, granted.ocd_grant_max_blks * this.#block);
  }

  /** What a write of these bytes costs: whole blocks, and a tax for each extent. */
  cost(offset: number, length: number): number {
    const start = Math.floor(offset / this.#block) * this.#block;
    const bytes = Math.ceil((offset + length) / this.#block) * this.#block - start;
    return bytes + Math.ceil(bytes / this.#extentMax) * this.#extentTax;
  }

  /** Sets grant aside for bytes that will be written later; false when there is not enough. */
  reserve(cost: number): boolean {
    if (cost > this.#available || this.#reserved + this.#inFlight + cost > this.dirtyMax) return false;
    this.#available -= cost;
    this.#reserved += cost;
    return true;
  }

  /** `length` bytes can be set aside for, in pieces of `piece`, now or when a write under way has ended. */
  covers(length: number, piece: number): boolean {
    return this.#inFlight > 0 || this.cost(0, piece) * (Math.ceil(length / piece) + 1) <= this.#available;
  }

  unreserve(cost: number): void {
    this.#reserved -= cost;
    this.#available += cost;
  }

  /** Takes the cost of a write; 0 when there is not enough, and the write then takes free space. */
  take(offset: number, length: number): number {
    const cost = this.cost(offset, length);
    if (cost > this.#available) return 0;
    this.#available -= cost;
    this.#inFlight += cost;
    return cost;
  }

  /** Ends a write: what it took is spent, `more` is what the reply gave. */
  settle(taken: number, more: number): void {
    this.#inFlight -= taken;
    this.#available += more;
    this.#wake();
  }

  /** A write that was not done gives back what it took. */
  giveBack(taken: number): void {
    this.#inFlight -= taken;
    this.#available += taken;
    this.#wake();
  }

  /** Resolves when a write that took grant has ended; undefined when none is under way. */
  nextReply(): Promise<void> | undefined {
    if (this.#inFlight === 0) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** What every BRW tells the server: bytes under way, bytes held, bytes wished for. */
  announce(): { o_blocks: bigint; o_grant: bigint; o_mode: number } {
    return {
      o_blocks: BigInt(this.#inFlight + this.#reserved),
      o_grant: BigInt(this.#available),
      o_mode: this.#wish,
    };
  }

  get available(): number {
    return this.#available;
  }
}
