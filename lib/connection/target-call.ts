/** One request in the hands of an operation (target.ts): answering it, and keeping the answer for a resend. */
import type { IncomingRequest, ReplyOptions } from '../rpc/rpc.ts';
import { Errno } from '../runtime/errors.ts';
import type { Format, ReplyInputs, RequestValues } from '../wire/format.ts';
import type { ClientExport } from './client-export.ts';
import { TAG_MAX } from './reply-data.ts';
import type { ServedTarget } from './served-target.ts';
import type { Call } from './target.ts';

const NO_OPTIONS: ReplyOptions = {};

export class TargetCall<F extends Format> implements Call<F> {
  readonly request: IncomingRequest;
  readonly values: RequestValues<F>;
  readonly export: ClientExport;
  readonly #format: F;
  readonly #served: ServedTarget;

  constructor(
    served: ServedTarget,
    client: ClientExport,
    request: IncomingRequest,
    format: F,
    values: RequestValues<F>,
  ) {
    this.#served = served;
    this.export = client;
    this.request = request;
    this.#format = format;
    this.values = values;
  }

  reply(values: ReplyInputs<F>, options: ReplyOptions = NO_OPTIONS): void {
    const { target } = this.#served;
    const { export: client, request } = this;
    const volume = client.resizesLru ? target.lockVolume?.() : undefined;
    request.reply(this.#format, values, {
      status: options.status,
      transno: options.transno,
      lastCommitted: options.lastCommitted ?? target.lastCommitted(),
      handle: options.handle,
      opFlags: options.opFlags,
      flags: options.flags,
      versions: options.versions,
      slv: options.slv ?? volume?.slv,
      limit: options.limit ?? volume?.limit,
      onSent: this.#isKept ? this.#keeping(options.onSent) : options.onSent,
    });
    const transno = options.transno ?? 0n;
    if (transno > client.lastTransno) {
      client.lastTransno = transno;
      this.#served.record(client, request.xid, options.status ?? 0);
    }
  }

  #keeping(onSent: ReplyOptions['onSent']): ReplyOptions['onSent'] {
    const { export: client, request } = this;
    return (bytes) => {
      client.replies.keep(request.body.pb_tag, request.xid, bytes);
      onSent?.(bytes);
    };
  }

  /** A slot's reply is kept whatever its result: a resent enqueue or create must see the same. */
  get #isKept(): boolean {
    const tag = this.request.body.pb_tag;
    return tag > 0 && tag <= TAG_MAX && this.export.connected;
  }

  fail(errno: number, values?: ReplyInputs<F>): void {
    this.reply(values ?? ({} as ReplyInputs<F>), { status: -Math.abs(errno || Errno.EIO) });
  }
}
