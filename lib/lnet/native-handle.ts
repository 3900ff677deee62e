/** The handle of an operation of the native module. */
import type { MdHandle } from './network.ts';

/** What the network knows of one operation. */
export class NativeHandle implements MdHandle {
  readonly #unlink: (low: number, high: number) => void;
  readonly #low: number;
  readonly #high: number;

  constructor(unlink: (low: number, high: number) => void, low: number, high: number) {
    this.#unlink = unlink;
    this.#low = low;
    this.#high = high;
  }

  unlink(): void {
    this.#unlink(this.#low, this.#high);
  }
}
