/** A piece of network memory, with what describes it to the network: made once, or every message would make its own. */
import type { Endpoint, LnetHandler, MdHandle, Memory, PutOptions, Segment } from '../lnet/network.ts';
import type { Nid } from '../lnet/nid.ts';
import type { Writable } from '../runtime/writable.ts';
import type { Bits64 } from '../wire/bits64.ts';

export class Slab {
  readonly memory: Memory;
  readonly bytes: Uint8Array;
  /** All of it, for a descriptor. */
  readonly whole: readonly Segment[];
  taken = false;
  /** Of the last PUT out of it that there was one for. */
  #sending: MdHandle | undefined;
  /** Gives it back with the last event of the one descriptor that uses it. */
  readonly givesBack: LnetHandler;
  readonly #first: { readonly memory: Memory; readonly offset: number; length: number };
  readonly #peer: { nid: Nid } = { nid: '' };
  readonly #put: Writable<PutOptions>;
  #part: Uint8Array;

  constructor(memory: Memory, givesBack: (slab: Slab) => void) {
    this.memory = memory;
    this.bytes = memory.bytes;
    this.whole = [{ memory, offset: 0, length: memory.bytes.length }];
    this.#first = { memory, offset: 0, length: 0 };
    this.#part = memory.bytes;
    this.#put = { peer: this.#peer, portal: 0, matchBits: 0, offset: 0, segments: [this.#first] };
    this.givesBack = (event) => {
      if (event.unlinked) givesBack(this);
    };
  }

  /** Sends its first `length` bytes, as `Endpoint.send` does: what the network is told is the same object each time, and so it may be
   * sent again only after the last event. */
  send(
    endpoint: Endpoint,
    nid: Nid,
    portal: number,
    matchBits: Bits64,
    offset: number,
    length: number,
    handler: LnetHandler,
  ): MdHandle | undefined {
    this.#peer.nid = nid;
    this.#first.length = length;
    this.#put.portal = portal;
    this.#put.matchBits = matchBits;
    this.#put.offset = offset;
    const sending = endpoint.send(this.#put, handler, this.#sending);
    if (sending !== undefined) this.#sending = sending;
    return sending;
  }

  /** A view of some of it; that of last time where it is the same. */
  part(offset: number, length: number): Uint8Array {
    const { bytes } = this;
    if (this.#part.byteOffset !== bytes.byteOffset + offset || this.#part.length !== length)
      this.#part = bytes.subarray(offset, offset + length);
    return this.#part;
  }
}
