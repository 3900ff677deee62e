/** How long an event loop may look for messages before it sleeps (docs/performance.md, "Looking before sleeping"). */
import { LustreError } from '../runtime/errors.ts';

/** A few round trips on a fast network: what takes longer is not worth a core. */
export const DEFAULT_BUSY_POLL_US = 100;
const BUSY_POLL_MAX_US = 1000;

/** Gives it back. Throws EINVAL for what is not a number of microseconds that it may be. */
export function checkBusyPoll(us: number): number {
  if (Number.isInteger(us) && us >= 0 && us <= BUSY_POLL_MAX_US) return us;
  throw new LustreError('EINVAL', `busyPollUs ${us} is not an integer from 0 to ${BUSY_POLL_MAX_US}`);
}
