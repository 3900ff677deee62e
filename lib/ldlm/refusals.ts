/** Lock requests that are not done as asked, and what the log says of them. */
import type { Call } from '../connection/target.ts';
import { opcodeName } from '../rpc/portals.ts';
import { Errno } from '../runtime/errors.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Format } from '../wire/format.ts';

export type Refusable = Pick<Call<Format>, 'export' | 'request'>;

export interface Refusal {
  /** 0 where the answer is no error. */
  readonly errno: number;
  readonly reason: string;
}

export const malformed = (reason: string): Refusal => ({ errno: Errno.EPROTO, reason });

export function logRefusal(runtime: Runtime, call: Refusable, { errno, reason }: Refusal): void {
  const { peer, opcode } = call.request;
  const client = call.export.clientUuid;
  runtime.log.warn({ peer, opcode: opcodeName(opcode), errno, client, reason }, 'lock request refused');
}
