/** The handle of an operation of the native module. */
import type { MdHandle } from './network.ts';

/** What the network knows of one operation. */
export class NativeHandle implements MdHandle {
  readonly #unlink: (low: number, high: number) => void;
  #low = 0;
  #high = 0;

  constructor(unlink: (low: number, high: number) => void) {
    this.#unlink = unlink;
  }

  /** It is another operation's from now on. */
  becomes(low: number, high: number): void {
    this.#low = low;
    this.#high = high;
  }

  unlink(): void {
    this.#unlink(this.#low, this.#high);
  }
}
