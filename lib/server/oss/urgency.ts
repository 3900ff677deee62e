/** Which requests to an OST another client waits for (guide 08 §13): data under a lock that is being called back. */
import type { Export } from '../../connection/target.ts';
import type { IncomingRequest } from '../../rpc/rpc.ts';
import { RQF_OST_PUNCH } from '../../wire/formats.ts';
import { Opcode } from '../../wire/opcodes.ts';
import { objectOf } from './object-request.ts';
import type { OstContext } from './ost-context.ts';

const underLocks: ReadonlySet<number> = new Set([Opcode.OST_READ, Opcode.OST_WRITE, Opcode.OST_PUNCH]);

export function isUrgent(ost: OstContext, client: Export, request: IncomingRequest): boolean {
  if (!underLocks.has(request.opcode)) return false;
  try {
    // All of these begin with an ost_body.
    const { ost_body } = request.decode(RQF_OST_PUNCH);
    return ost_body !== undefined && ost.locks.isWanted(client, objectOf(ost_body.oa, ost).resource);
  } catch {
    // A bad request is answered in its turn.
    return false;
  }
}
