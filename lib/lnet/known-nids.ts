/** NIDs remembered in both forms (guide 01 §2). Peers choose those that come in, so there is an end to it. */
import { bits64 } from '../wire/bits64.ts';
import type { ProcessId } from './network.ts';
import { type Nid, nidFromBits, nidToBits } from './nid.ts';

export class KnownNids {
  readonly #max: number;
  /** By the low word of their NID, which is the address: the last one that had it. */
  readonly #processes = new Map<number, Known>();
  readonly #bitsByNid = new Map<Nid, bigint>();

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

  /** Who has the NID of these two words. */
  processOf(low: number, high: number, pid: number): ProcessId {
    const known = this.#processes.get(low);
    if (known !== undefined && known.high === high && known.pid === pid) return known.process;
    const process = { nid: nidFromBits(BigInt(bits64(low, high))), pid: pid >>> 0 };
    if (this.#processes.size >= this.#max) this.#processes.clear();
    this.#processes.set(low, { high, pid, process });
    return process;
  }
}

interface Known {
  readonly high: number;
  readonly pid: number;
  readonly process: ProcessId;
}
