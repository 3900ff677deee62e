/** Permission from mode bits and access ACLs (guide 10 §5, 11 §8): for names served from the cache, and for access(). */
import type { MdtBody } from '../../wire/mds-structs.ts';
import type { Credentials } from '../mdc/credentials.ts';
import { isDirectory } from './attributes.ts';

export const R_OK = 4;
export const W_OK = 2;
export const X_OK = 1;

const ACL_VERSION = 2;
const HEADER = 4;
const ENTRY = 8;
const Tag = { USER_OBJ: 1, USER: 2, GROUP_OBJ: 4, GROUP: 8, MASK: 0x10, OTHER: 0x20 } as const;

/** What is needed of an object. */
export interface Guarded {
  readonly body: Pick<MdtBody, 'mbo_mode' | 'mbo_uid' | 'mbo_gid'>;
  readonly acl: Uint8Array;
}

/** May the caller do all of `wanted` (R_OK, W_OK, X_OK bits)? Root may, but cannot execute a file that nobody can. */
export function permits({ body, acl }: Guarded, who: Credentials, wanted: number): boolean {
  const mode = body.mbo_mode;
  if (who.uid === 0) return (wanted & X_OK) === 0 || isDirectory(mode) || (mode & 0o111) !== 0;
  const entries = decodeAcl(acl);
  if (entries !== undefined) return aclPermits(entries, body, who, wanted);
  const shift = body.mbo_uid === who.uid ? 6 : isIn(who, body.mbo_gid) ? 3 : 0;
  return ((mode >> shift) & wanted) === wanted;
}

const isIn = (who: Credentials, gid: number): boolean => gid === who.gid || who.groups.includes(gid);

interface Entry {
  readonly tag: number;
  readonly perm: number;
  readonly id: number;
}

/** Undefined where there is none that makes sense: the mode decides then. */
function decodeAcl(acl: Uint8Array): Entry[] | undefined {
  if (acl.length <= HEADER) return undefined;
  const view = new DataView(acl.buffer, acl.byteOffset, acl.length);
  if (view.getUint32(0, true) !== ACL_VERSION) return undefined;
  const entries: Entry[] = [];
  for (let at = HEADER; at + ENTRY <= acl.length; at += ENTRY) {
    entries.push({
      tag: view.getUint16(at, true),
      perm: view.getUint16(at + 2, true),
      id: view.getUint32(at + 4, true),
    });
  }
  return entries;
}

/** The first class that the caller is in decides; of groups any one that allows it. */
function aclPermits(
  entries: readonly Entry[],
  body: Guarded['body'],
  who: Credentials,
  wanted: number,
): boolean {
  const mask = entries.find(({ tag }) => tag === Tag.MASK)?.perm ?? 7;
  const allows = (entry: Entry | undefined, limit = 7): boolean =>
    ((entry?.perm ?? 0) & limit & wanted) === wanted;
  if (body.mbo_uid === who.uid) return allows(entries.find(({ tag }) => tag === Tag.USER_OBJ));
  const user = entries.find(({ tag, id }) => tag === Tag.USER && id === who.uid);
  if (user !== undefined) return allows(user, mask);
  const groups = entries.filter(
    ({ tag, id }) =>
      (tag === Tag.GROUP_OBJ && isIn(who, body.mbo_gid)) || (tag === Tag.GROUP && isIn(who, id)),
  );
  if (groups.length > 0) return groups.some((entry) => allows(entry, mask));
  return allows(entries.find(({ tag }) => tag === Tag.OTHER));
}
