/** One request in the hands of an operation (target.ts): answering it, and keeping the answer for a resend. */
import type { IncomingRequest, ReplyOptions } from '../rpc/rpc.ts';
import { Errno } from '../runtime/errors.ts';
import type { Format, ReplyInputs, RequestValues } from '../wire/format.ts';
import type { ClientExport } from './client-export.ts';
import { TAG_MAX } from './reply-data.ts';
import type { Call, Target } from './target.ts';

export class TargetCall<F extends Format> implements Call<F> {
  readonly request: IncomingRequest;
  readonly values: RequestValues<F>;
  readonly export: ClientExport;
  readonly #format: F;
  readonly #target: Target;
  readonly #record: (xid: bigint, status: number) => void;

  constructor(o: {
    target: Target;
    client: ClientExport;
    request: IncomingRequest;
    format: F;
    values: RequestValues<F>;
    /** Writes the client's line of last_rcvd. */
    record: (xid: bigint, status: number) => void;
  }) {
    this.#target = o.target;
    this.export = o.client;
    this.request = o.request;
    this.#format = o.format;
    this.values = o.values;
    this.#record = o.record;
  }

  reply(values: ReplyInputs<F>, options: ReplyOptions = {}): void {
    const transno = options.transno ?? 0n;
    const volume = this.export.resizesLru ? this.#target.lockVolume?.() : undefined;
    this.request.reply(this.#format, values, {
      lastCommitted: this.#target.lastCommitted(),
      ...volume,
      ...options,
      onSent: (bytes) => {
        this.#keep(bytes);
        options.onSent?.(bytes);
      },
    });
    if (transno > this.export.lastTransno) {
      this.export.lastTransno = transno;
      this.#record(this.request.xid, options.status ?? 0);
    }
  }

  fail(errno: number, values?: ReplyInputs<F>): void {
    this.reply(values ?? ({} as ReplyInputs<F>), { status: -Math.abs(errno || Errno.EIO) });
  }

  /** A slot's reply is kept whatever its result: a resent enqueue or create must see the same. */
  #keep(bytes: Uint8Array): void {
    const tag = this.request.body.pb_tag;
    if (tag > 0 && tag <= TAG_MAX && this.export.connected)
      this.export.replies.keep(tag, this.request.xid, bytes);
  }
}
