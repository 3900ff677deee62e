/**
 * Memory that one thread of a process lends another (design: "Threads"). JavaScript cannot share an ordinary ArrayBuffer
 * between threads; the native module can: the lender's reference keeps the buffer alive, the borrower sees the same bytes
 * under a number. The lender takes it back only when it was told that the borrower has let go of it, or when the
 * borrower's thread is gone. (The typed face of native/lending_binding.cc.)
 */
import { LustreError } from '../runtime/errors.ts';
import { loadNative } from './native-loader.ts';

interface NativeLender {
  lend(bytes: Uint8Array): number;
  takeBack(number: number): void;
}

/** `exports.lending` of the native module. */
interface LendingBinding {
  readonly MemoryLender: new () => NativeLender;
  borrow(number: number): ArrayBuffer | undefined;
  letGo(buffer: ArrayBuffer): void;
}

/** Throws EINVAL for memory that could shrink while another thread works on it. */
export function checkMemory({ buffer }: Uint8Array): void {
  if (!(buffer instanceof ArrayBuffer) || ('resizable' in buffer && buffer.resizable === true))
    throw new LustreError('EINVAL', 'cannot pin a buffer that is shared or resizable', {}, -22);
}

/** The lender's side: one for each thread that it lends to. */
export class MemoryLender {
  readonly #native: NativeLender;

  constructor() {
    this.#native = new (loadLending().MemoryLender)();
  }

  /** Keeps the bytes where they are until `takeBack`. Throws EINVAL for memory that could shrink meanwhile. */
  lend(bytes: Uint8Array): number {
    checkMemory(bytes);
    return this.#native.lend(bytes);
  }

  takeBack(number: number): void {
    this.#native.takeBack(number);
  }
}

const borrowed = new WeakMap<ArrayBufferLike, BorrowedMemory>();

/** The loan that a buffer is, or undefined for memory of this thread's own. */
export const loanOf = (buffer: ArrayBufferLike): BorrowedMemory | undefined => borrowed.get(buffer);

/** The borrower's side of one piece. */
export class BorrowedMemory {
  /** The lender's own bytes; of length 0 once they were given back. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #letGo: (buffer: ArrayBuffer) => void;
  #uses = 0;
  #unused: (() => void) | undefined;

  /** Throws EFAULT when the lender has it back already. */
  constructor(number: number) {
    const { borrow, letGo } = loadLending();
    const buffer = borrow(number);
    if (buffer === undefined)
      throw new LustreError('EFAULT', 'the memory of this call was taken back', {}, -14);
    this.#letGo = letGo;
    this.bytes = new Uint8Array(buffer);
    borrowed.set(buffer, this);
  }

  /** A network reads or writes it from here to `unuse`. */
  use(): void {
    this.#uses++;
  }

  unuse(): void {
    if (--this.#uses === 0) this.#unused?.();
  }

  /** Lets go of it: at once, or (then a promise) when no network works on it any more. */
  giveBack(): Promise<void> | undefined {
    if (this.#uses === 0) {
      this.#letGo(this.bytes.buffer);
      return undefined;
    }
    return new Promise<void>((resolve) => {
      this.#unused = resolve;
    }).then(() => this.#letGo(this.bytes.buffer));
  }
}

let loaded: LendingBinding | undefined;

function loadLending(): LendingBinding {
  if (loaded === undefined) {
    const { lending } = loadNative();
    if (!isLending(lending)) {
      throw new LustreError('ERR_LUSTRE_NATIVE', 'the native module cannot lend memory', {
        hint: 'It is of another version: build it again with npm run build:native',
      });
    }
    loaded = lending;
  }
  return loaded;
}

function isLending(value: unknown): value is LendingBinding {
  return (
    typeof value === 'object' &&
    value !== null &&
    ['MemoryLender', 'borrow', 'letGo'].every(
      (name) => typeof (value as Record<string, unknown>)[name] === 'function',
    )
  );
}
