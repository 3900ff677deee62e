/** One request in the hands of an operation (target.ts): answering it, and keeping the answer for a resend. */
import type { IncomingRequest, ReplyOptions } from '../rpc/rpc.ts';
import { Errno, LustreError } from '../runtime/errors.ts';
import type { Writable } from '../runtime/writable.ts';
import type { Format, ReplyInputs, RequestValues } from '../wire/format.ts';
import type { ClientExport } from './client-export.ts';
import { TAG_MAX } from './reply-data.ts';
import type { ServedTarget } from './served-target.ts';
import type { Call } from './target.ts';

const NO_OPTIONS: ReplyOptions = {};
/** Filled anew for each reply: a reply is made before another begins. */
const told: Writable<ReplyOptions> = {
  status: 0,
  transno: 0n,
  lastCommitted: 0n,
  handle: undefined,
  opFlags: 0,
  flags: 0,
  versions: undefined,
  slv: undefined,
  limit: undefined,
  keptBy: undefined,
};

export class TargetCall<F extends Format> implements Call<F> {
  readonly values: RequestValues<F>;
  readonly export: ClientExport;
  readonly #request: IncomingRequest;
  /** Which of the requests it is that the object has been. */
  readonly #turn: number;
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
    this.#request = request;
    this.#turn = request.turn;
    this.#format = format;
    this.values = values;
  }

  get request(): IncomingRequest {
    if (this.#request.turn === this.#turn) return this.#request;
    const { targetName: target } = this.export;
    // Or another client would get the answer.
    throw new LustreError('ERR_LUSTRE_ANSWERED_TWICE', 'the request is over: it was answered or dropped', {
      target,
    });
  }

  reply(values: ReplyInputs<F>, options: ReplyOptions = NO_OPTIONS): void {
    const { target } = this.#served;
    const { export: client, request } = this;
    const { xid } = request;
    const volume = client.resizesLru ? target.lockVolume?.() : undefined;
    const status = options.status ?? 0;
    const transno = options.transno ?? 0n;
    told.status = status;
    told.transno = transno;
    told.lastCommitted = options.lastCommitted ?? target.lastCommitted();
    told.handle = options.handle;
    told.opFlags = options.opFlags;
    told.flags = options.flags;
    told.versions = options.versions;
    told.slv = options.slv ?? volume?.slv;
    told.limit = options.limit ?? volume?.limit;
    told.keptBy = this.#isKept(request) ? client.replies : undefined;
    request.reply(this.#format, values, told);
    if (transno > client.lastTransno) {
      client.lastTransno = transno;
      this.#served.record(client, xid, status);
    }
  }

  /** A slot's reply is kept whatever its result: a resent enqueue or create must see the same. */
  #isKept({ body }: IncomingRequest): boolean {
    return body.pb_tag > 0 && body.pb_tag <= TAG_MAX && this.export.connected;
  }

  fail(errno: number, values?: ReplyInputs<F>): void {
    this.reply(values ?? ({} as ReplyInputs<F>), { status: -Math.abs(errno || Errno.EIO) });
  }
}
