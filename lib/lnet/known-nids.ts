/** NIDs remembered in both forms (guide 01 §2). Peers choose those that come in, so there is an end to it. */
import { type Nid, nidFromBits, nidToBits } from './nid.ts';

export class KnownNids {
  readonly #max: number;
  readonly #nidByBits = new Map<bigint, Nid>();
  readonly #bitsByNid = new Map<Nid, bigint>();
  /** That of the last event is mostly that of the next. */
  #lastBits: bigint | undefined;
  #lastNid: Nid = '';

  constructor(max: number) {
    this.#max = max;
  }

  /** Throws EINVAL for what is no NID. */
  bitsOf(nid: Nid): bigint {
    let bits = this.#bitsByNid.get(nid);
    if (bits === undefined) {
      bits = nidToBits(nid);
      if (this.#bitsByNid.size >= this.#max) this.#bitsByNid.clear();
      this.#bitsByNid.set(nid, bits);
    }
    return bits;
  }

  nidOf(bits: bigint): Nid {
    if (bits === this.#lastBits) return this.#lastNid;
    let nid = this.#nidByBits.get(bits);
    if (nid === undefined) {
      nid = nidFromBits(bits);
      if (this.#nidByBits.size >= this.#max) this.#nidByBits.clear();
      this.#nidByBits.set(bits, nid);
    }
    this.#lastBits = bits;
    this.#lastNid = nid;
    return nid;
  }
}
