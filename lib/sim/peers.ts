/** An endpoint's view of its peers: the link to each, what waits for one to come up, and why the last one failed. */
import type { Nid } from '../lnet/nid.ts';
import type { LustreError } from '../runtime/errors.ts';
import type { Link, LinkEnd, Outgoing } from './link.ts';
import type { SeededRandom } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What an endpoint asks of the network it is on. */
export interface Switchboard {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  /** Tries to connect; answers by `connected` or `connectFailed`. */
  connect(from: LinkEnd, nid: Nid): void;
  /** The endpoint has closed or died: its address is free. */
  closed(endpoint: LinkEnd): void;
  /** Runs a handler; what it throws ends the simulation's run. */
  guard(handler: () => void): void;
}

interface Peer {
  link: Link | undefined;
  connecting: boolean;
  waiting: Outgoing[];
  lastError: LustreError | undefined;
}

export class Peers {
  readonly #self: LinkEnd;
  readonly #board: Switchboard;
  readonly #peers = new Map<Nid, Peer>();

  constructor(self: LinkEnd, board: Switchboard) {
    this.#self = self;
    this.#board = board;
  }

  get connections(): number {
    let sum = 0;
    for (const { link } of this.#peers.values()) sum += link?.connections ?? 0;
    return sum;
  }

  lastError(nid: Nid): Error | undefined {
    return this.#peers.get(nid)?.lastError;
  }

  linkTo(nid: Nid): Link | undefined {
    return this.#peers.get(nid)?.link;
  }

  send(nid: Nid, outgoing: Outgoing): void {
    const peer = this.#peer(nid);
    if (peer.link !== undefined) {
      peer.link.send(this.#self, outgoing);
      return;
    }
    peer.waiting.push(outgoing);
    if (peer.connecting) return;
    peer.connecting = true;
    this.#board.connect(this.#self, nid);
  }

  connected(link: Link): void {
    const peer = this.#peer(link.other(this.#self).nid);
    peer.link = link;
    peer.connecting = false;
    for (const outgoing of peer.waiting.splice(0)) link.send(this.#self, outgoing);
  }

  failed(nid: Nid, reason: LustreError): void {
    const peer = this.#peer(nid);
    // The peer may have connected to us meanwhile.
    if (peer.link !== undefined) return;
    peer.connecting = false;
    peer.lastError = reason;
    for (const outgoing of peer.waiting.splice(0)) outgoing.sent(reason.errno);
  }

  lost(link: Link, reason: LustreError): void {
    const peer = this.#peer(link.other(this.#self).nid);
    if (peer.link !== link) return;
    peer.link = undefined;
    peer.lastError = reason;
  }

  close(errno: number): void {
    for (const peer of this.#peers.values()) {
      peer.link?.break(errno);
      for (const outgoing of peer.waiting.splice(0)) outgoing.sent(-errno);
    }
  }

  #peer(nid: Nid): Peer {
    let peer = this.#peers.get(nid);
    if (peer === undefined) {
      peer = { link: undefined, connecting: false, waiting: [], lastError: undefined };
      this.#peers.set(nid, peer);
    }
    return peer;
  }
}
