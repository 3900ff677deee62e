/**
 * What bounds an import's requests: a number in flight per class of work, and the modify slots whose number is the
 * tag of a modifying request (guide 04 §9).
 */
import { Opcode } from '../wire/opcodes.ts';

/** Numbered slots, given out lowest first; who finds none waits in order. */
export class Slots {
  readonly #free: number[];
  readonly #waiting: ((slot: number) => void)[] = [];
  #count: number;

  constructor(count: number) {
    this.#count = count;
    this.#free = Array.from({ length: count }, (_, i) => count - i);
  }

  get count(): number {
    return this.#count;
  }

  /** A slot number from 1, or 0 when none is free. */
  tryTake(): number {
    return this.#free.pop() ?? 0;
  }

  /** A slot number from 1. Rejects with the signal's reason when that aborts first. */
  async take(signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted();
    const slot = this.tryTake();
    if (slot !== 0) return slot;
    return new Promise((resolve, reject) => {
      const waiter = (given: number): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve(given);
      };
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal?.reason as Error);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(waiter);
    });
  }

  give(slot: number): void {
    if (slot > this.#count) return;
    const next = this.#waiting.shift();
    if (next !== undefined) next(slot);
    else this.#putBack(slot);
  }

  /** Where it belongs, so that the lowest is the last. */
  #putBack(slot: number): void {
    let at = this.#free.length;
    this.#free.push(slot);
    for (; at > 0 && this.#free[at - 1]! < slot; at--) this.#free[at] = this.#free[at - 1]!;
    this.#free[at] = slot;
  }

  /** After a connect that granted another number. Slots in use above it end when they are given back. */
  resize(count: number): void {
    const old = this.#count;
    this.#count = count;
    for (let i = this.#free.length - 1; i >= 0; i--) if (this.#free[i]! > count) this.#free.splice(i, 1);
    for (let slot = old + 1; slot <= count; slot++) this.give(slot);
  }
}

/** Bulk and the rest each have their own number in flight, so that a flush never waits behind what waits for it. */
export type FlightClass = 'bulk' | 'general' | 'exempt';

const bulk = new Set<number>([Opcode.OST_READ, Opcode.OST_WRITE, Opcode.MDS_READPAGE]);
/** These end something that others may be waiting for, or keep the connection alive. */
const exempt = new Set<number>([Opcode.LDLM_CANCEL, Opcode.LDLM_CONVERT, Opcode.OBD_PING, Opcode.MDS_CLOSE]);

export function flightClass(opcode: number): FlightClass {
  if (bulk.has(opcode)) return 'bulk';
  return exempt.has(opcode) ? 'exempt' : 'general';
}
