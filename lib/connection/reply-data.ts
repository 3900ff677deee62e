/**
 * The last reply of each modify slot of one client (guide 06 §7.2), kept as sent: a resent request whose first reply got
 * lost is answered with the same bytes instead of being done again.
 */

interface Kept {
  readonly xid: bigint;
  readonly bytes: Uint8Array;
}

/** Slots are few (ocd_maxmodrpcs, default 8); a tag beyond this is not a slot's. */
export const TAG_MAX = 512;

export class ReplyData {
  readonly #byTag = new Map<number, Kept>();

  /** Remembers the reply to `xid`; it takes the place of the slot's last one. */
  keep(tag: number, xid: bigint, bytes: Uint8Array): void {
    this.#byTag.set(tag, { xid, bytes: new Uint8Array(bytes) });
  }

  /** pb_last_xid: the client has all replies up to it. */
  release(lastXid: bigint): void {
    if (this.#byTag.size === 0) return;
    for (const [tag, kept] of this.#byTag) if (kept.xid <= lastXid) this.#byTag.delete(tag);
  }

  find(xid: bigint): Uint8Array | undefined {
    for (const kept of this.#byTag.values()) if (kept.xid === xid) return kept.bytes;
    return undefined;
  }

  /** XID of the slot's kept reply; 0 when there is none. */
  xidOf(tag: number): bigint {
    return this.#byTag.get(tag)?.xid ?? 0n;
  }

  get size(): number {
    return this.#byTag.size;
  }
}
