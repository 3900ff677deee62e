/** POSIX access control lists in their xattr v2 form (guide 11 §8). */
import { errnoError } from '../../runtime/errors.ts';

const VERSION = 2;
const HEADER = 4;
const ENTRY = 8;
/** More than any client stores; ext4 takes fewer. */
const ENTRIES_MAX = 4096;
const Tag = { USER_OBJ: 1, USER: 2, GROUP_OBJ: 4, GROUP: 8, MASK: 0x10, OTHER: 0x20 } as const;
const NO_ID = 0xffffffff;

export interface AclEntry {
  readonly tag: number;
  readonly perm: number;
  readonly id: number;
}
export type PosixAcl = readonly AclEntry[];

/** Throws EINVAL for what is not a well-formed list: entries sorted, each kind as often as it may be. */
export function decodeAcl(bytes: Uint8Array): PosixAcl {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = (bytes.length - HEADER) / ENTRY;
  if (bytes.length < HEADER || !Number.isInteger(count) || count > ENTRIES_MAX) throw invalid();
  if (view.getUint32(0, true) !== VERSION) throw invalid();
  const acl = Array.from({ length: count }, (_, i) => ({
    tag: view.getUint16(HEADER + ENTRY * i, true),
    perm: view.getUint16(HEADER + ENTRY * i + 2, true),
    id: view.getUint32(HEADER + ENTRY * i + 4, true),
  }));
  check(acl);
  return acl;
}

export function encodeAcl(acl: PosixAcl): Uint8Array {
  const bytes = new Uint8Array(HEADER + ENTRY * acl.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, VERSION, true);
  acl.forEach(({ tag, perm, id }, i) => {
    view.setUint16(HEADER + ENTRY * i, tag, true);
    view.setUint16(HEADER + ENTRY * i + 2, perm, true);
    view.setUint32(HEADER + ENTRY * i + 4, id, true);
  });
  return bytes;
}

function check(acl: PosixAcl): void {
  const count = (tag: number): number => acl.filter((e) => e.tag === tag).length;
  if (acl.length === 0) return;
  if (count(Tag.USER_OBJ) !== 1 || count(Tag.GROUP_OBJ) !== 1 || count(Tag.OTHER) !== 1) throw invalid();
  const named = count(Tag.USER) + count(Tag.GROUP);
  if (count(Tag.MASK) > 1 || (named > 0 && count(Tag.MASK) === 0)) throw invalid();
  if (acl.some((e) => e.perm > 7 || !Object.values(Tag).includes(e.tag as 1))) throw invalid();
  if (acl.some((e, i) => i > 0 && e.tag < acl[i - 1]!.tag)) throw invalid();
}

const invalid = (): Error => errnoError(22, { syscall: 'setxattr' });
const of = (acl: PosixAcl, tag: number): AclEntry | undefined => acl.find((e) => e.tag === tag);

/** Whether a caller who is not the owner may do all of `want`. */
export function aclAllows(
  acl: PosixAcl,
  owner: { readonly gid: number },
  uid: number,
  inGroup: (gid: number) => boolean,
  want: number,
): boolean {
  const mask = of(acl, Tag.MASK)?.perm ?? 7;
  const grants = (entry: AclEntry): boolean => (entry.perm & mask & want) === want;
  const user = acl.find((e) => e.tag === Tag.USER && e.id === uid);
  if (user !== undefined) return grants(user);
  const groups = acl.filter(
    (e) => (e.tag === Tag.GROUP_OBJ && inGroup(owner.gid)) || (e.tag === Tag.GROUP && inGroup(e.id)),
  );
  if (groups.length > 0) return groups.some(grants);
  return ((of(acl, Tag.OTHER)?.perm ?? 0) & want) === want;
}

/** The permission bits of a mode that an access list stands for: the mask, where there is one, is the group's. */
export function aclMode(acl: PosixAcl, mode: number): number {
  const user = of(acl, Tag.USER_OBJ)?.perm ?? 0;
  const group = (of(acl, Tag.MASK) ?? of(acl, Tag.GROUP_OBJ))?.perm ?? 0;
  const other = of(acl, Tag.OTHER)?.perm ?? 0;
  return (mask12(mode) & 0o7000) | (mode & 0o170000) | (user << 6) | (group << 3) | other;
}

const mask12 = (mode: number): number => mode & 0o7777;

/** True when a mode says all that the list says. */
export function aclIsMode(acl: PosixAcl): boolean {
  return acl.every((e) => e.tag === Tag.USER_OBJ || e.tag === Tag.GROUP_OBJ || e.tag === Tag.OTHER);
}

/** The list after a chmod. */
export function aclWithMode(acl: PosixAcl, mode: number): PosixAcl {
  const hasMask = of(acl, Tag.MASK) !== undefined;
  return acl.map((e) => {
    if (e.tag === Tag.USER_OBJ) return { ...e, perm: (mode >> 6) & 7 };
    if (e.tag === Tag.MASK || (e.tag === Tag.GROUP_OBJ && !hasMask)) return { ...e, perm: (mode >> 3) & 7 };
    return e.tag === Tag.OTHER ? { ...e, perm: mode & 7 } : e;
  });
}

/** What a new object gets from its directory's default list, and the mode that goes with it. */
export function inheritAcl(defaults: PosixAcl, mode: number): { acl: PosixAcl; mode: number } {
  const allowed = aclMode(defaults, 0);
  const bits = mode & 0o777 & allowed;
  return { acl: aclWithMode(defaults, bits), mode: (mode & ~0o777) | bits };
}

export const ACL_NO_ID = NO_ID;
