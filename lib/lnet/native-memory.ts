/** Memory that the native module may read and write, by its number (guide 01 §5). */
import type { Memory } from './network.ts';

export class PinnedMemory implements Memory {
  readonly bytes: Uint8Array;
  readonly number: number;
  readonly endpoint: object;
  #release: ((memory: number) => void) | undefined;

  constructor(endpoint: object, bytes: Uint8Array, number: number, release: (memory: number) => void) {
    this.endpoint = endpoint;
    this.bytes = bytes;
    this.number = number;
    this.#release = release;
  }

  release(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.(this.number);
  }
}
