/** The calls of an import: those that have ended rest until the next ones begin, for an RPC to make none (guide 04 §3.3). */
import type { CallOptions, Reply } from '../rpc/rpc.ts';
import type { Format, RequestInputs } from '../wire/format.ts';
import { ImportCall } from './import-call.ts';
import type { ImportView } from './import-view.ts';

/** Calls that are kept for the next ones. */
const RESTING_MAX = 256;

export class ImportCalls {
  /** Under way. */
  count = 0;
  readonly #view: ImportView;
  /** Last in, first out: as many as were under way at once, up to the bound. */
  readonly #resting: ImportCall[] = [];
  readonly #over = (call: ImportCall): void => {
    this.count--;
    if (this.#resting.length < RESTING_MAX) this.#resting.push(call);
  };

  constructor(view: ImportView) {
    this.#view = view;
  }

  /** Rejects with a LustreError that names opcode, target and NID when the reply's status is negative. */
  call<F extends Format>(format: F, request: RequestInputs<F>, options: CallOptions): Promise<Reply<F>> {
    this.count++;
    const call = this.#resting.pop() ?? new ImportCall(this.#view, this.#over);
    return call.begin(format, request, options) as Promise<Reply<F>>;
  }
}
