/**
 * The last reply of each modify slot of one client (guide 06 §7.2), kept as sent: a resent request whose first reply got
 * lost is answered with the same bytes instead of being done again.
 */
import type { Bits64 } from '../wire/bits64.ts';

interface Kept {
  /** 0 when there is none, only memory for the next. */
  xid: Bits64;
  memory: Uint8Array;
  length: number;
}

/** Slots are few (ocd_maxmodrpcs, default 8); a tag beyond this is not a slot's. */
export const TAG_MAX = 512;
/** A larger reply's memory does not wait for the next one. */
const MEMORY_KEPT = 4096;

export class ReplyData {
  /** By tag. */
  readonly #slots: (Kept | undefined)[] = [];
  #size = 0;

  /** Remembers the reply to `xid`; it takes the place of the slot's last one. */
  keep(tag: number, xid: Bits64, bytes: Uint8Array): void {
    let slot = this.#slots[tag];
    if (slot === undefined) {
      slot = { xid: 0, memory: NOTHING, length: 0 };
      while (this.#slots.length < tag) this.#slots.push(undefined);
      this.#slots[tag] = slot;
    }
    if (slot.xid === 0) this.#size++;
    if (slot.memory.length < bytes.length) slot.memory = new Uint8Array(roomFor(bytes.length));
    slot.memory.set(bytes);
    slot.length = bytes.length;
    slot.xid = xid;
  }

  /** pb_last_xid: the client has all replies up to it. */
  release(lastXid: Bits64): void {
    if (this.#size === 0) return;
    for (const slot of this.#slots) {
      if (slot === undefined || slot.xid === 0 || slot.xid > lastXid) continue;
      slot.xid = 0;
      this.#size--;
      if (slot.memory.length > MEMORY_KEPT) slot.memory = NOTHING;
    }
  }

  /** Valid until the slot's next reply. */
  find(xid: Bits64): Uint8Array | undefined {
    if (this.#size === 0 || xid === 0) return undefined;
    for (const slot of this.#slots) if (slot?.xid === xid) return slot.memory.subarray(0, slot.length);
    return undefined;
  }

  /** XID of the slot's kept reply; 0 when there is none. */
  xidOf(tag: number): Bits64 {
    return this.#slots[tag]?.xid ?? 0;
  }

  get size(): number {
    return this.#size;
  }
}

const NOTHING = new Uint8Array(0);

/** The replies of one slot are of nearly the same size. */
const roomFor = (length: number): number => Math.max(512, 2 ** Math.ceil(Math.log2(length)));
