/**
 * How many reads of one client are sent out of files at once, and writes received into them (guide 12 §5). They take no memory of
 * ours, which would bound them, but open files, up to one for each MiB: a client that asks and does not move its bulk must not use up
 * what there is of them. The rest wait in order, and early replies keep them alive.
 */
import { Slots } from '../../connection/request-slots.ts';
import type { Export } from '../../connection/target.ts';

/** Enough for a link that is filled from one client; kernels have 8 reads in flight by default, 256 at most. */
export const FILE_TRANSFERS_MAX = 32;

const KEY = Symbol('bulk out of files and into them');

/** Runs `work` once the client has less than that many under way. */
export async function asFileTransfer<T>(client: Pick<Export, 'state'>, work: () => Promise<T>): Promise<T> {
  let slots = client.state.get(KEY) as Slots | undefined;
  if (slots === undefined) {
    slots = new Slots(FILE_TRANSFERS_MAX);
    client.state.set(KEY, slots);
  }
  const slot = slots.tryTake() || (await slots.take());
  try {
    return await work();
  } finally {
    slots.give(slot);
  }
}
