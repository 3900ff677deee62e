/** Permission from mode bits (guide 10 §5): for names served from the cache, and for access(). */
import type { MdtBody } from '../wire/mds-structs.ts';
import { isDirectory } from './attributes.ts';
import type { Credentials } from './mdc/credentials.ts';

export const R_OK = 4;
export const W_OK = 2;
export const X_OK = 1;

/** May the caller do all of `wanted` (R_OK, W_OK, X_OK bits), by owner, group and others? Root may, but cannot execute a
 * file that nobody can. */
export function permits(body: MdtBody, who: Credentials, wanted: number): boolean {
  const mode = body.mbo_mode;
  if (who.uid === 0) return (wanted & X_OK) === 0 || isDirectory(mode) || (mode & 0o111) !== 0;
  const inGroup = body.mbo_gid === who.gid || who.groups.includes(body.mbo_gid);
  const shift = body.mbo_uid === who.uid ? 6 : inGroup ? 3 : 0;
  return ((mode >> shift) & wanted) === wanted;
}
