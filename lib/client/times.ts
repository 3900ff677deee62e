/** Times as node:fs takes them. */
import { LustreError } from '../runtime/errors.ts';

/** Seconds since the epoch, a Date, or text of either. */
export type Time = number | bigint | string | Date;

/** Milliseconds since the epoch. Throws ERR_INVALID_ARG_VALUE for what is no time. */
export function toMilliseconds(time: Time): number {
  const ms = time instanceof Date ? time.getTime() : toSeconds(time) * 1000;
  if (!Number.isFinite(ms)) throw new LustreError('ERR_INVALID_ARG_VALUE', `${String(time)} is no time`);
  return ms;
}

function toSeconds(time: number | bigint | string): number {
  if (typeof time !== 'string') return Number(time);
  const number = Number(time);
  return Number.isNaN(number) ? Date.parse(time) / 1000 : number;
}
