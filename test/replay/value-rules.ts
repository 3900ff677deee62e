/** Rules for two values of a field, ours and the kernel's, as they are printed. */

/** Values are printed as `12 (0xc)`, `0xc`, `12`. */
export const number = (text: string): bigint => BigInt((/^(0x[\da-f]+|\d+)/.exec(text) ?? ['0'])[0]);

/** Ours asks for nothing that the kernel does not ask for, but for `besides`. */
export const fewer =
  (besides = 0n) =>
  (ours: string, theirs: string): boolean =>
    (number(ours) & ~number(theirs) & ~besides) === 0n;

/** OBD_CONNECT_XATTR. */
export const XATTR = 0x100n;

/** A request's buffers of which only those at the given places have other lengths. */
export const buffersBut =
  (...places: number[]) =>
  (ours: string, theirs: string): boolean => {
    const [a, b] = [ours.split(' '), theirs.split(' ')];
    return a.length === b.length && a.every((length, i) => places.includes(i) || length === b[i]);
  };

export const sameSequence = (ours: string, theirs: string): boolean => {
  const [a, b] = [ours, theirs].map((fid) => /^\[0x([\da-f]+):0x([\da-f]+):0x0\]$/.exec(fid));
  if (a == null || b == null || a[1] !== b[1]) return false;
  return Math.abs(Number.parseInt(a[2]!, 16) - Number.parseInt(b[2]!, 16)) < 20;
};

/** Access mode, MDS_OPEN_EXCL and TRUNC; BY_FID, DELAY_CREATE, OWNEROVERRIDE, LOCK and HAS_EA (lustre_user.h). */
const OPEN_FLAGS = 0x63800283n;
export const openFlags = (ours: string, theirs: string): boolean =>
  ((number(ours) ^ number(theirs)) & ~OPEN_FLAGS) === 0n;

/** What differs is no more than OBD_MD_FLATIME (0x2), OBD_MD_FLHANDLE (0x80000) and OBD_MD_FLCKSUM (0x100000). */
export const checksumsAside = (ours: string, theirs: string): boolean =>
  ((number(ours) ^ number(theirs)) & ~0x180002n) === 0n;

const PAGE = 4096n;
export const wholePages = (ours: string, theirs: string): boolean => {
  const [a, b] = [number(ours), number(theirs)];
  return b % PAGE === 0n && b >= a && b - a < PAGE;
};
