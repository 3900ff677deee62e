/** The calls of an import: those that have ended rest until the next ones begin, for an RPC to make none (guide 04 §3.3). */
import { Resting } from '../rpc/resting.ts';
import type { CallOptions, Reply } from '../rpc/rpc.ts';
import type { Format, RequestInputs } from '../wire/format.ts';
import { ImportCall } from './import-call.ts';
import type { ImportView } from './import-view.ts';

export class ImportCalls {
  /** Under way. */
  count = 0;
  readonly #resting: Resting<ImportCall>;

  constructor(view: ImportView) {
    const over = (call: ImportCall): void => {
      this.count--;
      this.#resting.give(call);
    };
    this.#resting = new Resting(() => new ImportCall(view, over));
  }

  /** Rejects with a LustreError that names opcode, target and NID when the reply's status is negative. */
  call<F extends Format>(format: F, request: RequestInputs<F>, options: CallOptions): Promise<Reply<F>> {
    this.count++;
    return this.#resting.take().begin(format, request, options) as Promise<Reply<F>>;
  }
}
