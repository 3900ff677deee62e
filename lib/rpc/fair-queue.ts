/** Requests that wait for a place in the handler: in order per peer, and peers in turn, so that none starves the others. */
import type { Nid } from '../lnet/nid.ts';

interface Queued {
  readonly peer: Nid;
}

export class FairQueue<T extends Queued> {
  readonly #byPeer = new Map<Nid, T[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: T): void {
    this.#size++;
    const list = this.#byPeer.get(item.peer);
    if (list === undefined) this.#byPeer.set(item.peer, [item]);
    else list.push(item);
  }

  /** The next item of the first peer that `allowed` lets; that peer then goes to the end of the row. */
  shift(allowed: (peer: Nid) => boolean): T | undefined {
    for (const [peer, list] of this.#byPeer) {
      if (!allowed(peer)) continue;
      const item = list.shift();
      this.#byPeer.delete(peer);
      if (list.length > 0) this.#byPeer.set(peer, list);
      if (item !== undefined) this.#size--;
      return item;
    }
    return undefined;
  }

  /** The items that `wanted` picks, whoever's they are, no more than `most`. */
  take(wanted: (item: T) => boolean, most: number): T[] {
    const taken: T[] = [];
    for (const [peer, list] of this.#byPeer) {
      const left = list.filter((item) => {
        if (taken.length >= most || !wanted(item)) return true;
        taken.push(item);
        return false;
      });
      if (left.length > 0) this.#byPeer.set(peer, left);
      else this.#byPeer.delete(peer);
    }
    this.#size -= taken.length;
    return taken;
  }

  /** Empties it. */
  drain(): T[] {
    const all = [...this.#byPeer.values()].flat();
    this.#byPeer.clear();
    this.#size = 0;
    return all;
  }
}
