/** Wakes the event loop of another thread of this process, for less than a message costs. (The typed face of
 * native/doorbell_binding.cc.) */
import { LustreError } from '../runtime/errors.ts';
import { loadNative } from './native-loader.ts';

interface NativeDoorbell {
  number(): number;
  close(): void;
}

interface DoorbellBinding {
  readonly Doorbell: new (rung: () => void) => NativeDoorbell;
  readonly ring: (number: number) => void;
}

/** Whoever knows its number can ring it. It does not keep the event loop alive. */
export class Doorbell {
  /** Not 0. */
  readonly number: number;
  readonly #native: NativeDoorbell;

  /** `rung` is called soon after, once for several rings that came quickly one after the other. */
  constructor(rung: () => void) {
    this.#native = new (loadDoorbell().Doorbell)(rung);
    this.number = this.#native.number();
  }

  /** From here on nobody hears it; again does nothing. */
  close(): void {
    this.#native.close();
  }
}

/** On any thread. Does nothing when the bell is gone. */
export function ringDoorbell(number: number): void {
  ring ??= loadDoorbell().ring;
  ring(number);
}

let ring: ((number: number) => void) | undefined;

function isDoorbell(native: object): native is DoorbellBinding {
  return ['Doorbell', 'ring'].every((name) => typeof Reflect.get(native, name) === 'function');
}

function loadDoorbell(): DoorbellBinding {
  const native = loadNative();
  if (!isDoorbell(native)) {
    throw new LustreError('ERR_LUSTRE_NATIVE', 'the native module cannot wake another thread', {
      hint: 'It is of another version: build it again with npm run build:native',
    });
  }
  return native;
}
