/** The one error of this layer (guide 04 §1: what a peer sends is checked before use). */
import { LustreError } from '../runtime/errors.ts';

/** Bytes that cannot be what they claim to be, or a value that has no bytes. `want`/`have` are byte counts. */
export class WireError extends LustreError {
  readonly struct: string;
  readonly want: number;
  readonly have: number;

  constructor(struct: string, message: string, want = 0, have = 0) {
    super('ERR_LUSTRE_WIRE', `${struct}: ${message}`, {}, -71);
    this.name = 'WireError';
    this.struct = struct;
    this.want = want;
    this.have = have;
  }
}
