/**
 * XIDs (guide 04 §3.1, §3.4): one counter per endpoint, 128 apart so that each has room for the match bits of
 * its bulk descriptors, and per import the list of those not yet replied to.
 */
import { RpcLimit } from '../wire/ptlrpc-constants.ts';

/** 128 with every peer: some servers mask with their own constant rather than a negotiated one. */
const XID_STEP = BigInt(RpcLimit.PTLRPC_BULK_OPS_COUNT);

export class XidAllocator {
  #next: bigint;

  /** `wallTimeMs`: so that XIDs of a restarted client are above those it used before. */
  constructor(wallTimeMs: number) {
    this.#next = (BigInt(Math.floor(wallTimeMs / 1000)) << 20n) & ~(XID_STEP - 1n);
  }

  next(): bigint {
    this.#next += XID_STEP;
    return this.#next;
  }
}

/** XIDs from assignment to the processing of their reply. Insertion order is numerical order. */
export class UnrepliedList {
  readonly #xids = new Set<bigint>();

  add(xid: bigint): void {
    this.#xids.add(xid);
  }

  remove(xid: bigint): void {
    this.#xids.delete(xid);
  }

  get size(): number {
    return this.#xids.size;
  }

  /** pb_last_xid: the XID below the oldest one unreplied; 0 when the list is empty. */
  lastXid(): bigint {
    for (const first of this.#xids) return first - 1n;
    return 0n;
  }
}
