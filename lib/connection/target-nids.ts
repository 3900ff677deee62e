/** The NIDs at which a target may be, and which of them is tried (guide 05 §11): one after the other, round after round. */
import type { Nid } from '../lnet/nid.ts';
import { LustreError } from '../runtime/errors.ts';

/** NIDs of a target that are remembered. */
const NIDS_MAX = 64;

export class TargetNids {
  #nids: readonly Nid[];
  #index = 0;
  #tried = 0;

  /** Throws EINVAL where there is none. */
  constructor(target: string, nids: readonly Nid[]) {
    if (nids.length === 0) throw new LustreError('EINVAL', 'no NID to connect to', { target }, -22);
    this.#nids = nids;
  }

  /** In use, or to be tried next. */
  get current(): Nid {
    return this.#nids[this.#index]!;
  }

  /** For messages. */
  get all(): string {
    return this.#nids.join(',');
  }

  /** The current one has failed. */
  next(): void {
    this.#tried++;
    this.#index = (this.#index + 1) % this.#nids.length;
  }

  /** Each has failed since the round began. */
  get roundOver(): boolean {
    return this.#tried >= this.#nids.length;
  }

  /** Some have failed, and others are still to be tried. */
  get inRound(): boolean {
    return this.#tried > 0 && !this.roundOver;
  }

  beginRound(): void {
    this.#tried = 0;
  }

  /** Puts these first; with `busy` behind the current one, which is being tried just now. */
  prefer(nids: readonly Nid[], busy: boolean): void {
    const first = busy ? [this.current, ...nids] : nids;
    this.#nids = [...new Set([...first, ...this.#nids])].slice(0, NIDS_MAX);
    this.#index = 0;
    this.#tried = 0;
  }
}
