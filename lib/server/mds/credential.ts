/**
 * Who asks, and whether they may (guides 09 §1.3, 11 §4 and §11): the checks of a Linux file system, made from what the
 * request packs. There is no identity upcall: the supplementary groups are the one or two that the client sent.
 */
import { errnoError } from '../../runtime/errors.ts';
import { InodeFlag } from '../../wire/mds-constants.ts';
import { aclAllows, type PosixAcl } from './posix-acl.ts';
import type { Inode } from './records.ts';

export const Capability = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  DAC_READ_SEARCH: 2,
  FOWNER: 3,
  FSETID: 4,
  LINUX_IMMUTABLE: 9,
  MKNOD: 27,
  SYS_ADMIN: 21,
  SYS_RESOURCE: 24,
} as const;

export const Mode = {
  S_IFMT: 0o170000,
  S_IFSOCK: 0o140000,
  S_IFLNK: 0o120000,
  S_IFREG: 0o100000,
  S_IFBLK: 0o060000,
  S_IFDIR: 0o040000,
  S_IFCHR: 0o020000,
  S_IFIFO: 0o010000,
  S_ISUID: 0o4000,
  S_ISGID: 0o2000,
  S_ISVTX: 0o1000,
  S_IXGRP: 0o010,
} as const;

export const MAY_EXEC = 1;
export const MAY_WRITE = 2;
export const MAY_READ = 4;

export const NO_GROUP = 0xffffffff;

export interface Credential {
  readonly uid: number;
  readonly gid: number;
  /** Low 32 capability bits. */
  readonly capabilities: number;
  /** Without the "none" of the wire (-1). */
  readonly groups: readonly number[];
}

/** The identity fields that mdt_rec_* and mdt_body share. */
export function credentialOf(
  fsuid: number,
  fsgid: number,
  capabilities: number,
  ...suppgids: readonly number[]
): Credential {
  return { uid: fsuid, gid: fsgid, capabilities, groups: suppgids.filter((gid) => gid !== NO_GROUP) };
}

export const SUPERUSER: Credential = { uid: 0, gid: 0, capabilities: 0xffffffff, groups: [] };

export const isDirectory = (inode: { readonly mode: number }): boolean =>
  (inode.mode & Mode.S_IFMT) === Mode.S_IFDIR;
export const isRegular = (inode: { readonly mode: number }): boolean =>
  (inode.mode & Mode.S_IFMT) === Mode.S_IFREG;

export function capable(who: Credential, capability: number): boolean {
  return ((who.capabilities >>> capability) & 1) === 1;
}

export function inGroup(who: Credential, gid: number): boolean {
  return who.gid === gid || who.groups.includes(gid);
}

export function isOwner(who: Credential, inode: Inode): boolean {
  return who.uid === inode.uid || capable(who, Capability.FOWNER);
}

/** True when `who` may do all of `want` (MAY_ bits); the order of Linux's generic_permission. */
export function permits(who: Credential, inode: Inode, want: number, acl?: PosixAcl): boolean {
  if ((want & MAY_WRITE) !== 0 && (inode.flags & InodeFlag.LUSTRE_IMMUTABLE_FL) !== 0) return false;
  if (who.uid === inode.uid) {
    if (((inode.mode >> 6) & 7 & want) === want) return true;
  } else if (acl !== undefined) {
    if (aclAllows(acl, inode, who.uid, (gid) => inGroup(who, gid), want)) return true;
  } else {
    const bits = inGroup(who, inode.gid) ? inode.mode >> 3 : inode.mode;
    if ((bits & 7 & want) === want) return true;
  }
  return overrides(who, inode, want);
}

function overrides(who: Credential, inode: Inode, want: number): boolean {
  if (isDirectory(inode)) {
    if ((want & MAY_WRITE) === 0 && capable(who, Capability.DAC_READ_SEARCH)) return true;
    return capable(who, Capability.DAC_OVERRIDE);
  }
  if (want === MAY_READ && capable(who, Capability.DAC_READ_SEARCH)) return true;
  // Nobody executes what nobody may execute.
  if ((want & MAY_EXEC) !== 0 && (inode.mode & 0o111) === 0) return false;
  return capable(who, Capability.DAC_OVERRIDE);
}

/** Throws EACCES, or EPERM for writing to what is immutable. */
export function demand(who: Credential, inode: Inode, want: number, acl?: PosixAcl): void {
  if ((want & MAY_WRITE) !== 0 && (inode.flags & InodeFlag.LUSTRE_IMMUTABLE_FL) !== 0)
    throw errnoError(1, { syscall: 'access' });
  if (!permits(who, inode, want, acl)) throw errnoError(13, { syscall: 'access' });
}

/** A sticky directory's rule: only the owner of the entry or of the directory removes an entry. */
export function stickyForbids(who: Credential, directory: Inode, victim: Inode): boolean {
  if ((directory.mode & Mode.S_ISVTX) === 0) return false;
  return who.uid !== victim.uid && who.uid !== directory.uid && !capable(who, Capability.FOWNER);
}
