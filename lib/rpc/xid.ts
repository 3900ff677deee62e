/**
 * XIDs (guide 04 §3.1, §3.4): one counter per endpoint, 128 apart so that each has room for the match bits of
 * its bulk descriptors, and per import the list of those not yet replied to. Ours are below 2^53, and so numbers, until the
 * year 2242; those of others may be anything (wire/bits64.ts).
 */
import { RpcLimit } from '../wire/ptlrpc-constants.ts';

/** 128 with every peer: some servers mask with their own constant rather than a negotiated one. */
const XID_STEP = RpcLimit.PTLRPC_BULK_OPS_COUNT;
/** A second's worth of them. */
const XIDS_PER_SECOND = 1 << 20;

export class XidAllocator {
  #next: number;

  /** `wallTimeMs`: so that XIDs of a restarted client are above those it used before. */
  constructor(wallTimeMs: number) {
    this.#next = Math.floor(wallTimeMs / 1000) * XIDS_PER_SECOND;
  }

  next(): number {
    this.#next += XID_STEP;
    return this.#next;
  }
}

/**
 * XIDs from assignment to the processing of their reply, in numerical order. A ring with marks for those that are done: they
 * end nearly in the order in which they began, and a Set makes its table anew all the time (see under-way.ts).
 */
export class UnrepliedList {
  #ring = new Float64Array(64);
  #done = new Uint8Array(64);
  #first = 0;
  #end = 0;
  #size = 0;

  /** Above all that were added before, or one that is there. */
  add(xid: number): void {
    if (this.#find(xid) >= 0) return;
    if (this.#end - this.#first === this.#ring.length) this.#makeRoom();
    const at = this.#end++ & (this.#ring.length - 1);
    this.#ring[at] = xid;
    this.#done[at] = 0;
    this.#size++;
  }

  remove(xid: number): void {
    const found = this.#find(xid);
    if (found < 0) return;
    this.#done[found] = 1;
    this.#size--;
    const mask = this.#ring.length - 1;
    while (this.#first !== this.#end && this.#done[this.#first & mask] === 1) this.#first++;
    if (this.#first === this.#end) this.#first = this.#end = 0;
  }

  get size(): number {
    return this.#size;
  }

  /** pb_last_xid: the XID below the oldest one unreplied; 0 when the list is empty. */
  lastXid(): number {
    return this.#size === 0 ? 0 : this.#ring[this.#first & (this.#ring.length - 1)]! - 1;
  }

  /** Where it stands; -1 when it does not or is done. */
  #find(xid: number): number {
    const ring = this.#ring;
    const mask = ring.length - 1;
    let low = this.#first;
    let high = this.#end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ring[middle & mask]! < xid) low = middle + 1;
      else high = middle;
    }
    const at = low & mask;
    return low < this.#end && ring[at] === xid && this.#done[at] === 0 ? at : -1;
  }

  /** Drops those that are done behind an older one, and doubles the ring where that frees less than half of it. */
  #makeRoom(): void {
    const old = this.#ring;
    const mask = old.length - 1;
    const kept: number[] = [];
    for (let i = this.#first; i < this.#end; i++) if (this.#done[i & mask] === 0) kept.push(old[i & mask]!);
    const capacity = kept.length > old.length / 2 ? old.length * 2 : old.length;
    this.#ring = new Float64Array(capacity);
    this.#ring.set(kept);
    this.#done = new Uint8Array(capacity);
    this.#first = 0;
    this.#end = kept.length;
  }
}
