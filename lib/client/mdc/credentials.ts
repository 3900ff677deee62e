/** Who asks (guide 09 §1.3): the same in every request to an MDT. Servers check all of it again. */

export interface Credentials {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** Bits that are cleared in the mode of what is made. */
  readonly umask: number;
}

/** No supplementary group: 0 would be the group root. */
export const NO_GROUP = 0xffff_ffff;

/** Capability bits: root has all of them, as the kernel's client says it. */
export function capabilities(who: Credentials): number {
  return who.uid === 0 ? 0xffff_ffff : 0;
}

/** The group to name for an object of group `gid`: that group when the caller is in it. */
export function supplementaryGroup(who: Credentials, gid: number | undefined): number {
  return gid !== undefined && (gid === who.gid || who.groups.includes(gid)) ? gid : NO_GROUP;
}

/** The identity fields of an mdt_body. */
export function bodyCredentials(who: Credentials): {
  mbo_uid: number;
  mbo_gid: number;
  mbo_fsuid: number;
  mbo_fsgid: number;
  mbo_capability: number;
} {
  return {
    mbo_uid: who.uid,
    mbo_gid: who.gid,
    mbo_fsuid: who.uid,
    mbo_fsgid: who.gid,
    mbo_capability: capabilities(who),
  };
}
