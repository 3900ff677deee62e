/**
 * How many reads of one client are sent out of files at once, and writes received into them (guide 12 §5). They take no memory of
 * ours, which would bound them, but open files, up to one for each MiB: a client that asks and does not move its bulk must not use up
 * what there is of them. The rest wait in order, and early replies keep them alive.
 */
import { Slots } from '../../connection/request-slots.ts';
import type { Export } from '../../connection/target.ts';
import type { IncomingRequest } from '../../rpc/rpc.ts';
import { Errno, errnoError } from '../../runtime/errors.ts';

/** Enough for a link that is filled from one client; kernels have 8 reads in flight by default, 256 at most. */
export const FILE_TRANSFERS_MAX = 32;

const KEY = Symbol('bulk out of files and into them');

type Moving = Pick<IncomingRequest, 'abortBulk'>;

interface Transfers {
  readonly slots: Slots;
  readonly running: Set<Moving>;
}

/** Runs `work`, which moves the request's bulk, once the client has less than that many under way. */
export async function asFileTransfer<T>(
  client: Pick<Export, 'state' | 'connected'>,
  request: Moving,
  work: () => Promise<T>,
): Promise<T> {
  let transfers = client.state.get(KEY) as Transfers | undefined;
  if (transfers === undefined) {
    transfers = { slots: new Slots(FILE_TRANSFERS_MAX), running: new Set() };
    client.state.set(KEY, transfers);
  }
  const { slots, running } = transfers;
  const slot = slots.tryTake() || (await slots.take());
  running.add(request);
  try {
    refuseGone(client);
    return await work();
  } finally {
    running.delete(request);
    slots.give(slot);
  }
}

/** Of a client that is no more: when this returns none of its bytes get into files any more, so others may have its locks. */
export function endFileTransfers(client: Pick<Export, 'state'>): void {
  const transfers = client.state.get(KEY) as Transfers | undefined;
  for (const request of transfers?.running ?? []) request.abortBulk(errnoError(Errno.ENOTCONN, gone));
}

/** Throws ENOTCONN for a client that was evicted or has disconnected since it asked: its locks are others' now. */
export function refuseGone(client: Pick<Export, 'connected'>): void {
  if (!client.connected) throw errnoError(Errno.ENOTCONN, gone);
}

const gone = { syscall: 'bulk of a client that is gone' };
