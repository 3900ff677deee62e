/**
 * The requests that an endpoint's services have taken in and not done with, found by XID: where a resend meets the one that it
 * repeats (guide 04 §5.6). Chains that run through the requests themselves, so that nothing is allocated for a request
 * (under-way.ts says why that matters); what may be in work at once bounds them.
 */
import type { Nid } from '../lnet/nid.ts';
import { type Bits64, lowWord } from '../wire/bits64.ts';
import type { ServiceRequest } from './service-request.ts';

const CHAINS = 1024;

export class RequestsInWork {
  readonly #chains = new Array<ServiceRequest | undefined>(CHAINS).fill(undefined);

  add(request: ServiceRequest): void {
    const chain = chainOf(request.xid);
    request.nextInWork = this.#chains[chain];
    this.#chains[chain] = request;
  }

  /** That of the same client with the same export handle. */
  find(xid: Bits64, peer: Nid, handle: bigint): ServiceRequest | undefined {
    let request = this.#chains[chainOf(xid)];
    while (request !== undefined) {
      if (request.xid === xid && request.peer === peer && request.body.pb_handle === handle) return request;
      request = request.nextInWork;
    }
    return undefined;
  }

  remove(request: ServiceRequest): void {
    const chain = chainOf(request.xid);
    let before: ServiceRequest | undefined;
    let at = this.#chains[chain];
    while (at !== undefined && at !== request) {
      before = at;
      at = at.nextInWork;
    }
    if (at === undefined) return;
    if (before === undefined) this.#chains[chain] = request.nextInWork;
    else before.nextInWork = request.nextInWork;
    request.nextInWork = undefined;
  }
}

/** XIDs are some power of two apart, which differs from client to client. */
function chainOf(xid: Bits64): number {
  const low = lowWord(xid);
  return ((low >>> 4) ^ (low >>> 14)) & (CHAINS - 1);
}
