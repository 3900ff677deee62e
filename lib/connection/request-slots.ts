/**
 * What bounds an import's requests: a number in flight per class of work, and the modify slots whose number is the
 * tag of a modifying request (guide 04 §9).
 */
import { Opcode } from '../wire/opcodes.ts';

interface Waiter {
  readonly urgent: boolean;
  readonly take: (slot: number) => void;
}

/**
 * Numbered slots, given out lowest first; who finds none waits in order. Those that are urgent may have one beyond the count
 * while none of them has any: a close then never waits for what waits for it.
 */
export class Slots {
  readonly #free: number[];
  readonly #waiting: Waiter[] = [];
  #count: number;
  /** Slots of urgent ones, and which of them is the one beyond the count; 0 for none. */
  #urgent = 0;
  #extra = 0;

  constructor(count: number) {
    this.#count = count;
    this.#free = Array.from({ length: count }, (_, i) => count - i);
  }

  get count(): number {
    return this.#count;
  }

  /** A slot number from 1, or 0 when none is free. */
  tryTake(urgent = false): number {
    let slot = this.#free.pop() ?? 0;
    if (!urgent) return slot;
    if (slot === 0 && this.#urgent === 0) {
      slot = this.#count + 1;
      this.#extra = slot;
    }
    if (slot !== 0) this.#urgent++;
    return slot;
  }

  /** A slot number from 1. Rejects with the signal's reason when that aborts first. */
  async take(signal?: AbortSignal, urgent = false): Promise<number> {
    signal?.throwIfAborted();
    const slot = this.tryTake(urgent);
    if (slot !== 0) return slot;
    return new Promise((resolve, reject) => {
      const take = (given: number): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve(given);
      };
      const waiter = { urgent, take };
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal?.reason as Error);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(waiter);
    });
  }

  /** `urgent` as it was taken. */
  give(slot: number, urgent = false): void {
    if (urgent) this.#urgent--;
    if (slot === this.#extra) this.#extra = 0;
    if (slot <= this.#count) this.#putBack(slot);
    this.#handOn();
  }

  #handOn(): void {
    for (let i = 0; i < this.#waiting.length; ) {
      if (this.#free.length === 0 && this.#urgent > 0) return;
      const waiter = this.#waiting[i]!;
      const slot = this.tryTake(waiter.urgent);
      if (slot === 0) {
        i++;
        continue;
      }
      this.#waiting.splice(i, 1);
      waiter.take(slot);
    }
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
    for (let slot = old + 1; slot <= count; slot++) if (slot !== this.#extra) this.#putBack(slot);
    this.#handOn();
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
